"""A training step's forward and backward pass against PyTorch: gradients, and what BatchNorm's statistics become.

Parity of logits says nothing of these: BatchNorm normalises by the batch only in training, and a backward pass may be
wrong where the forward one is right. Nets and weights are those of the parity of logits; dropout and stochastic depth,
whose draws nobody can share, are off on both sides, and a function without corners stands for ReLU on both: of a
million activations about one lies so close to zero that rounding decides whether its gradient passes.
"""

import dataclasses

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnnjax.models.blocks import Activation, ReLU
from cnnjax.optim.losses import softmax_cross_entropy
from cnnjax.weights import bridge

CLASSES = 10
TOLERANCE = 1e-4

slow = pytest.mark.slow

# our name, source, the reference's name there, side of the pictures, the reference's options
CASES = [
    pytest.param("resnet18", "torchvision", "resnet18", 64, {}, id="BatchNorm"),
    pytest.param("resnetv2_50x1_bit", "timm", "resnetv2_50x1_bit", 64, {}, id="GroupNorm", marks=slow),
    pytest.param("seresnet50", "timm", "seresnet50", 64, {}, id="squeeze-and-excitation", marks=slow),
    pytest.param("mobilenet_v2", "torchvision", "mobilenet_v2", 64, {}, id="depthwise"),
    # timm leaves BatchNorm at PyTorch's momentum unless told TensorFlow's.
    pytest.param(
        "efficientnet_b0",
        "timm",
        "tf_efficientnet_b0",
        64,
        {"bn_momentum": 0.01},
        id="TensorFlow's padding and momentum",
        marks=slow,
    ),
]


@pytest.mark.parametrize(("name", "source", "reference", "side", "options"), CASES)
def test_gradients_and_statistics(parity, name, source, reference, side, options):
    compare(*parity(name, source, reference, side, options={"num_classes": CLASSES, **options}), source)


def test_local_response_normalisation(parity):
    compare(*parity("alexnet_two_tower", "torchvision", two_towers(), 224), "torchvision")


def two_towers():
    """Krizhevsky's net of 2012 in PyTorch, its layers numbered as in torchvision's AlexNet, which has no LRN.

    The first kernels are so large that the squares which LRN sums weigh about as much as its constant.
    """
    import torch
    from torch import nn

    class TwoTowers(nn.Module):
        def __init__(self):
            super().__init__()
            pool = nn.MaxPool2d(3, stride=2)
            norm = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
            self.features = nn.Sequential(
                *(nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.Sequential(nn.ReLU(), norm), pool),
                *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.Sequential(nn.ReLU(), norm), pool),
                *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
                *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), pool),
            )
            self.classifier = nn.Sequential(
                *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
                *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
                nn.Linear(4096, CLASSES),
            )

        def forward(self, images):
            return self.classifier(self.features(images).flatten(1))

    torch.manual_seed(0)
    net = TwoTowers()
    with torch.no_grad():
        net.features[0].weight.mul_(100)
        net.features[3].weight.mul_(10)
    return net


def compare(model, variables, net, source):
    """Asserts that one batch gives the same gradients and the same steps of the running statistics on both sides."""
    images = np.random.default_rng(1).standard_normal((4, *model.input_size), np.float32)
    labels = np.arange(4)
    before = bridge.write_state(model, {"batch_stats": variables["batch_stats"]}, source)
    gradients, stats = ours(model, variables, images, labels)
    gradients = bridge.write_state(model, {"params": gradients}, source)
    stats = bridge.write_state(model, {"batch_stats": stats}, source)
    their_gradients, their_stats = theirs(net, images, labels)

    # The unit is a layer's largest gradient: that of a norm's bias is rounding noise where another norm follows.
    layers = {}
    for key, value in their_gradients.items():
        layer = key.rpartition(".")[0]
        layers[layer] = max(layers.get(layer, 0), np.abs(value).max())
    assert gradients.keys() == their_gradients.keys()
    for key, value in their_gradients.items():
        assert_close(gradients[key], value, layers[key.rpartition(".")[0]], key)
    # For a like reason a mean may stand still, since a norm's bias alone decides it.
    assert stats.keys() == their_stats.keys()
    for key, value in their_stats.items():
        step = value - before[key]
        assert_close(stats[key] - before[key], step, max(np.abs(step).max(), np.abs(value).max() / 100), key)


def ours(model, variables, images, labels):
    """Gradients of the mean cross-entropy and the updated statistics."""
    module = model.module.clone(drop_path=0.0) if hasattr(model.module, "drop_path") else model.module
    model = dataclasses.replace(model, module=module, dropout=0.0)
    targets = jax.nn.one_hot(labels, model.num_classes)

    def smooth(run, args, kwargs, context):
        return jax.nn.silu(args[0]) if isinstance(context.module, ReLU | Activation) else run(*args, **kwargs)

    def loss(params):
        with nn.intercept_methods(smooth):
            forward = model.apply_train(variables | {"params": params}, images, jax.random.key(0))
        return softmax_cross_entropy(forward.logits, targets).mean(), forward.batch_stats

    return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])


def theirs(net, images, labels):
    """The same in PyTorch, by the names of its state_dict; in float64, so that the rounding is all ours."""
    import torch

    net.double().train()
    for module in list(net.modules()):
        if "Drop" in type(module).__name__:
            module.eval()
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU | torch.nn.ReLU6):
                setattr(module, name, torch.nn.SiLU())
    logits = net(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64)))
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
    gradients = {key: parameter.grad.numpy() for key, parameter in net.named_parameters()}
    stats = {key: value.numpy() for key, value in net.named_buffers() if "running" in key}
    return gradients, stats


def assert_close(ours, theirs, unit, key):
    error = np.abs(ours - theirs).max() / unit
    assert error <= TOLERANCE, f"{key}: {error:.1e}"
