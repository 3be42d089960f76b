"""Building the references: torchvision and timm models with random weights of which no layer is idle."""

import functools
import importlib.util
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core.mesh import replicated
from cnnjax.data import prepare
from cnnjax.models import create_model
from cnnjax.training import build as training
from cnnjax.training.inference import predict_step
from cnnjax.training.loop import Length
from cnnjax.training.state import create_state
from cnnjax.training.step import Parts
from cnnjax.weights import bridge
from tests.conftest import mesh_of


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
    """A reference model by its library's name, weights random."""
    torchvision()
    if source == "torchvision":
        from torchvision import models

        options |= {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return models.get_model(name, weights=None, **options)
    import timm

    return timm.create_model(name, pretrained=False, **options)


def randomize(net, images):
    """Draws what is constant at initialization, and takes BatchNorm's statistics from a forward pass of `images`.

    A fresh model is close to the identity where norms scale by one, layer scales are tiny and heads are zero: whole
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
    """The model's state_dict in NumPy."""
    return {key: value.detach().numpy().copy() for key, value in net.state_dict().items()}


def make_pair(name, source, reference, side, *, rng, channels=3, classes=None, options=None):
    """Returns our model, its variables, and `reference`, a model or its name, with the same random weights."""
    import torch

    if isinstance(reference, str):
        reference = build(source, reference, **(options or {}))
    torch.manual_seed(0)
    calm = torch.from_numpy(rng.standard_normal((4, channels, side, side), np.float32))
    net = randomize(reference, calm)
    if classes is None:
        with torch.no_grad():
            classes = net(calm[:1]).shape[1]
    model = create_model(name, classes, input_size=(side, side, channels))
    return model, bridge.read_variables(model, state_of(net), source), net


def check_parity(name, source, reference, side, *, channels=3, tolerance=1e-4, **options):
    """Asserts equal logits of both models of `make_pair`, and an exact way back of the weights."""
    import torch

    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, side, side, channels), np.float32)
    model, variables, net = make_pair(name, source, reference, side, rng=rng, channels=channels, **options)
    with torch.no_grad():
        theirs = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    spread = theirs.max() - theirs.min()
    assert np.abs(theirs[0] - theirs[1]).max() > 0.02 * spread, "the reference hardly looks at the images"
    ours = np.asarray(jax.jit(model.apply)(variables, jnp.asarray(images)))
    assert np.abs(ours - theirs).max() <= tolerance * spread

    back, state = bridge.write_state(model, variables, source), state_of(net)
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert back.keys() == kept.keys()
    for key, value in kept.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)


@dataclass
class Drive:
    """What some steps of the library's own training began with, were shown and led to.

    Attributes:
      before, after: the variables, float32 arrays in memory.
      losses: [steps].
      images: float64 [steps, B, H, W, C], normalized by the mean and deviation of the training set.
      labels: [steps, B].
      held_out: float64 [n, H, W, C], some images of the test set; of which `pixels` are the values of 0-255.
    """

    parts: Parts
    before: dict
    after: dict
    losses: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    pixels: np.ndarray

    def probabilities(self):
        """Of the held-out images, after training; float32 [n, K]."""
        predict = jax.jit(functools.partial(predict_step, inference=self.parts.inference))
        return np.asarray(predict(self.after, {"images": self.pixels}))


def drive_training(config, start):
    """Trains as cnnjax.train does on two devices: the same program, loader and number of steps a dispatch.

    Args:
      config: whose train.steps say how long.
      start: f(model) -> the variables to begin with.
    """
    dataset = prepare(config)
    config = training.resolve(config, dataset)
    split = training.to_learn(config, dataset.split("train"))
    length = Length.of(config.train, images=len(split), batch_size=config.data.batch_size)
    parts = training.build_parts(config, dataset, length)
    mesh, most = training.mesh_of(parts, mesh_of(2)), training.steps_per_dispatch(parts, dataset)
    function, batches = training.dispatches(config, training.loader(config, dataset, mesh)(split), length, most)
    before = jax.tree.map(np.array, start(parts.model))
    state = create_state(before, parts.optimizer, average=False)
    state, step, losses = jax.device_put(state, replicated(mesh)), None, []
    for batch in batches:
        step = step or training.compiled(function, parts, state, batch, mesh)
        state, scalars = step(state, batch)
        count = int(batch.get("count", 1))  # steps of this dispatch
        sums, images = (np.atleast_1d(scalars[name])[:count] for name in ("loss", "count"))
        losses.extend(sums / images)
    assert len(losses) == length.steps

    every = split.gather(np.arange(len(split)), threads=1).astype(np.float64)
    mean, deviation = every.mean((0, 1, 2)), every.std((0, 1, 2))
    rows = np.stack([row["index"] for row in training.training_rows(config, length)])
    test = dataset.split("test")
    pixels = test.gather(np.arange(min(len(test), 64)), threads=1)
    after = jax.tree.map(np.array, {"params": state.params, "batch_stats": state.batch_stats})
    return Drive(
        parts,
        before,
        after,
        np.asarray(losses, np.float64),
        ((every - mean) / deviation)[rows],
        split.labels[rows],
        (pixels - mean) / deviation,
        pixels,
    )


@pytest.fixture
def drive():
    return drive_training


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
def pair():
    return functools.partial(make_pair, rng=np.random.default_rng(0))


@pytest.fixture
def timm():
    torchvision()
    import timm

    return timm


@pytest.fixture
def torch_libraries():
    """torchvision and timm can be imported."""
    torchvision()
