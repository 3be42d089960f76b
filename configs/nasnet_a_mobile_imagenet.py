"""NASNet-A (4 @ 1056) on ImageNet, after Zoph et al. 2017 (1707.07012, appendix A).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/nasnet_a_mobile_imagenet.py
    python -m cnnjax.main --config configs/nasnet_a_mobile_imagenet.py:smoke           three steps anywhere

RMSProp with decay 0.9 and epsilon 1.0, rate 0.04 for 32 images on each of 50 workers, times 0.97 every 2.4 epochs,
two epochs of warm-up, label smoothing 0.1, gradients clipped at norm 10, averaged weights for evaluation. The
auxiliary head, 0.4 in the paper, is left out. No paths are dropped, as in the authors' code for this model (slim's
nasnet.py); their large model, nasnet_a_large, is trained with --config.model.drop_path=0.3.

Hardware: not measured here yet. Published: 74.0 % top-1, 91.6 % top-5 (one crop of 224); Keras' weights 74.37 / 91.85
%.
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
    model=ModelConfig(name="nasnet_a_mobile", num_classes=1000, input_size=(224, 224, 3)),
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
