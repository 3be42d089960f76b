"""Class folders, on disk or in a zip archive, under train/, val/ and test/ or all in one place.

PATH/cats/1.jpg PATH/dogs/7.png                     one pool, which prepare splits
PATH/train/cats/1.jpg ... PATH/val/... PATH/test/...
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.errors import UserError
from cnnjax.core.logs import say
from cnnjax.data.decode import BadImageError
from cnnjax.data.listing import files_below, is_system
from cnnjax.data.sources import Images, Source, from_files, stamp_of

SPLITS = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
"""What the splits are called, in any case of letters."""

Tree = dict[str, dict[str, list[str]]]
"""{split: {class: members}}"""


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens folder:PATH or zip:FILE."""
    return _zip(Path(place), config) if kind == "zip" else _folder(Path(place), config)


def split_named(name: str) -> str | None:
    """Returns the split that a folder or a cell of a table names, if any: `Training` is train."""
    return SPLITS.get(name.lower())


def _folder(root: Path, config: DataConfig) -> Source:
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; config.data.source=folder:PATH needs class folders in it")
    inside = _subfolders(root)
    # A folder train with nothing but images in it, beside others, is a class: of trains, say.
    training = [name for name in inside if split_named(name) == "train"]
    layered = bool(training) and (all(map(split_named, inside)) or any(_subfolders(root / name) for name in training))
    _check_splits(inside, str(root), layered=layered)
    tops = {split: root / name for name in inside if (split := split_named(name))} if layered else {"": root}
    classes = {split: _subfolders(top) for split, top in tops.items()}
    _check_classes(classes, str(root))
    splits = {}
    for split, top in tops.items():
        paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(classes[split]):
            found = files_below(top / name)
            if not found:
                raise UserError(f"the class folder {top / name} is empty; put images into it or remove it")
            paths += found
            labels += [label] * len(found)
        splits[split or "train"] = from_files(paths, np.asarray(labels, np.int32), root, config.max_bytes)
    used = {*tops.values(), *(top / name for split, top in tops.items() for name in classes[split])}
    beside = [path for top in dict.fromkeys([root, *tops.values()]) for path in _visible(top) if path not in used]
    _tell_left_out(beside, str(root))
    return Source(tuple(next(iter(classes.values()))), splits)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not is_system(path.name))


def _subfolders(folder: Path) -> list[str]:
    return [path.name for path in _visible(folder) if path.is_dir()]


def _tell_left_out(left: Sequence[Path | str], where: str) -> None:
    if left:
        what = f"{len(left):,} files or folders" if len(left) > 1 else "a file or folder"
        say(f"left out {what} beside the class folders of {where}, such as {left[0]}")


def _check_splits(tops: Sequence[str], where: str, *, layered: bool) -> None:
    for split in ("train", "val", "test"):
        names = [name for name in tops if split_named(name) == split]
        if layered and len(names) > 1:
            raise UserError(f"{where} has {' and '.join(names)}, which name one split; keep the one that is meant")
    if tops and all(map(split_named, tops)) and "train" not in map(split_named, tops):
        raise UserError(f"{where} has {', '.join(tops)} but no train; put the training images into {where}/train")


def _check_classes(classes: Mapping[str, Sequence[str]], where: str) -> None:
    first = next(iter(classes.values()))
    for split, names in classes.items():
        if not names:
            raise UserError(f"{where} {split}".strip() + " has no class folders; put each class into one of its own")
        if list(names) != list(first):
            odd = sorted(set(names) ^ set(first))[0]
            raise UserError(
                f"the splits of {where} have different classes ({odd} is not in all of them); give them the same"
            )


def _zip(path: Path, config: DataConfig) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UserError(
            f"there is no archive {path}; config.data.source=zip:FILE needs one with class folders"
        ) from None
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is no whole zip archive ({error}); fetch it again") from error
    tree = _members(archive, path)
    _check_classes({split: sorted(classes) for split, classes in tree.items()}, str(path))
    splits = {split: _zipped(archive, classes, config) for split, classes in tree.items()}
    return Source(tuple(sorted(next(iter(tree.values())))), splits)


def _members(archive: zipfile.ZipFile, path: Path) -> Tree:
    """Sorts the members by split and class; a folder around everything is passed over."""
    members = {}
    for info in archive.infolist():
        parts = PurePosixPath(info.filename).parts
        if info.is_dir() or any(is_system(part) for part in parts if part != ".."):
            continue
        if ".." in parts or info.filename.startswith("/"):
            raise UserError(f"{path} holds {info.filename}, which points out of the archive; make it anew")
        members[info.filename] = parts
    names = sorted(members)
    while any(len(parts) > 2 for parts in members.values()):
        tops = {parts[0] for parts in members.values() if len(parts) > 1}
        if len(tops) > 1 or any(map(split_named, tops)):
            break
        members = {name: parts[1:] for name, parts in members.items() if len(parts) > 1}
    tops = {parts[0] for parts in members.values() if len(parts) > 1}
    layered = any(split_named(parts[0]) == "train" and len(parts) > 2 for parts in members.values())
    _check_splits(sorted(tops), str(path), layered=layered)
    tree: Tree = {}
    placed = set()
    for name, parts in sorted(members.items()):
        split = split_named(parts[0]) if layered else "train"
        if split and len(parts) > 1 + layered:
            tree.setdefault(split, {}).setdefault(parts[layered], []).append(name)
            placed.add(name)
    if not tree:
        raise UserError(f"{path} has no class folders; put each class into one of its own")
    _tell_left_out([name for name in names if name not in placed], str(path))
    return {split: tree[split] for split in ("train", "val", "test") if split in tree}


def _zipped(archive: zipfile.ZipFile, classes: Mapping[str, list[str]], config: DataConfig) -> Images:
    names = [name for label in sorted(classes) for name in classes[label]]
    labels = [label for label, name in enumerate(sorted(classes)) for _ in classes[name]]
    infos = [archive.getinfo(name) for name in names]

    def read(index: int) -> bytes:
        if infos[index].file_size > config.max_bytes:  # before it is inflated
            raise BadImageError(names[index], f"more than config.data.max_bytes={config.max_bytes} bytes")
        try:
            return archive.read(infos[index])
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, OSError, EOFError) as error:
            raise BadImageError(names[index], str(error)) from error

    stamp = stamp_of([(info.filename, info.file_size, info.CRC) for info in infos])
    nbytes = sum(info.file_size for info in infos)
    versions = [(info.file_size, info.CRC) for info in infos]
    return Images(np.asarray(labels, np.int32), names, read, stamp, nbytes, versions)
