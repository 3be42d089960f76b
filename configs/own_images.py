"""A good small model on any folder of images: one folder a class.

    python -m cnnjax.main --config configs/own_images.py --config.data.source=folder:PATH

PATH holds either class folders, which are split 72 : 8 : 20 into training, validation and test, or train/, val/ and
test/ with class folders in each. zip:FILE, table:FILE.csv and arrays:FILE.npz serve as well. What the recipe does not
say is read from the images: those of one size up to 128 x 128 keep it, others are cut to a square near their
usual shorter side (at most 128), gray stays gray, and `small_cnn` pools as often as that size allows.

The variant own_images.py:finetune, with --config.model.name=NAME --config.model.init=RUN, begins with the weights of
a run of the same model, such as `cnnjax convert` makes, at a tenth of the rate.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="folder:$IMAGES_DIR", batch_size=32, resize="auto"),
    augment=AugmentConfig(flip=True, rotation=10, shift=(0.1, 0.1), zoom=0.15, brightness=0.2, contrast=0.2),
    model=ModelConfig(name="small_cnn"),
    optimizer=OptimizerConfig(
        name="adamw", lr=0.002, weight_decay=0.02, decay_on="weights", schedule="cosine", warmup_epochs=1
    ),
    train=TrainConfig(epochs=40, label_smoothing=0.1, log_every=20),
)

variants = {"finetune": {"optimizer.lr": 0.0002, "train.epochs": 10}}
