"""94 % on CIFAR-10 in a few seconds of one GPU, after airbench94 with Muon (Jordan 2024, arXiv 2404.00498).

    python -m cnnjax.main --config configs/cifar10_94.py

Eight epochs in batches of 2,000 images: 200 steps, all images train, label smoothing 0.2. Rates are airbench's for
a loss that is summed over the batch, so 2,000 times its 0.053; they are written for one momentum, 0.6, in place of its
0.85 on biases and head. Not taken over: the first layer's bias learns to the end, not for three epochs; its kernel is
of the first batch, not of 5,000 images; of the six views the probabilities are averaged alike, not the logits with
the center's counted twice.

Hardware: a GPU; not run on one yet. benchmarks/cifar10_race.py measures it by the paper's rule (loading, compilation
and warm-up outside). Published: 94.01 % (mean of 200 runs), 2.59 s on an A100.
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

BATCH = 2000
OTHERS = 0.053 * BATCH * (1 - 0.6) / (1 - 0.85)

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=BATCH, val_fraction=0.0),
    augment=AugmentConfig(pad=2, pad_fill="reflect", alternate=True),
    model=ModelConfig(name="airbench94", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="airbench_muon",
        lr=0.24,
        other_lr=OTHERS,
        momentum=0.6,
        weight_decay=2e-6 * BATCH / (0.053 * BATCH),
        schedule="linear",
    ),
    train=TrainConfig(epochs=8, label_smoothing=0.2, log_every=25, eval_every=8),
    evaluate=EvaluateConfig(views="mirror_shift"),
)
