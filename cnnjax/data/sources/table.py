"""A CSV list of images: path, label and, if one likes, split; several labels are separated by |.

path,label,split
shots/1.jpg,cat,train
shots/2.jpg,cat|dog,test

A line that is there twice counts once: split by chance, its image could be learned and tested.
"""

import csv
import os
from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.sources import Source, from_files
from cnnjax.data.sources.folder import split_named


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens table:FILE.csv; paths are relative to the file, the header may be left out."""
    table = Path(place)
    if not table.is_file():
        raise UserError(f"there is no table {table}; config.data.source=table:FILE.csv needs lines of path,label")
    rows = _rows(table)
    splits = sorted({split for _, _, split in rows}, key=["train", "val", "test"].index)
    if "train" not in splits:
        raise UserError(f"{table} has no line of the split train; name one in its third column")
    names = sorted({label for _, labels, _ in rows for label in labels})
    found = {}
    for split in splits:
        here = [(path, labels) for path, labels, part in rows if part == split]
        labels = _labels([labels for _, labels in here], names, several=any(len(row[1]) > 1 for row in rows))
        found[split] = from_files([path for path, _ in here], labels, table.parent, config.max_bytes)
    return Source(tuple(names), found)


def _rows(table: Path) -> list[tuple[Path, list[str], str]]:
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV text ({error}); save it as UTF-8 with commas") from error
    if lines and [cell.lower() for cell in lines[0][:2]] == ["path", "label"]:
        lines = lines[1:]
    if not lines:
        raise UserError(f"{table} names no image; write lines of path,label")
    rows: dict[str, tuple[Path, list[str], str]] = {}
    for number, line in enumerate(lines, 1):
        split = split_named(line[2] if len(line) > 2 and line[2] else "train")
        labels = [label.strip() for label in line[1].split("|") if label.strip()] if len(line) > 1 else []
        if not line[0] or not labels or split is None:
            raise UserError(f"image {number} of {table} is {','.join(line)!r}, not path,label or path,label,split")
        path = table.parent / line[0]
        if not path.is_file():
            raise UserError(f"{table} names {line[0]}, but there is no file {path}")
        row = (path, labels, split)
        if rows.setdefault(os.path.normpath(path), row)[1:] != row[1:]:
            raise UserError(
                f"{table} names {line[0]} twice, with other labels or in another split; keep one of the lines "
                "(several labels of one image are written cat|dog)"
            )
    return list(rows.values())


def _labels(rows: list[list[str]], names: list[str], *, several: bool) -> HostArray:
    index = {name: number for number, name in enumerate(names)}
    if not several:
        return np.asarray([index[labels[0]] for labels in rows], np.int32)
    marked = np.zeros((len(rows), len(names)), np.uint8)
    for row, labels in zip(marked, rows, strict=True):
        row[[index[label] for label in labels]] = 1
    return marked
