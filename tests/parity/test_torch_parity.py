"""Logits of the nets here against those of torchvision and timm, with the same random weights through the bridge.

The first member of each family runs in every test run, the others (slow) with launch/test.sh --all.
"""

import pytest

slow = pytest.mark.slow

# our name, source, the reference's name there, side of the pictures
CASES = [
    pytest.param("alexnet", "torchvision", "alexnet", 224),
    # resnet, resnext, wide_resnet, senet
    pytest.param("resnet18", "torchvision", "resnet18", 224),
    pytest.param("resnet50", "torchvision", "resnet50", 224, marks=slow),
    pytest.param("resnext50_32x4d", "torchvision", "resnext50_32x4d", 224, marks=slow),
    pytest.param("wide_resnet50_2", "torchvision", "wide_resnet50_2", 224, marks=slow),
    pytest.param("seresnet50", "timm", "seresnet50", 224, marks=slow),
]


@pytest.mark.parametrize(("name", "source", "reference", "side"), CASES)
def test_logits_and_the_way_back(parity, name, source, reference, side):
    parity(name, source, reference, side)
