"""AlexNet on ImageNet, as published: Krizhevsky, Sutskever and Hinton 2012, two towers, one model.

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/alexnet_imagenet.py
    python -m cnnjax.main --config configs/alexnet_imagenet.py:smoke           anywhere, on synthetic images

$IMAGENET_DIR holds train/ and val/ with one folder a class. The first run prepares them (shorter side to 256, center
256 x 256): by default it keeps the JPEG files as they are and decodes them in threads; --config.data.store=pixels keeps
235 GiB of pixels, which costs the disk and spares the cores.

Hardware: one GPU or TPU; 4 GB of memory are enough. The authors' two GTX 580 took five to six days.
Published: 40.7 % top-1 and 18.2 % top-5 error on the 2012 validation set, one model, ten crops (not yet measured here).

To see it learn a handful of images by heart: --config.train.overfit=100 --config.optimizer.lr=0.001
--config.data.batch_size=32 --config.train.steps=300, of 100 photographs with --config.data.val_fraction=0; the loss
falls below 0.1 at step 170. At the recipe's rate of 0.01 so few images hang at a loss of ln K.
"""

from cnnjax.config import (
    AugmentConfig,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=128,
        resize="center",
        size=(256, 256),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="random", flip=True, pca=0.1, normalize="mean"),
    model=ModelConfig(name="alexnet_two_tower", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="alexnet_sgd",
        lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        schedule="plateau",
        drop_factor=0.1,
        plateau_drops=3,
        plateau_patience=5,
    ),
    train=TrainConfig(epochs=90, log_every=100),
    evaluate=EvaluateConfig(views="ten_crop"),
)

variants = {
    "smoke": {
        "data.source": "fake:imagenet",
        "data.batch_size": 16,
        "train.steps": 8,
        "train.log_every": 1,
        "evaluate.views": "single",
        "evaluate.batch_size": 64,
    }
}
