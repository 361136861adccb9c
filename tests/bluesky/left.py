"""A session that is killed in the middle of a plan: `python -m tests.bluesky.left FOLDER`. Pictures in the run's store,
a number, and a second stream with texts; the plan goes on until somebody kills it. What a plain subscriber hears is in
FOLDER/heard.jsonl, and the documents on their way to Tiled in FOLDER/waits."""

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from bluesky import plan_stubs, preprocessors
from ophyd.sim import SynSignal

from insitu.bluesky import InsituDetector, Session
from insitu.bluesky.carrier import Carrier
from tests.sessions import run_engine

NOBODY = "http://127.0.0.1:9/api/v1"
AHEAD = 5
"""So many events are in the file before it says so; the plan goes on."""
RECIPE = {"format": 1, "title": "pictures", "detectors": ["bench"], "features": [{"use": "totals"}]}
BENCH = {"format": 1, "source": "cam", "reader": {"use": "device"}}
bps: Any = plan_stubs
bpp: Any = preprocessors


def picture(number: int) -> np.ndarray:
    """The one that was taken as this event."""
    return np.arange(35, dtype="u2").reshape(5, 7) + np.uint16(100 * number)


def main(folder: Path) -> None:
    taken, counted = itertools.count(1), itertools.count(1)
    counter = SynSignal(func=lambda: next(counted), name="counter")
    other = SynSignal(func=lambda: "text", name="other")
    with (
        (folder / "heard.jsonl").open("wb") as heard,
        run_engine() as engine,
        Session(engine, RECIPE, data_root=folder, detectors={"bench": BENCH}) as insitu,
        Carrier(NOBODY, folder / "waits") as tiled,
    ):

        def hear(name: str, document: Any) -> None:
            heard.write(orjson.dumps([name, document], option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            heard.flush()

        engine.subscribe(hear)
        engine.subscribe(tiled)
        camera = InsituDetector(insitu, "cam", lambda: picture(next(taken)), unit="counts", wait_s=30.0)

        @bpp.stage_decorator([camera])
        @bpp.run_decorator(md={"plan_name": "killed"})
        def plan() -> Any:
            for k in itertools.count(1):
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([camera, counter])
                if k % 2:
                    yield from bps.trigger_and_read([other], name="others")
                if k == AHEAD:
                    while tiled._bytes_in != tiled._bytes_out:
                        time.sleep(0.005)
                    print("there", flush=True)

        engine(plan())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
