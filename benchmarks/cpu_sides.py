"""The sides of benchmarks/cpu.py: each runs in a process of its own and works when it is told to.

    python benchmarks/cpu_sides.py SIDE NET [options]

On each line of its standard input it trains for so many seconds (or, in `keras` mode, one epoch), and answers with a
line of JSON: {"images", "wall", "cpu"}.
"""

import argparse
import contextlib
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from step_gradients import Images

BATCH = {"lenet5": 128, "vgg_small": 64, "alexnet": 16, "resnet18": 8, "mobilenet_v2": 8, "efficientnet_b0": 8}
PATTERNS = {
    "lenet5": "conv6k5 >> relu >> pool >> conv16k5v >> relu >> pool >> fc120 >> relu >> fc84 >> relu",
    "six_conv": "[conv32 >> relu] * 2 >> pool >> [conv64 >> relu] * 2 >> pool >> [conv128 >> relu] * 2 >> pool "
    ">> fc128 >> relu >> drop0.5",
}
EPOCH_BATCH = 128


def pattern(net: str) -> str:
    from cnnjax.models.small import NETS

    return PATTERNS[net] if net in PATTERNS else NETS[net].pattern


def words(net: str) -> Iterator[tuple[str, str]]:
    """The layers of a pattern by kind and the rest of the word: ("conv", "32k5v"), ("relu", ""), ..."""
    from cnnjax.models.plain import parse

    for token in parse(pattern(net)):
        kind = next(kind for kind in ("conv", "relu", "pool", "drop", "fc", "bn") if token.text.startswith(kind))
        yield kind, token.text.removeprefix(kind)


def conv_options(rest: str) -> tuple[int, int, bool]:
    """Kernels, side, and whether the size is kept."""
    count, _, side = rest.rstrip("v").partition("k")
    return int(count), int(side or 3), not rest.endswith("v")


# ---------------------------------------------------------------- cnnjax


def cnnjax_side(net: str, options: argparse.Namespace) -> Callable[[], int]:
    """The library's own training on random images that are on the devices, as many steps a dispatch as it takes.

    `cnnjax.train` takes several steps a dispatch of light models, which gather their batches on the devices.
    """
    import jax

    from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig
    from cnnjax.core.mesh import make_mesh, replicated
    from cnnjax.data import Resident
    from cnnjax.models import convolution
    from cnnjax.models.base import find
    from cnnjax.optim import optimizers, schedules
    from cnnjax.training.build import compiled, dispatches, first_state, mesh_of, steps_per_dispatch
    from cnnjax.training.inference import Inference, build_model
    from cnnjax.training.loop import Length
    from cnnjax.training.step import Parts

    make_mesh()  # as training does: before jax starts, memory and devices are settled
    entry, count = find(net), BATCH[net]
    optimizer = OptimizerConfig(name="sgd", lr=0.01, momentum=0.9)
    size = entry.card.input_size
    model = ModelConfig(name=net, num_classes=entry.card.num_classes, input_size=size)
    config = Experiment(
        data=DataConfig(batch_size=count, loader="resident"),
        model=model,
        optimizer=optimizer,
        augment=AugmentConfig(normalize="unit"),
    )
    parts = Parts(
        config=config,
        inference=Inference(build_model(config), "softmax", lambda images: images, lambda images, *_: images[None]),
        optimizer=optimizers.optimizer(optimizer),
        schedule=schedules.schedule(optimizer, steps=10**6, steps_per_epoch=1000),
        augment=lambda images, targets, *_: (images, targets),
    )
    mesh = mesh_of(parts)
    most, rng = steps_per_dispatch(parts, None), np.random.default_rng(0)
    images = rng.normal(size=(most * count, *size)).astype(np.float32)
    source = Resident(Images(images, rng.integers(0, entry.card.num_classes, len(images))), mesh)
    length = Length.of(config.train, images=len(images), batch_size=count)
    function, batches = dispatches(config, source, length, most)
    batch = next(batches)
    state = jax.jit(functools.partial(first_state, parts), out_shardings=replicated(mesh))()
    with convolution.plain() if options.plain else contextlib.nullcontext():
        step = compiled(function, parts, state, batch, mesh)

    def run() -> int:
        nonlocal state
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        return count * most

    return run


# ---------------------------------------------------------------- PyTorch


def torch_net(net: str) -> Any:
    import torch
    import torch_nets
    from torch import nn

    if net == "alexnet":
        return _alexnet(), (3, 224, 224), 1000
    if net == "resnet18":
        return _resnet18(), (3, 224, 224), 1000
    if net in ("mobilenet_v2", "efficientnet_b0"):
        return torch_nets.build(net)[0], (3, 224, 224), 1000
    layers: list[Any] = []
    channels, side, flat = 1, 28, None
    for kind, rest in words(net):
        if kind == "conv":
            count, kernel, kept = conv_options(rest)
            layers.append(nn.Conv2d(channels, count, kernel, padding=kernel // 2 if kept else 0))
            channels, side = count, side if kept else side - kernel + 1
        elif kind == "pool":
            layers.append(nn.MaxPool2d(2))
            side //= 2
        elif kind == "fc":
            layers += [] if flat else [nn.Flatten()]
            layers.append(nn.Linear(flat or channels * side * side, int(rest)))
            flat = int(rest)
        else:
            kinds = {"relu": nn.ReLU, "drop": nn.Dropout, "bn": nn.BatchNorm2d}
            layers.append(kinds[kind](*{"drop": [float(rest or 0)], "bn": [channels]}.get(kind, [])))
    assert flat
    torch.manual_seed(0)
    return nn.Sequential(*layers, nn.Linear(flat, 10)), (1, 28, 28), 10


def _alexnet() -> Any:
    """Krizhevsky 2014, as torchvision has it."""
    from torch import nn

    layers: list[Any] = []
    plan = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    for number, (inputs, outputs, size, stride, padding) in enumerate(plan):
        layers += [nn.Conv2d(inputs, outputs, size, stride, padding), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(3, 2)] if number in (0, 1, 4) else []
    layers.append(nn.Flatten())
    for inputs in (256 * 6 * 6, 4096):
        layers += [nn.Dropout(), nn.Linear(inputs, 4096), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(4096, 1000))


def _resnet18() -> Any:
    """He et al. 2015, as torchvision has it."""
    from torch import nn

    def norm(inputs: int, outputs: int, size: int, stride: int) -> list[Any]:
        return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            first, second = norm(inputs, outputs, 3, stride), norm(outputs, outputs, 3, 1)
            self.branch = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
            self.shortcut = nn.Sequential(*norm(inputs, outputs, 1, stride)) if stride > 1 else nn.Identity()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, values: Any) -> Any:
            return self.relu(self.branch(values) + self.shortcut(values))

    layers = [*norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for stage in range(4):
        for number in range(2):
            layers.append(Block(width, 64 * 2**stage, 2 if stage and not number else 1))
            width = 64 * 2**stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def torch_side(net: str, options: argparse.Namespace) -> Callable[[], int]:
    """PyTorch eager with SGD, on random images in memory."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    module, shape, classes = torch_net(net)
    images = torch.randn(BATCH[net], *shape)
    if options.side == "torch_channels_last":
        module = module.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (BATCH[net],))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)

    def run() -> int:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
        return len(labels)

    return run


# ---------------------------------------------------------------- whole epochs


def cnnjax_epochs(net: str, options: argparse.Namespace) -> None:
    """`cnnjax.train` on the recipe's data, which waits at the end of each epoch for the next turn."""
    import cnnjax
    from cnnjax import data
    from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

    name = net if net not in PATTERNS else f"plain:{PATTERNS[net]}"
    source = DataConfig(source=options.source, batch_size=EPOCH_BATCH, val_fraction=0.0)
    steps = -(-len(data.prepare(source, options.data_dir).split("train")) // EPOCH_BATCH)
    config = Experiment(
        data=source,
        augment=AugmentConfig(normalize="unit"),
        model=ModelConfig(name=name, num_classes=10, input_size=(28, 28, 1)),
        optimizer=OptimizerConfig(name="adam", lr=0.001),
        train=TrainConfig(steps=steps * options.epochs, log_every=steps, tensorboard=False),
    )
    turn = Turn()
    turn.begin()

    def logged(_: Any) -> None:
        turn.end(steps * EPOCH_BATCH)
        turn.begin()

    with tempfile.TemporaryDirectory() as folder:
        cnnjax.train(config, folder, data_dir=options.data_dir, callbacks=[logged])


def keras_epochs(net: str, options: argparse.Namespace) -> None:
    """Keras' `fit` on the same images; the backend is KERAS_BACKEND."""
    import keras

    from cnnjax import data
    from cnnjax.config import DataConfig

    dataset = data.prepare(DataConfig(source=options.source, val_fraction=0.0), options.data_dir)
    split = dataset.split("train")
    images, labels = split.gather(np.arange(len(split))).astype(np.float32) / 255, np.asarray(split.labels)
    layers, flat = [keras.Input((28, 28, 1))], False
    for kind, rest in words(net):
        if kind == "conv":
            count, kernel, kept = conv_options(rest)
            layers.append(keras.layers.Conv2D(count, kernel, padding="same" if kept else "valid"))
        elif kind == "fc":
            layers += [] if flat else [keras.layers.Flatten()]
            layers.append(keras.layers.Dense(int(rest)))
            flat = True
        else:
            kinds = {
                "relu": keras.layers.ReLU,
                "pool": keras.layers.MaxPooling2D,
                "bn": keras.layers.BatchNormalization,
                "drop": keras.layers.Dropout,
            }
            layers.append(kinds[kind](*[float(rest)] if kind == "drop" else []))
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])
    turn = Turn()
    for _ in range(options.epochs):
        turn.begin()
        model.fit(images, labels, batch_size=EPOCH_BATCH, epochs=1, shuffle=True, verbose=0)
        turn.end(len(images))


# ---------------------------------------------------------------- taking turns


class Turn:
    """Waits for the word, and says what was done since."""

    def begin(self) -> float:
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return float(line)

    def end(self, images: int) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(json.dumps({"images": images, "wall": wall, "cpu": cpu}), file=ANSWERS, flush=True)


def take_turns(run: Callable[[], int]) -> None:
    for _ in range(3):
        run()
    turn = Turn()
    while True:
        seconds, images = turn.begin(), 0
        while time.perf_counter() - turn.wall < seconds:
            images += run()
        turn.end(images)


if __name__ == "__main__":
    ANSWERS, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    parser = argparse.ArgumentParser()
    parser.add_argument("side")
    parser.add_argument("net")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--source", default="fashion_mnist")
    parser.add_argument("--data_dir")
    arguments = parser.parse_args()
    if arguments.epochs:
        {"cnnjax": cnnjax_epochs}.get(arguments.side, keras_epochs)(arguments.net, arguments)
    else:
        make = cnnjax_side if arguments.side.startswith("cnnjax") else torch_side
        take_turns(make(arguments.net, arguments))
