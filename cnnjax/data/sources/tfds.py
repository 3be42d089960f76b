"""tensorflow-datasets: a set already prepared as ArrayRecord is read without TensorFlow; preparing one needs it.

Without TensorFlow its own builders cannot read the files they download, but the prepared records are protocol buffers
around the original encoded images.
"""

from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.files import atomic
from cnnjax.data.sources import Images, Source, stamp_of, version_of

SPLITS = {"train": ("train",), "val": ("validation", "val", "valid"), "test": ("test",)}


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens tfds:NAME (or NAME/CONFIG:VERSION), looked for under the data folder and ~/tensorflow_datasets."""
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError:
        raise UserError(
            f"tfds:{place} needs tensorflow-datasets; install it with pip install tensorflow-datasets"
        ) from None
    builder = _find(tfds, place, data_dir)
    features = builder.info.features
    if not {"image", "label"} <= set(features) or not hasattr(features["label"], "names"):
        raise UserError(
            f"tfds:{place} has {', '.join(features)}; only sets with an image and a class label can be trained on"
        )
    splits = {}
    for name, candidates in SPLITS.items():
        there = next((candidate for candidate in candidates if candidate in builder.info.splits), None)
        if there:
            images = _images(tfds, builder, there, data_dir)
            if (images.labels >= 0).all():  # the labels of a contest's test split are kept secret: all are -1
                splits[name] = images
    if "train" not in splits:
        raise UserError(f"tfds:{place} has the splits {', '.join(builder.info.splits)}, but no train")
    return Source(tuple(features["label"].names), splits)


def _find(tfds: Any, name: str, data_dir: Path) -> Any:
    """The builder of a prepared ArrayRecord set; with TensorFlow at hand it is prepared first."""
    folders = [data_dir / "tfds", data_dir, Path.home() / "tensorflow_datasets"]
    for folder in folders:
        try:
            builder = tfds.builder(name, data_dir=folder, file_format="array_record", try_gcs=False)
        except Exception:
            builder = _from_directory(tfds, folder, name)
        if builder is not None and builder.is_prepared():
            return builder
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        raise UserError(
            f"tfds:{name} is not prepared in {folders[0]}, and preparing it needs TensorFlow; "
            f'install it with pip install "cnnjax[tf]", or put the prepared ArrayRecord folder there'
        ) from None
    builder = tfds.builder(name, data_dir=folders[0], file_format="array_record")
    builder.download_and_prepare()
    return builder


def _from_directory(tfds: Any, home: Path, name: str) -> Any:
    """A set that no installed builder knows: the version that is asked for, else the last by name."""
    place, _, version = name.partition(":")
    there = sorted(path.parent for path in (home / place).glob("*/dataset_info.json"))
    versions = [path for path in there if fnmatch(path.name, version or "*")]  # tfds has 1.*.* too
    return tfds.builder_from_directory(versions[-1]) if versions else None


def _images(tfds: Any, builder: Any, split: str, data_dir: Path) -> Images:
    source: Sequence[Any] = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    info = builder.info.splits[split]
    stamp = stamp_of(
        builder.info.full_name, split, info.shard_lengths, [version_of(Path(path)) for path in info.filepaths]
    )
    # To see the labels is to read every record, so they are kept beside the prepared sets.
    kept = data_dir / "prepared" / f".labels-{stamp[:24]}.npy"
    if kept.is_file():
        labels = np.load(kept, allow_pickle=False)
    else:
        labels = np.asarray([int(example["label"]) for example in source], np.int32)
        with suppress(OSError), atomic(kept) as file:  # prepare tells of a data folder that cannot be written
            np.save(file, labels, allow_pickle=False)

    def read(index: int) -> bytes | HostArray:
        image = source[index]["image"]
        return image if isinstance(image, bytes) else np.asarray(image)

    names = [f"{split}/{index}" for index in range(len(labels))]
    return Images(labels, names, read, stamp, info.num_bytes)
