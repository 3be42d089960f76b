"""Files that are whole or absent: atomic writes, digests, free space, and folders that one process holds."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cnnjax.core.errors import UserError

NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""How a file system says that it cannot lock a folder (NFS: EBADF, as it locks what is open for writing only)."""


@contextmanager
def atomic(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears under `path` only when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; a result file follows the umask like any other.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Writes a JSON document atomically; NaN and infinity, which JSON does not have, become null."""
    write_text(path, json.dumps(finite(value), indent=2) + "\n")


def finite(value: Any) -> Any:
    """Returns the value with null in the place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def read_json(path: str | Path) -> Any:
    """Reads a JSON document; a damaged one is a UserError that names the file."""
    try:
        return json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a JSON document ({error}); restore it from a copy") from error


def sha256(path: str | Path) -> str:
    """sha256 (hex) of a file, read in pieces of 1 MiB."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            sha.update(piece)
    return sha.hexdigest()


def require_space(folder: str | Path, need: int, what: str) -> None:
    """Raises UserError unless `need` bytes are free where `folder` is or will be."""
    folder = Path(folder).absolute()
    existing = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    if need > free:
        raise UserError(
            f"{what} needs {need / 2**20:,.0f} MiB in {folder}, but {free / 2**20:,.0f} MiB are free; "
            "make room or name another folder with --data_dir"
        )


def obstacle(folder: str | Path) -> str:
    """Returns what keeps a folder from being made at this path, or from being written into; "" if nothing does."""
    path = Path(folder).absolute()
    existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not existing.is_dir():
        return f"{existing} is no folder"
    longest = os.pathconf(existing, "PC_NAME_MAX")
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        return f"a name may have {longest} bytes there"
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} cannot be written"


def require_folder(folder: str | Path, flag: str) -> None:
    """Raises UserError, which offers `flag`, unless there is a writable folder at this path or one can be made."""
    if reason := obstacle(folder):
        raise UserError(f"{folder} cannot be used, since {reason}; name another folder with {flag}")


@contextmanager
def alone(folder: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Makes a folder and holds it; what is still empty at the end, and was made here, is removed.

    The lock is on the folder itself, so nothing is left over, not even by a killed process; as it follows the folder
    when that is renamed or removed, it counts only while what is held is still at this path.

    Args:
      busy: called where another process holds the folder, before the wait for it; an error from it ends that.
    """
    while True:
        new = [path for path in folder.parents if not path.exists()]
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            new = [folder, *new]
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # the other has renamed or removed it just now
            if folder.is_symlink():  # which leads nowhere, and will next time
                raise
            continue
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy()
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            if not _is_at(handle, folder):
                continue
            try:
                yield
                return
            finally:
                with contextlib.suppress(OSError):  # not empty
                    for path in new if _is_at(handle, folder) else ():
                        path.rmdir()
        finally:
            os.close(handle)


def _is_at(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
