"""Every row of weights.csv stands for a model of PyTorch's libraries with the names, shapes and images it has here."""

import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.models import create_model
from cnnjax.models.cards import published_weights
from cnnjax.weights import bridge


def rows():
    """(our name, source, its name there, side) of each model, however many weights it has."""
    for name, weights in sorted(published_weights().items()):
        for one in weights:
            reference = one.tag.partition(".")[0] if one.source == "timm" else name.rpartition("/")[2]
            side = one.side if name.startswith("vit") else None  # whose positions have parameters
            # torchvision works out RegNet's widths in tensors, which have no values there.
            by_shape = one.source == "timm" or (one.source == "torchvision" and not name.startswith("regnet"))
            if by_shape:
                yield name, one.source, reference, side


def by_shape_only(name, source, side):
    import torch

    options = {"image_size": side} if source == "torchvision" and side else {}
    options |= {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        if source == "timm":
            import timm

            return timm.create_model(name)
        from torchvision import models

        return models.get_model(name, weights=None, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "source", "reference", "side"), sorted(set(rows()), key=str))
def test_names_and_shapes(torch_libraries, name, source, reference, side):
    net = by_shape_only(reference, source, side)
    model = create_model(name, input_size=(side, side, 3) if side else None)
    names, flat, keys = bridge.table(model, source), trees.flatten(model.shapes()), bridge.keys_of(model, source)
    theirs = {key: value.shape for key, value in net.state_dict().items() if not bridge.IGNORED.search(key)}
    assert set(keys.values()) == theirs.keys()
    for path, key in keys.items():
        nothing = np.broadcast_to(np.int8(0), tuple(theirs[key]))  # takes no memory
        assert bridge.read_layout(nothing, path, flat[path].shape, names, source).shape == flat[path].shape, key


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name, rows in published_weights().items() for row in rows if row.source == "timm"]
)
def test_images_are_those_of_timms_config(torch_libraries, name, row):
    from timm.models import get_pretrained_cfg

    theirs = get_pretrained_cfg(row.tag)
    levels = np.asarray([theirs.mean, theirs.std]) * 255
    np.testing.assert_allclose([row.mean, row.std], levels, atol=0.5)
    assert (row.resize, row.interpolation) == (theirs.crop_mode, theirs.interpolation)
    tested = (theirs.test_input_size or theirs.input_size)[1], theirs.test_crop_pct or theirs.crop_pct
    sides = {(side, int(side / crop)) for side, crop in ((theirs.input_size[1], theirs.crop_pct), tested)}
    assert (row.side, int(row.side / row.crop)) in sides
