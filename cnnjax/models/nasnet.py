"""NASNet-A: the cells that a controller trained by reinforcement found on CIFAR-10.

The two libraries whose weights are read differ from the authors' code at the edges of strided pools: both count zeros
in the means, and Keras sees them in the maxima too, so its large model has a name of its own, keras/nasnet_a_large.
"""

from functools import partial

from cnnjax.models.base import register_model
from cnnjax.models.cards import Paper
from cnnjax.models.cells import KERAS, TIMM, CellNet, Plan, Row

NASNET = Paper(
    "B. Zoph, V. Vasudevan, J. Shlens, Q. Le",
    2017,
    "Learning Transferable Architectures for Scalable Image Recognition",
    "1707.07012",
)

NORMAL = Plan(
    (
        (("separable 5x5", 0), ("separable 3x3", 1)),
        (("separable 5x5", 1), ("separable 3x3", 1)),
        (("avg 3x3", 0), ("none", 1)),
        (("avg 3x3", 1), ("avg 3x3", 1)),
        (("separable 3x3", 0), ("none", 0)),
    ),
    joined=(1, 2, 3, 4, 5, 6),
)
REDUCTION = Plan(
    (
        (("separable 5x5", 0), ("separable 7x7", 1)),
        (("max 3x3", 0), ("separable 7x7", 1)),
        (("avg 3x3", 0), ("separable 5x5", 1)),
        (("none", 3), ("avg 3x3", 2)),
        (("separable 3x3", 2), ("max 3x3", 0)),
    ),
    joined=(3, 4, 5, 6),
)
"""Zoph et al. 2017, figure 4."""

NETS = {
    "nasnet_a_mobile": Row(NORMAL, REDUCTION, filters=44, repeats=4, style=KERAS),
    "nasnet_a_large": Row(NORMAL, REDUCTION, filters=168, repeats=6, stem=96, style=TIMM, skip=True),
    "keras/nasnet_a_large": Row(NORMAL, REDUCTION, filters=168, repeats=6, stem=96, style=KERAS, skip=True),
}

for name, row in NETS.items():
    register_model(name, paper=NASNET)(partial(CellNet, row=row))
