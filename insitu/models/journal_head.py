"""How far the registry's log had come: its length and last hash in a small file beside it.

A log that is shorter was cut, lost or put back from an old copy; it is not taken for a registry in which less was done.
The file is written after the entry, by a rename: it may lag behind the log, and is never ahead of it. So it has to be
read before the log.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from insitu.errors import StorageError
from insitu.models.standing import Entry
from insitu.store.files import storage_error

NAME = "registry.head"
BEGIN_ANEW = "to begin anew, move the registry's folder away and add the bundles again"


class Head(NamedTuple):
    """Entries in the log, and the hash of the last one."""

    entries: int
    hash: bytes


def read_head(log: Path) -> Head | None:
    """Of the log in this file; None where no entry was ever marked. Raises `StorageError`."""
    path = log.with_name(NAME)
    try:
        text = path.read_text("ascii")
        count, digest = text.split()
        return Head(int(count), bytes.fromhex(digest))
    except FileNotFoundError:
        return None
    except OSError as e:
        raise storage_error(e, path, "read how long the registry's log was", option="--registry") from e
    except ValueError as e:
        raise StorageError(
            "this does not say how long the registry's log was", where=str(path), expected="a number and a hash",
            remedy="Put it back from a backup; where `insitu model log` was right before, delete it",
        ) from e  # fmt: skip


def write_head(log: Path, head: Head) -> None:
    """Mark that the log has come so far, whole or not at all. Raises `OSError`."""
    path = log.with_name(NAME)
    known = read_head(log)
    if known is not None and known.entries >= head.entries:
        return  # another process is further
    beside = path.with_name(f"{NAME}.{os.getpid()}")
    with open(beside, "w", encoding="ascii") as file:
        file.write(f"{head.entries} {head.hash.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


def check_head(log: Path, head: Head | None, entries: Sequence[Entry]) -> None:
    """Raises `StorageError` where the log ends before its head, or has another entry there."""
    if head is None or head.entries == 0:
        return
    if len(entries) < head.entries:
        gone = f"{head.entries - len(entries)} that were written are gone"
        raise StorageError(
            f"the registry's log has {len(entries) or 'no'} entries: {gone}", where=str(log),
            expected=f"{head.entries} or more, as {NAME} beside it says",
            remedy=f"Restore {log.name} from a backup; {BEGIN_ANEW}",
        )  # fmt: skip
    if entries[head.entries - 1].hash != head.hash:
        raise StorageError(
            f"entry {head.entries - 1} of the registry's log is another one than was written", where=str(log),
            expected=f"the hash in {NAME} beside it", remedy=f"Restore {log.name} from a backup; {BEGIN_ANEW}",
        )  # fmt: skip


def check_objects(log: Path, entries: Sequence[Entry]) -> None:
    """Raises `StorageError` where bundles lie beside a log without an entry: it was lost, or the very first `add` was
    interrupted."""
    objects = log.parent / "objects"
    try:
        found = 0 if entries or not objects.is_dir() else len(list(objects.iterdir()))
    except OSError as e:
        raise storage_error(e, objects, "list the bundles of the registry", option="--registry") from e
    if found:
        lie = f"{found} bundle{'s lie' if found > 1 else ' lies'} in {objects}"
        raise StorageError(
            f"the registry's log has no entry, but {lie}", where=str(log), expected="the log that names them",
            remedy=f"Restore {log.name} from a backup; without one, `insitu model add FOLDER` begins a new log, and "
            "nothing is in force until `insitu model activate`",
        )  # fmt: skip
