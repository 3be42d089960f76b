"""Inception-v3 on ImageNet, after Szegedy et al. 2015 (1512.00567, section 8).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/inception_v3_imagenet.py
    python -m cnnjax.main --config configs/inception_v3_imagenet.py:smoke           three steps anywhere

RMSProp with decay 0.9 and epsilon 1.0, rate 0.045 times 0.94 every second epoch, gradients clipped at norm 2, label
smoothing 0.1, the auxiliary head, and averaged weights for evaluation. The authors' 50 replicas took 32 images
each: 1,600 a step.

Hardware: not measured here yet. Published: 78.8 % top-1, 94.4 % top-5 (one crop of 299); torchvision's weights 77.29
/ 93.45 %.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=1600,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="inception_v3", num_classes=1000, input_size=(299, 299, 3)),
    optimizer=OptimizerConfig(
        name="rmsprop_tf",
        lr=0.045,
        momentum=0.9,
        b2=0.9,
        eps=1.0,
        clip_norm=2.0,
        schedule="step",
        drop_epochs=tuple(range(2, 100, 2)),
        drop_factor=0.94,
    ),
    train=TrainConfig(epochs=100, label_smoothing=0.1, ema=0.9999, log_every=50),
)

variants = {"smoke": smoke(96)}
