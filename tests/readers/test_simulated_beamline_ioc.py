"""The soft IOC of the bench beamline as stock clients see it: ophyd, ophyd-async, p4p."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_beamline import Beamline, BenchSettings
from insitu.readers.simulated_beamline_settings import BY_PV
from tests.epics_servers import pva_client
from tests.waiting import until

PATIENCE_S = 60.0

CLIENT = """
import json, sys, time
from ophyd import EpicsMotor, EpicsSignal, EpicsSignalRO
from ophyd.utils.errors import LimitError
said = {}
x, furnace = (EpicsMotor(f"T:{n}", name=n) for n in ("x", "furnace"))
acquire = EpicsSignal("T:cam1:Acquire", name="acquire", put_complete=True)
array, i0 = EpicsSignalRO("T:image1:ArrayData", name="array"), EpicsSignalRO("T:scaler:i0", name="i0")
count = EpicsSignal("T:scaler:Count", name="count", put_complete=True)
period = EpicsSignal("T:scaler:Time", name="period")
early, stalled = EpicsSignal("T:fault:early", name="early"), EpicsSignal("T:fault:stalled", name="stalled")
for signal in (x, furnace, acquire, array, i0, count, period, early, stalled):
    signal.wait_for_connection(timeout=30)
said["limits"], said["unit"], said["described"] = x.limits, furnace.egu, x.describe()["x"]["units"]
moved = x.set(1.5); moved.wait(30)
said["moved"] = moved.success, x.position
again = x.set(1.5); again.wait(30)
said["again"] = again.success, x.position
try:
    x.set(99.0)
except LimitError:
    said["limited"] = True
x.velocity.set(0.5).wait(30)
x.set(9.0); time.sleep(0.2); x.stop()
while x.moving:
    time.sleep(0.01)
said["stopped_at"] = x.position
x.velocity.set(200.0).wait(30)
x.user_setpoint.put(0.0, wait=True, use_complete=True)
said["put_complete"] = x.user_readback.get(use_monitor=False)
furnace.set(333.0).wait(30)
said["furnace"] = furnace.position
acquire.set(1).wait(30)
said["array"], said["i0"] = array.get(use_monitor=False).tolist(), i0.get(use_monitor=False)
period.set(0.2).wait(30); count.set(1).wait(30)
said["counted"] = i0.get(use_monitor=False)
x.velocity.set(1.5).wait(30)
early.set(1).wait(30)
x.set(4.0).wait(30)
said["early"] = x.position
early.set(0).wait(30)
end = time.monotonic() + 30
while x.position != 4.0 and time.monotonic() < end:
    time.sleep(0.01)
said["late"] = x.position
stalled.set(1).wait(30)
waits = acquire.set(1); time.sleep(0.3)
said["stalled"] = waits.done
stalled.set(0).wait(30); waits.wait(30)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Beamline]:
    """One IOC for all; its furnace is quick."""
    with Beamline(BenchSettings(prefix="T", ramp_K_s=500.0, lag_s=0.02, noise_K=0.0, exposure_s=0.02)) as bench:
        yield bench


@pytest.fixture(scope="module")
def client(bench: Beamline) -> Iterator[Any]:
    """Of PV Access, with what it must know taken from the bench alone."""
    with pva_client(bench.environment) as client:
        yield client


class Seen:
    """Pictures that a monitor gives."""

    def __init__(self, client: Any) -> None:
        self.all: list[Any] = []
        self._monitor = client.monitor("T:Pva1:Image", self.all.append)
        until(lambda: self.all, "the image is connected")
        self.before = len(self.all)

    @property
    def new(self) -> list[Any]:
        return self.all[self.before :]

    def close(self) -> None:
        self._monitor.close()


@pytest.fixture
def seen(client: Any) -> Iterator[Seen]:
    seen = Seen(client)
    yield seen
    seen.close()


def told(value: Any) -> dict[str, Any]:
    return {a["name"]: a["value"] for a in value["attribute"]}


def acquire(client: Any, count: int, seen: Seen, shown: int) -> list[Any]:
    client.put("T:cam1:NumImages", count)
    client.put("T:cam1:ImageMode", 1)
    client.put("T:cam1:Acquire", 1, wait=True)
    until(lambda: client.get("T:cam1:Acquire")["value"]["index"] == 0, "the frames are taken")
    until(lambda: len(seen.new) >= shown, "the frames are shown")
    return seen.new


def test_stock_ophyd_moves_its_motors_and_takes_its_pictures_over_channel_access(bench: Beamline, seen: Seen) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env={**os.environ, **bench.environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["limits"], said["unit"], said["described"]) == ([-10.0, 10.0], "K", "mm")
    assert said["moved"] == said["again"] == [True, 1.5]
    assert said["limited"]
    assert 1.5 < said["stopped_at"] < 8.0
    assert said["put_complete"] == 0.0
    assert said["furnace"] == pytest.approx(333.0, abs=0.1)
    assert said["array"] == seen.new[0]["value"].tolist()  # both protocols gave the same frame
    assert told(seen.new[0])["i0"] == said["i0"]
    assert said["counted"] == pytest.approx(10 * said["i0"], rel=0.05)
    assert said["early"] < 3.5
    assert said["late"] == 4.0
    assert said["stalled"] is False


RETURNS = """
import time
from ophyd import EpicsMotor, EpicsSignal
x = EpicsMotor("T:x", name="x")
home = EpicsSignal("T:x.HOMF", name="home", put_complete=True)
for signal in (x, home):
    signal.wait_for_connection(timeout=30)
x.velocity.set(20.0).wait(30)
for turn in range(12):
    way = 1.0 if turn % 2 else -1.0
    x.user_setpoint.put(way, wait=False)
    time.sleep(0.03)
    x.stop()
    while x.moving:
        pass
    x.user_setpoint.put(2.0 * way, wait=True, use_complete=True)
    print(x.user_readback.get(use_monitor=False) - 2.0 * way, x.motor_done_move.get(use_monitor=False))
    home.set(1).wait(30)
    print(x.user_readback.get(use_monitor=False), x.motor_done_move.get(use_monitor=False))
"""


def test_a_put_with_callback_waits_for_its_motion_also_right_after_another_one(bench: Beamline) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RETURNS], env={**os.environ, **bench.environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["0.0 1"] * 24, done.stderr


def test_stock_ophyd_async_moves_a_motor_over_pv_access(bench: Beamline) -> None:
    script = (
        "import asyncio; from ophyd_async.epics.motor import Motor\n"
        "async def go():\n"
        "    m = Motor('pva://T:x', name='m'); await m.connect(timeout=30)\n"
        "    await m.velocity.set(100.0); await m.set(2.0); print('at', await m.user_readback.get_value())\n"
        "asyncio.run(go())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **bench.environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert "at 2.0" in done.stdout, done.stderr


def test_frames_are_numbered_and_carry_what_stood_where(client: Any, seen: Seen) -> None:
    first, second = acquire(client, 2, seen, 2)
    assert second["uniqueId"] == first["uniqueId"] + 1
    attributes = told(second)
    assert (attributes["sample"], attributes["simulated"]) == ("batio3", "true")
    assert attributes["temperature"] == attributes["true_furnace"] == client.get("T:furnace.RBV")["value"]
    read = client.get("T:furnace.RBV")
    assert (read["display.units"], read["alarm.severity"]) == ("K", 0)  # else stock ophyd calls moves failed
    assert [d["size"] for d in second["dimension"]] == [4096]
    assert abs(second["timeStamp.secondsPastEpoch"] - time.time()) < 60


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("missing", lambda frames, index: [f["uniqueId"] for f in frames] == [index + 3]),
        ("duplicate", lambda frames, index: [f["uniqueId"] - index for f in frames] == [1, 1, 2, 2, 3]),
        ("clock", lambda frames, index: frames[0]["timeStamp.secondsPastEpoch"] > time.time() + 3000),
        ("shape", lambda frames, index: [len(f["value"]) for f in frames] == [2048, 2048, 4096]),
        ("beam_loss", lambda frames, index: [told(f)["i0"] > 0 for f in frames] == [False, False, True]),
    ],
)
def test_a_fault_is_switched_on_and_off_by_its_pv(
    client: Any, seen: Seen, kind: str, right: Callable[[list[Any], int], bool]
) -> None:
    before = client.get("T:cam1:ArrayCounter_RBV")["value"]
    client.put(f"T:fault:{kind}", 1)
    shown = {"missing": 0, "duplicate": 4}.get(kind, 2)
    acquire(client, 2, seen, shown)
    client.put(f"T:fault:{kind}", 0)
    frames = acquire(client, 1, seen, shown + 1)
    assert right(frames, before), [f["uniqueId"] for f in frames]


def test_a_closed_shutter_leaves_the_first_counter(client: Any, seen: Seen) -> None:
    client.put("T:shutter", 0)
    try:
        (frame,) = acquire(client, 1, seen, 1)
    finally:
        client.put("T:shutter", 1)
    assert frame["value"].max() < 20 < told(frame)["i0"]


def test_every_fault_has_its_pv(bench: Beamline, client: Any) -> None:
    assert bench.pvs["faults"] == [f"T:fault:{kind}" for kind in BY_PV]
    assert {v["value"]["index"] for v in client.get(bench.pvs["faults"])} == {0}


def test_an_ioc_that_cannot_be_says_why_and_leaves_nothing_behind() -> None:
    with pytest.raises(ConfigError, match="cheese") as e:
        Beamline(BenchSettings(sample="cheese"))
    assert "batio3" in str(e.value)
    with pytest.raises(ConfigError):
        Beamline(port=70_000)
