"""Xception on ImageNet, after Chollet 2016 (1610.02357, section 4).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/xception_imagenet.py
    python -m cnnjax.main --config configs/xception_imagenet.py:smoke           three steps anywhere

SGD with momentum 0.9, rate 0.045 times 0.94 every second epoch, weight decay 1e-5, dropout 0.5 before the classifier,
averaged weights for evaluation. The paper gives no batch size; 60 GPUs took part.

Hardware: not measured here yet. Published: 79.0 % top-1, 94.5 % top-5 (one crop of 299).
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=1920,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="xception", num_classes=1000, input_size=(299, 299, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.045,
        momentum=0.9,
        weight_decay=1e-5,
        schedule="step",
        drop_epochs=tuple(range(2, 120, 2)),
        drop_factor=0.94,
    ),
    train=TrainConfig(epochs=120, ema=0.9999, log_every=50),
)

variants = {"smoke": smoke(96)}
