"""The tables of published weights: every row of weights.csv is read by the model that it stands for."""

import pytest

from cnnjax.models.base import MODELS
from cnnjax.models.cards import published_weights
from cnnjax.training.converted import _check_form
from cnnjax.weights import bridge

ROWS = sorted({(name, one.source) for name, rows in published_weights().items() for one in rows})


@pytest.mark.parametrize(("name", "source"), ROWS)
def test_every_row_has_a_table(name, source):
    card = MODELS[name].card
    assert source in bridge.tables_of(name, card.family)
    _check_form(card, name, source)  # or the same names would be read into a net that pads otherwise
