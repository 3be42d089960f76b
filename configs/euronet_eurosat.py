"""EuroNet on EuroSAT: ten kinds of land use from 13 bands of Sentinel-2, 64 x 64.

    python -m cnnjax.main --config configs/euronet_eurosat.py

EuroSAT's GeoTIFFs (27,000 in class folders, EuroSATallBands.zip) are unpacked to $EUROSAT_DIR and prepared by
themselves at the first run, or with

cnnjax prepare --config configs/euronet_eurosat.py

Four fifths train, one fifth is held out; ten sigmoid outputs, 50 images a step, 20 epochs. Reflectances are stored
as 16 bits; 10,000 is full reflectance and becomes 255.

Hardware: a CPU will do. Published: 98.3 % of the held-out fifth, loss 0.06 (not measured here: the data were not at
hand).
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(
        source="folder:$EUROSAT_DIR", batch_size=50, channels=13, max_value=10000, val_fraction=0.0, test_fraction=0.2
    ),
    augment=AugmentConfig(crop="center"),
    model=ModelConfig(name="euronet", num_classes=10, input_size=(64, 64, 13)),
    optimizer=OptimizerConfig(
        name="adam",
        lr=0.001,
    ),
    train=TrainConfig(epochs=20, loss="sigmoid"),
)
