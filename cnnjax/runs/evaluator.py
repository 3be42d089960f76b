"""A run held against images: which they are, how they reach the devices, and what the network says of them."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import data
from cnnjax.config import Experiment
from cnnjax.core import files, logs, meters
from cnnjax.core.arrays import Array, Batch, HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import replicated, rounded_up
from cnnjax.data import Dataset, Split
from cnnjax.evaluation import calibrate, custom, metrics, predictions, report
from cnnjax.evaluation import split as evaluation
from cnnjax.optim import losses
from cnnjax.runs.run import CONVERTED, Run
from cnnjax.training.build import is_resident, loader, to_learn
from cnnjax.training.callbacks import Callback, Record
from cnnjax.training.inference import embed_step, eval_step, predict_step, view_logits


def evaluation_size(config: Experiment, mesh: Any) -> int:
    """Evaluation pads its batches anyway, so any number is rounded up to what the devices can share."""
    size = config.evaluate.batch_size or config.data.batch_size
    return rounded_up(size, mesh)


def data_of(run: Run, data_dir: str | Path | None, *, needs: str | None = None) -> Dataset:
    """The prepared data that a run was trained on, at their old place or prepared again; never others.

    Args:
      needs: a split that must be there.
    """
    dataset = _data_of(run, data_dir)
    if needs not in (None, *dataset.counts):
        raise UserError(
            f"{run.folder.root} has no split {needs}, on which this is done; "
            f"train with config.data.{needs}_fraction above 0"
        )
    return dataset


def _data_of(run: Run, data_dir: str | Path | None) -> Dataset:
    source = run.config.data.source
    if source == CONVERTED:
        raise UserError(
            f"{run.folder.root} was converted and has no images of its own; "
            "give config.data.source=folder:PATH with them"
        )
    if not run.dataset.prepared:  # a converted run is held against any images of its classes
        dataset = data.prepare(run.reading, data_dir)
        _ = _outputs(run, dataset)
        return dataset
    if (run.dataset.folder / "dataset.json").is_file():
        dataset = Dataset.read(run.dataset.folder)
    else:
        dataset = data.prepare(run.reading, data_dir)
    if dataset.digest != run.dataset.digest:
        raise UserError(f"{source} no longer holds the images that the run was trained on; bring them back")
    return dataset


def _outputs(run: Run, dataset: Dataset) -> HostArray:
    """The output of the run for each class of a data set: of the same name, or where none is the run's, of its place.

    Raises:
      UserError: some names are not the run's, or all, and there are not as many classes as outputs.
    """
    have, wanted = dataset.class_names, {name: place for place, name in enumerate(run.classes)}
    strange = [name for name in have if name not in wanted]
    if not strange:
        return np.array([wanted[name] for name in have], np.int32)
    if len(have) != len(wanted) or len(strange) < len(have):  # of names that are partly the run's, places mean nothing
        raise UserError(
            f"{run.config.data.source} has {len(have)} classes, "
            f"of which {strange[0]} is none of the run's {len(wanted)}; name them as the run does (convert "
            "--classes FILE says how), or give as many of other names, in the order of its outputs"
        )
    return np.arange(len(have), dtype=np.int32)


def split_of(run: Run, dataset: Dataset, split: str | None) -> Split:
    """One split; None: test, of converted weights the first there is of test, val and train.

    The training split of a run with `train.overfit` is the images that it learned by heart.
    """
    if split is None:
        wanted = ("test",) if run.dataset.prepared else ("test", "val", "train")
        split = next((name for name in wanted if name in dataset.counts), "test")
    images = dataset.split(split)
    if split == "train":
        images = to_learn(run.config, images)
    if not run.dataset.prepared:
        images.labels = _relabeled(images.labels, _outputs(run, dataset), len(run.classes))
    return images


def _relabeled(labels: HostArray, outputs: HostArray, width: int) -> HostArray:
    """Labels [N], or [N, k] of several an image, as those of a run with `width` outputs."""
    if labels.ndim == 1:
        return outputs[labels]
    wide = np.zeros((len(labels), width), labels.dtype)
    wide[:, outputs] = labels
    return wide


def identity(run: Run) -> dict[str, Any]:
    """Which network was measured, and how it looked at the images."""
    return {**network(run), **look(run.config), "calibrated": run.calibrated}


def network(run: Run) -> dict[str, Any]:
    """Which network was measured: checkpoint, step, params_digest."""
    return {"checkpoint": run.checkpoint, "step": run.step, "params_digest": run.params_digest}


def reported(run: Run, split: str) -> dict[str, Any]:
    """What the folder already has of this network's report on this split, which a mere evaluation does not undo."""
    path = run.folder.evaluation(split)
    found = files.read_json(path) if run.dataset.prepared and path.is_file() else {}  # converted: any images
    if any(found.get(key) != value for key, value in identity(run).items()):
        return {}
    if (found.get("temperature") or {}).get("value") != run.calibration:
        found.pop("temperature", None)  # fitted since
    return found


def look(config: Experiment) -> dict[str, Any]:
    """How evaluation looks at an image: views, scales, input_size [h, w]."""
    size = config.evaluate.input_size or (config.model.input_size or ())[:2]
    return {"views": config.evaluate.views, "scales": list(config.evaluate.scales), "input_size": list(size)}


def check_one_view(overrides: Mapping[str, Any] | None) -> None:
    """What looks at the center view alone refuses to be told of others, instead of giving the same as without them."""
    for key in ("evaluate.views", "evaluate.scales"):
        if key in (overrides or {}):
            raise UserError(f"this looks at the center view of each image; leave out --config.{key}")


def input_advice(share: float, config: Experiment, dataset: Dataset) -> str:
    """What `meters.input_bound` says of a recipe and its data where the devices wait for a share of the time."""
    resident = is_resident(config, dataset)
    if resident and jax.default_backend() == "cpu":
        return ""  # indices alone are handed over, held up by the step that the same cores compute
    return meters.input_bound(
        share,
        resident=resident,
        fits=data.fits(dataset),
        encoded=dataset.store == "encoded",
        threads=config.data.threads,
    )


class InputWatch(Callback):
    """Says once, with what would help, that the devices wait for images: over two log lines, as one may be chance."""

    def __init__(self, config: Experiment, dataset: Dataset):
        self._config, self._dataset = config, dataset
        self._shares: list[float] = []
        self._said = False

    def on_log(self, record: Record) -> None:
        self._shares.append(record["data_wait"])
        if len(self._shares) < 2 or self._said:
            return
        if text := input_advice(min(self._shares[-2:]), self._config, self._dataset):
            self._said = True
            logs.say(text)


def measure(step: Any, variables: Tree, source: Any, count: int, size: int, lines: bool = False) -> Any:
    """The metrics of one split, its last batch padded and masked, never dropped."""
    return _over(step, variables, source, count, size, lines, evaluation.evaluate_split)


def _over(step: Any, variables: Tree, source: Any, count: int, size: int, lines: bool, gather: Any) -> Any:
    rows = [{"index": index, "mask": mask} for index, mask in evaluation.batches(count, size)]
    with logs.progress("evaluating", len(rows), lines=lines) as tick:

        def ticking(batch: Batch) -> Any:
            tick()
            return step(variables, batch)

        return gather(ticking, source.batches(rows), count)


class Evaluator:
    """One run and one split of its images, ready to be evaluated.

    Args:
      run: opened.
      dataset: its images, see `data_of`.
      mesh: the devices that share each batch.
      split: train, val or test; None: test, of converted weights the first there is of test, val and train.

    Attributes:
      dataset: all images that the run is held against.
      images: the split of them.
    """

    def __init__(self, run: Run, dataset: Dataset, mesh: Any, split: str | None = None):
        self.run, self.dataset, self.images = run, dataset, split_of(run, dataset, split)
        self._mesh, self._load = mesh, loader(run.config, dataset, mesh)
        self._source = self._load(self.images)
        self._variables = jax.device_put(run.variables, replicated(mesh))

    @property
    def learned(self) -> Split:
        """The images that the run learned from, with its own labels; of converted weights the training split."""
        return split_of(self.run, self.dataset, "train")

    def figures(self) -> dict[str, Any]:
        """Returns the exact means over the split, summed on the device, and the metrics of one's own."""
        if names := self.run.config.evaluate.metrics:
            (scores,) = self.probabilities([self.run.temperature])
            return metrics.means(scores, self.images.labels) | self._metrics(names, scores)
        step = functools.partial(eval_step, inference=self.run.inference, temperature=self.run.temperature)
        return dict(self._over(step, evaluation.evaluate_split))

    def probabilities(self, temperatures: Sequence[float]) -> list[HostArray]:
        """Returns float32 [N, K] in the order of the split for each of the temperatures, in one pass."""

        def step(variables: Tree, batch: Batch) -> list[Array]:  # XLA sees that all begin with the same logits
            return [predict_step(variables, batch, self.run.inference, value) for value in temperatures]

        return list(self._over(step, evaluation.collect))

    def embed(self, images: Split, indices: HostArray | None) -> Iterator[HostArray]:
        """Yields features float32 [B, F] of the images at `indices` (None: all) in batches; see `Model.embed`."""
        if indices is not None:
            images = data.Chosen(images, indices)
        rows = evaluation.batches(len(images), evaluation_size(self.run.config, self._mesh))
        feed = self._load(images).batches([{"index": index, "mask": mask} for index, mask in rows])
        for batch in feed:
            features = self._embed(self._variables, batch)
            yield jax.device_get(features)[: int(jax.device_get(batch["mask"]).sum())]

    @functools.cached_property
    def _embed(self) -> Callable[..., Any]:
        return jax.jit(
            functools.partial(embed_step, inference=self.run.inference), out_shardings=replicated(self._mesh)
        )

    def report(self, table: Path) -> tuple[HostArray, dict[str, Any], dict[str, Any]]:
        """Writes the table of all predictions.

        Returns:
          The probabilities, float32 [N, K]; the same figures; and what `evaluation.report.report` says, with
          "temperature", None or what the one that was fitted to this run gives: {value, log_loss, ece}.
        """
        run, images, fitted = self.run, self.images, self.run.calibration
        scores, *scaled = self.probabilities([run.temperature, *([fitted] if fitted else [])])
        found = report.report(scores, images.labels, run.classes) | {"temperature": None}
        if scaled:
            found["temperature"] = {"value": fitted, **report.certainty(scaled[0], images.labels)}
        predictions.write(table, scores, images.labels, classes=run.classes, names=images.names)
        means = metrics.means(scores, images.labels) | self._metrics(run.config.evaluate.metrics, scores)
        return scores, means, found

    def _metrics(self, names: Sequence[str], scores: HostArray) -> dict[str, Any]:
        """Returns {"metrics": {name: value}} of metrics of one's own; nothing where there are none."""
        return {"metrics": custom.measured(names, scores, self.images.labels)} if names else {}

    def calibration(self) -> dict[str, Any]:
        """Fits a temperature to the split.

        Returns:
          split, count, temperature, before and after (each {log_loss, ece}).

        Raises:
          UserError: the outputs are no logits.
        """
        labels, loss = self.images.labels, self.run.config.train.loss
        if not losses.LOSSES[loss].has_logits:
            raise UserError(f"a temperature divides logits, which config.train.loss={loss} has not; train with softmax")
        step = functools.partial(view_logits, inference=self.run.inference)
        logits = self._over(lambda variables, batch: step(variables, batch).swapaxes(0, 1), evaluation.collect)
        on_device = jax.device_put(logits)

        @jax.jit
        def probabilities(logits: Array, temperature: float) -> Array:
            return losses.probabilities(logits / temperature, loss).mean(1)

        @jax.jit
        def each(logits: Array, temperature: float) -> Array:
            return metrics.each(probabilities(logits, temperature), labels)["log_loss"]

        def log_loss(temperature: float) -> float:
            return float(np.asarray(each(on_device, temperature)).mean(dtype=np.float64))

        found = calibrate.fit(log_loss)
        before, after = (report.certainty(np.asarray(probabilities(on_device, t)), labels) for t in (1.0, found))
        return {
            "split": self.images.name,
            "count": len(labels),
            "temperature": found,
            "before": before,
            "after": after,
        }

    def _over(self, step: Callable[..., Any], gather: Any) -> Any:
        jitted = jax.jit(step, out_shardings=replicated(self._mesh))
        size = evaluation_size(self.run.config, self._mesh)
        return _over(jitted, self._variables, self._source, len(self.images), size, True, gather)
