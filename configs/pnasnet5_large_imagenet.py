"""PNASNet-5 (4 @ 4320) on ImageNet, after Liu et al. 2017 (1712.00559, section 5.4).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/pnasnet5_large_imagenet.py
    python -m cnnjax.main --config configs/pnasnet5_large_imagenet.py:smoke           three steps anywhere

NASNet's settings: RMSProp with decay 0.9 and epsilon 1.0, label smoothing 0.1, two epochs of warm-up, rate times 0.97
every 2.4 epochs, gradients clipped at norm 10, averaged weights, 0.4 of the last cell's paths dropped. The paper
raises that rate over the training; here it stays. The auxiliary head is left out.

Hardware: not measured here yet. Published: 82.9 % top-1, 96.2 % top-5 (one crop of 331).
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
    model=ModelConfig(name="pnasnet5_large", num_classes=1000, input_size=(331, 331, 3), drop_path=0.4),
    optimizer=OptimizerConfig(
        name="rmsprop_tf",
        lr=0.04,
        momentum=0.9,
        b2=0.9,
        eps=1.0,
        weight_decay=4e-5,
        decay_on="weights",
        clip_norm=10.0,
        schedule="step",
        warmup_epochs=2,
        drop_epochs=tuple(2.4 * n for n in range(1, 130)),
        drop_factor=0.97,
    ),
    train=TrainConfig(epochs=312, label_smoothing=0.1, ema=0.9999, log_every=50),
)

variants = {"smoke": smoke(96)}
