"""Files are whole or absent."""

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import stat
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from cnnjax.core.errors import UserError
from cnnjax.core.files import (
    alone,
    atomic,
    read_json,
    require_folder,
    require_space,
    sha256,
    write_json,
    write_text,
)


def test_writes_the_file_and_its_folder(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    with atomic(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failing_writer_leaves_the_old_file_and_no_litter(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail():
        with atomic(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_has_the_permissions_of_any_other(tmp_path):
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "file.txt", "é")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644
    assert (tmp_path / "file.txt").read_bytes() == "é".encode()


def test_json_has_no_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"loss": math.nan, "deep": [1.5, (math.inf, -math.inf)], "n": 3, "none": None, 7: "x"})
    document = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert document == {"loss": None, "deep": [1.5, [None, None]], "n": 3, "none": None, "7": "x"}
    assert read_json(path) == document


@pytest.mark.parametrize("damage", [b'{"a": 1', b"\xff\xfe\x00", b""])
def test_damaged_json_is_named(tmp_path, damage):
    (tmp_path / "a.json").write_bytes(damage)
    with pytest.raises(UserError, match=r"a\.json is not a JSON document .*restore it"):
        read_json(tmp_path / "a.json")


def test_sha256_of_several_pieces(tmp_path):
    content = bytes(range(256)) * 4096 * 3 + b"end"  # 3 MiB and a little
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_space_is_asked_of_the_nearest_folder_there_is(tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(folder)
        return namedtuple("usage", "free")(10 << 20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_space(tmp_path / "not" / "yet", 10 << 20, "the cache")
    assert asked == [tmp_path]
    with pytest.raises(UserError, match=r"the cache needs 11 MiB in .*not/yet, but 10 MiB are free; make room"):
        require_space(tmp_path / "not" / "yet", 11 << 20, "the cache")
    assert list(tmp_path.iterdir()) == []


def taken():
    raise UserError("taken")


def test_a_folder_is_held_by_one_and_leaves_nothing(tmp_path):
    folder = tmp_path / "runs" / "a"
    with alone(folder, taken):
        with pytest.raises(UserError, match=r"^taken$"), alone(folder, taken):
            pass
        assert list(folder.iterdir()) == [], "who is refused removes nothing, and the lock is no file"
    assert list(tmp_path.iterdir()) == []
    with alone(folder, taken):
        (folder / "result").touch()
    with alone(folder, taken):
        pass
    assert list(folder.iterdir()) == [folder / "result"]
    (tmp_path / "mine").mkdir()
    with alone(tmp_path / "mine", taken):
        pass
    assert (tmp_path / "mine").is_dir(), "it was there before"


def test_a_folder_that_another_removes_meanwhile_is_ours_to_remove(tmp_path, monkeypatch):
    folder, real = tmp_path / "a", Path.mkdir
    folder.mkdir()

    def mkdir(path, *args, **options):
        if folder.exists():  # the other one ends just now
            folder.rmdir()
        real(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with alone(folder, taken):
        assert folder.is_dir()
    assert not folder.exists()


def test_a_link_to_nothing_is_no_folder_to_wait_for(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "gone")
    with pytest.raises(FileNotFoundError), alone(tmp_path / "a", taken):
        pass


def test_who_waits_for_a_folder_is_told(tmp_path):
    free, told = threading.Event(), []

    def wait():
        with alone(tmp_path, lambda: (told.append("waits"), free.set())):
            told.append("has it")

    other = threading.Thread(target=wait)
    with alone(tmp_path, lambda: told.append("nobody is there")):
        other.start()
        assert free.wait(10)
        assert told == ["waits"]
    other.join(10)
    assert told == ["waits", "has it"]


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOLCK])
def test_where_folders_cannot_be_locked_nobody_is_kept_out(tmp_path, monkeypatch, code):
    def flock(handle, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone(tmp_path / "a", taken), alone(tmp_path / "a", taken):
        pass
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output"), alone(tmp_path / "a", taken):
        pass


def test_a_folder_that_cannot_be_is_told(tmp_path, monkeypatch):
    (tmp_path / "t.csv").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for path in ("t.csv", "t.csv/x/y", "nowhere"):
        with pytest.raises(UserError, match=r"cannot be used, since .* is no folder; name another folder with --to"):
            require_folder(tmp_path / path, "--to")
    with pytest.raises(UserError, match=r"since a name may have \d+ bytes there; name another folder with --to"):
        require_folder(tmp_path / "new" / (300 * "x") / "deep", "--to")
    require_folder(tmp_path / "new" / "deep", "--to")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match=rf"since {tmp_path} cannot be written; name another folder with --to"):
        require_folder(tmp_path / "new" / "deep", "--to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nowhere", "t.csv"]
