"""A stored run over the processors of this computer: several processes measure, this one judges, in order of `n`.

`measure` is pure, so that its blocks may be done anywhere; `judge` is a fold, and stays here. What comes out is the
same to the last bit, however many processes there are; where one of them dies, this one goes on alone from where it
was.
"""

import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from insitu.config import Setup
from insitu.pipeline import Pipeline
from insitu.replay.carried import LENGTH, Share, unpack
from insitu.replay.fold import FIRST, MOST_BYTES, fold, left_out, reference_fold
from insitu.replay.kept import Kept
from insitu.run.environment import threads_per_process
from insitu.store.runs import StoredRun
from insitu.types import Measurement, Record

log = logging.getLogger(__name__)
PAYS_S = 15.0
"""More processes are started where this one would still be at it for so long: each needs seconds to begin."""
POLITE = 10
"""Niceness of processes that nobody asked for: what runs live on this computer comes first."""
BLOCK_S = 0.25
MOST_IN_BLOCK = 64
MOST_PROCESSES = 16


class Judged(NamedTuple):
    """A record, and how many bytes its frame has."""

    nbytes: int
    record: Record


def judged(
    source: StoredRun,
    setup: Setup,
    settings: Path,
    *,
    left: StoredRun | None = None,
    known: Kept | None = None,
    pipeline: Pipeline | None = None,
    growing: bool = False,
    processes: int | None = None,
    pays_s: float = PAYS_S,
) -> Iterator[Judged]:
    """The records of all frames of `source` by the recipe of `setup`, which also lies in the folder `settings`. `left`:
    the run that says which frames were left out. `known`: features that are not computed again. `pipeline`: a fresh one
    of the recipe, where there is one. `processes`: at most so many (None: as many as there are idle processors)."""
    pipeline, out = pipeline or setup.pipeline(), frozenset[int]() if left is None else left_out(left)
    of = known.of if known is not None and known.keys else None
    total = _count(source, "frame") - len(out)
    done, last = 0, -1
    share = _share(source, settings, left, None if of is None or known is None else known.run, processes)
    began = 0.0
    for frame, record in fold(source, pipeline, reference_fold(setup), out, growing=growing, known=of):
        yield Judged(frame.data.nbytes, record)
        done, last = done + 1, frame.n
        if share is None or (done > 1 and (done - sum(FIRST)) % pipeline.batch(frame.source)):
            continue
        if done == 1:
            began = time.monotonic()  # the first one waits for what is made once
            continue
        each = (time.monotonic() - began) / (done - 1)
        if each * (total - done) > pays_s:
            size = min(MOST_IN_BLOCK, int(BLOCK_S / max(each, 1e-6)), MOST_BYTES // max(frame.data.nbytes, 1))
            share = share._replace(after=last, size=max(1, size))
            break
    else:
        return
    for nbytes, measurement in _measured(share):
        yield Judged(nbytes, pipeline.judge(measurement))
        done, last = done + 1, measurement.n
    if done < total:
        log.warning("a process that measures frames has ended; this one goes on alone from frame n = %d", last + 1)
        for frame, record in fold(source, pipeline, reference_fold(setup), out, known=of, after=last):
            yield Judged(frame.data.nbytes, record)


def _share(
    source: StoredRun, settings: Path, left: StoredRun | None, known: StoredRun | None, processes: int | None
) -> Share | None:
    """What others can do of it; None where this process does it all."""
    count = min(processes or _idle(), MOST_PROCESSES)
    if count < 2 or not source.sealed or _count(source, "provisional") or not sys.executable:
        return None
    of_left, of_known = (str(run.path.absolute()) if run is not None else "" for run in (left, known))
    nice = 0 if processes else POLITE
    return Share(str(source.path.absolute()), str(settings.absolute()), of_left, of_known, -1, 1, 0, count, nice)


def _idle() -> int:
    """Processors with nothing to do in the last minute, and the one that this process is on."""
    return max(1, threads_per_process() - max(0, round(os.getloadavg()[0]) - 1))


def _count(run: StoredRun, kind: str) -> int:
    return next(run.query("SELECT count(*) FROM log WHERE kind = ?", (kind,)))[0]


def _measured(share: Share) -> Iterator[tuple[int, Measurement]]:
    """The measurements of all shares, in order of `n`, as far as they come."""
    team: list[_Process] = []
    try:
        for place in range(share.of):
            team.append(_Process(share._replace(place=place)))
        turn = 0
        while (block := team[turn % share.of].next()) is not None:
            yield from unpack(block)
            turn += 1
    except OSError as e:
        log.warning("no more processes can be started: %s", e)
    finally:
        for process in team:
            process.end()


class _Process:
    """One that measures, and a thread that reads what it writes, two blocks ahead."""

    def __init__(self, share: Share) -> None:
        ours, theirs = os.pipe()
        path = [p or os.getcwd() for p in sys.path]
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "insitu.replay.sharing", str(theirs), orjson.dumps([*share]).decode()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                pass_fds=(theirs,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._pipe = os.fdopen(ours, "rb")
        self._blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="insitu-share", daemon=True)
        self._thread.start()

    def next(self) -> bytes | None:
        """The next block; None where there is no more."""
        return self._blocks.get()

    def end(self) -> None:
        """It is not wanted any more."""
        self._over.set()
        self._child.kill()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._blocks.get(timeout=0.05)
        self._child.wait()
        self._pipe.close()

    def _read(self) -> None:
        while not self._over.is_set():
            length = int.from_bytes(self._pipe.read(LENGTH), "little")
            block = self._pipe.read(length) if length else b""
            if not length or len(block) < length:
                break
            self._blocks.put(block)
        self._blocks.put(None)
