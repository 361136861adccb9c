"""Files that appear in a folder while we watch: each given once, whole, in the order in which they become complete.

The watch begins before the first look at the folder, so that nothing falls between; the folder is also looked through
every two seconds, because network file systems tell of nothing. A file is read when its size and modification time
have not changed for `settle` seconds by our clock (the file server's clock is not trusted), and is kept only if they
are the same after reading. `state` then judges the bytes:

- complete: given at once;
- unsure (nothing is missing that could be known to be: columns of text do not say how many rows there will be):
  given when unchanged for ten times `settle`;
- incomplete (rows that the header declares are missing, or none is there yet): given when unchanged for `idle`
  seconds, or when the series ends; until then files behind it go first.

The series ends when nothing has changed for `idle` seconds, or when the file `sentinel` is there and all that was
there with it is given. A file whose content changes after it was given is not given again, and one that vanishes
before it could be read is no frame: both are told.
"""

from __future__ import annotations

import logging
import os
import queue
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from insitu.errors import SourceError
from insitu.readers.series import Found, read_whole, shown

State = Literal["complete", "unsure", "incomplete"]
Order = Callable[[list[Path]], list[Path]]
TICK = 0.1
"""Longest wait between two looks, s."""
RESCAN = 2.0
"""How often the whole folder is looked through, s."""
LATEST = 50
"""How many of the files given last are looked at again then."""
_WRITES = ("created", "modified", "moved", "closed")

log = logging.getLogger(__name__)


class Signature(NamedTuple):
    """What changes when a file does."""

    size: int
    mtime_ns: int
    inode: int


class _Given(NamedTuple):
    """A file that was given: how it looked, and the checksum of what was read."""

    signature: Signature
    checksum: int


@dataclass(slots=True)
class _Waiting:
    """A file not yet given: how it looked last, since when (our clock), and what its bytes were judged to be."""

    signature: Signature
    since: float
    state: State | None = None


class _Watch(FileSystemEventHandler):
    """Names of a folder's files that were written to, from the operating system."""

    def __init__(self, folder: Path) -> None:
        self._names: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._observer = Observer()
        try:
            self._observer.schedule(self, str(folder), recursive=False)
            self._observer.start()
        except OSError as error:  # no watches left, for example: the regular look is enough, only slower
            log.warning("%s cannot be watched (%s): it is looked through every %g s", folder, error, RESCAN)

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _WRITES and not event.is_directory:
            self._names.put(os.path.basename(os.fsdecode(event.dest_path or event.src_path)))

    def names(self, wait_s: float) -> set[str]:
        """What was written to since the last call; waits at most so long for the first."""
        names: set[str] = set()
        try:
            names.add(self._names.get(timeout=wait_s) if wait_s > 0 else self._names.get_nowait())
            while True:
                names.add(self._names.get_nowait())
        except queue.Empty:
            return names

    def close(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(5)


class _Follower:
    """The files of one folder: waiting ones and given ones. `changed`: when anything last happened (our clock)."""

    def __init__(self, folder: Path, wanted: Callable[[str], bool], state: Callable[[Found], State]) -> None:
        self.folder, self.wanted, self.state = folder, wanted, state
        self.waiting: dict[str, _Waiting] = {}
        self.given: dict[str, _Given | None] = {}
        self.altered: list[str] = []
        self.changed = time.monotonic()

    def listing(self) -> set[str]:
        try:
            with os.scandir(self.folder) as entries:
                return {e.name for e in entries if self.wanted(e.name) and e.is_file()}
        except OSError as error:
            raise SourceError(
                f"the followed folder cannot be read: {error.strerror}",
                where=str(self.folder),
                remedy="Make the folder before the run starts, and do not move it while it is followed",
            ) from error

    def look(self, names: set[str]) -> None:
        """Notice which of these files are new, changed or gone."""
        now = time.monotonic()
        for name in names:
            if not self.wanted(name):
                continue
            signature = _signature(self.folder / name)
            waiting = self.waiting.get(name)
            if name in self.given:
                known = self.given[name]
                if known is not None and signature is not None and signature != known.signature:
                    self.given[name] = self.again(name, known, signature)
            elif signature is None:
                if waiting is not None:
                    log.warning("%s vanished before it could be read", name)
                    del self.waiting[name]
            elif waiting is None or waiting.signature != signature:
                self.waiting[name] = _Waiting(signature, now)
                self.changed = now

    def again(self, name: str, known: _Given, signature: Signature) -> _Given | None:
        """Tell that a file that was given has another content now: None from then on. A new time alone is nothing."""
        found = read_whole(self.folder / name)
        if not found.problem and zlib.crc32(found.data) == known.checksum and signature.size == known.signature.size:
            return _Given(signature, known.checksum)
        self.altered.append(name)
        title = _shown(name)
        if signature.size > known.signature.size:
            log.warning(
                "%s was still being written when it was read: %s bytes then, %s now. Its frame holds what was there; "
                "choose settle longer than the writer pauses",
                *(title, f"{known.signature.size:,}", f"{signature.size:,}"),
            )
        else:
            log.warning("%s changed after it was read: the frame is what was read", title)
        return None

    def settled(self, settle: float) -> list[Path]:
        """Files that have not changed for so long."""
        now = time.monotonic()
        return [self.folder / name for name, file in self.waiting.items() if now - file.since >= settle]

    def read(self, path: Path, idle: float, settle: float, ending: bool) -> Found | None:
        """The file, if it has been quiet for long enough, and is whole or will not become so."""
        waiting = self.waiting[path.name]
        quiet = time.monotonic() - waiting.since
        patient = {"unsure": min(idle, 10 * settle), "incomplete": idle}.get(waiting.state or "", settle)
        if quiet < (settle if ending else patient):
            return None
        found = read_whole(path)
        if _signature(path) != waiting.signature:
            return None  # it changed under our hands: the next look will notice
        waiting.state = "incomplete" if found.problem else self.state(found)
        final = ending or waiting.state == "complete"
        if not final and quiet < (idle if waiting.state == "incomplete" else min(idle, 10 * settle)):
            return None
        self.given[path.name] = _Given(self.waiting.pop(path.name).signature, zlib.crc32(found.data))
        return found


def _shown(name: str) -> str:
    return shown(Path(name))


def _signature(path: Path) -> Signature | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return Signature(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def follow(
    folder: Path,
    wanted: Callable[[str], bool],
    state: Callable[[Found], State],
    order: Order,
    *,
    idle: float,
    settle: float,
    sentinel: str = "",
    changed: list[str] | None = None,
) -> Generator[Found | None]:
    """Files as they become complete, and None at least every 0.2 s between (see the head of this file).

    `wanted(name)`: which files count; `order`: sorts files that are ready at the same time; `changed` is filled with
    the names of files whose content was another one after they had been given.
    """
    if not folder.is_dir():
        raise SourceError("there is no such folder", where=str(folder), remedy="Make it before the run starts")
    with closing(_Watch(folder)) as watch:
        files = _Follower(folder, lambda name: name != sentinel and wanted(name), state)
        files.altered = files.altered if changed is None else changed
        scanned, ending, wait_s = float("-inf"), False, 0.0
        while True:
            heard = watch.names(wait_s)
            ending = ending or bool(sentinel and (folder / sentinel).exists())
            quiet = time.monotonic() - files.changed
            if ending or quiet >= idle or time.monotonic() - scanned >= RESCAN:
                heard |= (files.listing() - files.given.keys()) | set(list(files.given)[-LATEST:])
                scanned = time.monotonic()
            before = files.changed
            files.look(heard | files.waiting.keys())
            over = quiet >= idle and files.changed == before
            given = 0
            for path in order(files.settled(settle)):
                found = files.read(path, idle, settle, ending)
                if found is not None:
                    given += 1
                    yield found
                    if not over:
                        files.changed = time.monotonic()  # what the taker needed is not idleness of the source
            if (over or ending) and not files.waiting:
                files.look(set(files.given))
                if len(files.altered) > 1:
                    names = ", ".join(map(_shown, files.altered[:5])) + (" ..." if files.altered[5:] else "")
                    log.warning("%d files changed after they were read: %s", len(files.altered), names)
                return
            if not given:
                yield None
            wait_s = 0.0 if given else TICK
