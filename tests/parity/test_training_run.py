"""Fifty steps of the library's own compiled training against PyTorch's in float64, one model for each kind of layer.

Both sides begin with the same weights and take the same real images in the same order. PyTorch in float32 shows what
rounding alone does at these learning rates: training magnifies it, and a rate at which float32 leaves float64 by more
than the tolerance could not tell a right implementation from a wrong one.
"""

from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from small_models import KINDS

from cnnjax.config import DataConfig, EvaluateConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig
from cnnjax.core import keys, trees
from cnnjax.models.model import from_flat
from cnnjax.run import train
from cnnjax.runs.run import open_run
from cnnjax.weights import bridge

STEPS, BATCH = 50, 32
BOUNDS = 1e-4, 1e-3
"""The largest distances to PyTorch in float64: of the loss at any step, of a probability after the last."""

OPTIMIZERS = {
    "sgd": OptimizerConfig(name="sgd", lr=2e-4, momentum=0.9, weight_decay=5e-4),
    "adamw": OptimizerConfig(name="adamw", lr=5e-5, weight_decay=0.05, decay_on="weights", clip_norm=1.0),
}
"""At these rates the loss falls by a fifth to a half, and PyTorch's own float32 stays within 2e-5 of its float64. At
0.01 and 1e-3 a ReLU that rounding switches moves it by 1e-2."""

# ---------------------------------------------------------------- images


def digits():
    """scikit-learn's digits, 8 x 8, as large as MNIST's."""
    found = load_digits()
    images = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in found.images]
    resized = [np.asarray(image.resize((28, 28), Image.Resampling.BILINEAR)) for image in images]
    return np.stack(resized)[..., None], found.target


def photographs():
    """Squares of 32 x 32 pixels of scikit-learn's two photographs; a class is the upper or lower half of one."""
    images, labels = [], []
    for number, photograph in enumerate(load_sample_images().images):
        height, width, _ = photograph.shape
        for top in range(0, height - 31, 32):
            for left in range(0, width - 31, 32):
                images.append(photograph[top : top + 32, left : left + 32])
                labels.append(2 * number + (top >= height // 2))
    return np.stack(images), np.asarray(labels)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Returns {"digits", "photographs"}: the .npz file of each, a quarter of it for the test."""
    paths = {}
    for make in (digits, photographs):
        images, labels = make()
        order = np.random.default_rng(0).permutation(len(images))
        images, labels, part = images[order], labels[order], len(images) // 4
        paths[make.__name__] = path = tmp_path_factory.mktemp("images") / f"{make.__name__}.npz"
        splits = {"x_test": images[:part], "x_train": images[part:], "y_test": labels[:part], "y_train": labels[part:]}
        np.savez(path, **splits)
    return paths


# ---------------------------------------------------------------- the comparison


def worn(model):
    """The model's own initial weights, with norms, biases and layer scales as they are after some training."""
    rng, flat = np.random.default_rng(0), trees.flatten(model.init(jax.random.key(0)))
    for path, leaf in flat.items():
        if path.endswith(("/scale", "/gamma")):
            flat[path] = rng.uniform(0.7, 1.3, leaf.shape).astype(np.float32)
        elif path.endswith("/bias"):
            flat[path] = 0.1 * rng.standard_normal(leaf.shape, np.float32)
    return from_flat(flat)


def train_twin(kind, run, optimizer, dtype):
    """Losses and final probabilities of the same training in PyTorch."""
    import torch
    from torch.nn import functional

    net = kind.twin()
    load(net, run.before, kind.names)
    net = net.to(getattr(torch, dtype)).train()

    def tensor(images):
        return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(dtype))

    # What decay_on=weights leaves alone: biases, norms, and ConvNeXt's layer scales.
    named = list(net.named_parameters())
    kernels = [value for name, value in named if value.ndim > 1 and "layer_scale" not in name]
    others = [value for name, value in named if value.ndim <= 1 or "layer_scale" in name]
    if optimizer.name == "sgd":
        assert optimizer.decay_on == "all"
        rule = torch.optim.SGD(
            net.parameters(), lr=optimizer.lr, momentum=optimizer.momentum, weight_decay=optimizer.weight_decay
        )
    else:
        groups = [{"params": kernels, "weight_decay": optimizer.weight_decay}, {"params": others, "weight_decay": 0.0}]
        rule = torch.optim.AdamW(groups, lr=optimizer.lr, betas=(optimizer.b1, optimizer.b2), eps=optimizer.eps)
    losses = []
    for images, labels in zip(run.images, run.labels, strict=True):
        rule.zero_grad()
        loss = functional.cross_entropy(net(tensor(images)), torch.from_numpy(labels.astype(np.int64)))
        loss.backward()
        if optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(net.parameters(), optimizer.clip_norm)
        rule.step()
        losses.append(loss.item())
    with torch.no_grad():
        probabilities = net.eval()(tensor(run.held_out)).softmax(1)
    return np.asarray(losses), probabilities.numpy()


def load(net, variables, names):
    """Gives the twin our weights; whatever it has beside them is an error."""
    import torch

    theirs, state, flat = net.state_dict(), {}, trees.flatten(variables)
    for path, leaf in flat.items():
        key, value = bridge.key_of(path, flat, names, "torchvision"), bridge.write_layout(leaf, path, names)
        shape = theirs[key].shape if value.size == max(value.shape) else value.shape  # a layer scale is [C, 1, 1] there
        state[key] = torch.from_numpy(np.ascontiguousarray(value.reshape(shape)))
    counters = {key: value for key, value in theirs.items() if bridge.IGNORED.search(key)}
    net.load_state_dict(counters | state)


# The others take 20 to 30 seconds each.
FAST = {("BatchNorm and pooling", "sgd"), ("BatchNorm and pooling", "adamw"), ("LRN", "sgd")}
CASES = [
    pytest.param(kind, optimizer, marks=[] if (kind, optimizer) in FAST else [pytest.mark.slow])
    for kind in KINDS
    for optimizer in OPTIMIZERS
]


@pytest.mark.parametrize(("kind", "optimizer"), CASES)
def test_fifty_steps(kind, optimizer, archives, torch_libraries, drive):
    config = recipe(KINDS[kind], archives, OPTIMIZERS[optimizer])
    run = drive(config, worn)
    losses, probabilities = train_twin(KINDS[kind], run, config.optimizer, "float64")
    assert losses[-5:].mean() < 0.9 * losses[:5].mean(), "it learns"

    def distances(some_losses, some_probabilities):
        return np.array([np.abs(some_losses - losses).max(), np.abs(some_probabilities - probabilities).max()])

    rounding = distances(*train_twin(KINDS[kind], run, config.optimizer, "float32"))
    found = distances(run.losses, run.probabilities())
    print(f"\n{kind}, {optimizer}: {found}; PyTorch in float32: {rounding}")  # for whoever runs this with -s
    assert np.all(rounding <= BOUNDS), "these learning rates magnify rounding too much to tell right from wrong"
    assert np.all(found <= BOUNDS), found


def recipe(kind, archives, optimizer, **train):
    return Experiment(
        data=DataConfig(source=f"arrays:{archives[kind.images]}", batch_size=BATCH, val_fraction=0.0),
        model=ModelConfig(name=kind.model),
        optimizer=optimizer,
        train=TrainConfig(steps=STEPS, **train),
    )


def test_whole_run(archives, mesh, drive, tmp_path):
    """cnnjax.train from its own initial weights, by the losses that it logs and the run that it leaves."""
    kind = KINDS["BatchNorm and pooling"]
    config = recipe(kind, archives, OPTIMIZERS["sgd"], log_every=1, tensorboard=False)
    config, logged = replace(config, evaluate=EvaluateConfig(report=False)), []
    run = drive(config, lambda model: model.init(keys.key(config.train.seed, "init")))
    losses, probabilities = train_twin(kind, run, config.optimizer, "float64")
    train(config, tmp_path / "run", callbacks=[logged.append], mesh=mesh(2))
    assert np.abs([record["train/loss"] for record in logged] - losses).max() <= BOUNDS[0]
    found = open_run(tmp_path / "run", checkpoint="last").predict(run.pixels)
    assert np.abs(found - probabilities).max() <= BOUNDS[1]
