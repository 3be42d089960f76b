"""What `cnnjax explain` does: a run folder and images in, images under its figures/explain out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.core import files, logs
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.explain import drawing, receptive
from cnnjax.explain import layers as inner
from cnnjax.explain.cams import has_cam, map_layers
from cnnjax.explain.images import Images, from_files, from_split
from cnnjax.explain.methods import METHODS, Explainer
from cnnjax.models.inside import check_layer, layers
from cnnjax.runs.evaluator import check_one_view, data_of, split_of
from cnnjax.runs.run import Which, open_run

OTHERS = ("filters", "feature_maps", "maximize", "receptive_field")
"""What beside METHODS can be asked for: kernels, maps of a layer, activation maximization, the table of fields."""
AT_MOST = 16
"""Classes, channels, and rows of the sheet."""


@dataclass
class Study:
    """What came out: files that were written, and a table for the terminal."""

    files: list[Path] = field(default_factory=list)
    text: str = ""


def study(
    workdir: str | Path,
    images: Sequence[str | Path] = (),
    *,
    split: str | None = None,
    count: int | None = None,
    methods: Sequence[str] = (),
    layer: str | None = None,
    class_name: str | None = None,
    to: str | Path | None = None,
    checkpoint: Which | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Study:
    """Explains what a run makes of images, and writes what it finds.

    Args:
      workdir: the run folder.
      images: files; or else a split.
      split: train, val or test.
      count: how many images of the split; None: 16.
      methods: of METHODS and OTHERS; none: filters, feature maps and every attribution that fits the model.
      layer: whose feature maps, class activation maps, channels or field are asked for.
      class_name: None: the likeliest of each image.
      to: folder; None: figures/explain of the run.

    Raises:
      UserError: bad input; nothing was written.
    """
    known = (*METHODS, *OTHERS)
    for name in methods:
        if name not in known:
            raise UserError(f"unknown method {name}{nearest(name, known)}")
    if images and split:
        raise UserError("explain takes image files or --split, not both")
    if to is not None:
        files.require_folder(to, "--to")
    if count and not split:
        raise UserError(f"count={count} is of the images of a split; name one with --split, or leave it out")
    _check_use(methods, images, split, layer, class_name)
    check_one_view(overrides)
    explainer = Explainer(open_run(workdir, checkpoint=checkpoint, overrides=overrides))
    if layer is not None:
        check_layer(explainer.model, layer)
    if class_name is not None:
        explainer.run.index(class_name)
    wanted = list(methods or _all_methods(explainer))
    work = _Work(explainer, Path(to) if to else explainer.run.folder.figures / "explain", layer)
    if {*METHODS, "feature_maps"} & set(wanted):
        read = _read(explainer, images, split, count or 16, data_dir)
        scores = explainer.scores(read)
        overview = f"overview_{split}.png" if split else "overview.png"
        work.of_images(read, scores, explainer.targets(scores, class_name), wanted, overview)
    if "filters" in wanted:
        work.filters(required="filters" in methods)
    if "maximize" in wanted:
        work.maximize(class_name)
    if "receptive_field" in wanted:
        fields = receptive.receptive_fields(explainer.model)
        work.found.text = receptive.table({layer: fields[layer]} if layer else fields)
    return work.found


def _check_use(
    methods: Sequence[str], images: Any, split: str | None, layer: str | None, class_name: str | None
) -> None:
    """What none of the methods that are asked for looks at would be left out without a word."""
    named = " and ".join(methods)
    if methods and (images or split) and not {*METHODS, "feature_maps"} & set(methods):
        raise UserError(f"{named} looks at no image; leave out {'--split' if split else images[0]}")
    layered = {name for name, method in METHODS.items() if method.layered} | {*OTHERS}
    if methods and layer and not (layered - {"cam", "filters"}) & set(methods):
        raise UserError(f"{named} is of no layer that could be chosen; leave out --layer={layer}")
    classed = {*METHODS, *([] if layer else ["maximize"])}  # of a layer its channels are maximized
    if methods and class_name and not classed & set(methods):
        raise UserError(f"{named} is of no class; leave out --class={class_name}")


def _all_methods(explainer: Explainer) -> list[str]:
    cam = has_cam(explainer.model, explainer.variables)
    mapped = bool(map_layers(explainer.model))
    fitting = [name for name, method in METHODS.items() if (cam if name == "cam" else mapped or not method.layered)]
    return ["filters", *(["feature_maps"] if mapped else []), *fitting]


def _read(
    explainer: Explainer, images: Sequence[str | Path], split: str | None, count: int, data_dir: str | Path | None
) -> Images:
    if not split:
        return from_files(explainer.run, images)
    return from_split(explainer.run, split_of(explainer.run, data_of(explainer.run, data_dir), split), count)


class _Work:
    """Draws and writes, and takes down what it wrote."""

    def __init__(self, explainer: Explainer, folder: Path, layer: str | None):
        self.explainer, self.folder, self.layer = explainer, folder, layer
        self.found = Study()

    def of_images(
        self, images: Images, scores: HostArray, targets: HostArray, methods: Sequence[str], overview: str
    ) -> None:
        """Everything that is said of single images, and a sheet of it all, which is called `overview`."""
        columns = [[drawing.as_rgb(original) for original in images.originals]]
        titles, drawn = ["image"], [name for name in METHODS if name in methods]
        layer = self.layer if {"cam"} != set(drawn) else None
        found = []
        for name in drawn:
            logs.say(f"{METHODS[name].title} of {len(images)} {'image' if len(images) == 1 else 'images'}")
            found.append(self.explainer.attribute(name, images, targets, layer if name != "cam" else None))
        if "feature_maps" in methods:  # before anything is written, since a layer without a map is bad input
            maps = {name: self._maps(images, name) for name in self._layers_to_show()}
        else:
            maps = {}
        for explanation in found:
            overlays = explanation.overlays()
            for name, overlay in zip(images.names, overlays, strict=True):
                self._write(f"{name}_{explanation.method}.png", overlay)
            columns.append(overlays)
            titles.append(METHODS[explanation.method].title)
        for layer_name, values in maps.items():
            for name, channels in zip(images.names, values, strict=True):
                file = f"{name}_feature_maps_{layer_name.replace('.', '_').replace('#', '_')}.png"
                self._write(file, drawing.tiles(np.moveaxis(channels, 2, 0)))
        if found:
            rows = list(zip(*columns, strict=True))[:AT_MOST]
            labels = self._labels(images, scores, targets)[:AT_MOST]
            drawing.sheet(rows, titles, self.folder / overview, labels=labels)
            self.found.files.append(self.folder / overview)

    def filters(self, *, required: bool) -> None:
        """The first layer's kernels; left out, unless they were asked for, where a model has none over the image."""
        try:
            kernels = inner.first_filters(self.explainer.model, self.explainer.variables)
        except UserError:
            if required:
                raise
            return
        shown = kernels[..., :3] if kernels.shape[3] >= 3 else kernels.mean(3)
        self._write("first_layer_filters.png", drawing.tiles(shown, signed=True))

    def maximize(self, class_name: str | None) -> None:
        """Images that the classes, or the channels of the layer, answer to most."""
        if self.layer is None:
            names = [class_name] if class_name else list(self.explainer.run.classes[:AT_MOST])
            logs.say(f"activation maximization of {len(names)} {'class' if len(names) == 1 else 'classes'}")
            found, file = self.explainer.maximize(names), "maximized_classes.png"
        else:
            channels = range(min(layers(self.explainer.model)[self.layer][-1], AT_MOST))
            names = [f"channel {number}" for number in channels]
            logs.say(f"activation maximization of {len(names)} channels of {self.layer}")
            found = self.explainer.maximize_channels(self.layer, list(channels))
            file = f"maximized_{self.layer.replace('.', '_').replace('#', '_')}.png"
        cells = [drawing.as_rgb(image) for image in found]
        rows = [cells[i : i + 4] for i in range(0, len(cells), 4)]
        drawing.sheet(rows, names, self.folder / file, by_cell=True)
        self.found.files.append(self.folder / file)

    def _layers_to_show(self) -> list[str]:
        """The layer that was asked for, or the first and the last with a map."""
        if self.layer:
            return [self.layer]
        names = map_layers(self.explainer.model)
        return list(dict.fromkeys([names[0], names[-1]]))

    def _maps(self, images: Images, layer: str) -> HostArray:
        model, variables = self.explainer.model, self.explainer.variables
        return np.asarray(inner.feature_maps(model, variables, images.images, layer))

    def _labels(self, images: Images, scores: HostArray, targets: HostArray) -> list[str]:
        """The class that is explained, its probability, and the true class where it is another."""
        classes, labels = self.explainer.run.classes, []
        for row, target, true in zip(scores, targets, images.labels, strict=True):
            name = classes[target]
            other = f"\n(is {_short(true)})" if true and true != name else ""
            labels.append(f"{_short(name)} {row[target]:.0%}{other}")
        return labels

    def _write(self, name: str, image: HostArray) -> None:
        self.found.files.append(drawing.write(self.folder / name, image))


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:20]}..."
