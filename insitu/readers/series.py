"""A folder of files as a series: which files, in which order, and each read whole, once.

The order never depends on how the files lie on the disk: natural order of the names (`OH_9` before `OH_10`, letter
case aside), or the time in the header. A file without header time stays behind its natural neighbour.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from insitu.errors import SourceError
from insitu.readers.header import read_header
from insitu.readers.pattern import HEAD, decode_line

LARGEST = 256 * 1024 * 1024
"""A 1-D pattern is never larger than this (bytes); of what is, only the first MiB is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that was read: its bytes, its modification time (ns since 1970 UTC), or the problem that reading had."""

    path: Path
    data: bytes = b""
    mtime_ns: int = 0
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name, as text that can be stored whatever bytes it is made of."""
        return shown(self.path)


def shown(path: Path) -> str:
    """The name of a file without its folder, with odd bytes replaced."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def natural_key(path: Path) -> tuple[tuple[tuple[int, str], ...], str]:
    """Sorts numbers in names by size.

    >>> [p.name for p in sorted(map(Path, ["b_10.xy", "b_9.xy", "B_2.xy"]), key=natural_key)]
    ['B_2.xy', 'b_9.xy', 'b_10.xy']
    """
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return tuple((int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)), str(path)


def fits(name: str, pattern: str) -> bool:
    """Whether a file name may belong to the series: not hidden, and like the pattern, if there is one."""
    return not name.startswith(".") and (not pattern or fnmatchcase(name, pattern))


def find(path: str, pattern: str = "") -> list[Path]:
    """The files of a path (a file, a folder, or a glob such as `run7/*.xy`) in natural order."""
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    if place.is_dir():
        try:
            with os.scandir(place) as entries:
                files = [place / e.name for e in entries if fits(e.name, pattern) and e.is_file()]
        except OSError as error:
            raise SourceError(
                f"the folder cannot be read: {error.strerror}", where=str(place), remedy="Check its permissions"
            ) from error
    elif glob.has_magic(path):
        found = map(Path, glob.glob(str(place), recursive=True))
        files = [p for p in found if fits(p.name, pattern) and p.is_file()]
    else:
        raise SourceError(
            "there is no such file or folder",
            where=path,
            expected="a pattern, a folder of patterns, or a glob such as 'run7/*.xy'",
            remedy="Check the path, and that its disk is mounted",
        )
    return sorted(files, key=natural_key)


def read_whole(path: Path) -> Found:
    """The whole file in one read."""
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            too_large = stat.st_size > LARGEST
            data = file.read(1024 * 1024 if too_large else stat.st_size)
    except OSError as error:
        return Found(path=path, problem=f"the file cannot be read: {error.strerror or error}")
    problem = f"{stat.st_size} bytes are no 1-D pattern; only the first MiB is kept" if too_large else ""
    return Found(path=path, data=data, mtime_ns=stat.st_mtime_ns, problem=problem)


def header_time(path: Path, timezone: str) -> int | None:
    """The start time in a file's header, ns since 1970 UTC."""
    try:
        with open(path, "rb") as file:
            lines = file.read(HEAD).splitlines()[:200]
    except OSError:
        return None  # reading it in its turn will say what is wrong
    return read_header(map(decode_line, lines), timezone).time_ns


def by_time(
    paths: list[Path], timezone: str, start: Callable[[Path, str], int | None] = header_time
) -> Iterator[list[Path] | None]:
    """None for every header that was looked at, then the files in order of time. `start` finds that of a file.

    Raises `SourceError` where no header of several has a time.
    """
    keyed, last, timed = [], 0, False
    for path in paths:
        found = start(path, timezone)
        timed = timed or found is not None
        last = last if found is None else found
        keyed.append((last, path))
        yield None
    if len(paths) > 1 and not timed:
        raise SourceError(
            "no header has a time",
            where=str(paths[0].parent),
            expected="a line such as '# Scan time = APR 25, 2011 12:35:45'",
            remedy='Set order = "natural"',
        )
    yield [path for _, path in sorted(keyed, key=lambda item: item[0])]
