"""Nets of searched cells against timm's, so narrow that every structure runs in seconds."""

from functools import partial

import pytest

from cnnjax.models import base, cells, list_models, nasnet, pnasnet, register_model


@pytest.fixture
def narrow(monkeypatch):
    """Registers a model of a family under the name "narrow"."""
    registry = base.Registry("model")
    for name in list_models():
        registry.register(name, base.MODELS[name])
    monkeypatch.setattr(base, "MODELS", registry)

    def register(family, row):
        register_model("narrow", family=family)(partial(cells.CellNet, row=row))

    return register


@pytest.mark.slow
def test_nasnet(narrow, parity):
    narrow("nasnet", cells.Row(nasnet.NORMAL, nasnet.REDUCTION, 8, 6, stem=6, style=cells.TIMM, skip=True))
    options = {"num_classes": 20, "stem_size": 6, "num_features": 24 * 8}
    parity("narrow", "timm", "nasnetalarge", 75, options=options)


@pytest.mark.slow
def test_pnasnet(narrow, parity, timm):
    """timm's class has one width, but its cells have any."""
    import torch

    parts, stem, filters = timm.models.pnasnet, 6, 8

    class Narrow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_0 = timm.layers.ConvNormAct(
                3, stem, 3, stride=2, padding=0, apply_act=False, norm_layer=partial(torch.nn.BatchNorm2d, eps=1e-3)
            )
            self.cell_stem_0 = parts.CellStem0(stem, filters // 4, stem, filters // 4, "same")
            before, last, larger = stem, 5 * filters // 4, True
            self.order = [("cell_stem_1", filters // 2, True), ("cell_0", filters, False)]
            self.order += [("cell_1", 2 * filters, True), ("cell_2", 4 * filters, True)]
            for name, width, halving in self.order:
                cell = parts.Cell(before, width, last, width, "same", halving, larger)
                setattr(self, name, cell)
                before, last, larger = last, 5 * width, halving
            self.last_linear = torch.nn.Linear(last, 20)

        def forward(self, images):
            before = self.conv_0(images)
            last = self.cell_stem_0(before)
            for name, *_ in self.order:
                before, last = last, getattr(self, name)(before, last)
            return self.last_linear(last.relu().mean((2, 3)))

    narrow("pnasnet", cells.Row(pnasnet.CELL, None, filters, 1, stem=stem, style=cells.TIMM))
    parity("narrow", "timm", Narrow(), 75)
