"""A session whose process is killed again and again in one long plan: used by a test and `tests/prove.py`."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import plan_stubs, preprocessors

from insitu.store.recover import find_unsealed, recover
from insitu.store.runs import StoredRun
from tests.bluesky.camera import Camera, Heard, entries, session
from tests.sessions import run_engine

bps: Any = plan_stubs
bpp: Any = preprocessors


class Numbered(Camera):
    """Pictures that hold their number."""

    def _take(self) -> np.ndarray:
        return np.full_like(super()._take(), self.taken)


def killed(seed: int, folder: Path, kills: int, *, limit_s: float = 1200.0) -> dict[str, int]:
    """So many SIGKILLs of the session's process at random moments of one plan. The scan goes on as if nothing were;
    each run continues the one before; every frame that was acknowledged is there, as it was taken; and no more are
    missing than the documents of which the next run says that they were on their way."""
    rng, acknowledged = random.Random(seed), dict[str, int]()
    with run_engine() as engine, session(engine, folder) as insitu:
        heard = Heard(engine)

        def kill() -> None:
            until, was = time.monotonic() + limit_s, ""
            for _ in range(kills):
                while insitu.run.uid == was or insitu.run.received().get("cam", 0) < 1:  # it works again
                    assert time.monotonic() < until, "the next run does not begin"
                    time.sleep(0.005)
                time.sleep(rng.uniform(0.0, 0.5))
                run, was = insitu.run, insitu.run.uid
                os.kill(insitu.pid, signal.SIGKILL)
                while run.alive:
                    time.sleep(0.001)
                acknowledged[was] = run.status()["frames"]["stored"]

        @bpp.run_decorator()
        def plan() -> Any:
            end = time.monotonic() + limit_s
            while killer.is_alive() or insitu.run.received().get("cam", 0) < 20:
                assert time.monotonic() < end, "it takes too long"
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([camera, camera.beam])
                yield from bps.sleep(0.005)

        killer, camera = threading.Thread(target=kill, daemon=True), Numbered((16, 16))
        killer.start()
        engine(plan())
    assert len(acknowledged) == kills, "the killer's thread has failed"
    assert [d["exit_status"] for d in heard["stop"]] == ["success"]
    for path in find_unsealed(folder):  # killed before it had sealed the one before
        recover(path)
    return checked([Path(s.path) for s in insitu.summaries], acknowledged, heard)


def checked(paths: list[Path], acknowledged: dict[str, int], heard: Heard) -> dict[str, int]:
    """What is on disk afterwards, against what the RunEngine told its other subscribers."""
    taken = [int(event["data"]["camera"][0, 0]) for event in heard["event"]]
    there, told, last = list[int](), 0, ""
    for path in paths:
        begun = entries(path, "open")[0]
        assert begun["continues"] == last, "a run does not continue the one before"
        last = path.name
        told += sum(e["documents_on_their_way"] for e in entries(path, "event") if e["what"] == "process_ended")
        with StoredRun(path) as run:
            seal = run.seal_body()
            assert seal is not None
            assert seal["ended"] == ("failed" if last in acknowledged else "complete"), seal
            frames = list(run.frames())
        assert len(frames) >= acknowledged.get(last, 0), "an acknowledged frame is gone"
        assert all((f.data == f.data[0, 0]).all() for f in frames)
        there += [int(f.data[0, 0]) for f in frames]
    assert there == [k for k in taken if k in set(there)], "a frame is there twice, or in another order"
    missing = len(taken) - len(there)
    assert missing <= told, f"{missing} frames are missing, and {told} documents were told"
    return {
        "kills": len(acknowledged), "frames": len(taken), "acknowledged": sum(acknowledged.values()),
        "stored": len(there), "missing": missing, "told_as_on_their_way": told,
    }  # fmt: skip


__all__ = ["killed"]
