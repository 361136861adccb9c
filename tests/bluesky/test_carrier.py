"""Tiled in a process of its own, stopped and killed in mid-scan: the plan goes on as if nothing were, and everything is
there row for row in the end. Without Tiled nothing is lost either."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import plan_stubs, preprocessors
from ophyd.sim import SynSignal

from insitu.bluesky import InsituDetector, Session
from insitu.bluesky.carrier import Carrier
from tests.bluesky.camera import Heard
from tests.sessions import run_engine
from tests.tiled_server import Forks, Tiled
from tests.waiting import until

bps: Any = plan_stubs
bpp: Any = preprocessors
EVENTS = 40


def plan(camera: Any, counter: SynSignal, at_half: Any = lambda: None) -> Any:
    """So many events: a number, and a picture in our store. `at_half`: is done in the middle of it."""

    @bpp.stage_decorator([camera])
    @bpp.run_decorator()
    def taken() -> Any:
        for k in range(EVENTS):
            if k == EVENTS // 2:
                at_half()
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([camera, counter])

    return taken()


@pytest.fixture
def server(tiled_forks: Forks, tmp_path: Path) -> Iterator[Tiled]:
    server = Tiled(tiled_forks, tmp_path / "tiled", tmp_path)
    try:
        yield server
    finally:
        server.close()


@pytest.mark.timeout(600)
def test_a_stopped_and_a_killed_tiled_do_not_touch_the_scan_and_get_everything_in_the_end(server, tmp_path):
    recipe = {"format": 1, "title": "pictures", "detectors": ["bench"], "features": [{"use": "totals"}]}
    bench = {"format": 1, "source": "cam", "reader": {"use": "device"}}
    rng = np.random.default_rng(0)
    taken: list[np.ndarray] = []

    def grab() -> np.ndarray:
        taken.append(rng.integers(0, 60000, (5, 7)).astype("u2"))
        return taken[-1]

    counter = SynSignal(func=lambda: len(taken), name="counter")
    with run_engine() as engine, Carrier(server.uri, tmp_path / "waits") as tiled:
        heard = Heard(engine)
        engine.subscribe(tiled)
        with Session(engine, recipe, data_root=tmp_path, detectors={"bench": bench}) as insitu:
            camera = InsituDetector(insitu, "cam", grab, unit="counts")
            engine(plan(camera, counter))
            engine(plan(camera, counter, lambda: server.tell(signal.SIGSTOP)))
            server.tell(signal.SIGCONT)
            engine(plan(camera, counter, server.kill))
            server.start()
            engine(plan(camera, counter))
            until(lambda: tiled.waiting == 0, "everything is in Tiled", 150.0)
    assert [d["exit_status"] for d in heard["stop"]] == ["success"] * 4
    assert tiled.lost == 0
    held(server, heard, taken)


def held(server: Tiled, heard: Heard, taken: list[np.ndarray]) -> None:
    """What Tiled has of every run is what the other subscribers heard, and its pictures are those that were taken."""
    uids = [d["uid"] for d in heard["start"]]
    at = 0
    for stored in server.read("cam", *uids):
        rows = stored["streams"]["primary"]
        told = heard["event"][at : at + EVENTS]
        assert rows["counter"] == [e["data"]["counter"] for e in told]
        assert rows["seq_num"] == [e["seq_num"] for e in told]
        assert rows["cam"]["dtype"] == "<u2"
        assert rows["cam"]["values"] == [picture.tolist() for picture in taken[at : at + EVENTS]]
        at += EVENTS
    assert at == len(heard["event"]) == len(taken)


NOBODY = "http://127.0.0.1:9/api/v1"


def documents(uid: str, events: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "start", {"uid": uid, "time": 0.0}
    yield "descriptor", {"uid": f"{uid}-d", "run_start": uid, "name": "primary", "data_keys": {}, "time": 0.0}
    for k in range(events):
        yield "event", {"uid": f"{uid}-{k}", "descriptor": f"{uid}-d", "seq_num": k + 1, "data": {"x": "." * 500}}
    yield "stop", {"uid": f"{uid}-s", "run_start": uid, "exit_status": "success", "time": 0.0}


def test_what_is_of_no_run_that_we_saw_begin_is_counted_and_the_next_run_is_kept_whole(tmp_path):
    carrier = Carrier(NOBODY, tmp_path)
    carrier("event", {"uid": "x", "descriptor": "of a run that had begun before", "seq_num": 7, "data": {}})
    for name, document in documents("a", 3):
        carrier(name, document)
    assert carrier.close(0.5) == 1
    assert carrier.lost == 1
    assert [path.name for path in tmp_path.glob("a*")] == ["a.docs"]


def test_a_run_of_which_something_found_no_room_is_set_aside_and_never_passes_for_whole(tmp_path):
    carrier = Carrier(NOBODY, tmp_path, room=2000)
    for name, document in documents("a", 400):
        carrier(name, document)
    until(lambda: not carrier.waiting)
    for name, document in documents("b", 1):
        carrier(name, document)
    assert carrier.close(0.5) == 1
    assert carrier.lost > 0
    assert sorted(path.name for path in tmp_path.glob("[ab]*")) == ["a.torn", "b.docs"]


def test_what_a_killed_session_left_half_does_not_hold_up_the_end_of_the_next_one(tmp_path):
    (tmp_path / "old.part").write_bytes(b"half")
    began = time.monotonic()
    assert Carrier(NOBODY, tmp_path).close(60.0) == 0
    assert time.monotonic() - began < 30.0
