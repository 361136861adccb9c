"""Every open, write, fsync and rename of the store goes through a `Disk`.

One place decides what a failure means (fatal: the run ends with exit 4, nothing is retried on a file whose fsync
failed), and one place can be replaced in tests, to record the order of calls or to fail on purpose.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from insitu.errors import StorageError

T = TypeVar("T")

NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "ncpfs",
        "9p",
        "afs",
        "ceph",
        "gpfs",
        "lustre",
        "beegfs",
        "pvfs2",
        "orangefs",
        "glusterfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.rclone",
        "davfs",
        "fuse.davfs2",
        "ocfs2",
        "gfs2",
    ]
)
"""File systems on which a lock or an fsync need not mean what it says. Refused for a live run."""

_REMEDY = {
    errno.ENOSPC: "Free space on this disk (`insitu doctor` shows how much), then `insitu recover` the run",
    errno.EDQUOT: "Raise the quota or free space, then `insitu recover` the run",
    errno.EROFS: "The file system is read-only: choose another with --data-root",
    errno.EACCES: "Choose a folder that this user may write with --data-root",
    errno.EPERM: "Choose a folder that this user may write with --data-root",
    errno.EEXIST: "A file is where a folder should be: choose another with --data-root",
    errno.ENOTDIR: "A file is where a folder should be: choose another with --data-root",
    errno.EIO: "The disk reported an error: do not write to it again; check it, then `insitu recover` the run",
    errno.EMFILE: "Too many open files: raise `ulimit -n`",
}


def storage_error(error: OSError, path: str | Path, doing: str, *, option: str = "--data-root") -> StorageError:
    """What an error of the operating system means for a run, in words that a person can act on. `option`: of the
    command line, which chooses another place; where that is no place of runs, there is none to recover."""
    remedy = _REMEDY.get(error.errno or 0, "")
    if option != "--data-root":
        remedy = remedy.replace("--data-root", option).replace(", then `insitu recover` the run", "")
    return StorageError(f"cannot {doing}: {error.strerror or error}", where=str(path), remedy=remedy)


class Disk:
    """The real disk. Methods raise `StorageError` naming the path, and never leave a short write behind."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}

    def _do(self, doing: str, path: str | Path, call: Callable[[], T]) -> T:
        try:
            return call()
        except OSError as e:
            raise storage_error(e, path, doing) from e

    def mark(self, event: str) -> None:
        """A named point in time, for tests of order (`commit`, `offer`, `acknowledge`): does nothing here."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """A file descriptor for reading and writing."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        fd = self._do("open", path, lambda: os.open(path, flags, 0o644))
        self._paths[fd] = str(path)
        return fd

    def close(self, fd: int) -> None:
        self._paths.pop(fd, None)
        os.close(fd)

    def _pwrite(self, fd: int, buffers: list[memoryview], offset: int) -> int:
        return os.pwritev(fd, buffers, offset)

    def write_at(self, fd: int, offset: int, *parts: bytes | memoryview) -> int:
        """Write all of `parts` one behind the other at `offset`; returns the number of bytes."""
        left = [memoryview(p).cast("B") for p in parts if len(p)]
        total = at = 0
        path = self._paths.get(fd, "")
        while left:
            done = self._do("write", path, lambda: self._pwrite(fd, left, offset + total))  # noqa: B023
            total += done
            at = done
            while left and at >= len(left[0]):
                at -= len(left.pop(0))
            if left and at:
                left[0] = left[0][at:]
        return total

    def size(self, fd: int) -> int:
        """Bytes in an open file."""
        return self._do("stat", self._paths.get(fd, ""), lambda: os.fstat(fd).st_size)

    def read_at(self, fd: int, offset: int, nbytes: int) -> bytes:
        """`nbytes` from `offset`; fewer only at the end of the file."""
        return self._do("read", self._paths.get(fd, ""), lambda: os.pread(fd, nbytes, offset))

    def truncate(self, fd: int, size: int) -> None:
        self._do("truncate", self._paths.get(fd, ""), lambda: os.ftruncate(fd, size))

    def sync(self, fd: int) -> None:
        """fdatasync: the data, and the metadata that is needed to find it."""
        self._do("fdatasync", self._paths.get(fd, ""), lambda: os.fdatasync(fd))

    def sync_folder(self, folder: Path) -> None:
        """fsync of a folder: the names in it."""

        def call() -> None:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

        self._do("fsync", folder, call)

    def make_folders(self, folder: Path) -> None:
        """Make a folder and its missing parents, each name durable."""
        missing = []
        at = folder
        while not self._do("look at", at, at.is_dir):
            missing.append(at)
            at = at.parent
        for new in reversed(missing):
            self._do("make the folder", new, lambda: os.makedirs(new, exist_ok=True))  # noqa: B023
            self.sync_folder(new.parent)

    def write_file(self, path: Path, data: bytes | memoryview, *, durable: bool = True) -> None:
        """The whole file at once: a reader sees the old content or the new one, never a part."""
        temporary = path.with_name(f".{path.name}.tmp")
        fd = self.open(temporary, create=True)
        try:
            self.truncate(fd, 0)
            self.write_at(fd, 0, data)
            if durable:
                self.sync(fd)
        finally:
            self.close(fd)
        self._do("rename", path, lambda: os.replace(temporary, path))
        if durable:
            self.sync_folder(path.parent)


def file_system(path: Path) -> str:
    """The type of the file system that holds `path` (ext4, xfs, nfs4, ...); "" where it cannot be told."""
    best, kind = "", ""
    try:
        target = str(path.resolve())
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            for line in f:
                left, _, right = line.partition(" - ")
                mount = left.split()[4].replace("\\040", " ")
                inside = target == mount or target.startswith(mount.rstrip("/") + "/")
                if inside and len(mount) >= len(best):
                    best, kind = mount, right.split()[0]
    except OSError:
        return ""
    return kind


def refuse_network(path: Path) -> None:
    """Raise where a live run would lie on a network file system."""
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StorageError(
            f"this folder is on a network file system ({kind}), where a finished fsync proves nothing",
            where=str(path),
            expected="a local disk",
            remedy="Choose a local folder with --data-root and copy the sealed run afterwards",
        )
