"""A detector whose frames lie in the run's store: its plan's documents point at them, and Tiled gives them back."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from bluesky import FailedStatus, plan_stubs, plans, preprocessors, protocols
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky import InsituDetector
from insitu.store.runs import StoredRun
from tests.bluesky.camera import Heard
from tests.bluesky.taken import KINDS, Takes, pointed_at, session
from tests.waiting import until

bp: Any = plans
bps: Any = plan_stubs
bpp: Any = preprocessors


@pytest.mark.timeout(400)
def test_tiled_gives_images_spectra_and_waveforms_back_bit_for_bit(engine, tmp_path, tiled):
    heard, motor = Heard(engine), SynAxis(name="stage")
    taken = {key: Takes(*kind) for key, kind in KINDS.items()}
    with session(engine, tmp_path) as insitu:
        devices = [
            InsituDetector(insitu, "img", SynSignal(func=taken["img"], name="camera"), context=[motor]),
            InsituDetector(insitu, "spec", taken["spec"], dims=("two_theta",), wait_s=30.0),
            InsituDetector(insitu, "wave", taken["wave"], dims=("channel", "sample"), unit=("V", "A"), wait_s=30.0),
        ]
        devices[0].wait_s = 30.0
        assert all(isinstance(d, (protocols.Readable, protocols.Triggerable, protocols.Stageable)) for d in devices)
        assert all(isinstance(d, protocols.WritesStreamAssets) for d in devices)
        taken["img"].all.clear()  # ophyd's signal has taken one when it was made
        engine(bp.scan(devices, motor, 0, 2, 3))
        engine(bp.count(devices, 2))
    (summary,) = insitu.summaries
    assert {k: summary.frames[k] for k in ("stored", "invalid", "lost")} == {"stored": 15, "invalid": 0, "lost": 0}
    uids = [d["uid"] for d in heard["start"]]
    keys = heard["descriptor"][0]["data_keys"]
    assert (keys["img"]["shape"], keys["img"]["dtype_numpy"], keys["img"]["dims"]) == ([6, 5], "<u2", ["y", "x"])
    assert (keys["wave"]["units"], keys["spec"]["dtype_numpy"]) == ("V, A", "<f4")
    found = pointed_at(heard)
    for uid, part in zip(uids, (slice(0, 3), slice(3, 5)), strict=True):
        for key, took in taken.items():
            assert found[uid][key].dtype == took.all[0].dtype
            assert np.array_equal(found[uid][key], took.all[part])
    with StoredRun(Path(summary.path)) as stored:
        frames = [f for f in stored.frames() if f.source == "img"]
        addresses = [f.address(summary.run_uid) for f in frames]
    assert [f.source_run_uid for f in frames] == [uids[0]] * 3 + [uids[1]] * 2
    assert [f.context["stage"].value for f in frames] == [0, 1, 2, 2, 2]
    assert [d["data"]["img_address"] for d in heard["event"]] == addresses
    file = tmp_path / "plans.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(pair, option=orjson.OPT_SERIALIZE_NUMPY) for pair in heard.all))
    runs = tiled.ingested(file)["runs"]
    assert [run["start"] for run in runs] == uids
    for run, part in zip(runs, (slice(0, 3), slice(3, 5)), strict=True):
        held = run["streams"]["primary"]
        for key, took in taken.items():
            assert held[key]["values"] == [frame.tolist() for frame in took.all[part]], key
            assert np.dtype(held[key]["dtype"]) == took.all[0].dtype
        assert held["img_address"] == addresses[part]


def plan(device: Any, frames: int, before=lambda k: None):
    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def inner():
        yield from bps.checkpoint()
        for k in range(frames):
            before(k)
            yield from bps.trigger_and_read([device])
            yield from bps.sleep(0.02)

    return inner()


def test_in_suspended_changing_failing_and_fly_scans_indices_have_no_gap_and_frames_no_loss(engine, tmp_path):
    heard, takes = Heard(engine), Takes(*KINDS["img"])
    with session(engine, tmp_path, "img") as insitu:
        device = InsituDetector(insitu, "img", takes, wait_s=30.0)

        def suspend(k: int) -> None:
            if k == 2:
                insitu.actor.pause("a test")
                threading.Timer(0.1, insitu.actor.resume, ["over"]).start()

        def change(k: int) -> None:
            takes.shape = (6, 5) if k < 2 else (3, 5)

        engine(plan(device, 4, suspend))
        suspended = len(takes.all)
        engine(plan(device, 4, change))
        takes.shape = (6, 5)
        engine(failing(device, takes))
        engine(flying(device, 6))
    numbers = [d["seq_num"] for d in heard["event"]][:suspended]
    assert len(numbers) > len(set(numbers)) == 4, "the suspension went back to the checkpoint"
    (summary,) = insitu.summaries
    counts = [summary.frames[key] for key in ("stored", "invalid", "lost")]
    assert counts == [suspended + 4 + 3 + 6, 1, 0]
    with StoredRun(Path(summary.path)) as stored:
        assert all(np.array_equal(f.data, took) for f, took in zip(stored.frames(), takes.all, strict=True))
    first, second, third, fourth = (found["img"] for found in pointed_at(heard).values())
    assert np.array_equal(first, takes.all[:suspended])
    assert np.array_equal(second, takes.all[suspended : suspended + 2]), "the changed ones lie in another array"
    good = takes.all[suspended + 4 : suspended + 7]
    assert np.array_equal(third, [good[0], np.zeros((6, 5)), *good[1:]]), "a fill row keeps the others in their places"
    assert np.array_equal(fourth, takes.all[suspended + 7 :]), "a fly scan"


def failing(device: Any, takes: Takes):
    """A plan that goes on although its detector has failed once."""

    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def inner():
        for k in range(4):
            takes.dtype = "no type" if k == 1 else "u2"
            try:
                yield from bps.trigger_and_read([device])
            except FailedStatus:
                assert k == 1

    return inner()


def flying(device: Any, frames: int):
    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def inner():
        yield from bps.declare_stream(device, name="primary", collect=True)
        yield from bps.prepare(device, frames, wait=True)
        yield from bps.kickoff(device, wait=True)
        yield from bps.collect_while_completing([device], [device], flush_period=0.1, stream_name="primary")

    return inner()


@pytest.mark.timeout(180)
def test_a_run_that_hangs_or_is_killed_leaves_the_scan_running_and_costs_one_wait(engine, tmp_path, caplog):
    heard, takes = Heard(engine), Takes(*KINDS["spec"])
    with session(engine, tmp_path, "spec") as insitu:
        device = InsituDetector(insitu, "spec", takes, dims=("energy",), wait_s=30.0)
        pid, first = insitu._following.pid, insitu.run

        def hang(k: int) -> None:
            device.wait_s = 0.3 if k else 30.0
            if k == 2:
                os.kill(pid, signal.SIGSTOP)

        def catch_up(k: int) -> None:
            hang(k)
            if k == 4:
                os.kill(pid, signal.SIGCONT)
                until(lambda: insitu.run.status()["frames"]["stored"] == 9)

        engine(plan(device, 5, hang))
        told = [r.message for r in caplog.records if "not on disk within 0.3 s" in r.message]
        assert len(told) == 1, "nothing is waited for again"
        os.kill(pid, signal.SIGCONT)
        engine(plan(device, 5, catch_up))
        device.wait_s = 30.0
        engine(plan(device, 4, lambda k: os.kill(pid, signal.SIGKILL) if k == 2 else None))
        until(lambda: insitu.run is not first)
        engine(plan(device, 2))
    assert [d["exit_status"] for d in heard["stop"]] == ["success"] * 4
    assert len(heard["event"]) == len(takes.all) == 16
    hung, caught_up, killed, after = (found["spec"] for found in pointed_at(heard).values())
    assert np.array_equal(hung, takes.all[:2])
    assert len(caught_up) >= 4, "what was behind comes with a later event"
    assert np.array_equal(caught_up, takes.all[5 : 5 + len(caught_up)])
    assert 2 <= len(killed) <= 3
    assert np.array_equal(killed, takes.all[10 : 10 + len(killed)])
    assert np.array_equal(after, takes.all[14:])
    addresses = [d["data"]["spec_address"] for d in heard["event"]]
    assert [bool(a) for a in addresses[:5]] == [True, True, False, False, False]
    assert addresses[-1].startswith(f"insitu:{insitu.run.uid}/spec/")
