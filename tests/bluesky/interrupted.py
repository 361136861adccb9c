"""A script with a session in mode `act` on whose terminal Ctrl-C is pressed: `python -m tests.bluesky.interrupted
FOLDER`, as the leader of a session of its own. The RunEngine has the main thread, and its own handler of SIGINT."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bluesky import RunEngine, plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted

from tests.bluesky.camera import Heard, session
from tests.bluesky.killing import Numbered

bps: Any = plan_stubs
bpp: Any = preprocessors
ROUNDS = ((1, "resume"), (2, "resume"), (2, "abort"), (2, "stop"), (2, "halt"))
"""How often it is pressed, and what the operator does then."""
APART_S = 0.12
"""Bluesky takes presses for one that come within 0.1 s."""


def pressed(times: int) -> None:
    """As a terminal does it: every process of the group gets the signal."""
    for _ in range(times):
        os.killpg(0, signal.SIGINT)
        time.sleep(APART_S)


def pictures(camera: Numbered, times: int, cleaned: list[int]) -> Any:
    """Two pictures from each checkpoint; Ctrl-C is pressed between those of the third."""
    pressing = threading.Thread(target=pressed, args=(times,), daemon=True)

    def taken() -> Any:
        for k in range(6):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([camera, camera.beam])
            if k == 2 and pressing.ident is None:
                pressing.start()
                yield from bps.sleep(0.6)
            yield from bps.trigger_and_read([camera, camera.beam])

    def clean() -> Any:
        cleaned.append(times)
        yield from bps.null()

    @bpp.run_decorator()
    def plan() -> Any:
        yield from bpp.finalize_wrapper(taken(), clean())

    return plan()


def main(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    engine, camera = RunEngine({}), Numbered()
    heard, rounds, cleaned = Heard(engine), [], list[int]()
    with session(engine, folder) as insitu:
        pid = insitu.pid
        for times, then in ROUNDS:
            interrupted = False
            try:
                engine(pictures(camera, times, cleaned))
            except RunEngineInterrupted:
                interrupted = engine.state == "paused"
            try:
                getattr(engine, then)()
            except RunEngineInterrupted:
                interrupted = False
            stop = heard["stop"][-1]
            rounds.append([interrupted, engine.state, stop["exit_status"], len(cleaned), engine.rewindable])
        same = insitu.pid == pid and os.getpgid(pid) != os.getpgid(0)
    print(json.dumps({
        "rounds": rounds, "same_process": same, "events": [int(e["data"]["camera"][0, 0]) for e in heard["event"]],
        "runs": [[s.path, s.ended, s.frames["lost"]] for s in insitu.summaries],
    }))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
