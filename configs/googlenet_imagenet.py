"""GoogLeNet on ImageNet, after Szegedy et al. 2014 (1409.4842, section 6).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/googlenet_imagenet.py
    python -m cnnjax.main --config configs/googlenet_imagenet.py:smoke           three steps anywhere

Crops of 8 to 100 % of the area with aspects from 3/4 to 4/3, momentum 0.9, averaged weights for evaluation, the
auxiliary heads' losses at 0.3. The paper drops the rate by 4 % every 8 epochs but gives neither first rate nor
length; those of Caffe's quick solver stand here: 0.01 for 32 images, falling with the square root of the steps that
are left.

Hardware: not measured here yet. Published: 89.93 % top-5 (one model, one crop); torchvision's weights 69.78 / 89.53 %.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=32,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="googlenet", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.01,
        momentum=0.9,
        weight_decay=0.0002,
        schedule="polynomial",
        power=0.5,
    ),
    train=TrainConfig(epochs=60, ema=0.9999, log_every=500),
)

variants = {"smoke": smoke(96)}
