"""Every option of a run, once: what it is called, its type, its range, its default and what it does."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from cnnjax.config.fields import Section, option
from cnnjax.core.errors import UserError


@dataclass(frozen=True)
class DataConfig(Section, name="data"):
    """Where the images come from, how they are prepared and fed."""

    source: str = option(
        "digits",
        "digits, mnist, fashion_mnist, cifar10, cifar100, folder:PATH, zip:FILE, table:FILE.csv, arrays:FILE.npz, idx:FOLDER, tfds:NAME or fake:imagenet",
    )
    batch_size: int = option(128, "images a step, over all devices", low=1)
    resize: Literal["none", "center", "squash", "pad", "auto"] = option(
        "none",
        "none: images have one size; center: cover the size, cut the center; squash: both sides; pad: whole image on a canvas; auto: from the images",
    )
    size: tuple[int, int] | None = option(None, "(height, width) of the prepared images", low=1, high=4096)
    center_crop: tuple[int, int] | None = option(
        None,
        "of resize=center: (height, width) of the crop that evaluation takes from the prepared images; the cut is rounded so that it is where torchvision and timm crop the whole image; none: model.input_size",
        low=1,
        high=4096,
    )
    interpolation: Literal["bilinear", "bicubic"] = option("bilinear", "how prepare resizes (with antialiasing)")
    channels: int | None = option(
        None,
        "1 gray, 3 RGB or the number of bands; none: RGB if any image has color, else as they have",
        low=1,
        high=512,
    )
    max_value: int = option(65535, "the value of a 16-bit image that becomes 255", low=1, high=65535)
    class_names: tuple[str, ...] = option((), "names of the classes of idx: and arrays:, in label order")
    val_fraction: float = option(
        0.1, "share of the training images set apart for validation where a source has none", low=0, high=0.9
    )
    test_fraction: float = option(
        0.2, "share of all images set apart for the test where a source has none", low=0, high=0.9
    )
    split_seed: int = option(0, "seed of those two splits", low=0, high=2**32 - 1)
    bad_images: Literal["error", "skip"] = option("error", "what prepare does with a file that is no whole image")
    max_pixels: int = option(178_956_970, "an image of more pixels is refused as a decompression bomb", low=1)
    max_bytes: int = option(64 << 20, "a file of more bytes is refused", low=1)
    store: Literal["auto", "pixels", "encoded"] = option(
        "auto", "pixels: uint8 arrays of one size; encoded: the files as they are; auto: pixels under 64 GB"
    )
    # Free, though several steps a dispatch, which only resident images have, round otherwise: runs/workdir.py reports it.
    loader: Literal["auto", "resident", "streamed"] = option(
        "auto", "resident: the split on the device; streamed: batch by batch; auto: by size", free=True
    )
    threads: int = option(0, "threads that read and decode; 0: as many as cores", low=0, high=1024, free=True)
    prefetch: int = option(4, "batches read ahead when streamed", low=1, high=1024, free=True)


@dataclass(frozen=True)
class AugmentConfig(Section, name="augment"):
    """How training images are varied and how all images are normalized."""

    preset: Literal["none", "gentle", "strong"] = option("none", "the two settings from practice; other keys add to it")
    crop: Literal["center", "random", "resized", "scaled"] = option(
        "random",
        "how a training image larger than the model's input is cut; resized: random area and aspect; scaled: shorter side drawn from augment.shorter, then at random",
    )
    shorter: tuple[int, int] = option((256, 512), "range of the shorter side for crop=scaled", low=1, high=4096)
    scale: tuple[float, float] = option(
        (0.08, 1.0), "area of a resized crop, as shares of the image", low=0.001, high=1
    )
    ratio: tuple[float, float] = option((3 / 4, 4 / 3), "aspect (width / height) of a resized crop", low=0.01, high=100)
    eval_resize: float = option(
        0.875, "center crop in evaluation of images on a canvas: input side / resized shorter side", low=0.1, high=1
    )
    pad: int = option(0, "pixels of padding before the random crop", low=0, high=512)
    pad_fill: Literal["zero", "reflect"] = option("zero", "of what the padding is; reflect: c b | a b c")
    flip: bool = option(False, "mirror left-right, probability 1/2")
    alternate: bool = option(False, "mirror left-right in every other epoch, half of the images in the even ones")
    vertical_flip: bool = option(False, "mirror top-bottom, probability 1/2")
    rotation: float = option(0.0, "largest rotation, degrees", low=0, high=180)
    shift: tuple[float, float] = option(
        (0.0, 0.0), "largest shift (vertical, horizontal), as shares of height and width", low=0, high=1
    )
    shear: float = option(0.0, "largest shear, degrees", low=0, high=89)
    zoom: float = option(0.0, "zoom factors lie in [1 - zoom, 1 + zoom]", low=0, high=0.99)
    fill: Literal["constant", "nearest", "reflect", "wrap"] = option(
        "nearest", "what rotation, shift, shear and zoom bring in from outside the image"
    )
    brightness: float = option(0.0, "factor drawn from [1 - b, 1 + b]", low=0, high=1)
    contrast: float = option(0.0, "factor drawn from [1 - c, 1 + c], about the image's mean", low=0, high=1)
    saturation: float = option(
        0.0, "factor drawn from [1 - s, 1 + s], about each pixel's gray; RGB only", low=0, high=1
    )
    hue: float = option(0.0, "rotation drawn from [-h, h], as a share of the color circle; RGB only", low=0, high=0.5)
    channel_shift: float = option(0.0, "largest shift of each channel, levels of 0-255", low=0, high=255)
    noise: float = option(0.0, "standard deviation of Gaussian noise, levels of 0-255", low=0, high=255)
    pca: float = option(0.0, "standard deviation of AlexNet's PCA color weights (0.1 in the paper)", low=0, high=10)
    pca_scale: Literal["deviation", "variance"] = option(
        "deviation", "weights multiply the axis' standard deviation (released code) or variance (paper's letter)"
    )
    erase: float = option(0.0, "probability of erasing a random rectangle", low=0, high=1)
    operations: tuple[str, ...] = option(
        (), "operations of one's own, in their order: names that are registered, or package.module:function"
    )
    mixup: float = option(0.0, "alpha of mixup's Beta(alpha, alpha); 0: off", low=0, high=100)
    cutmix: float = option(
        0.0, "alpha of CutMix's Beta(alpha, alpha); 0: off; with mixup each batch takes one of them", low=0, high=100
    )
    normalize: Literal["auto", "dataset", "mean", "unit", "imagenet", "fixed"] = option(
        "auto",
        "dataset: (x - mean) / std of the training set; mean: x - mean; unit: x / 255; imagenet: its usual mean and std; fixed: augment.mean and std; auto: as the weights of model.init need it, else dataset",
    )
    mean: tuple[float, ...] | None = option(
        None, "of normalize=fixed, each channel in levels of 0-255", low=0, high=255
    )
    std: tuple[float, ...] | None = option(None, "of normalize=fixed, each channel in levels", low=0.001, high=1000)


@dataclass(frozen=True)
class ModelConfig(Section, name="model"):
    """The network and the precision it computes in."""

    name: str = option("lenet5", "a registered name, package.module:Class, plain:PATTERN, or knn (nothing is trained)")
    num_classes: int | None = option(None, "none: as many as the data has", low=1)
    input_size: tuple[int, int, int] | None = option(
        None, "(height, width, channels) the model sees; none: the data's", low=1, high=4096
    )
    dtype: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "of the computation; auto: bfloat16 on GPU and TPU; parameters are always float32"
    )
    dropout: float | None = option(None, "rate of every dropout layer; none: the model's own", low=0, high=0.99)
    drop_path: float | None = option(
        None,
        "stochastic depth: how often the last block's branches are left out of an image, earlier ones' in proportion; none: the model's own",
        low=0,
        high=0.99,
    )
    remat: bool = option(False, "recompute activations in the backward pass: less memory, more time")
    neighbors: int = option(1, "of knn: how many vote", low=1)
    metric: Literal["l1", "l2"] = option("l2", "of knn: sum of absolute pixel differences, or Euclidean")
    init: str | None = option(
        None, "run folder whose weights the training begins with; a head for other classes is new"
    )


@dataclass(frozen=True)
class OptimizerConfig(Section, name="optimizer"):
    """The update rule and the learning rate over the run."""

    name: str = option(
        "sgd",
        "alexnet_sgd, sgd, nesterov, adam, adamw, rmsprop, rmsprop_tf, lamb, lars, lion, sam, muon, airbench_muon, one that is registered, or package.module:function",
    )
    lr: float = option(0.01, "base learning rate", low=0)
    other_lr: float | None = option(
        None, "of muon: base rate of all that is no kernel of a convolution; none: lr", low=0
    )
    momentum: float = option(0.9, "of sgd, nesterov, alexnet_sgd, rmsprop, lars, sam, muon", low=0, high=0.99999)
    b1: float = option(0.9, "first moment's decay (adam, adamw, lamb, lion)", low=0, high=0.99999)
    b2: float = option(0.999, "second moment's decay (adam, adamw, lamb, lion; rmsprop's decay)", low=0, high=0.999999)
    eps: float = option(1e-8, "added to the denominator", low=0, high=1)
    weight_decay: float = option(0.0, "decay as the optimizer's paper has it", low=0, high=1)
    decay_on: Literal["all", "weights"] = option("all", "weights: not on biases and norms")
    sam_rho: float = option(0.05, "radius of sam's ascent step", low=0, high=10)
    l1: float = option(0.0, "penalty l1 * sum |w|, over weights, added to the loss", low=0)
    l2: float = option(0.0, "penalty l2 * sum w^2 / 2, over weights, added to the loss", low=0)
    clip_norm: float = option(0.0, "largest global gradient norm; 0: no clipping", low=0)
    schedule: str = option(
        "constant",
        "how the rate changes over the run: constant, step, cosine, polynomial, linear, one_cycle, plateau, one that is registered, or package.module:function",
    )
    warmup_epochs: float = option(0.0, "linear rise from 0 to lr", low=0)
    drop_epochs: tuple[float, ...] = option(
        (), "epochs at which the step schedule multiplies the rate by drop_factor", low=0
    )
    drop_factor: float = option(0.1, "of the step and plateau schedules", low=0, high=1)
    final_lr: float = option(
        0.0, "rate at the end, as a share of lr (cosine, polynomial, linear, one_cycle)", low=0, high=1
    )
    power: float = option(1.0, "of the polynomial schedule", low=0.01, high=10)
    plateau_patience: int = option(5, "validations without a lower error before the rate drops", low=1)
    plateau_drops: int = option(3, "the plateau schedule's number of drops; the run ends when one more is due", low=1)


@dataclass(frozen=True)
class TrainConfig(Section, name="train"):
    """How long, with what loss, and what is logged and saved."""

    epochs: float = option(10.0, "passes over the training set", low=0)
    steps: int | None = option(None, "stop after so many steps instead", low=1)
    seed: int = option(0, "seed of weights, order, augmentation and dropout", low=0, high=2**32 - 1)
    loss: str = option(
        "softmax",
        "softmax or sigmoid cross-entropy (two classes with one output; several labels), mse: mean squared error, margin: of capsules' lengths, one that is registered, or package.module:function",
    )
    label_smoothing: float = option(0.0, "share of the target spread over all classes", low=0, high=0.99)
    accumulate: int = option(1, "micro-batches a step", low=1)
    steps_per_dispatch: int | None = option(
        None,
        "steps the device takes in one go on resident images, at most; none: 32 on GPU and TPU, on a CPU 16 of light "
        "models without strides, of others 1",
        low=1,
        high=1024,
    )
    ema: float = option(
        0.0, "decay of the running average of weights that evaluation uses; 0: off", low=0, high=0.999999
    )
    adversary: Literal["none", "fgsm", "fgsm_l2", "pgd", "pgd_l2"] = option(
        "none", "train on adversaries of the images: one step or several, within L-infinity or L2"
    )
    adversary_epsilon: float = option(8 / 255, "how far an adversary may lie from its image, pixels of 0-1", low=0)
    adversary_steps: int = option(7, "steps of pgd; one step is fast adversarial training", low=1)
    overfit: int = option(
        0, "train on the same n images, without augmentation, dropout and weight decay; 0: off", low=0
    )
    eval_every: float = option(1.0, "epochs between validations", low=0.001)
    early_stopping: int = option(0, "stop after so many validations without a better top-1; 0: off", low=0)
    deterministic: bool = option(
        False, "on a GPU only kernels that give the same bits every time, some of them slower (the CPU's always do)"
    )
    log_every: int = option(50, "steps between log lines", low=1, free=True)
    log_dead_relu: bool = option(False, "log the share of ReLU units that no image of the batch switches on", free=True)
    profile: tuple[int, int] | None = option(
        None, "FIRST,LAST: trace these steps into the run folder's profile/, for TensorBoard or xprof", low=1, free=True
    )
    tensorboard: bool = option(True, "write TensorBoard events", free=True)
    callbacks: tuple[str, ...] = option(
        (), "callbacks by name: those that are registered, or package.module:Class", free=True
    )
    checkpoint_every: float = option(
        300.0,
        "seconds between checkpoints (also one at each validation, and at an epoch's end unless one is younger than 10 s)",
        low=0,
        free=True,
    )
    time_budget: float = option(0.0, "stop, saved, after so many seconds of training; 0: none", low=0, free=True)


@dataclass(frozen=True)
class EvaluateConfig(Section, name="evaluate"):
    """How a split is evaluated."""

    batch_size: int | None = option(None, "images a batch; none: data.batch_size", low=1, free=True)
    views: str = option(
        "single",
        "what is averaged after the softmax; flip: center and mirror; ten_crop: corners and center and their mirrors (AlexNet's test); dense: the head over the whole image's map, and its mirror's (VGG's test); mirror_shift: the image and its mirror, each also moved by a pixel up-left and down-right (airbench94's)",
        free=True,
    )
    scales: tuple[float, ...] = option(
        (1.0,), "sizes of the image, as shares of its own, at which all views are taken", low=0.1, high=10, free=True
    )
    input_size: tuple[int, int] | None = option(
        None,
        "(height, width) the model sees in evaluation, of an image that is larger by as much; none: model.input_size",
        low=1,
        high=4096,
        free=True,
    )
    metrics: tuple[str, ...] = option(
        (), "metrics of one's own: names that are registered, or package.module:function", free=True
    )
    report: bool = option(
        True, "end a training with the whole report and report.html, not with figures alone", free=True
    )


@dataclass(frozen=True)
class Experiment:
    """One recipe, complete: what `cnnjax.train` takes."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def __post_init__(self) -> None:
        for part in fields(self):
            kind = type(part.default)
            if not isinstance(getattr(self, part.name), kind):
                raise UserError(f"config.{part.name} is not a section of options; it must be {kind.__name__}(...)")

    @property
    def reading(self) -> DataConfig:
        """Returns `data` as images are prepared by it: with the crop that the model's input makes of them."""
        size = self.model.input_size
        return replace(self.data, center_crop=self.data.center_crop or (size and size[:2]))


def smoke(side: int) -> dict[str, Any]:
    """Returns the variant of an ImageNet recipe that takes three steps anywhere, of synthetic images at side x side."""
    image = side * 8 // 7
    return {
        "data.source": f"fake:{image}x{image}x3,1000",
        "data.size": (image, image),
        "data.batch_size": 8,
        "model.input_size": (side, side, 3),
        "augment.shorter": (image, 2 * image),
        "train.steps": 3,
        "train.log_every": 1,
        "evaluate.batch_size": 32,
        "evaluate.views": "single",
    }
