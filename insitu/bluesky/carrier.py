"""Documents of a RunEngine on their way to Tiled: the scan only enqueues, files keep them, another process carries.

    from insitu.bluesky.carrier import Carrier

    with Carrier("http://localhost:8000", "insitu-data/tiled") as tiled:
        RE.subscribe(tiled)
        RE(scan([pilatus], furnace, 300, 700, 81))

bluesky's `TiledWriter` as a subscriber holds up the plan for as long as Tiled needs, and its error ends the plan;
`BufferingWrapper` drops the documents that Tiled did not take. Here each plan's run is a file in `folder` until all of
it is in Tiled and has been read back from there. A run whose process was killed is ended and carried by the next one.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from insitu.bluesky.heads import HEADS
from insitu.bluesky.outlet import weight
from insitu.bluesky.parts import PART, WHOLE, begun, orphans
from insitu.bluesky.parts import TORN as ASIDE
from insitu.bluesky.wire import Packing
from insitu.errors import ConfigError, UsageError

log = logging.getLogger(__name__)
ROOM = 256_000_000
NAMING = ("uid", "run_start", "descriptor", "stream_resource", "resource")
"""What tells of a document which run it is of."""
TORN = "insitu_torn"
"""In the place of a document that is left out."""
Document = Mapping[str, Any]


class Carrier:
    """Subscribe it to a RunEngine; `close` it, or use it as a context manager.

    `uri`: of Tiled's server, as for `TiledWriter.from_uri`. `folder`: where documents wait; those that an earlier one
    left there are carried too, and so is what there is of a run that its process did not end. `room`: bytes that may
    wait to be written to it; what comes beyond is left out, with the rest of its run, and counted (`lost`).
    """

    def __init__(self, uri: str, folder: str | Path, *, room: int = ROOM) -> None:
        if room < 1:
            raise UsageError(f"room for {room} bytes", where="room", expected="1 or more")
        if find_spec("tiled") is None:
            raise ConfigError(
                "documents cannot go to Tiled: tiled is not installed", remedy="pip install 'insitu[tiled]'"
            )
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lost = 0
        """Documents that are in no file: no room, a full disk, or what cannot be written."""
        self._uri, self._room = uri, room
        self._bytes_in = self._bytes_out = 0
        self._queue: SimpleQueue[tuple[str, Document, int] | None] = SimpleQueue()
        self._files: dict[str, IO[bytes]] = {}
        self._runs: dict[str, str] = {}
        self._torn: set[str] = set()
        self._packing, self._closed = Packing(), False
        self._process = self._started()
        self._thread = threading.Thread(target=self._work, name="insitu-carrier", daemon=True)
        self._thread.start()

    def __call__(self, name: str, document: Document) -> None:
        """A document, from any thread. Only enqueues, never raises, never waits."""
        try:
            if self._closed:
                self.lost += 1
                return
            size = weight(document)
            if name not in HEADS and name != "stop" and self._bytes_in - self._bytes_out + size > self._room:
                self.lost += 1  # which run it is of is found in its turn: after what that began with
                document, size = {k: v for k, v in document.items() if k in NAMING} | {TORN: True}, 0
            self._bytes_in += size
            self._queue.put((name, dict(document), size))
        except Exception:  # noqa: BLE001 - whatever it is: the scan is not to notice
            self.lost += 1

    @property
    def waiting(self) -> int:
        """Runs that are not in Tiled yet: whole ones, those of ours that go on, and those that nobody writes any
        more."""
        handed_over = 1 if self._bytes_in != self._bytes_out and not self._closed else 0  # not in a file yet
        left = {path.stem for path in orphans(self.folder)}  # before the whole ones: it may become one meanwhile
        left |= {path.stem for path in self.folder.glob(f"*{WHOLE}")}
        return max(handed_over, len(self._files) + len(left))

    @property
    def pid(self) -> int:
        """Of the process that carries them."""
        return self._process.pid

    def close(self, timeout_s: float = 60.0) -> int:
        """No more documents: a run that goes on ends here for Tiled. Waits, at most so long, until all is there; how
        many runs are not, and stay in the folder for the next one."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join(timeout_s)
        until = time.monotonic() + timeout_s
        while self.waiting and time.monotonic() < until and self._process.poll() is None:
            time.sleep(0.02)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:  # it waits for Tiled: its files stay
            self._process.kill()
            self._process.wait()
        left = self.waiting
        if left:
            log.warning("insitu: %d runs are not in Tiled yet; they wait in %s", left, self.folder)
        return left

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- in our thread ----

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            name, document, size = item
            try:
                self._write(name, document)
            except Exception as e:  # noqa: BLE001 - the boundary: told, and the scan goes on
                self.lost += 1
                with suppress(KeyError):  # of a run that had begun before we were asked: nothing of it is kept
                    self._tear(self._run_of(name, document))
                log.error("insitu: a document (%s) is not kept for Tiled: %s: %s", name, type(e).__name__, e)
            self._bytes_out += size
            if self._process.poll() is not None and not self._closed:
                log.error("insitu: what carries documents to Tiled has ended; another one begins")
                try:
                    self._process = self._started()
                except OSError as e:
                    log.error("insitu: it cannot be started: %s; documents stay in %s", e, self.folder)
        for run in [*self._files]:
            self._files.pop(run).close()  # nobody's from now on

    def _write(self, name: str, document: Document) -> None:
        run = self._run_of(name, document)
        if TORN in document:
            self._tear(run)
            return
        if name == "start":
            self._files[run] = begun(self.folder / f"{run}{PART}")
        elif "uid" in document and name in ("descriptor", "resource", "stream_resource"):
            self._runs[document["uid"]] = run
        file = self._files[run]
        if run not in self._torn:
            file.write(b"".join(self._packing(name, document)))
            file.flush()
        if name == "stop":
            self._runs = {uid: of for uid, of in self._runs.items() if of != run}
            with self._files.pop(run):  # it has its name before it is nobody's
                if run not in self._torn:
                    os.fsync(file.fileno())
                    (self.folder / f"{run}{PART}").rename(self.folder / f"{run}{WHOLE}")
            self._torn.discard(run)

    def _tear(self, run: str) -> None:
        """One of its documents is missing: it never passes for whole, whatever becomes of us."""
        self._torn.add(run)
        with suppress(FileNotFoundError):  # it has been set aside already, or has no file
            (self.folder / f"{run}{PART}").rename(self.folder / f"{run}{ASIDE}")

    def _run_of(self, name: str, document: Document) -> str:
        """The run that a document is of."""
        if name == "start":
            return document["uid"]
        if "run_start" in document:
            return document["run_start"]
        for key in ("descriptor", "stream_resource", "resource"):
            if document.get(key) in self._runs:
                return self._runs[document[key]]
        raise KeyError(f"a {name} of a run that is not known")

    def _started(self) -> subprocess.Popen[bytes]:
        """The process that carries; it hears no Ctrl-C of the terminal."""
        path = [p or os.getcwd() for p in sys.path]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "insitu.bluesky.carried"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"uri": self._uri, "folder": str(self.folder)}).encode() + b"\n")
        process.stdin.flush()
        return process
