"""AmoebaNet: cells found by evolution in which the oldest of the population dies.

The cells are those of the authors' code (github.com/tensorflow/tpu, models/official/amoeba_net); D is in no table of
the paper. Some widths become odd in the stem (190: 47 and 95); a factorized reduction then has one channel less, where
that code, as published, refuses.
"""

from functools import partial

from cnnjax.models.base import register_model
from cnnjax.models.cards import Paper
from cnnjax.models.cells import CellNet, Plan, Row

AMOEBANET = Paper(
    "E. Real, A. Aggarwal, Y. Huang, Q. Le",
    2018,
    "Regularized Evolution for Image Classifier Architecture Search",
    "1802.01548",
)

NORMAL_A = Plan(
    (
        (("avg 3x3", 0), ("max 3x3", 0)),
        (("separable 3x3", 1), ("none", 1)),
        (("none", 0), ("avg 3x3", 1)),
        (("separable 3x3", 0), ("separable 5x5", 2)),
        (("avg 3x3", 5), ("separable 3x3", 0)),
    ),
    joined=(1, 3, 4, 6),
)
REDUCTION_A = Plan(
    (
        (("separable 3x3", 1), ("avg 3x3", 0)),
        (("max 3x3", 0), ("separable 7x7", 2)),
        (("max 3x3", 1), ("max 3x3", 0)),
        (("separable 3x3", 4), ("1x7 7x1", 0)),
        (("avg 3x3", 1), ("separable 7x7", 0)),
    ),
    joined=(2, 3, 4, 5, 6),
)
NORMAL_C = Plan(
    (
        (("avg 3x3", 0), ("separable 3x3", 0)),
        (("none", 0), ("separable 3x3", 0)),
        (("avg 3x3", 2), ("separable 3x3", 1)),
        (("none", 0), ("separable 3x3", 1)),
        (("avg 3x3", 3), ("separable 3x3", 0)),
    ),
    joined=(1, 2, 4, 5, 6),
)
REDUCTION_C = Plan(
    (
        (("max 3x3", 0), ("max 3x3", 0)),
        (("separable 7x7", 2), ("separable 3x3", 0)),
        (("separable 7x7", 0), ("max 3x3", 1)),
        (("separable 5x5", 4), ("separable 5x5", 4)),
        (("max 3x3", 1), ("separable 3x3", 1)),
    ),
    joined=(0, 2, 3, 4, 5, 6),
)
NORMAL_D = Plan(
    (
        (("1x1", 1), ("max 3x3", 1)),
        (("none", 1), ("1x7 7x1", 0)),
        (("1x1", 0), ("1x7 7x1", 0)),
        (("max 3x3", 2), ("none", 2)),
        (("avg 3x3", 1), ("1x1", 5)),
    ),
    joined=(0, 3, 4, 6),
)
REDUCTION_D = Plan(
    (
        (("max 2x2", 0), ("max 3x3", 0)),
        (("none", 2), ("3x3", 1)),
        (("1x7 7x1", 2), ("max 3x3", 2)),
        (("none", 3), ("max 2x2", 1)),
        (("avg 3x3", 2), ("1x1", 3)),
    ),
    joined=(4, 5, 6),
)

NETS = {
    "amoebanet_a": Row(NORMAL_A, REDUCTION_A, filters=190, repeats=6),
    "amoebanet_a_448": Row(NORMAL_A, REDUCTION_A, filters=448, repeats=6),
    "amoebanet_a_mobile": Row(NORMAL_A, REDUCTION_A, filters=50, repeats=4),
    "amoebanet_c": Row(NORMAL_C, REDUCTION_C, filters=228, repeats=6),
    "amoebanet_c_mobile": Row(NORMAL_C, REDUCTION_C, filters=50, repeats=4),
    "amoebanet_c_mobile_44": Row(NORMAL_C, REDUCTION_C, filters=44, repeats=4),
    "amoebanet_d": Row(NORMAL_D, REDUCTION_D, filters=256, repeats=6),
}

for name, row in NETS.items():
    register_model(name, paper=AMOEBANET)(partial(CellNet, row=row))
