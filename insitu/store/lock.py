"""One writer per run folder: an advisory lock that the kernel lets go of when its process dies."""

import fcntl
import os
from pathlib import Path

from insitu.errors import RunLockedError
from insitu.store.files import storage_error


class Lock:
    """Held from construction to `release`. The file stays: only the lock on it counts."""

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise storage_error(e, path, "open") from e
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._fd)
            raise RunLockedError(
                "another process is writing this run",
                where=str(folder),
                remedy="Wait for it to end, or stop it with `kill -INT` first",
            ) from e

    def release(self) -> None:
        os.close(self._fd)


def is_locked(folder: Path) -> bool:
    """Whether a living process writes this run."""
    if not (folder / "lock").exists():
        return False
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not take each other for a writer
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
