"""An opened run as a function of the pixels that its model is given, before they are normalized."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.augment import eval_pipeline
from cnnjax.augment.normalize import as_levels
from cnnjax.core import keys
from cnnjax.core.arrays import Array, Tree
from cnnjax.evaluation import metrics, views
from cnnjax.optim import ATTACKS, LOSSES, adversaries, probabilities
from cnnjax.robustness.changes import CHANGES
from cnnjax.robustness.corruptions import CORRUPTIONS
from cnnjax.runs.run import Run
from cnnjax.training.step import as_targets

SEED = 0
"""Of every draw: two runs are measured with the same shifts, the same noise and the same random starts."""


@dataclass(frozen=True)
class Subject:
    """What is tried on a run, batch by batch; everything is compiled once.

        subject = Subject(cnnjax.open_run("runs/lenet_mnist"))
        levels = subject.frame(images)                                  # uint8 [N, H, W, 1]
        fooled = subject.attack(levels, labels, "pgd", epsilon=0.1)
        subject.probabilities(fooled)

    Levels are float32 [N, h, w, C] of 0-255 and of the model's input size: the view of an evaluation's single crop.
    """

    run: Run

    def frame(self, images: Any, sizes: Any = None) -> Array:
        """Returns the levels of prepared images uint8 [N, H, W, C]; sizes [N, 2] of those on canvases."""
        return self._frame(jnp.asarray(images), sizes)

    def probabilities(self, levels: Any) -> Array:
        """Returns float32 [N, K], in the order of run.classes."""
        return self._probabilities(self.run.variables, jnp.asarray(levels))

    def change(self, levels: Any, name: str, strength: float, *, indices: Any = None) -> Array:
        """Returns levels changed as CHANGES[name] says.

        Args:
          indices: [N], from which each image's draws are made, the same at every strength; None: 0 ... N - 1.
        """
        return _changed(jnp.asarray(levels), _indices(levels, indices), strength, name=name)

    def corrupt(self, levels: Any, name: str, severity: int, *, indices: Any = None) -> Array:
        """Returns levels corrupted as CORRUPTIONS[name] says, at a severity of 1-5; indices as of `change`."""
        levels = jnp.asarray(levels)
        corrupted = _corrupted_shaped if CORRUPTIONS[name].shaped else _corrupted_traced
        return corrupted(
            levels, _indices(levels, indices), name=name, figure=CORRUPTIONS[name].figure(levels, severity)
        )

    def attack(
        self,
        levels: Any,
        labels: Any,
        name: str = "fgsm",
        *,
        epsilon: float,
        steps: int = 10,
        target: bool = False,
        indices: Any = None,
    ) -> Array:
        """Returns levels within epsilon, in pixels of 0-1, that are taken for something else; see optim/adversary.py.

        Args:
          labels: int [N] or, several an image, [N, K]: to be led away from; with `target`, to be led to.
          name: of ATTACKS.
          steps: of an iterated attack.
        """
        inputs = (self.run.variables, jnp.asarray(levels), jnp.asarray(labels), _indices(levels, indices), epsilon)
        return self._attack(*inputs, name=name, steps=steps, target=target)

    def score(self, levels: Array, labels: Array, mask: Array) -> dict[str, Array]:
        """Returns the sums of evaluation/metrics.py over the unmasked images."""
        return self._score(self.run.variables, levels, labels, mask)

    # ------------------------------------------------------------ compiled once each

    @functools.cached_property
    def _frame(self) -> Callable[..., Array]:
        config, dataset = self.run.config, self.run.dataset
        pipeline = eval_pipeline(
            as_levels(config.augment),
            statistics=dataset.statistics,
            input_size=self.run.model.input_size[:2],
            views=views.single,
        )
        return jax.jit(lambda images, sizes: pipeline(images, sizes)[0])

    def _logits(self, variables: Tree, levels: Array) -> Array:
        return self.run.model.apply(variables, self.run.inference.normalize(levels))

    @functools.cached_property
    def _probabilities(self) -> Callable[..., Array]:
        loss = self.run.config.train.loss
        return jax.jit(lambda variables, levels: probabilities(self._logits(variables, levels), loss))

    @functools.cached_property
    def _score(self) -> Callable[..., dict[str, Array]]:
        loss = self.run.config.train.loss

        def score(variables: Tree, levels: Array, labels: Array, mask: Array) -> dict[str, Array]:
            return metrics.sums(probabilities(self._logits(variables, levels), loss), labels, mask)

        return jax.jit(score)

    @functools.cached_property
    def _attack(self) -> Callable[..., Array]:
        loss, width = LOSSES[self.run.config.train.loss], self.run.model.num_classes

        def attack(
            variables: Tree,
            levels: Array,
            labels: Array,
            indices: Array,
            epsilon: Array,
            *,
            name: str,
            steps: int,
            target: bool,
        ) -> Array:
            targets, sign = as_targets(labels, width), -1 if target else 1
            moved = adversaries(
                lambda pixels: sign * loss(self._logits(variables, 255 * pixels), targets),
                levels / 255,
                attack=ATTACKS[name],
                epsilon=epsilon,
                steps=steps,
                keys=keys.per_image(SEED, "attack", indices),
            )
            return 255 * moved

        return jax.jit(attack, static_argnames=("name", "steps", "target"))


def _indices(levels: Any, indices: Any) -> Array:
    return jnp.arange(len(levels)) if indices is None else jnp.asarray(indices)


@functools.partial(jax.jit, static_argnames="name")
def _changed(levels: Array, indices: Array, strength: Array, *, name: str) -> Array:
    return CHANGES[name].apply(keys.per_image(SEED, name, indices), levels, strength)


def _corrupted(levels: Array, indices: Array, *, name: str, figure: Any) -> Array:
    draws = keys.per_image(SEED, name, indices)
    return jnp.clip(CORRUPTIONS[name].apply(draws, levels.astype(jnp.float32), figure), 0, 255)


_corrupted_traced = jax.jit(_corrupted, static_argnames="name")
_corrupted_shaped = jax.jit(_corrupted, static_argnames=("name", "figure"))
