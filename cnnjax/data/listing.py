"""Which files a folder holds: all but hidden ones and those that operating systems leave behind."""

import os
from pathlib import Path
from typing import Any

from cnnjax.core.errors import UserError


def image_files(paths: Any) -> list[Path]:
    """Returns the files among `paths` and in their folders, sorted within each, system files left out.

    Raises:
      UserError: a path that does not exist, or no file at all.
    """
    found: list[Path] = []
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"there is no file or folder {path}")
        found += files_below(path) if path.is_dir() else [path]
    if not found:
        raise UserError(f"there is no file in {', '.join(map(str, paths))}")
    return found


SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}


def is_system(name: str) -> bool:
    """Whether a part of a path is hidden (.DS_Store) or left by an operating system."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def files_below(folder: str | Path) -> list[Path]:
    """Returns all files below a folder, sorted, without hidden and system ones; a link that leads nowhere is a file.

    Links to folders are not followed, so that none can lead in a circle.
    """
    found: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_system(entry.name):
                continue
            if entry.is_dir():
                found += [] if entry.is_symlink() else files_below(entry.path)
            elif entry.is_file() or entry.is_symlink():
                found.append(Path(entry.path))
    return found


def read_file(path: str | Path, limit: int) -> bytes:
    """Returns a file's bytes, at most `limit` + 1 of them: enough to see that it is too large."""
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); make it readable") from error
