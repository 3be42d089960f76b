"""EfficientNet-B0 on ImageNet, after Tan and Le 2019 (1905.11946, section 5.2).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/efficientnet_b0_imagenet.py
    python -m cnnjax.main --config configs/efficientnet_b0_imagenet.py:smoke           three steps anywhere

RMSProp with decay and momentum 0.9, 4,096 images, rate 0.256 after a rise of five epochs, times 0.97 every 2.4
epochs, weight decay 1e-5, label smoothing 0.1, dropout 0.2, stochastic depth, averaged weights. AutoAugment, with
which the published figure was reached, is not part of this recipe.

Hardware: not measured here yet. Published: 77.1 % top-1, 93.3 % top-5 (AutoAugment, one crop of 224).
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
    model=ModelConfig(name="efficientnet_b0", num_classes=1000, input_size=(224, 224, 3)),
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
