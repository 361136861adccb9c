"""Files with the documents of a RunEngine's runs: one that is being written is locked by who writes it. Where nobody
does any more (its process was killed), the run is ended here, so that what there is of it can be carried."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from insitu.bluesky.wire import LENGTHS, joined, lengths, opened, pack
from insitu.errors import FormatError

log = logging.getLogger(__name__)
PART, WHOLE, TORN = ".part", ".docs", ".torn"
"""A run that is being written; one that has its stop document; one of which documents are missing."""
KILLED = "the process that took it was killed, or took no more: its documents end here"


def begun(path: Path) -> IO[bytes]:
    """A new file, locked as long as it is open."""
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except BaseException:
        file.close()
        raise
    return file


def documents(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """What a file holds, from where it stands. `FormatError` where it ends in the middle of a document."""
    size = os.fstat(file.fileno()).st_size
    while start := file.read(LENGTHS.size):
        try:
            head, behind = lengths(start)
            if behind > size - file.tell():
                raise FormatError("it ends in the middle of a document", where=file.name)
            found = opened(np.frombuffer(file.read(behind), np.uint8), head)
        except (ValueError, TypeError, struct.error) as e:
            raise FormatError(f"no document at byte {file.tell()}: {e}", where=file.name) from e
        yield found


def orphans(folder: Path) -> list[Path]:
    """Files of runs that nobody writes any more, and that hold something."""
    return [path for path in sorted(folder.glob(f"*{PART}")) if _orphan(path)]


def complete(path: Path) -> None:
    """Give such a run its end: a stop document that says "fail", and why. What is not whole at the end of the file is
    cut off; a file without even a beginning is set aside. Nothing is done where somebody writes it."""
    with path.open("r+b") as file:
        if not _left(file, path):
            return
        names, events, uid, ends, last = dict[str, str](), dict[str, int](), "", 0, ""
        frames = dict[str, int]()  # of streams without values of their own: a frame is told before its event
        try:
            for last, document in documents(file):
                ends = file.tell()
                if last == "start":
                    uid = document["uid"]
                elif last == "descriptor":
                    names[document["uid"]] = document["name"]
                    events.setdefault(document["name"], 0)
                    if all("external" in key for key in document["data_keys"].values()):
                        frames[document["name"]] = 0
                elif name := names.get(document.get("descriptor", "")):
                    found = frames if last == "stream_datum" else events
                    if name in found:
                        found[name] = max(found[name], _newest(document))
        except FormatError as e:
            log.debug("what is behind it is cut off: %s", e)
        if not uid:
            path.rename(path.with_suffix(TORN))
            return
        if last != "stop":
            stop = {
                "uid": str(uuid.uuid4()), "time": path.stat().st_mtime, "run_start": uid, "exit_status": "fail",
                "reason": KILLED, "num_events": {name: count or frames.get(name, 0) for name, count in events.items()},
            }  # fmt: skip
            file.truncate(ends)
            file.seek(ends)
            file.write(joined(pack("stop", stop)))
            file.flush()
            os.fsync(file.fileno())
            log.warning("insitu: run %s is ended with %s events: %s", uid, sum(events.values()), KILLED)
        path.rename(path.with_suffix(WHOLE))


def _orphan(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _left(file, path)
    except FileNotFoundError:  # it has become whole meanwhile
        return False


def _left(file: IO[bytes], path: Path) -> bool:
    """Whether nobody writes it, nor begins to while it is open here. Others may look too, and see it while it is being
    ended. An empty one may be about to be written."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        found = os.fstat(file.fileno())
        return found.st_size > 0 and found.st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _newest(document: Any) -> int:
    """The number of the newest event that a document tells of."""
    if "seq_nums" in document:
        return int(document["seq_nums"]["stop"]) - 1
    numbers = document.get("seq_num", 0)
    return max(numbers, default=0) if isinstance(numbers, list) else int(numbers)
