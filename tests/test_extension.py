"""One module of one's own pieces: a run that used them resumes bit-exactly and is opened in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.config import override
from cnnjax.core.errors import UserError
from cnnjax.core.logs import read_metrics
from cnnjax.core.registry import Registry
from cnnjax.core.rundir import RunDir

ROOT = Path(__file__).parents[1]

PIECES = '''
import os
import jax, jax.numpy as jnp, optax
import cnnjax
from cnnjax.optim import scale_by_rate


@cnnjax.register_loss("focal")
def focal(logits, targets):
    """Lin et al. 2017, equation 4, gamma 2."""
    logs = jax.nn.log_softmax(logits)
    return -jnp.sum(targets * (1 - jnp.exp(logs)) ** 2 * logs, -1)


@cnnjax.register_optimizer("adan")
def adan(config):
    return optax.scale_by_adan(), optax.add_decayed_weights(config.weight_decay), scale_by_rate()


@cnnjax.register_augmentation("posterize", place="geometry")
def posterize(keys, images):
    bits = jax.vmap(lambda key: jax.random.randint(key, (1, 1, 1), 3, 8))(keys)
    step = 2.0 ** (8 - bits)
    return jnp.floor(images / step) * step


@cnnjax.register_schedule("warm_restarts")
def warm_restarts(config, progress):
    return 0.1 + 0.9 * (1 + jnp.cos(jnp.pi * (3 * progress % 1))) / 2


@cnnjax.register_metric("true_class")
def true_class(probabilities, labels):
    return probabilities[range(len(labels)), labels].mean()


@cnnjax.register_view("twice")
def twice(images, size):
    middle = images[:, : size[0], : size[1]]
    return jnp.stack([middle, middle[:, ::-1]])


@cnnjax.register_callback("diary")
class Diary(cnnjax.Callback):
    def on_start(self, run, config, step):
        self.path = run.root / "diary.txt"
        self.write(f"start {step}")

    def write(self, text):
        with open(self.path, "a") as file:
            file.write(text + "\\n")

    def on_log(self, record):
        self.write(f"log {record['step']}")

    def on_validate(self, record):
        self.write(f"validate {record['step']}")

    def on_checkpoint(self, step):
        self.write(f"checkpoint {step}")

    def on_end(self, report):
        self.write(f"end {report and report['count']}")
'''
RECIPE = """
import pieces
from cnnjax.config import *

config = Experiment(
    data=DataConfig(source="folder:{folder}", batch_size=8, resize="squash", size=(12, 12)),
    augment=AugmentConfig(operations=("posterize",), flip=True),
    model=ModelConfig(name="plain:conv8 >> bn >> relu >> pool >> drop0.2 >> fc16 >> relu"),
    optimizer=OptimizerConfig(name="adan", lr=0.01, schedule="warm_restarts"),
    train=TrainConfig(loss="focal", epochs=60, log_every=5, eval_every=10, checkpoint_every=0.05, tensorboard=False,
                      callbacks=("diary",)),
    evaluate=EvaluateConfig(metrics=("true_class",), views="twice", report=False),
)
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "pieces.py").write_text(PIECES)
    rng = np.random.default_rng(0)
    for name, level in (("cats", 20), ("dogs", 120)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(level, level + 90, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    (tmp_path / "mine.py").write_text(RECIPE.format(folder=tmp_path / "pets"))
    return tmp_path


def start(place, *words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cnnjax", *words]
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def done(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def test_a_run_of_own_pieces_in_processes_of_its_own(place):
    whole = start(place, "train", "--config", "mine.py", "--workdir", "whole")
    broken = start(place, "train", "--config", "mine.py", "--workdir", "broken")
    while not any((place / "broken" / "checkpoints").glob("[1-9]*")):
        assert broken.poll() is None, broken.communicate()[1]
        time.sleep(0.05)
    broken.send_signal(signal.SIGKILL)
    broken.communicate()
    done(whole)
    done(start(place, "train", "--config", "mine.py", "--workdir", "broken"))
    one, other = (json.loads(done(start(place, "evaluate", "--workdir", run, "--json"))) for run in ("whole", "broken"))
    assert one == other
    assert one["metrics"]["true_class"] > 0.5
    lines = [read_metrics(RunDir(place / run).metrics) for run in ("whole", "broken")]
    kept = ("step", "train/loss", "val/loss", "lr")
    assert [[line.get(key) for key in kept] for line in lines[0]] == [
        [line.get(key) for key in kept] for line in lines[1]
    ]
    assert max(line["lr"] for line in lines[0][len(lines[0]) // 2 :]) > 0.008, "it restarts"

    diary = (place / "whole" / "diary.txt").read_text().splitlines()
    assert (diary[0], diary[-1]) == ("start 0", f"end {one['count']}")
    assert f"validate {lines[0][-1]['step']}" in diary
    assert sum(word.startswith("checkpoint") for word in diary) > 1
    assert [int(word.split()[1]) for word in diary if word.startswith("log")] == [line["step"] for line in lines[0]]

    config = json.loads((place / "whole" / "config.json").read_text())
    assert (config["train"]["loss"], config["augment"]["operations"]) == ("pieces:focal", ["pieces:posterize"])
    image = str(place / "pets" / "dogs" / "3.png")
    (found,) = json.loads(done(start(place, "predict", "--workdir", "whole", image, "--json")))
    assert found["classes"][0]["name"] == "dogs"
    assert done(start(place, "explain", "--workdir", "whole", image, "--method", "saliency")).strip().endswith(".png")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train.loss": "sofmax"}, "unknown loss sofmax; did you mean softmax?"),
        ({"optimizer.name": "adamm"}, "unknown optimizer adamm; did you mean adam?"),
        ({"optimizer.schedule": "cosin"}, "unknown schedule cosin; did you mean cosine?"),
        ({"evaluate.views": "ten_crops"}, "unknown view ten_crops; did you mean ten_crop?"),
        ({"evaluate.metrics": ("gini",)}, "unknown metric gini"),
        ({"train.callbacks": ("tensorbord",)}, "unknown callback tensorbord; did you mean tensorboard?"),
        ({"augment.operations": ("no_such_module:f",)}, "there is no module no_such_module in "),
        ({"train.loss": "math:pie"}, "math:pie: math has no pie and registers no such loss"),
        ({"train.loss": "math:pi"}, "math:pi is no function of (logits, targets)"),
        ({"train.callbacks": ("math:floor",)}, "math:floor is no subclass of cnnjax.Callback"),
    ],
)
def test_a_wrong_name_is_one_sentence_before_anything_is_written(tmp_path, changes, sentence):
    config = override(cnnjax.Experiment(), changes)
    with pytest.raises(UserError) as caught:
        cnnjax.train(config, tmp_path / "run")
    assert sentence in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_name_belongs_to_the_module_that_registered_it():
    registry = Registry("thing")
    registry.register("one", 1)
    registry.register("mine", 2, home="notebook")
    registry.register("mine", 3, home="notebook")
    assert registry["mine"] == registry["notebook:mine"] == 3, "a cell run twice"
    assert (registry.importable_name("one"), registry.importable_name("mine")) == ("one", "notebook:mine")
    for name, home in (("one", "notebook"), ("mine", "other"), ("one", "cnnjax")):
        with pytest.raises(UserError, match=f"thing {name} is registered already"):
            registry.register(name, 4, home=home)
