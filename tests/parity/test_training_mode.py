"""One step of the library's own compiled training against PyTorch: gradients, and what BatchNorm's statistics become.

Parity of logits says nothing of these: BatchNorm normalizes by the batch only in training, and a backward pass may be
wrong where the forward one is right. Models and weights are those of the parity of logits; dropout and stochastic
depth, whose draws nobody can share, are off on both sides.

Of a million activations about one lies so close to zero that rounding decides whether its gradient passes ReLU. Shallow
models have few of them and round little; in deep ones a function without corners stands for ReLU on both sides.
"""

import copy
from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np
import pytest
from flax import linen as nn
from sklearn.datasets import load_sample_images

from cnnjax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig
from cnnjax.models.blocks import Activation, ReLU
from cnnjax.weights import bridge

CLASSES, BATCH = 10, 8
RATE = 1024.0  # a power of two, so large that parameters do not round off what the step takes from them
TOLERANCE = 1e-4
CORNERED = 2e-2  # of a layer's largest gradient: what a few activations do whose gradient passes on one side alone
COSINE = 0.9999

slow = pytest.mark.slow

# our name, source, the reference's name there, side of the images, the reference's options
SHALLOW = [
    pytest.param("alexnet", "torchvision", "alexnet", 64, {}, marks=slow),
    pytest.param("squeezenet1_1", "torchvision", "squeezenet1_1", 64, {}),
    pytest.param("resnet18", "torchvision", "resnet18", 64, {}),
    pytest.param("vgg11_bn", "torchvision", "vgg11_bn", 64, {}, marks=slow),
]
# timm leaves BatchNorm at PyTorch's momentum unless told TensorFlow's.
DEEP = [
    ("googlenet", "torchvision", "googlenet", 64, {}),
    ("inception_v3", "torchvision", "inception_v3", 107, {}),
    ("timm/inception_v3", "timm", "inception_v3", 107, {}),
    ("inception_v4", "timm", "inception_v4", 107, {}),
    ("inception_resnet_v2", "timm", "inception_resnet_v2", 107, {}),
    ("xception", "timm", "legacy_xception", 96, {}),
    ("resnext50_32x4d", "torchvision", "resnext50_32x4d", 64, {}),
    ("wide_resnet50_2", "torchvision", "wide_resnet50_2", 64, {}),
    ("seresnet50", "timm", "seresnet50", 64, {}),
    ("densenet121", "torchvision", "densenet121", 64, {}),
    ("efficientnet_b0", "timm", "tf_efficientnet_b0", 64, {"bn_momentum": 0.01}),
    ("efficientnet_v2_b0", "timm", "tf_efficientnetv2_b0", 96, {"bn_momentum": 0.01}),
    ("mnasnet0_5", "torchvision", "mnasnet0_5", 64, {}),
    ("shufflenet_v2_x0_5", "torchvision", "shufflenet_v2_x0_5", 64, {}),
    ("regnet_y_400mf", "torchvision", "regnet_y_400mf", 64, {}),
    ("resnetv2_50x1_bit", "timm", "resnetv2_50x1_bit", 64, {}),
    ("vit_b_32", "torchvision", "vit_b_32", 224, {}),
    ("convnext_tiny", "torchvision", "convnext_tiny", 64, {}),
    ("mobilenet_v3_small", "torchvision", "mobilenet_v3_small", 64, {}),
    ("mobilenet_v2", "torchvision", "mobilenet_v2", 64, {}),
    ("timm/mobilenet_v1", "timm", "mobilenetv1_100", 64, {}),
]


@pytest.mark.parametrize(("name", "source", "reference", "side", "options"), SHALLOW)
def test_a_step(pair, check_step, name, source, reference, side, options):
    model, variables, net = pair(name, source, reference, side, options={"num_classes": CLASSES, **options})
    check_step(model, variables, net, source, tolerance=CORNERED)


@slow
@pytest.mark.parametrize(("name", "source", "reference", "side", "options"), DEEP)
def test_a_step_without_corners(pair, check_step, smooth, name, source, reference, side, options):
    model, variables, net = pair(name, source, reference, side, options={"num_classes": CLASSES, **options})
    with smooth:
        check_step(model, variables, net, source, tolerance=TOLERANCE)


@slow
def test_local_response_normalization(pair, check_step):
    check_step(*pair("alexnet_two_tower", "torchvision", two_towers(), 224), "torchvision", tolerance=CORNERED)


def two_towers():
    """Krizhevsky's model of 2012 in PyTorch, its layers numbered as in torchvision's AlexNet, which has no LRN.

    The first kernels are so large that the squares which LRN sums weigh about as much as its constant.
    """
    import torch
    from torch import nn

    class TwoTowers(nn.Module):
        def __init__(self):
            super().__init__()
            pool = nn.MaxPool2d(3, stride=2)
            norm = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
            self.features = nn.Sequential(
                *(nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.Sequential(nn.ReLU(), norm), pool),
                *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.Sequential(nn.ReLU(), norm), pool),
                *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
                *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), pool),
            )
            self.classifier = nn.Sequential(
                *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
                *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
                nn.Linear(4096, CLASSES),
            )

        def forward(self, images):
            return self.classifier(self.features(images).flatten(1))

    torch.manual_seed(0)
    net = TwoTowers()
    with torch.no_grad():
        net.features[0].weight.mul_(100)
        net.features[3].weight.mul_(10)
    return net


# ---------------------------------------------------------------- the comparison


@pytest.fixture
def smooth(monkeypatch):
    """Puts x sigmoid(x) in the place of ReLU, ReLU6 and hard swish; in PyTorch at once, here within the context."""
    import torch

    def forward(_, values):
        return torch.nn.functional.silu(values)

    for module in (torch.nn.ReLU, torch.nn.ReLU6, torch.nn.Hardswish):
        monkeypatch.setattr(module, "forward", forward)
    monkeypatch.setattr(torch.nn.functional, "relu", lambda values, inplace=False: torch.nn.functional.silu(values))

    def intercept(run, args, kwargs, context):
        module = context.module
        cornered = isinstance(module, Activation) and module.name_of in ("relu6", "hard_swish")
        return jax.nn.silu(args[0]) if cornered or isinstance(module, ReLU) else run(*args, **kwargs)

    return nn.intercept_methods(intercept)


@pytest.fixture
def check_step(drive, tmp_path):
    """Returns f(model, variables, model, source, tolerance), which takes a step on both sides."""

    def check(model, variables, net, source, *, tolerance):
        config = Experiment(
            data=DataConfig(
                source=f"arrays:{squares(model.input_size[0], tmp_path)}",
                batch_size=BATCH,
                val_fraction=0.0,
                class_names=tuple(map(str, range(CLASSES))),
            ),
            model=ModelConfig(name=model.name, dropout=0.0, drop_path=0.0),
            optimizer=OptimizerConfig(name="sgd", lr=RATE, momentum=0.0),
            train=TrainConfig(steps=1),
        )
        compare(drive(config, lambda _: variables), net, source, tolerance)

    return check


def squares(side, folder):
    """Writes squares of scikit-learn's photographs at random places; returns the .npz file."""
    rng, photographs = np.random.default_rng(0), load_sample_images().images
    images = []
    for number in range(BATCH + 2):
        photograph = photographs[number % 2]
        top, left = (rng.integers(extent - side) for extent in photograph.shape[:2])
        images.append(photograph[top : top + side, left : left + side])
    images, labels = np.stack(images), np.arange(len(images)) % CLASSES
    path = folder / "squares.npz"
    np.savez(path, x_train=images[:BATCH], y_train=labels[:BATCH], x_test=images[BATCH:], y_test=labels[BATCH:])
    return path


def compare(run, net, source, tolerance):
    """Asserts that the batch gave the same loss, gradients and steps of the running statistics on both sides."""
    model = run.parts.model
    before, after = (
        {name: bridge.write_state(model, {name: tree}, source) for name, tree in variables.items()}
        for variables in (run.before, run.after)
    )
    gradients = {
        key: (value.astype(np.float64) - after["params"][key]) / RATE for key, value in before["params"].items()
    }
    ours = run.losses[0], gradients, after["batch_stats"]
    reference, rounded = (step_of(net, run, dtype, model.auxiliary_weight) for dtype in ("float64", "float32"))
    found, rounding = (distances(side, reference, before["batch_stats"]) for side in (ours, rounded))
    print(f"\n{model.name}: {found.text()}; PyTorch in float32: {rounding.text()}")  # for whoever runs this with -s
    assert found.loss <= TOLERANCE
    assert found.stats <= TOLERANCE
    assert max(found.gradients.values()) <= tolerance, found.text()
    assert min(found.cosines.values()) > COSINE, found.text()


class Distances(NamedTuple):
    """To the reference: of the loss, relatively; by leaf the gradient's largest difference and cosine; of statistics.

    The unit of a gradient is its layer's largest: that of a norm's bias is rounding noise where another norm follows.
    For a like reason a mean may stand still, since a norm's bias alone decides it.
    """

    loss: float
    gradients: dict
    cosines: dict
    stats: float

    def text(self):
        far, turned = max(self.gradients, key=self.gradients.get), min(self.cosines, key=self.cosines.get)
        return (
            f"loss {self.loss:.1e}, statistics {self.stats:.1e}, gradient {self.gradients[far]:.1e} of the largest at "
            f"{far}, 1 - cosine {1 - self.cosines[turned]:.1e} at {turned}"
        )


def distances(side, reference, stats_before):
    (loss, gradients, stats), (their_loss, their_gradients, their_stats) = side, reference
    assert gradients.keys() == their_gradients.keys()
    assert stats.keys() == their_stats.keys()
    layers = defaultdict(float)
    for key, value in their_gradients.items():
        layers[key.rpartition(".")[0]] = max(layers[key.rpartition(".")[0]], np.abs(value).max())
    apart, cosines, moved = {}, {}, [0.0]
    for key, value in their_gradients.items():
        unit = layers[key.rpartition(".")[0]]
        apart[key] = np.abs(gradients[key] - value).max() / unit
        if np.abs(value).max() > unit / 1000:
            cosines[key] = cosine(gradients[key], value)
    for key, value in their_stats.items():
        unit = max(np.abs(value - stats_before[key]).max(), np.abs(value).max() / 100)
        moved.append(np.abs(stats[key] - value).max() / unit)
    return Distances(abs(loss - their_loss) / their_loss, apart, cosines, max(moved))


def cosine(one, other):
    one, other = (values.ravel().astype(np.float64) for values in (one, other))
    return one @ other / np.sqrt((one @ one) * (other @ other))


def step_of(net, run, dtype, auxiliary_weight):
    """Loss, gradients and statistics of the same step in PyTorch, by the names of its state_dict."""
    import torch
    from torch.nn.functional import cross_entropy

    net = copy.deepcopy(net).to(getattr(torch, dtype)).train()
    for module in net.modules():
        if "Drop" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
            module.eval()
    images = torch.from_numpy(run.images[0].transpose(0, 3, 1, 2).astype(dtype))
    labels = torch.from_numpy(run.labels[0].astype(np.int64))
    outputs = net(images)
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = cross_entropy(logits, labels)
    (loss + auxiliary_weight * sum(cross_entropy(one, labels) for one in auxiliary)).backward()
    gradients = {key: parameter.grad.numpy() for key, parameter in net.named_parameters()}
    return loss.item(), gradients, {key: value.numpy() for key, value in net.named_buffers() if "running" in key}
