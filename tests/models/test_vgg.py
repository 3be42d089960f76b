"""VGG for CIFAR: 13 convolutions with BatchNorm and one dense layer."""

from itertools import pairwise

import pytest

from cnnjax.models import create_model, summarize


@pytest.mark.parametrize("classes", [10, 100])
def test_counts_of_the_cifar_form(classes):
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    pairs = list(pairwise(widths))
    convolutions = sum(9 * inputs * outputs + outputs for inputs, outputs in pairs)
    normalized = sum(2 * outputs for _, outputs in pairs)
    table = summarize(create_model("vgg16_cifar_bn", classes))
    assert convolutions == 14_714_688
    assert table.params == convolutions + normalized + 513 * classes
    assert table.params_total - table.params == normalized == 8_448
    sides = [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3
    products = sum(9 * inputs * outputs * side**2 for (inputs, outputs), side in zip(pairs, sides, strict=True))
    assert table.macs == products + 512 * classes


def test_the_cifar_form_takes_other_sizes():
    assert create_model("vgg16_cifar_bn", input_size=(64, 72, 5)).shapes()["params"]["classifier"]["kernel"].shape == (
        512,
        10,
    )
