"""The small models of the lecture slides and of Keras' examples: rows over one engine, the patterns of models/plain.py.

All come from Keras, so weights begin as Keras has them: Glorot uniform, biases 0. BatchNorm keeps PyTorch's momentum
0.1 and eps 1e-5 in place of Keras' 0.01 and 1e-3, so that short runs on small sets end with good running statistics.
"""

from dataclasses import dataclass
from functools import partial

from cnnjax.models.base import register_model
from cnnjax.models.initializers import GLOROT
from cnnjax.models.plain import Plain


@dataclass(frozen=True)
class Row:
    """One model: its layers without the last dense one, what it reached, and the images it is for."""

    pattern: str
    accuracy: str = ""
    input_size: tuple[int, int, int] = (28, 28, 1)


NETS = {
    "softmax": Row("flatten"),
    "mlp": Row("fc512 >> relu >> fc128 >> relu", "Fashion-MNIST 88 %, loss 0.35"),
    "mnist_mlp": Row("[fc512 >> relu >> drop0.2] * 2", "MNIST 98.4 % in 20 epochs"),
    "cnn1": Row("conv32v >> relu >> pool >> drop0.2 >> fc128 >> relu", "Fashion-MNIST 91 %, loss 0.25"),
    "cnn3": Row(
        "conv32v >> relu >> pool >> drop0.2 >> conv64v >> relu >> pool >> drop0.2 >> conv128v >> relu >> drop0.2 "
        ">> fc128 >> relu >> drop0.2",
        "Fashion-MNIST 91 %, loss 0.23",
    ),
    "mnist_cnn": Row(
        "conv32v >> relu >> conv64v >> relu >> pool >> drop0.25 >> fc128 >> relu >> drop0.5",
        "MNIST 99.25 % in 12 epochs",
    ),
    "cnn4_bn": Row(
        "conv32v >> relu >> bn >> conv32v >> relu >> bn >> drop0.25 >> conv64v >> relu >> pool >> drop0.25 "
        ">> conv128v >> relu >> bn >> drop0.25 >> fc512 >> relu >> bn >> drop0.5 >> fc128 >> relu >> bn >> drop0.5",
        "Fashion-MNIST 92-93 %, loss 0.22",
    ),
    "vgg_small": Row(
        "[conv32 >> relu] * 2 >> pool >> [conv64 >> relu] * 2 >> pool >> [conv128 >> relu] * 2 >> pool "
        ">> [conv256 >> relu] * 3 >> pool >> fc512 >> relu >> drop0.5",
        "Fashion-MNIST 92-93 %, loss 0.22",
    ),
    "vgg_small_bn": Row(
        "[conv32 >> bn >> relu] * 2 >> pool >> drop0.25 >> [conv64 >> bn >> relu] * 2 >> pool >> drop0.25 "
        ">> [conv128 >> bn >> relu] * 2 >> pool >> drop0.25 >> [conv256 >> bn >> relu] * 3 >> pool "
        ">> fc512 >> bn >> relu >> drop0.5",
        "Fashion-MNIST 93-95 %, loss 0.14-0.18",
    ),
    "cifar_cnn": Row(
        "conv32 >> relu >> conv32v >> relu >> pool >> drop0.25 >> conv64 >> relu >> conv64v >> relu >> pool "
        ">> drop0.25 >> fc512 >> relu >> drop0.5",
        "CIFAR-10 about 79 % in 50 epochs",
        (32, 32, 3),
    ),
    "table_cnn": Row("conv8 >> relu >> pool >> conv16k5v >> relu >> pool >> fc120 >> relu >> fc64 >> relu"),
}

for name, row in NETS.items():
    register_model(name, input_size=row.input_size, family="small", accuracy=row.accuracy)(
        partial(Plain, pattern=row.pattern, initial=GLOROT)
    )
