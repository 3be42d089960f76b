"""MnasNet-B1 on ImageNet, after Tan et al. 2018 (1807.11626, section 5).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/mnasnet1_0_imagenet.py
    python -m cnnjax.main --config configs/mnasnet1_0_imagenet.py:smoke           three steps anywhere

RMSProp with decay and momentum 0.9, 4,096 images, rate 0.256 after a rise of five epochs, times 0.97 every 2.4
epochs, weight decay 1e-5, dropout 0.2, label smoothing 0.1, averaged weights for evaluation.

Hardware: not measured here yet. Published: 74.5 % top-1 (authors' B1); torchvision's weights 73.46 / 91.51 %.
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
    model=ModelConfig(name="mnasnet1_0", num_classes=1000, input_size=(224, 224, 3)),
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
