"""The detector of ophyd-async whose frames lie in the run's store, judged as the one of ophyd is."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from bluesky import FailedStatus, plan_stubs, plans, preprocessors
from ophyd.sim import SynAxis
from ophyd_async.core import (
    Array1D,
    DetectorTrigger,
    StandardDetector,
    TriggerInfo,
    soft_signal_r_and_setter,
    soft_signal_rw,
)
from ophyd_async.plan_stubs import ensure_connected

from insitu.bluesky import AsyncInsituDetector
from insitu.store.runs import StoredRun
from tests.bluesky.camera import Heard
from tests.bluesky.taken import KINDS, Takes, pointed_at, session
from tests.waiting import until

bp: Any = plans
bps: Any = plan_stubs
bpp: Any = preprocessors


def flying(device: Any, info: TriggerInfo):
    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def inner():
        yield from bps.prepare(device, info, wait=True)
        yield from bps.declare_stream(device, name="primary", collect=True)
        yield from bps.kickoff(device, wait=True)
        yield from bps.collect_while_completing([device], [device], flush_period=0.1, stream_name="primary")

    return inner()


@pytest.mark.timeout(400)
def test_tiled_gives_step_and_fly_scans_back_bit_for_bit(engine, tmp_path, tiled):
    heard, motor = Heard(engine), SynAxis(name="stage")
    taken = {key: Takes(*kind) for key, kind in KINDS.items()}

    async def grab() -> np.ndarray:
        await asyncio.sleep(0.001)
        return taken["img"]()

    with session(engine, tmp_path) as insitu:
        heat = soft_signal_rw(float, 300.0, units="K", name="heat")
        wide: dict[str, Any] = {"dims": ("channel", "sample"), "unit": ("V", "A"), "wait_s": 30.0}
        devices = [
            AsyncInsituDetector(insitu, "img", grab, context=[motor, heat], wait_s=30.0),
            AsyncInsituDetector(insitu, "spec", taken["spec"], dims=("two_theta",), wait_s=30.0),
            AsyncInsituDetector(insitu, "wave", taken["wave"], shape=(2, 30), dtype="i2", **wide),
        ]
        assert all(isinstance(d, StandardDetector) for d in devices)
        engine(ensure_connected(heat, *devices))
        engine(bp.scan(devices, motor, 0, 2, 3))
        engine(flying(devices[2], TriggerInfo(number_of_events=4, collections_per_event=2)))
    (summary,) = insitu.summaries
    assert {k: summary.frames[k] for k in ("stored", "invalid", "lost")} == {"stored": 17, "invalid": 0, "lost": 0}
    step, fly = (d["data_keys"] for d in heard["descriptor"])
    assert (step["img"]["shape"], step["img"]["dtype_numpy"], step["spec"]["shape"]) == ([1, 6, 5], "<u2", [1, 40])
    assert (fly["wave"]["shape"], fly["wave"]["dims"]) == ([2, 2, 30], ["frame", "channel", "sample"])
    found = list(pointed_at(heard).values())
    assert [{k: len(a) for k, a in plan.items()} for plan in found] == [{"img": 3, "spec": 3, "wave": 3}, {"wave": 8}]
    for key, took in taken.items():
        rows = np.concatenate([plan[key] for plan in found if key in plan])
        assert rows.dtype == took.all[0].dtype
        assert np.array_equal(rows, took.all)
    with StoredRun(Path(summary.path)) as stored:
        frames = [f for f in stored.frames() if f.source == "img"]
        addresses = [f.address(summary.run_uid) for f in frames]
    assert [f.context["stage"].value for f in frames] == [0, 1, 2]
    assert (frames[0].context["heat"].value, frames[0].context["heat"].unit) == (300.0, "K")
    assert [d["data"]["img_address"] for d in heard["event"]] == addresses
    file = tmp_path / "plans.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(pair, option=orjson.OPT_SERIALIZE_NUMPY) for pair in heard.all))
    for run, plan in zip(tiled.ingested(file)["runs"], found, strict=True):
        for key, rows in plan.items():
            held = run["streams"]["primary"][key]
            assert held["values"] == rows.tolist(), key
            assert np.dtype(held["dtype"]) == rows.dtype


def test_several_kickoffs_failing_frames_exposures_and_signals_of_ophyd_async(engine, tmp_path):
    heard, takes, told, asked = Heard(engine), Takes(*KINDS["img"]), [], iter(range(100))

    def grab() -> np.ndarray:
        if next(asked) == 3:
            raise OSError("no light")  # the second frame of the second event
        return takes()

    with session(engine, tmp_path, "img", "spec") as insitu:
        device = AsyncInsituDetector(
            insitu, "img", grab, wait_s=30.0, expose=told.append, shape=(6, 5), dtype="u2", name="camera"
        )
        pattern, put = soft_signal_r_and_setter(Array1D[np.float64], np.arange(40.0), name="pattern")
        plain = AsyncInsituDetector(insitu, "spec", pattern, wait_s=30.0)
        engine(ensure_connected(device, plain, pattern))

        @bpp.stage_decorator([device, plain])
        @bpp.run_decorator()
        def inner():
            yield from bps.prepare(device, TriggerInfo(collections_per_event=2, livetime=0.02), wait=True)
            for k in range(4):
                put(np.arange(40.0) + k)
                try:
                    yield from bps.trigger_and_read([device, plain])
                except FailedStatus as e:
                    failed.append((k, str(e.__cause__)))

        failed: list[tuple[int, str]] = []
        engine(inner())
        assert failed == [(1, "no light")]

        @bpp.stage_decorator([device])
        @bpp.run_decorator()
        def twice():
            yield from bps.prepare(device, TriggerInfo(number_of_events=6, deadtime=0.001), wait=True)
            yield from bps.declare_stream(device, name="primary", collect=True)
            for events in (2, 4):
                yield from bps.mv(device.events_to_kickoff, events)
                yield from bps.kickoff(device, wait=True)
                yield from bps.collect_while_completing([device], [device], flush_period=0.05, stream_name="primary")

        engine(twice())
        for info, why in (
            (TriggerInfo(number_of_events=0), "endless"),
            (TriggerInfo(trigger=DetectorTrigger.EXTERNAL_EDGE), "EXTERNAL_EDGE not supported"),
        ):
            with pytest.raises(FailedStatus) as e:
                engine(flying(device, info))
            assert why in str(e.value.__cause__)
        with pytest.raises(FailedStatus) as e:
            engine(flying(plain, TriggerInfo(livetime=1.0)))
        assert "nobody knows how spec is to expose for 1 s" in str(e.value.__cause__)
    assert told == [0.02]
    (summary,) = insitu.summaries
    with StoredRun(Path(summary.path)) as stored:
        frames = list(stored.frames())
    assert {f.duration_ns for f in frames if f.source == "img"} == {20_000_000}
    step, fly = pointed_at(heard).values()
    assert [len(a) for a in step.values()] == [8, 4]
    assert np.array_equal(step["camera"], [*takes.all[:3], np.zeros((6, 5)), *takes.all[3:7]])
    assert step["spec"][:, 0].tolist() == [0, 1, 2, 3]
    assert np.array_equal(fly["camera"], takes.all[7:])
    assert len(fly["camera"]) == 6


@pytest.mark.timeout(180)
def test_a_run_that_is_killed_leaves_step_and_fly_scans_running(engine, tmp_path):
    heard, takes = Heard(engine), Takes(*KINDS["spec"])
    with session(engine, tmp_path, "spec") as insitu:
        device = AsyncInsituDetector(insitu, "spec", takes, dims=("energy",), shape=(40,), dtype="f4", wait_s=30.0)
        engine(ensure_connected(device))

        def killed(k: int) -> None:
            if k == 2:
                os.kill(insitu.pid, signal.SIGKILL)

        for plan in (steps(device, 4, killed), flying(device, TriggerInfo(number_of_events=3))):
            first = insitu.run
            engine(plan)
            until(lambda first=first: insitu.run is not first or insitu.run.alive)
    assert [d["exit_status"] for d in heard["stop"]] == ["success"] * 2
    step, fly = (found["spec"] for found in pointed_at(heard).values())
    assert 2 <= len(step) <= 3
    assert np.array_equal(step, takes.all[: len(step)])
    assert np.array_equal(fly, takes.all[4:])


def steps(device: Any, frames: int, before: Any):
    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def inner():
        for k in range(frames):
            before(k)
            yield from bps.trigger_and_read([device])

    return inner()


def test_a_frame_that_nobody_waits_for_any_more_does_not_end_the_next_point(engine, tmp_path):
    """The camera fails at the second point, and the plan goes on while the spectrometer still takes its frame."""
    point, asked = [0], iter(range(100))

    def fails() -> np.ndarray:
        if next(asked) == 1:
            raise OSError("no light")
        return np.zeros((6, 5), "u2")

    def slow() -> np.ndarray:
        time.sleep(0.3)
        return np.full(40, float(point[0]))

    with session(engine, tmp_path, "img", "spec") as insitu:
        camera = AsyncInsituDetector(insitu, "img", fails, wait_s=30.0)
        spectrometer = AsyncInsituDetector(insitu, "spec", slow, wait_s=30.0)
        engine(ensure_connected(camera, spectrometer))

        @bpp.stage_decorator([camera, spectrometer])
        @bpp.run_decorator()
        def plan():
            for k in range(4):
                point[0] = k
                with suppress(FailedStatus):
                    yield from bps.trigger_and_read([camera, spectrometer])

        engine(plan())
    (summary,) = insitu.summaries
    with StoredRun(Path(summary.path)) as stored:
        taken = [int(f.data[0]) for f in stored.frames("spec")]
    assert taken == [0, 2, 2, 3]
