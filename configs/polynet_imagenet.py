"""Very Deep PolyNet on ImageNet, after Zhang et al. 2016 (1611.05725, section 4).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/polynet_imagenet.py
    python -m cnnjax.main --config configs/polynet_imagenet.py:smoke           three steps anywhere

RMSProp with decay 0.9 and epsilon 1.0, 512 images, rate 0.45 and a tenth every 160,000 of 560,000 steps (from
memory, not checked against the paper). Beside that stand label smoothing 0.1, two epochs of warm-up and gradients
clipped at norm 2. The authors insert blocks one after the other into a trained shallower model, drop paths at random
and average snapshots; here the whole model begins at once, which the paper found hard.

Hardware: not measured here yet. Published: 81.29 % top-1, 95.75 % top-5 (one crop of 331).
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=512,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="polynet", num_classes=1000, input_size=(331, 331, 3)),
    optimizer=OptimizerConfig(
        name="rmsprop_tf",
        lr=0.45,
        momentum=0.9,
        b2=0.9,
        eps=1.0,
        clip_norm=2.0,
        schedule="step",
        warmup_epochs=2,
        drop_epochs=(64, 128, 192),
    ),
    train=TrainConfig(epochs=224, label_smoothing=0.1, log_every=100),
)

variants = {"smoke": smoke(96)}
