"""VGG without norms against torchvision."""

import pytest


@pytest.mark.slow
def test_vgg_without_norms(parity, timm):
    import torch
    from torchvision import models

    net = models.vgg11(weights=None, init_weights=False)
    for module in net.modules():
        # By torchvision's own draw, the images' part of the logits fades behind that of the biases.
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    parity("vgg11", "torchvision", net, 64)
