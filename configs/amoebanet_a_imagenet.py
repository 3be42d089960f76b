"""AmoebaNet-A (6, 190) on ImageNet, after Real et al. 2018 (1802.01548, appendix).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/amoebanet_a_imagenet.py
    python -m cnnjax.main --config configs/amoebanet_a_imagenet.py:smoke           three steps anywhere

RMSProp with decay 0.9, momentum 0.9 and epsilon 0.1, weight decay 4e-5, label smoothing 0.1, dropout 0.5, gradients
clipped at norm 10, three epochs of warm-up, rate times 0.97 every 2 epochs, averaged weights. The auxiliary head is
left out.

Hardware: not measured here yet. Published: 82.8 % top-1, 96.1 % top-5 (one crop of 331).
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=3200,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="amoebanet_a", num_classes=1000, input_size=(331, 331, 3)),
    optimizer=OptimizerConfig(
        name="rmsprop_tf",
        lr=0.1,
        momentum=0.9,
        b2=0.9,
        eps=0.1,
        weight_decay=4e-5,
        decay_on="weights",
        clip_norm=10.0,
        schedule="step",
        warmup_epochs=3,
        drop_epochs=tuple(range(2, 250, 2)),
        drop_factor=0.97,
    ),
    train=TrainConfig(epochs=250, label_smoothing=0.1, ema=0.9999, log_every=50),
)

variants = {"smoke": smoke(96)}
