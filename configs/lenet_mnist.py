"""LeNet"""

from cnnjax.config import Augment, Data, Experiment, Model, Optimizer, Train

config = Experiment(
    data=Data(source="mnist", batch_size=128, val_fraction=0.05),
    augment=Augment(rotation=8, shift=(0.08, 0.08), zoom=0.08, fill="constant"),
    model=Model(name="lenet5", num_classes=10, input_size=(28, 28, 1)),
    optimizer=Optimizer(name="adam", lr=0.002, schedule="cosine"),
    train=Train(epochs=12, log_every=100),
)
