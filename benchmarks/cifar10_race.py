"""The CIFAR-10 race: whole trainings of configs/cifar10_94.py, each one dispatch; accuracy and seconds of each.

    PYTHONPATH=. python benchmarks/cifar10_race.py --runs 10
    PYTHONPATH=. python benchmarks/cifar10_race.py --source zip:cifar10_jpeg.zip --data_dir data    # a JPEG copy

By the rule of arXiv 2404.00498: reading the data, compilation and one warm-up run stand outside the clock; the order of
the images, the first weights, the whitening, 200 steps and the evaluation with six views an image inside. Images
are read from prepared records; a JPEG copy needs simplejpeg or Pillow, which look at some images even where it is
prepared. The last line is one JSON document.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import cnnjax
from cnnjax import data
from cnnjax.config import override, validate
from cnnjax.core.mesh import make_mesh
from cnnjax.data.resident import take
from cnnjax.training.build import build_parts, first_state, resolve
from cnnjax.training.inference import build_inference, predict_step
from cnnjax.training.loop import Length
from cnnjax.training.step import train_step


def race(seed, train, rows, test, *, config, dataset, length, chunk):
    """One whole training and its evaluation, to be jitted: (accuracy, mean loss of each step)."""
    seeded = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))
    parts = build_parts(seeded, dataset, length)
    inference = build_inference(seeded, dataset, config.evaluate)

    def step(state, row):
        state, sums = train_step(state, take(train, row.pop("index")) | row, parts)
        return state, sums["loss"] / sums["count"]

    state, losses = jax.lax.scan(lambda state, row: step(state, dict(row)), first_state(parts), rows)

    def hits(index):
        batch = take(test, index)
        return (predict_step(state.variables, batch, inference).argmax(1) == batch["labels"]).sum()

    total = len(test["labels"]) // chunk * chunk
    return jax.lax.map(hits, jnp.arange(total).reshape(-1, chunk)).sum() / total, losses


def on_device(split, count):
    """A split's first images, or all of them, in device memory."""
    rng = np.random.default_rng(0)
    index = rng.permutation(len(split))[:count] if count else np.arange(len(split))
    return jax.device_put({"images": split.gather(index), "labels": split.labels[index]}, jax.devices()[0])


def stacked(count, length, seed):
    """The rows of all steps, in device memory."""
    rows = data.TrainingRows(seed, count, length.batch_size, start=0, stop=length.steps, alternate=True)
    rows = [rows[number] for number in range(length.steps)]
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return jax.device_put(table | {"index": table["index"].astype(np.int32)}, jax.devices()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--source", default="cifar10")
    parser.add_argument("--data_dir")
    parser.add_argument("--images", type=int, help="train on so many and test on a fifth: a trial on a slow machine")
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    changes = {"data.source": given.source}
    changes |= {"data.batch_size": given.batch_size} if given.batch_size else {}
    changes |= {"train.steps": given.steps} if given.steps else {}
    config = validate(override(cnnjax.load_config("configs/cifar10_94.py"), changes))
    make_mesh()  # settles memory and threads
    dataset = data.prepare(config, given.data_dir)
    config = resolve(config, dataset)
    train, test = on_device(dataset.split("train"), given.images), dataset.split("test")
    test = on_device(test, given.images and given.images // 5)
    count = len(train["labels"])
    length = Length.of(config.train, images=count, batch_size=config.data.batch_size)
    function = functools.partial(
        race, config=config, dataset=dataset, length=length, chunk=min(2000, len(test["labels"]))
    )
    began = time.perf_counter()
    compiled = jax.jit(function).lower(jnp.uint32(0), train, stacked(count, length, 0), test).compile()
    print(
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}; {count:,} images, {length.steps} steps of "
        f"{length.batch_size}; compiled in {time.perf_counter() - began:.1f} s"
    )

    accuracies, seconds = [], []
    for seed in range(-1, given.runs):  # the first is the warm-up
        began = time.perf_counter()
        accuracy, losses = compiled(jnp.uint32(seed % 2**32), train, stacked(count, length, seed % 2**32), test)
        accuracy = float(accuracy)
        took = time.perf_counter() - began
        if seed >= 0:
            accuracies.append(accuracy)
            seconds.append(took)
            print(f"run {seed}: {accuracy:.2%}, {took:.3f} s, loss {losses[0]:.3f} -> {losses[-1]:.3f}", flush=True)
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (accuracies, seconds)]
    print(
        json.dumps(
            {
                "device": jax.devices()[0].device_kind,
                "source": given.source,
                "runs": len(seconds),
                "accuracy": {"mean": statistics.mean(accuracies), "deviation": spread[0]},
                "seconds": {"mean": statistics.mean(seconds), "deviation": spread[1]},
            }
        )
    )


if __name__ == "__main__":
    main()
