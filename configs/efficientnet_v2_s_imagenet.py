"""EfficientNetV2-S on ImageNet, after Tan and Le 2021 (2104.00298, section 5).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/efficientnet_v2_s_imagenet.py
    python -m cnnjax.main --config configs/efficientnet_v2_s_imagenet.py:smoke           three steps anywhere

EfficientNet's optimizer over 350 epochs at one size, 300, with its warm-up of five epochs, label smoothing 0.1 and
averaged weights. The paper's progressive growth from 128 to 300 pixels and its RandAugment, both stronger towards the
end, are not part of this recipe.

Hardware: not measured here yet. Published: 83.9 % top-1 (with both, evaluated at 384); torchvision's weights 84.23 /
96.88 % at 384.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=4096,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="efficientnet_v2_s", num_classes=1000, input_size=(300, 300, 3)),
    optimizer=OptimizerConfig(
        name="rmsprop_tf",
        lr=0.256,
        momentum=0.9,
        b2=0.9,
        eps=0.001,
        weight_decay=1e-5,
        decay_on="weights",
        schedule="step",
        warmup_epochs=5,
        drop_epochs=tuple(2.4 * n for n in range(1, 146)),
        drop_factor=0.97,
    ),
    train=TrainConfig(epochs=350, label_smoothing=0.1, ema=0.9999, log_every=25),
)

variants = {"smoke": smoke(64)}
