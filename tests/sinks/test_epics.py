"""What the pipeline says as PVs: a real soft IOC in a child process, read over PV Access and Channel Access."""

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from insitu.bluesky.serve import pv_server
from insitu.config import load
from insitu.errors import ConfigError, UsageError
from insitu.run import LiveRun
from insitu.sinks import epics
from insitu.sinks.epics import PvServer
from insitu.store.runs import StoredRun
from insitu.types import Action, Decision, Feature, Measurement, Record, Verdict
from tests.epics_servers import new_environment, pva_client
from tests.waiting import gone, until

PATIENCE_S = 60.0


@pytest.fixture
def env(monkeypatch) -> dict[str, str]:
    env = new_environment()
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    return env


@pytest.fixture
def client(env) -> Iterator[Any]:
    with pva_client(env) as client:
        yield client


def record(seq: int = 3, label: str = "normal", action: Action = Action.CONTINUE, total: float | None = 5.0) -> Record:
    value = Feature(None, "counts", why="no light") if total is None else Feature(total, "counts", sigma=0.5)
    measurement = Measurement(source="cam", seq=seq, n=seq, time_ns=1, features={"total": value})
    verdict = Verdict(label=label, score=0.25, reason="")
    decision = Decision(action=action, reason="the beam is lost: 0 < 50 counts", rule="no_beam")
    return Record(measurement=measurement, verdicts={"beam": verdict}, decision=decision)


def served(**more: Any) -> PvServer:
    server = PvServer("T:I", models=["beam"], features={"total": "counts"}, **more)
    assert server.wait_ready(PATIENCE_S), server.problem
    return server


def test_a_record_is_pvs_with_units_and_alarms(client):
    with served() as server:
        server.record(record(label="anomaly", action=Action.HALT))
        until(lambda: client.get("T:I:frame")["value"] == 3, "the record is told")
        label, total = client.get("T:I:beam_label"), client.get("T:I:total")
        assert (label["value"], label["alarm.severity"]) == ("anomaly", 2)
        assert (total["value"], total["display.units"], total["alarm.severity"]) == (5.0, "counts", 0)
        assert client.get("T:I:total_sigma")["value"] == 0.5
        assert client.get("T:I:beam_score")["value"] == 0.25
        assert client.get("T:I:decision")["value"] == "HALT"
        assert client.get("T:I:decision")["alarm.severity"] == 2
        assert client.get("T:I:reason")["value"] == "the beam is lost: 0 < 50 counts"
        server.record(record(4, total=None))
        until(lambda: client.get("T:I:frame")["value"] == 4, "the record is told")
        until(lambda: client.get("T:I:total")["alarm.severity"] == 3, "no value is INVALID")
        assert math.isnan(client.get("T:I:total")["value"])
        assert client.get("T:I:beam_label")["alarm.severity"] == 0
        pid = server.pid
    assert gone(pid)


def test_what_an_operator_writes_reaches_the_run(client):
    orders: list[str] = []
    with served(obey=orders.append):
        for name in ("hold", "release", "resume", "hold"):
            come = len(orders) + 1
            client.put(f"T:I:{name}", 1)
            until(lambda come=come: len(orders) >= come, "the order has come")
    assert orders == ["hold", "release", "resume", "hold"]


def test_the_pvs_are_there_over_channel_access_too(env):
    ask = (
        "import epics; pv = epics.PV('T:I:beam_label'); pv.wait_for_connection(60);"
        "print('said', pv.get(as_string=True), epics.caget('T:I:frame', timeout=60))"
    )
    with served() as server:
        server.record(record(7, "change"))
        said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=99, check=False)
    assert "said change 7" in said.stdout


def run_with_pvs(tmp_path, **reader: Any):
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}]}
    bench = {
        "format": 1, "source": "det", "shape": [4096], "dtype": "uint32", "unit": "counts", "dims": ["two_theta"],
        "reader": {"use": "simulated.diffractometer", "rate": "50 Hz", **reader},
        "calibration": {"wavelength": "1.5406 angstrom"},
    }  # fmt: skip
    setup = load(recipe, detectors={"bench": bench})
    server = pv_server(setup, "T:R")
    assert server.wait_ready(PATIENCE_S), server.problem
    live = LiveRun(setup, data_root=tmp_path, watch=server.record)
    server.follow(live)
    return server, live


def test_a_run_is_seen_and_held_by_pvs(client, tmp_path):
    server, live = run_with_pvs(tmp_path)
    with server:
        until(lambda: client.get("T:R:frame")["value"] > 3, "frames are told")
        beat = client.get("T:R:heartbeat")["value"]
        until(lambda: client.get("T:R:heartbeat")["value"] != beat, "the heart beats")
        client.put("T:R:hold", 1)
        until(lambda: client.get("T:R:held")["value"] == 1, "it is held")
        assert client.get("T:R:state")["value"] == "held"
        client.put("T:R:release", 1)
        until(lambda: client.get("T:R:held")["value"] == 0, "it is released")
        live.stop()
        live.wait(PATIENCE_S)
        until(lambda: client.get("T:R:state")["value"] == "ended", "its end is told")
    with StoredRun(live.path) as stored:
        assert [e.body["command"] for e in stored.entries("operator")] == ["hold", "release"]


def test_a_dead_ioc_is_noted_and_the_run_goes_on(env, tmp_path):
    server, live = run_with_pvs(tmp_path, frames=60)
    until(lambda: live.status()["frames"]["stored"] > 3, "frames are stored")
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.problem, "the death is noticed")
    summary = live.wait(PATIENCE_S)
    server.close()
    assert (summary.ended, summary.frames["stored"], summary.records) == ("complete", 60, 60)


def test_an_ioc_that_hangs_holds_nobody_up(env):
    server = served()
    os.kill(server.pid, signal.SIGSTOP)
    done: list[bool] = []

    def tell() -> None:
        for k in range(20_000):
            server.record(record(k, "normal" if k % 2 else "anomaly"))
        done.append(True)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert done
    server.close()
    assert gone(server.pid)


def test_the_pvs_die_with_the_process_that_they_speak_for(env):
    script = (
        "import time; from insitu.sinks.epics import PvServer; s = PvServer('T:D'); s.wait_ready(60);"
        "print(s.pid, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait(PATIENCE_S)
    process.stdout.close()
    until(lambda: gone(pid), "the IOC has ended")


def test_without_a_word_for_long_the_heartbeat_is_invalid(client, monkeypatch):
    monkeypatch.setattr(epics, "SILENT_S", 0.3)
    with served():
        until(lambda: client.get("T:I:heartbeat")["alarm.severity"] == 3, "the heart has stopped")


@pytest.mark.parametrize(
    ("more", "words"),
    [({"prefix": "a b"}, "no prefix"), ({"prefix": ""}, "no prefix"), ({"features": {"x" * 60: ""}}, "characters"),
     ({"features": {"state": ""}}, "two PVs"), ({"models": ["a"], "features": {"a_score": ""}}, "two PVs")],
)  # fmt: skip
def test_names_that_no_record_can_have_are_refused(more, words):
    with pytest.raises(UsageError, match=words):
        PvServer(**{"prefix": "T", **more})


def test_a_feature_that_there_is_not_is_refused(tmp_path):
    recipe = {"format": 1, "title": "t", "detectors": ["bench_xrd"], "features": [{"use": "totals"}]}
    with pytest.raises(ConfigError, match="no feature is called"):
        pv_server(load(recipe), "T:R", ["nothing"])
