"""PNASNet-5: one cell, found by growing cells from small ones, for all places.

There is no reduction cell: where the map is halved, the same cell strides.
"""

from functools import partial

from cnnjax.models.base import register_model
from cnnjax.models.cards import Paper
from cnnjax.models.cells import TIMM, CellNet, Plan, Row

PNASNET = Paper(
    "C. Liu, B. Zoph, M. Neumann, J. Shlens, W. Hua, L.-J. Li, L. Fei-Fei, A. Yuille, J. Huang, K. Murphy",
    2017,
    "Progressive Neural Architecture Search",
    "1712.00559",
)

CELL = Plan(
    (
        (("separable 5x5", 1), ("max 3x3", 1)),
        (("separable 7x7", 0), ("max 3x3", 0)),
        (("separable 5x5", 0), ("separable 3x3", 0)),
        (("separable 3x3", 4), ("max 3x3", 0)),
        (("separable 3x3", 1), ("none", 0)),
    ),
    joined=(2, 3, 4, 5, 6),
)
"""Liu et al. 2017, figure 1."""

NETS = {
    "pnasnet5_mobile": Row(CELL, None, filters=54, repeats=3),
    "pnasnet5_large": Row(CELL, None, filters=216, repeats=4, stem=96, style=TIMM),
}

for name, row in NETS.items():
    register_model(name, paper=PNASNET)(partial(CellNet, row=row))
