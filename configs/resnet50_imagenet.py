"""ResNet-50 on ImageNet, after Goyal et al. 2017 (1706.02677): large batches with a warm-up, as 256 images without.

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/resnet50_imagenet.py
    python -m cnnjax.main --config configs/resnet50_imagenet.py:smoke           three steps anywhere

The rate is 0.1 for every 256 images: with --config.data.batch_size=8192 set --config.optimizer.lr=3.2. It rises
over five epochs and falls tenfold after 30, 60 and 80; no decay on norms and biases. The paper begins the scale of
each block's last norm at zero (section 5.1), this model at one, as torchvision's does.

Hardware: not measured here yet. Published: 23.60 % top-1 error (standard deviation 0.12) with 256 images, 23.74 %
(0.09) with 8,192, over five runs each; torchvision's weights of this kind (V1) 76.13 / 92.86 %.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=256,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="resnet50", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="nesterov",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        decay_on="weights",
        schedule="step",
        warmup_epochs=5,
        drop_epochs=(30, 60, 80),
    ),
    train=TrainConfig(epochs=90, log_every=100),
)

variants = {"smoke": smoke(64)}
