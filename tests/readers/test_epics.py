"""Readers of PVs against real servers on loopback: p4p for PV Access, a soft IOC for Channel Access."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.errors import ConfigError, SourceError
from insitu.readers.epics import CaWaveforms, PvaFrames
from insitu.replay import verify
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from tests.epics_servers import new_environment, server
from tests.waiting import until

PATIENCE_S = 60.0


@pytest.fixture
def env(monkeypatch) -> dict[str, str]:
    env = new_environment()
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    return env


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def live_run(root: Path, **reader: Any) -> LiveRun:
    bench = {
        "format": 1,
        "source": "cam",
        "live": True,
        "unit": "counts",
        "shape": [8, 16],
        "dtype": "uint16",
        "reader": {"use": "epics.pva", **reader},
    }
    recipe = {"format": 1, "title": "a PV", "detectors": ["bench"], "features": [{"use": "totals"}]}
    return LiveRun(load(recipe, detectors={"bench": bench}), data_root=root)


def first(reader: Any, process: subprocess.Popen[str], count: int) -> list[Any]:
    """The first items of a reader; the server goes on once the reader is connected."""
    found, begun, end = [], False, time.monotonic() + PATIENCE_S
    items = reader()
    try:
        for item in items:
            assert time.monotonic() < end
            if reader.connected and not begun:
                begun = True
                go_on(process)
            if item is not None:
                found.append(item)
            if len(found) == count:
                return found
    finally:
        items.close()
    return found


def test_every_unique_id_is_stored_or_counted_as_lost(env, tmp_path):
    frames = 120
    with server("pva", env, "--frames", str(frames), "--rate", "100", "--first", "7") as process:
        live = live_run(tmp_path, pv="t:image", idle="1.5 s", context={"temperature": "t:temperature", "s": "t:sample"})
        until(lambda: live.readers["cam"].connected, "the PV is connected")  # type: ignore[attr-defined]
        go_on(process)
        summary = live.wait(PATIENCE_S)
    with StoredRun(live.path) as stored:
        kept = list(stored.frames())
        numbers = [f.source_seq for f in kept]
        assert numbers == sorted(set(numbers))  # type: ignore[type-var]
        assert (numbers[0], numbers[-1]) == (7, 6 + frames)
        assert len(numbers) + summary.frames["lost"] == frames
        assert all(int(f.data[0, 0]) == f.source_seq - 7 for f in kept)  # type: ignore[operator]
        assert kept[-1].clock == "ioc"
        assert kept[-1].context["temperature"].value == 300.0
        assert kept[-1].context["temperature"].unit == "K"
        assert kept[-1].labels["s"] == "NiTi"
    assert verify(Path(summary.path)).identical


def test_a_server_that_is_killed_is_waited_for_and_its_new_numbers_are_new_frames(env, tmp_path):
    live = live_run(tmp_path, pv="t:image", idle="20 s", connect="30 s")
    reader: Any = live.readers["cam"]
    with server("pva", env, "--frames", "500", "--rate", "50") as process:
        until(lambda: reader.connected, "the PV is connected")
        go_on(process)
        until(lambda: live.status()["frames"]["stored"] >= 8, "frames are stored")
    until(lambda: not reader.connected, "the loss is noticed")
    with server("pva", env, "--frames", "12", "--rate", "50") as process:
        until(lambda: reader.connected, "the PV is connected again")
        before = live.status()["frames"]["stored"]
        go_on(process)
        until(lambda: live.status()["frames"]["stored"] >= before + 12, "the new frames are stored")
    live.stop()
    summary = live.wait(PATIENCE_S)
    assert reader.reconnects == 1
    with StoredRun(live.path) as stored:
        kept = list(stored.frames())
        epochs = [e.body for e in stored.entries("event") if e.body["what"] == "epoch"]
    assert [f.source_seq & 0xFFFFFFFF for f in kept[-12:]] == list(range(1, 13))  # type: ignore[operator]
    assert len(epochs) == 1
    assert (summary.frames["duplicates"], summary.frames["late"]) == (0, 0)
    assert "had been away" in kept[-12].labels["connection"]
    assert "connection" not in kept[-11].labels


def test_a_picture_that_changes_its_size_opens_another_segment(env, tmp_path):
    with server("pva", env, "--frames", "20", "--rate", "50", "--change", "10") as process:
        live = live_run(tmp_path, pv="t:image", count=20)
        until(lambda: live.readers["cam"].connected, "the PV is connected")  # type: ignore[attr-defined]
        go_on(process)
        until(lambda: process.stdout.readline().strip() == "done", "all is posted")
        live.wait_quietly(1.0)
        live.stop()
        live.wait(PATIENCE_S)
    with StoredRun(live.path) as stored:
        assert {f.data.shape for f in stored.frames()} == {(8, 16), (12, 16)}


def test_a_counter_that_stands_still_loses_no_frame(env, caplog):
    with server("pva", env, "--frames", "20", "--rate", "20", "--still") as process:
        found = first(PvaFrames("t:image"), process, 8)
    assert [int(a.data[0, 0]) for a in found] == list(range(8))
    assert [a.source_seq for a in found[4:]] == [None] * 4
    assert "stands still" in caplog.text


def test_a_waveform_over_pv_access_has_its_unit(env):
    with server("pva", env, "--frames", "20", "--rate", "20") as process:
        (wave, *_) = first(PvaFrames("t:wave"), process, 2)
    assert (wave.dims, wave.unit, wave.data.shape, wave.source_seq) == (("sample",), "V", (50,), None)


def test_what_the_pv_held_before_counts_only_where_it_is_asked_for(env):
    with server("pva", env, "--frames", "1") as process:
        assert len(first(PvaFrames("t:wave", initial=True), process, 1)) == 1


def test_a_pv_that_is_no_array_is_refused(env):
    with server("pva", env) as process, pytest.raises(SourceError, match="no array of numbers") as e:
        first(PvaFrames("t:number"), process, 1)
    assert "NTScalar" in str(e.value)


def test_a_pv_that_never_connects_is_told_with_the_remedy(env):
    given: list[Any] = []
    with pytest.raises(SourceError, match=r"t:nothing did not connect within 0.6 s") as e:
        given.extend(PvaFrames("t:nothing", connect=0.6)())
    assert "EPICS_PVA_ADDR_LIST (127.0.0.1)" in str(e.value)
    assert set(given) <= {None}


def test_a_context_pv_that_does_not_answer_says_so(env):
    with server("pva", env, "--frames", "20", "--rate", "20") as process:
        (frame, *_) = first(PvaFrames("t:image", context={"t": "t:nobody"}), process, 1)
    assert frame.context["t"].why == "PV t:nobody has not answered"


@pytest.mark.parametrize(
    ("keys", "where"),
    [({"pv": ""}, "pv"), ({"count": 0}, "count"), ({"context": {"T K": "a"}}, "context"), ({"connect": 0.0}, "connect"),
     ({"context": {"t": ""}}, "context.t"), ({"queue": 0}, "queue")],
)  # fmt: skip
@pytest.mark.parametrize("reader", [PvaFrames, CaWaveforms])
def test_impossible_settings_are_refused(reader, keys, where):
    with pytest.raises(ConfigError) as e:
        reader(**{"pv": "a", **keys})
    assert e.value.where == where


CA_CLIENT = """
import json, sys
from insitu.readers.epics import CaWaveforms
from insitu.types import Detector
pv, count, shape, context = json.loads(sys.argv[1])
detector = Detector(name="d", source="d", shape=tuple(shape), dtype="uint16", dims=("y", "x")) if shape else None
try:
    reader = CaWaveforms(pv, count=count, context=context, connect=5.0 if count else 0.6, detector=detector)
    begun = False
    for a in reader():
        if reader.connected and not begun:
            begun = True
            print("connected", flush=True)
        if a is not None:
            print(json.dumps([a.data.tolist(), a.data.dtype.name, a.dims, a.unit, a.clock, dict(a.labels),
                              {k: [f.value, f.unit, f.why] for k, f in a.context.items()}]), flush=True)
except Exception as e:
    print(json.dumps(f"{type(e).__name__}: {e}"), flush=True)
"""


def over_ca(env: dict[str, str], *asked: Any, process: subprocess.Popen[str] | None = None) -> list[Any]:
    """What the reader gives in a process of its own: the library of Channel Access reads its settings once."""
    client = subprocess.Popen([sys.executable, "-c", CA_CLIENT, json.dumps(asked)], stdout=subprocess.PIPE, text=True)
    found = []
    try:
        assert client.stdout is not None
        for line in client.stdout:
            if line.startswith("connected"):
                assert process is not None
                go_on(process)
            elif line.strip():
                found.append(json.loads(line))
        client.wait(PATIENCE_S)
    finally:
        client.kill()
        client.wait()
        assert client.stdout is not None
        client.stdout.close()
    return found


def test_a_waveform_over_channel_access_with_numbers_and_choices_beside_it(env):
    beside = {"temperature": "T:TEMP", "mode": "T:MODE", "gone": "T:GONE"}
    with server("ioc", env, "--frames", "10", "--rate", "10") as process:
        found = over_ca(env, "T:WAVE", 8, None, beside, process=process)
    assert len(found) == 8
    data, dtype, dims, unit, clock, labels, context = found[-1]
    assert (dtype, dims, unit, clock, labels["mode"]) == ("float64", ["sample"], "V", "ioc", "fly")
    assert np.array_equal(np.diff(data), np.ones(63))
    assert context["temperature"][1] == "K"
    assert context["temperature"][0] is None
    assert "INVALID" in context["temperature"][2]
    assert context["gone"][2] == "PV T:GONE has not answered"
    alarms = [f[5].get("alarm") for f in found]
    assert alarms.count("MINOR: HIGH") == 1


def test_an_image_over_channel_access_has_the_detectors_shape(env):
    with server("ioc", env, "--frames", "10", "--rate", "10") as process:
        found = over_ca(env, "T:IMAGE", 2, [3, 4], None, process=process)
    data, dtype, dims, *_ = found[1]
    assert (np.shape(data), dtype, dims) == ((3, 4), "uint16", ["y", "x"])


def test_a_pv_that_never_connects_over_channel_access_is_told(env):
    (said,) = over_ca(env, "T:NOTHING", None, None, None)
    assert said.startswith("SourceError: ")
    assert "EPICS_CA_ADDR_LIST (127.0.0.1)" in said
