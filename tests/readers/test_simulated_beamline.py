"""The bench beamline: its physics without sockets, and the real soft IOC as stock clients see it."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_beamline import Beamline, BenchSettings
from insitu.readers.simulated_beamline_bench import Bench
from insitu.readers.simulated_beamline_motion import Drive
from insitu.readers.simulated_beamline_settings import BY_PV

PATIENCE_S = 60.0
STILL = {"ramp_K_s": 1e9, "lag_s": 0.0, "noise_K": 0.0}


CLOCK = itertools.count()


def heated(bench: Bench, kelvin: float) -> np.ndarray:
    """What it shows at a temperature; each call is a later one."""
    bench.go("furnace", kelvin, float(next(CLOCK)))
    return bench.expose(0, 0.1, float(next(CLOCK))).array.astype(float)


def test_a_furnace_lags_behind_its_ramp_as_the_equation_says() -> None:
    """dT/dt = (p - T)/lag, integrated in small steps instead."""
    drive = Drive(300.0, velocity=5.0, low=0.0, high=1000.0, unit="K", lag_s=2.0, deadband=0.1)
    drive.go(340.0, 0.0)
    programme, value, step = 300.0, 300.0, 1e-4
    for k in range(120_000):
        programme = min(340.0, programme + 5.0 * step)
        value += (programme - value) / 2.0 * step
        if k % 10_000 == 9_999:
            assert drive.at((k + 1) * step) == pytest.approx(value, abs=2e-3)
    assert not drive.done
    drive.at(30.0)
    assert drive.done
    drive.go(400.0, 30.0)
    drive.stop(31.0)
    assert drive.at(50.0) == drive.target == pytest.approx(drive.value)


@pytest.mark.parametrize(
    ("settings", "shape", "dtype"),
    [
        ({}, (4096,), "int32"),
        ({"image": (64, 96)}, (64, 96), "int32"),
        ({"sample": "nickel_oxidation"}, (3, 1000), "int32"),
        ({"sample": "grains"}, (128, 128), "uint8"),
    ],
    ids=["pattern", "image", "spectrum", "micrograph"],
)
def test_what_a_sample_shows_depends_on_its_temperature_and_on_the_light(
    settings: dict[str, Any], shape: tuple[int, ...], dtype: str
) -> None:
    bench = Bench(BenchSettings(**STILL, **settings))
    cold, again, hot = heated(bench, 380.0), heated(bench, 380.0), heated(bench, 405.0)
    assert (cold.shape, bench.sample.dtype.name) == (shape, dtype)
    assert np.array_equal(again, cold) or dtype == "uint8"  # chance is that of the frame's number
    assert np.mean(hot != cold) > 0.02
    bench.shutter = False
    assert heated(bench, 405.0).sum() < 0.02 * hot.sum()


def test_beside_the_sample_the_counter_behind_it_sees_more() -> None:
    bench = Bench(BenchSettings(**STILL))
    there = bench.expose(0, 0.1, 0.0)
    bench.go("x", 9.0, 0.0)
    beside = bench.expose(1, 0.1, 60.0)
    assert beside.array.max() < 0.1 * there.array.max()
    assert there.counters["itrans"] / there.counters["i0"] == pytest.approx(0.6, rel=0.02)
    assert beside.counters["itrans"] / beside.counters["i0"] == pytest.approx(1.0, rel=0.02)


def test_an_absorption_edge_is_scanned_point_by_point() -> None:
    bench = Bench(BenchSettings(sample="nickel_oxidation", **STILL))
    mu = []
    for k, energy in enumerate((8300.0, 8400.0)):
        bench.go("energy", energy, 100.0 * k)
        counted = bench.count(0, 0.1, 100.0 * k + 50.0)
        mu.append(np.log(counted["i0"] / counted["itrans"]))
    assert mu[1] - mu[0] > 0.8  # an edge step of 1


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("beam_loss@0", lambda f: f.array.max() < 20 and f.counters["i0"] == 0),
        ("shutter@0", lambda f: f.array.max() < 20 and f.counters["i0"] > 90_000),
        ("saturation@0", lambda f: f.array.max() == 100_000),
        ("lost_sample@0", lambda f: 20 < f.array.max() < 200 and f.counters["itrans"] > 90_000),
        ("dead@0=7", lambda f: set(f.array.tolist()) == {7}),
        ("shape@0", lambda f: f.array.shape == (2048,)),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_fault_by_option_is_seen_in_its_frames_alone(fault: str, seen: Callable[[Any], bool]) -> None:
    bench = Bench(BenchSettings(faults=(f"{fault.replace('@0', '@3-4')}",), **STILL))
    assert [seen(bench.expose(k, 0.1, float(k))) for k in range(6)] == [False] * 3 + [True] * 2 + [False]


def test_a_motor_with_the_fault_says_that_it_is_done_half_way() -> None:
    bench = Bench(BenchSettings(faults=("early@0-9",), motor_mm_s=1.0))
    bench.go("x", 10.0, 0.0)
    bench.where("x", 4.0)
    assert not bench.arrived("x", 0)
    bench.where("x", 5.1)
    assert bench.arrived("x", 0)
    assert not bench.arrived("x", 10)


def test_a_real_series_is_played_as_it_was_measured(data) -> None:
    """CuCr2O4: at the temperature of a file the array is the file's; between two, the mixture of both."""
    from insitu.readers.diffraction import Patterns

    folder = data / "xrd/series_cucr2o4_7-289K"
    bench = Bench(BenchSettings(play=str(folder), **STILL))
    files = sorted(
        (a for a in Patterns(str(folder))() if a is not None),
        key=lambda a: a.context["temperature"].value,  # type: ignore[union-attr]
    )
    first, second = files[4:6]
    kelvin = [float(f.context["temperature"].value) for f in (first, second)]  # type: ignore[union-attr]
    assert np.array_equal(heated(bench, kelvin[0]), first.data)  # type: ignore[union-attr]
    between = heated(bench, 0.25 * kelvin[0] + 0.75 * kelvin[1])
    assert between == pytest.approx(0.25 * first.data + 0.75 * second.data)  # type: ignore[union-attr]
    bench = Bench(BenchSettings(play=f"{folder}/OH_0*.fxye", along="index", **STILL))
    bench.go("index", 1.0, 0.0)
    assert np.array_equal(bench.expose(0, 0.1, 60.0).array, next(iter(Patterns(f"{folder}/OH_04.fxye")())).data)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"prefix": "a b"}, "prefix"), ({"prefix": "x" * 40}, "prefix"), ({"faults": ("melted@3",)}, "faults"),
        ({"faults": ("beam_loss@3=7",)}, "faults"), ({"exposure_s": 0.0}, "exposure_s"), ({"lag_s": -1.0}, "lag_s"),
        ({"image": (4, 4)}, "image"), ({"start_K": 0.0}, "start_K"), ({"sample": "cheese"}, "sample"),
        ({"sample": "grains", "image": (64, 64)}, "image"), ({"play": ".", "reader": "nobody"}, "reader"),
        ({"play": "no/such/place"}, "play"), ({"along": "x"}, "along"), ({"along": "A b"}, "along"),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_impossible_settings_are_refused(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as e:
        Bench(BenchSettings(**keys))
    assert e.value.where == where


def test_files_without_a_temperature_cannot_be_played(tmp_path) -> None:
    (tmp_path / "a.xy").write_text("".join(f"{20 + 0.01 * k:.2f} {k % 7}\n" for k in range(100)))
    with pytest.raises(ConfigError, match=r"a\.xy has no temperature"):
        Bench(BenchSettings(play=str(tmp_path)))


# ---- the IOC ----

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
x.velocity.set(4.0).wait(30)
early.set(1).wait(30)
x.set(4.0).wait(30)
said["early"] = x.position
early.set(0).wait(30)
time.sleep(1.0)
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
    from p4p.client.thread import Context

    known = {k: v for k, v in bench.environment.items() if k.startswith("EPICS_PVA_")}
    with Context("pva", conf=known, useenv=False, nt=False) as context:
        yield context


def until(there: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < end, f"waited too long until {what}"
        time.sleep(0.02)


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
