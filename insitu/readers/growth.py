"""Files that a scan program writes point by point: shown as they grow, and again when their scan is over.

One file at a time, the oldest first. Its scan is over when the next file has begun, when nothing has been written to it
for `quiet` s, or when the series ends. `follow` is for files that appear whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from insitu.errors import SourceError
from insitu.readers.series import Found, natural_key, read_whole

LOOK_S = 0.05
"""Between two looks at the folder."""


class Grown(NamedTuple):
    """A file as it is now; `over`: nothing more will come."""

    found: Found
    over: bool


@dataclass(slots=True)
class _Folder:
    """Files in the order in which they appeared (those of one look by name), and which are over."""

    path: Path
    wanted: Callable[[str], bool]
    waiting: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def look(self) -> bool:
        """Notice new files; whether there were any."""
        try:
            with os.scandir(self.path) as entries:
                names = {e.name for e in entries if self.wanted(e.name) and e.is_file()}
        except OSError as error:
            raise SourceError(
                f"the followed folder cannot be read: {error.strerror}",
                where=str(self.path),
                remedy="Make the folder before the run starts, and do not move it while it is followed",
            ) from error
        new = sorted((Path(name) for name in names - self.known), key=natural_key)
        self.waiting += [path.name for path in new]
        self.known |= names
        return bool(new)


def grow(
    folder: Path, wanted: Callable[[str], bool], *, quiet: float, idle: float, settle: float, sentinel: str = ""
) -> Generator[Grown | None]:
    """Files of a folder as they grow, and None at least every 0.2 s between.

    The series ends when nothing has been written for `idle` s, or a file named `sentinel` is there. A file that the
    next one follows is over once it has been left alone for `settle` s.
    """
    files = _Folder(folder, lambda name: name != sentinel and wanted(name))
    last, shown, since = time.monotonic(), (-1, -1), time.monotonic()
    while True:
        ending = bool(sentinel and (folder / sentinel).exists())
        if files.look():
            last = time.monotonic()
        ending = ending or time.monotonic() - last >= idle
        if not files.waiting:
            if ending:
                return
            yield None
            time.sleep(LOOK_S)
            continue
        path = folder / files.waiting[0]
        signature, now = _signature(path), time.monotonic()
        grown = signature != shown
        if grown:
            last = since = now
        left = now - since
        over = not grown and (ending or left >= (min(quiet, settle) if len(files.waiting) > 1 else quiet))
        if over:
            files.waiting.pop(0)
            shown = (-1, -1)
        elif grown:
            shown = signature
        if signature is not None and (over or grown):
            yield Grown(read_whole(path), over)
            last = time.monotonic() if grown else last  # what the taker needed is not idleness of the source
        else:
            yield None
            time.sleep(LOOK_S)


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def whole_lines(found: Found) -> Found:
    """The file without the line that is still being written."""
    return replace(found, data=found.data[: found.data.rfind(b"\n") + 1])
