"""The list of models: what a filter finds."""

import pytest

from cnnjax.core.errors import UserError
from cnnjax.models import catalogue


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("resnet50", "resnet50"),
        ("RegNetY_004", "regnet_y_400mf"),  # timm's name
        ("vit_base_patch16", "vit_b_16"),
        ("tf_efficientnet_b3", "efficientnet_b3"),
        ("mobilenetv3_small_100", "timm/mobilenet_v3_small"),
        ("EfficientNetV2S", "keras/efficientnet_v2_s"),
    ],
)
def test_a_net_is_found_by_every_name(text, name):
    found = {row["name"]: row for row in catalogue.catalogue(text)}
    assert name in found
    assert len(found) < 12


def test_counts_that_stand_in_the_table_need_no_trace(monkeypatch):
    monkeypatch.setattr(catalogue, "create_model", None)
    rows = catalogue.catalogue("resnet", max_params=3_000_000)
    assert "resnet20_cifar" in {row["name"] for row in rows}
    assert all(row["params"] <= 3_000_000 for row in rows)


def test_a_filter_that_finds_nothing_is_answered_by_the_nearest_name():
    with pytest.raises(UserError, match=r"no model or family is called like Eficientnet; did you mean efficientnet\?"):
        catalogue.catalogue("Eficientnet")
