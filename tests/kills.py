"""Kill a run at a random moment, recover it, and hold it against what it had acknowledged.

The run is a process of its own that writes to a pipe, after each commit has returned, which frames that commit has
acknowledged. What the pipe said before the kill must be in the recovered run, with the same digests. Used by the
tests (a seeded sample) and by `tests/prove.py` (as many as asked).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zarr

from insitu.replay import verify
from insitu.store.recover import find_unsealed, recover
from insitu.store.runs import StoredRun

CHILD = """
import os, sys
from pathlib import Path
import orjson
from insitu.run import run
from insitu.store.writer import RunWriter
from tests.settings import setup

plain, told = RunWriter.commit, {}

def watched(self):
    bodies = {n: body for k, n, body in ((e[1], e[2], e[3]) for e in self.ledger._log) if k == "frame"}
    stored, spoken = plain(self)
    if stored:
        line = orjson.dumps([[n, orjson.loads(bodies[n])["arrays"]["frames"]] for n in stored])
        os.write(3, line + b"\\n")
    return stored, spoken

RunWriter.commit = watched
faults = ["missing@20-22", "duplicate@40", "reorder@60", "missing@100"]
more = {"shard_frames": 64} if int(sys.argv[2]) % 2 else {}
from tests.settings import detector
found = {"bench": {**detector(frames=1_000_000, seed=int(sys.argv[2]), faults=faults), **more}}
run(setup({"rules": []}, detectors=found), data_root=Path(sys.argv[1]))
"""

RECOVERING = """
import sys
from pathlib import Path
from insitu.store.recover import recover
print("begins", flush=True)
recover(Path(sys.argv[1]))
"""
ROOT = Path(__file__).resolve().parent.parent


def kill_once(root: Path, seed: int) -> dict[str, Any]:
    """One run killed at a seeded random moment after its first commit; what was acknowledged and what came back."""
    acknowledged, folder = killed(root, seed)
    return {"seed": seed, "acknowledged": acknowledged, **recovered(folder)}


def killed(root: Path, seed: int) -> tuple[dict[int, str], Path]:
    """One run killed at a seeded random moment after its first commit: digests by `n` of the frames that it had
    acknowledged, and its folder as the kill left it."""
    rng = np.random.default_rng(seed)
    read, write = os.pipe()
    with (
        subprocess.Popen(
            [sys.executable, "-c", _child_code(write), str(root), str(seed)],
            pass_fds=(write,),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as child,
        os.fdopen(read, "rb") as pipe,
    ):
        os.close(write)
        told = pipe.readline()  # the first commit: from here on the clock runs
        if not told:
            raise AssertionError(f"the run ended before it began: {child.communicate()[1]!r}")
        time.sleep(float(rng.uniform(0.0, 1.5)))
        child.send_signal(signal.SIGKILL)
        told += pipe.read()
    lines = told.split(b"\n")
    (folder,) = find_unsealed(root)
    return dict(pair for line in lines[:-1] for pair in orjson.loads(line)), folder


def recovered(folder: Path) -> dict[str, Any]:
    """What two recoveries of a folder said: the second must have had nothing to do."""
    return {"folder": folder, "report": recover(folder), "again": recover(folder)}


def kill_recovery(folder: Path, seed: int, times: int = 3) -> int:
    """Start so many recoveries of a folder, each killed at a seeded random moment; how many were hit before they had
    finished."""
    rng = np.random.default_rng((seed, 1))
    hit = 0
    for _ in range(times):
        with subprocess.Popen(
            [sys.executable, "-c", RECOVERING, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            if child.stdout.readline() != b"begins\n":
                raise AssertionError(f"no recovery began: {child.communicate()[1]!r}")
            time.sleep(float(rng.uniform(0.0, 0.2)))
            hit += child.poll() is None
            child.send_signal(signal.SIGKILL)
    return hit


def _child_code(fd: int) -> str:
    return CHILD.replace("os.write(3,", f"os.write({fd},")


def check(found: dict[str, Any]) -> dict[str, int]:
    """Raise where a frame is lost, a row is a ghost, or the run does not verify; counts for the report."""
    folder, acknowledged = found["folder"], found["acknowledged"]
    with StoredRun(folder) as run:
        stored = {e.n: (e.body["arrays"]["frames"], e.body["seq"]) for e in run.entries("frame")}
        lost = {n for n, digest in acknowledged.items() if stored.get(n, ("", 0))[0] != digest}
        rows = {seq for _, seq in stored.values()}
        assert not lost, f"seed {found['seed']}: acknowledged frames are lost: {sorted(lost)[:5]}"
        tally = run.tally()
        assert tally.balanced, tally
        assert tally.pending == 0
    segment = zarr.open_group(folder / "raw.zarr/det/0", mode="r")
    state, frames = np.asarray(segment["state"]), segment["frames"]
    assert set(np.flatnonzero(state == 0).tolist()) == rows, "a row is called stored that the ledger does not have"
    assert isinstance(frames, zarr.Array)
    assert frames.shape[0] == tally.sources["det"].expected
    for row in np.flatnonzero(state != 0):
        assert not np.asarray(frames[int(row)]).any(), f"row {row} is a ghost"
    assert found["again"]["already_sealed"]
    report = verify(folder)
    assert report.identical, report.findings
    return {"acknowledged": len(acknowledged), "stored": len(stored), "cut_bytes": found["report"].get("cut_bytes", 0)}
