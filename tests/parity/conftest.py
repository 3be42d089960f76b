"""Building the references: torchvision and timm nets with random weights of which no layer is idle."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.models import create_model
from cnnjax.weights import bridge


@functools.cache
def torchvision():
    """torchvision, whose compiled operators may be missing: their schemas are declared first, then it imports."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    torchvision.kept = library  # it lives as long as its operators
    return torchvision


def build(source, name, **options):
    """A reference net by its library's name, weights random."""
    torchvision()
    if source == "torchvision":
        from torchvision import models

        options |= {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return models.get_model(name, weights=None, **options)
    import timm

    return timm.create_model(name, pretrained=False, **options)


def randomise(net, images):
    """Draws what is constant at initialisation, and takes BatchNorm's statistics from a forward pass of `images`.

    A fresh net is close to the identity where norms scale by one, layer scales are tiny and heads are zero: whole
    layers could be wrong and nobody would see it.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    norms = [m for m in net.modules() if "Norm" in type(m).__name__ and getattr(m, "weight", None) is not None]
    with torch.no_grad():
        for module in norms:
            module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
        for parameter in net.parameters():
            if parameter.numel() > 1 and parameter.std() < 1e-4:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        batch_norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        if batch_norms:
            momenta = [module.momentum for module in batch_norms]
            for module in batch_norms:
                module.momentum = 1.0
            net.train()
            for module in net.modules():
                if "Drop" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
                    module.eval()
            net(images)
            for module, momentum in zip(batch_norms, momenta, strict=True):
                module.momentum = momentum
    return net.eval()


def state_of(net):
    """The net's state_dict in NumPy."""
    return {key: value.detach().numpy().copy() for key, value in net.state_dict().items()}


def check_parity(name, source, reference, side, *, channels=3, classes=None, options=None, tolerance=1e-4):
    """Asserts equal logits of `reference`, a net or its name, and of ours with its weights, and an exact way back."""
    import torch

    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((2, side, side, channels), np.float32)
    if isinstance(reference, str):
        reference = build(source, reference, **(options or {}))
    torch.manual_seed(0)
    calm = torch.from_numpy(rng.standard_normal((4, channels, side, side), np.float32))
    net = randomise(reference, calm)
    with torch.no_grad():
        theirs = net(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())).numpy()
    spread = theirs.max() - theirs.min()
    assert np.abs(theirs[0] - theirs[1]).max() > 0.02 * spread, "the reference hardly looks at the pictures"

    state = state_of(net)
    model = create_model(name, theirs.shape[1] if classes is None else classes, input_size=(side, side, channels))
    variables = bridge.read_variables(model, state, source)
    ours = np.asarray(jax.jit(model.apply)(variables, jnp.asarray(pictures)))
    assert np.abs(ours - theirs).max() <= tolerance * spread

    back = bridge.write_state(model, variables, source)
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert back.keys() == kept.keys()
    for key, value in kept.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)
    return model, variables, net


def pytest_collection_modifyitems(items):
    for item in items:
        if "parity" in item.path.parts:
            item.add_marker(pytest.mark.parity)
            if importlib.util.find_spec("torch") is None:
                item.add_marker(pytest.mark.skip(reason="needs PyTorch: pip install cnnjax[parity]"))


@pytest.fixture
def parity():
    return check_parity


@pytest.fixture
def timm():
    torchvision()
    import timm

    return timm


@pytest.fixture
def torch_libraries():
    """torchvision and timm can be imported."""
    torchvision()
