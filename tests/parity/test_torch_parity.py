"""Logits of the models here against those of torchvision and timm, with the same random weights through the bridge.

The first member of most families runs in every test run, the others (slow) with launch/test.sh --all.
"""

import pytest

slow = pytest.mark.slow

# our name, source, the reference's name there, side of the images
CASES = [
    pytest.param("alexnet", "torchvision", "alexnet", 64),
    pytest.param("alexnet", "torchvision", "alexnet", 224, marks=slow),
    # vgg; without norms: test_vgg_parity.py
    pytest.param("vgg11_bn", "torchvision", "vgg11_bn", 224, marks=slow),
    pytest.param("vgg11_bn", "timm", "vgg11_bn", 96, marks=slow),
    # googlenet
    pytest.param("googlenet", "torchvision", "googlenet", 96),
    # squeezenet
    pytest.param("squeezenet1_1", "torchvision", "squeezenet1_1", 96),
    pytest.param("squeezenet1_0", "torchvision", "squeezenet1_0", 64, marks=slow),
    # inception
    pytest.param("timm/inception_v3", "timm", "inception_v3", 107),
    pytest.param("inception_v3", "torchvision", "inception_v3", 299, marks=slow),
    # With random weights v4 magnifies float32's error, timm's own to 2e-4 at 299; in float64 both agree to 1e-12 there.
    pytest.param("inception_v4", "timm", "inception_v4", 75, marks=slow),
    pytest.param("inception_resnet_v2", "timm", "inception_resnet_v2", 107, marks=slow),
    # xception
    pytest.param("xception", "timm", "legacy_xception", 96),
    # resnet, resnext, wide_resnet, senet
    pytest.param("resnet18", "torchvision", "resnet18", 64),
    pytest.param("resnet18", "torchvision", "resnet18", 224, marks=slow),
    pytest.param("resnet50", "torchvision", "resnet50", 224, marks=slow),
    pytest.param("resnext50_32x4d", "torchvision", "resnext50_32x4d", 64),
    pytest.param("resnext50_32x4d", "torchvision", "resnext50_32x4d", 224, marks=slow),
    pytest.param("wide_resnet50_2", "torchvision", "wide_resnet50_2", 64, marks=slow),
    pytest.param("wide_resnet50_2", "torchvision", "wide_resnet50_2", 224, marks=slow),
    pytest.param("seresnet50", "timm", "seresnet50", 64),
    pytest.param("seresnet50", "timm", "seresnet50", 224, marks=slow),
    pytest.param("senet154", "timm", "legacy_senet154", 128, marks=slow),
    # densenet
    pytest.param("densenet121", "torchvision", "densenet121", 64),
    pytest.param("densenet161", "timm", "densenet161", 224, marks=slow),
    # efficientnet
    pytest.param("efficientnet_b0", "timm", "tf_efficientnet_b0", 64),
    pytest.param("efficientnet_b2", "timm", "tf_efficientnet_b2", 260, marks=slow),
    pytest.param("torchvision/efficientnet_b0", "torchvision", "efficientnet_b0", 64, marks=slow),
    pytest.param("torchvision/efficientnet_b5", "torchvision", "efficientnet_b5", 128, marks=slow),
    pytest.param("timm/efficientnet_b0", "timm", "efficientnet_b0", 224, marks=slow),
    # efficientnet_v2
    pytest.param("efficientnet_v2_b0", "timm", "tf_efficientnetv2_b0", 96),
    pytest.param("efficientnet_v2_s", "torchvision", "efficientnet_v2_s", 128, marks=slow),
    pytest.param("efficientnet_v2_m", "torchvision", "efficientnet_v2_m", 128, marks=slow),
    pytest.param("timm/efficientnet_v2_s", "timm", "tf_efficientnetv2_s", 300, marks=slow),
    # mnasnet
    pytest.param("mnasnet0_5", "torchvision", "mnasnet0_5", 64),
    pytest.param("mnasnet1_0", "timm", "mnasnet_100", 224, marks=slow),
    pytest.param("mnasnet_a1", "timm", "semnasnet_100", 224, marks=slow),
    # shufflenet
    pytest.param("shufflenet_v2_x0_5", "torchvision", "shufflenet_v2_x0_5", 96),
    pytest.param("shufflenet_v2_x2_0", "torchvision", "shufflenet_v2_x2_0", 224, marks=slow),
    # regnet
    pytest.param("regnet_y_400mf", "torchvision", "regnet_y_400mf", 96),
    pytest.param("regnet_y_400mf", "timm", "regnety_004", 96, marks=slow),
    pytest.param("regnet_x_400mf", "torchvision", "regnet_x_400mf", 224, marks=slow),
    pytest.param("regnet_x_8gf", "torchvision", "regnet_x_8gf", 96, marks=slow),
    # bit
    pytest.param("resnetv2_50x1_bit", "timm", "resnetv2_50x1_bit", 64),
    pytest.param("resnetv2_50x3_bit", "timm", "resnetv2_50x3_bit", 96, marks=slow),
    # vit
    pytest.param("vit_b_32", "torchvision", "vit_b_32", 224),
    pytest.param("vit_b_16", "timm", "vit_base_patch16_224", 224, marks=slow),
    # convnext
    pytest.param("convnext_tiny", "torchvision", "convnext_tiny", 64),
    pytest.param("convnext_tiny", "timm", "convnext_tiny", 64, marks=slow),
    pytest.param("convnext_small", "torchvision", "convnext_small", 96, marks=slow),
    # mobilenet
    pytest.param("mobilenet_v3_small", "torchvision", "mobilenet_v3_small", 96),
    pytest.param("mobilenet_v3_large", "torchvision", "mobilenet_v3_large", 96, marks=slow),
    pytest.param("mobilenet_v2", "torchvision", "mobilenet_v2", 96, marks=slow),
    pytest.param("mobilenet_v2", "timm", "mobilenetv2_100", 224, marks=slow),
    pytest.param("mobilenet_v2_140", "timm", "mobilenetv2_140", 96, marks=slow),
    pytest.param("timm/mobilenet_v1", "timm", "mobilenetv1_100", 96, marks=slow),
    pytest.param("timm/mobilenet_v3_small", "timm", "mobilenetv3_small_100", 96, marks=slow),
    pytest.param("timm/tf_mobilenet_v3_large", "timm", "tf_mobilenetv3_large_100", 96, marks=slow),
    # nasnet, pnasnet; narrow ones in test_cells_parity.py
    pytest.param("nasnet_a_large", "timm", "nasnetalarge", 75, marks=slow),
    pytest.param("pnasnet5_large", "timm", "pnasnet5large", 75, marks=slow),
]


@pytest.mark.parametrize(("name", "source", "reference", "side"), CASES)
def test_logits_and_the_way_back(parity, name, source, reference, side):
    parity(name, source, reference, side)
