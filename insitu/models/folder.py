"""The files of a bundle: read once into memory within limits, written whole or not at all.

Nothing is followed and nothing is opened that is not a plain file with one name: no symbolic link, hard link, FIFO,
device or sub-folder, and no file that does not belong to a bundle. What is checked later is what was read here.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from insitu.errors import ModelError, StorageError
from insitu.models.signing import shipped_keys

MIB = 1024 * 1024
FILES = {
    "manifest.json": MIB // 4,
    "model.onnx": 64 * MIB,
    "golden.npz": 16 * MIB,
    "calibration.npz": 64 * MIB,
    "mlbom.json": MIB,
    "LICENSE": MIB // 4,
    "signature.json": MIB // 4,
}
"""Every file that a bundle may have, and how many bytes at most."""
TOTAL = 96 * MIB
OPTIONAL = frozenset({"calibration.npz", "signature.json"})
_REMEDY = "A bundle holds plain files only; get it again from where it comes from"


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a bundle by name. Raises `ModelError` naming the file before more than the limits is in memory."""
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        raise ModelError(
            f"no bundle can be read here: {e.strerror}", where=str(folder), expected="a folder with a manifest.json"
        ) from e
    try:
        names = _names(at, folder)
        files: dict[str, bytes] = {}
        links = folder.resolve().is_relative_to(shipped_keys())  # installers may link what they unpack
        for name in names:
            left = TOTAL - sum(map(len, files.values()))
            files[name] = _read(at, name, folder / name, min(FILES[name], left), linked=links)
        return files
    except OSError as e:
        raise ModelError(f"cannot be read: {e.strerror}", where=str(folder), remedy=_REMEDY) from e
    finally:
        os.close(at)


def _names(at: int, folder: Path) -> list[str]:
    """The names in a folder, all of them allowed and none missing."""
    names = []
    with os.scandir(at) as entries:
        for entry in entries:  # one that does not belong ends it, so a folder of millions costs nothing
            if entry.name not in FILES:
                shown = entry.name if entry.name.isprintable() else ascii(entry.name)
                raise ModelError(
                    "this does not belong to a bundle", where=str(folder / shown), expected=", ".join(FILES),
                    remedy="Take it out of the folder, or get the bundle again from where it comes from",
                )  # fmt: skip
            names.append(entry.name)
    missing = [name for name in FILES if name not in names and name not in OPTIONAL]
    if missing:
        raise ModelError(
            f"{', '.join(missing)} missing", where=str(folder), expected="a whole bundle", remedy="Get it again"
        )
    return sorted(names)


def _read(at: int, name: str, path: Path, largest: int, *, linked: bool) -> bytes:
    """The bytes of one plain file with one name."""
    _check(os.stat(name, dir_fd=at, follow_symlinks=False), path, largest, linked=linked)  # no FIFO or device is opened
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=at)
    with open(fd, "rb", buffering=0) as f:
        size = _check(os.fstat(fd), path, largest, linked=linked)
        data = bytearray()
        while len(data) <= size and (part := f.read(min(MIB, size + 1 - len(data)))):
            data += part
        if len(data) != size:
            raise ModelError("changed while it was read", where=str(path), expected=f"{size:,} bytes")
    return bytes(data)


def _check(found: os.stat_result, path: Path, largest: int, *, linked: bool) -> int:
    """The size of what must be a plain file. Raises `ModelError`."""
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFDIR: "a folder"}
        kind = kinds.get(stat.S_IFMT(found.st_mode), "a device or a socket")
        raise ModelError(f"this is {kind}", where=str(path), expected="a plain file", remedy=_REMEDY)
    if found.st_nlink > 1 and not linked:
        raise ModelError(
            f"this file has {found.st_nlink} names (hard links), so somebody can change it elsewhere",
            where=str(path), expected="a file with one name", remedy="Copy the bundle with `cp -r` and use the copy",
        )  # fmt: skip
    if found.st_size > largest:
        raise ModelError(
            f"this file has {found.st_size:,} bytes", where=str(path),
            expected=f"at most {largest:,} ({TOTAL // MIB} MiB for a whole bundle)", remedy="Make this file smaller",
        )  # fmt: skip
    return found.st_size


def write_folder(folder: Path, files: Mapping[str, bytes], finish: Callable[[Path], None] = lambda made: None) -> None:
    """Write a bundle beside its place, let `finish` sign and check it, and rename it there. A bundle that is there
    already is moved aside first and removed last; a folder that holds anything else is refused."""
    if folder.exists() and (not folder.is_dir() or any(p.name not in FILES for p in folder.iterdir())):
        raise StorageError(
            "something else is here", where=str(folder), remedy="Choose a folder that does not exist yet"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            made = beside / folder.name
            made.mkdir()
            for name, data in files.items():
                (made / name).write_bytes(data)
            finish(made)
            for path in (*made.iterdir(), made):
                _sync(path)
            _swap(made, folder, beside / ".old")
            _sync(folder.parent)
        finally:
            shutil.rmtree(beside)
    except OSError as e:
        if isinstance(e, StorageError):
            raise
        raise StorageError(f"cannot write a bundle: {e.strerror}", where=str(e.filename or folder)) from e


def _swap(made: Path, folder: Path, old: Path) -> None:
    """`made` in the place of `folder`, which goes to `old`, or back where that fails."""
    if folder.exists():
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
