"""The files of bundles under their digests: whole or not there, and never changed."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insitu.models.bundle import Bundle
from insitu.store.files import storage_error


def place(root: Path, digest: str) -> Path:
    """Where the bundle of a digest lies in a registry."""
    return root / "objects" / digest.removeprefix("sha256:")


def copy_in(bundle: Bundle, root: Path) -> None:
    """Write a bundle's files under its digest, synced before anything can name them: into `incoming` first, then one
    rename. What lay there damaged is put aside; what lies there whole, as another process has just written it, stays.
    Raises `StorageError`."""
    target, incoming = place(root, bundle.digest), root / "incoming"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(exist_ok=True)
        with _alone(root / "incoming.lock"):
            _copied(bundle, target, incoming, root)
    except OSError as e:
        raise storage_error(e, target, "copy the bundle", option="--registry") from e


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time copies; the lock ends with its process."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copied(bundle: Bundle, target: Path, incoming: Path, root: Path) -> None:
    if _same(bundle, target):
        return
    _remove_left(incoming)
    made = incoming / f"{target.name}.{os.getpid()}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name, content in bundle.files.items():
        with open(made / name, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (made / name).chmod(0o444)
    _sync(made)
    if target.exists():
        os.rename(target, incoming / f"{target.name}.damaged-{time.time_ns()}")
    os.rename(made, target)
    _sync(target.parent)
    _sync(root)


def _same(bundle: Bundle, target: Path) -> bool:
    """Whether these very files lie there."""
    if not target.is_dir() or {p.name for p in target.iterdir()} != set(bundle.files):
        return False
    return all((target / name).read_bytes() == content for name, content in bundle.files.items())


def _remove_left(incoming: Path) -> None:
    """What a crash has left: copies by processes that are no more."""
    for left in incoming.iterdir():
        maker = left.name.rpartition(".")[2]
        if not (maker.isdigit() and _lives(int(maker))):
            shutil.rmtree(left, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
