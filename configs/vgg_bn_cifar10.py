"""VGG"""

from cnnjax.config import Augment, Data, Experiment, Model, Optimizer, Train

config = Experiment(
    data=Data(source="cifar10", batch_size=128, val_fraction=0.05),
    augment=Augment(pad=4, flip=True),
    model=Model(name="vgg_small_bn", num_classes=10, input_size=(32, 32, 3)),
    optimizer=Optimizer(
        name="nesterov", lr=0.1, weight_decay=5e-4, decay_on="weights", schedule="cosine", warmup_epochs=1
    ),
    train=Train(epochs=60, log_every=100),
)
