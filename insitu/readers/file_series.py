"""Files as a series, for every reader of files: a file, a folder or a glob that is there, or a folder that is followed.

A reader says which names may be its own, when bytes are whole, and when a file's data were begun; this room finds,
orders, reads and waits.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal

from insitu.errors import ConfigError, SourceError
from insitu.readers.follow import State, follow
from insitu.readers.growth import Grown, grow
from insitu.readers.header import zone
from insitu.readers.series import Found, by_time, find, fits, natural_key, read_whole

Order = Literal["natural", "time"]


def check_series(path: str, pattern: str, sentinel: str, idle: float, settle: float, count: int | None) -> None:
    """Refuse what cannot be meant, for every reader of files: `ConfigError` with the key."""
    if not str(path):
        raise ConfigError("the path is empty", where="path", expected="a file, a folder or a glob")
    for key, text in (("pattern", pattern), ("sentinel", sentinel)):
        if "/" in text:
            raise ConfigError(f"{text!r} holds a folder", where=key, expected="a file name", remedy="Use path")
    if not idle > 0:
        raise ConfigError(f"{idle} s is no time to wait", where="idle", expected="more than 0 s")
    if not settle >= 0:
        raise ConfigError(f"{settle} s is no time to wait", where="settle", expected="0 s or more")
    if count is not None and count < 1:
        raise ConfigError(f"{count} frames is no series", where="count", expected="1 or more")


class FileSeries:
    """The files of one reader, in order; `files()` reads them one by one, with None for each wait.

    `other`: suffixes of files that are something else and are passed over unless `pattern` picks them. `state` judges
    the bytes of a file that is followed; `start` finds the time at which a file's data were begun, ns. After a
    reading, `changed` names files that were still written to after they had been read.
    """

    def __init__(
        self,
        path: str,
        *,
        pattern: str,
        order: Order,
        follow: bool,
        idle: float,
        count: int | None,
        sentinel: str,
        settle: float,
        timezone: str,
        other: frozenset[str],
        state: Callable[[Found], State],
        start: Callable[[Path, str], int | None],
    ) -> None:
        check_series(path, pattern, sentinel, idle, settle, count)
        if follow and Path(path).expanduser().is_file():
            raise ConfigError("a file cannot be followed", where="follow", expected="a folder", remedy="Drop follow")
        zone(timezone)
        self.path, self.pattern, self.order, self.follow = str(path), pattern, order, follow
        self.idle, self.sentinel, self.settle, self.timezone = float(idle), sentinel, float(settle), timezone
        self._other, self._state, self._start = other, state, start
        self.changed: list[str] = []

    @property
    def alone(self) -> bool:
        """Whether one file was given: what is wrong with it is then an error."""
        return Path(self.path).expanduser().is_file()

    def files(self) -> Generator[Found | None]:
        """Every file, read whole, in order. Raises `SourceError` where the path is not there."""
        self.changed = []
        return self._followed() if self.follow else self._listed()

    def candidate(self, name: str) -> bool:
        """Whether a name may be the reader's; one that `pattern` picked always may."""
        return name != self.sentinel and (bool(self.pattern) or Path(name).suffix.lower() not in self._other)

    def nothing(self, what: str, formats: str, skipped: list[str]) -> SourceError:
        """The error of a series without `what`."""
        if self.follow:
            told, remedy = f"no {what} came within {self.idle:g} s", "Start the scan earlier, or make idle longer"
        else:
            told, remedy = f"there is no {what} here", "Check the path"
            folder = Path(self.path).expanduser()
            if folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir()):
                remedy += f", or take those of the folders in it: --input '{folder}/*/*'"
        if skipped:
            told += f"; {len(skipped)} files were skipped, {skipped[0]} first"
        return SourceError(told, where=self.path, expected=formats, remedy=remedy)

    def _listed(self) -> Generator[Found | None]:
        files = find(self.path, self.pattern)
        if len(files) != 1 or files[0] != Path(self.path).expanduser():
            files = [p for p in files if self.candidate(p.name)]
        if self.order == "time":
            for step in by_time(files, self.timezone, self._start):
                if step is None:
                    yield None
                else:
                    files = step
        for path in files:
            yield read_whole(path)

    def _followed(self) -> Generator[Found | None]:
        folder, pattern = self._folder()
        return follow(
            folder,
            lambda name: fits(name, pattern) and self.candidate(name),
            self._state,
            self._ordered,
            idle=self.idle,
            settle=self.settle,
            sentinel=self.sentinel,
            changed=self.changed,
        )

    def growing(self, quiet: float) -> Generator[Grown | None]:
        """Files that are written point by point, as they grow (`insitu.readers.growth`)."""
        self.changed = []
        folder, pattern = self._folder()
        if not folder.is_dir():
            raise SourceError("there is no such folder", where=str(folder), remedy="Make it before the run starts")
        return grow(
            folder,
            lambda name: fits(name, pattern) and self.candidate(name),
            quiet=quiet,
            idle=self.idle,
            settle=self.settle,
            sentinel=self.sentinel,
        )

    def _folder(self) -> tuple[Path, str]:
        """The folder that is followed, and which of its names count."""
        folder, pattern = Path(self.path).expanduser(), self.pattern
        if not folder.is_dir() and glob.has_magic(folder.name):
            folder, pattern = folder.parent, pattern or folder.name
        return folder, pattern

    def _ordered(self, files: list[Path]) -> list[Path]:
        files = sorted(files, key=natural_key)
        if self.order == "time" and len(files) > 1:
            steps = by_time(files, self.timezone, self._start)
            return next(step for step in steps if step is not None)
        return files
