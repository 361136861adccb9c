"""An IOC that is killed in mid-run and starts again on the same ports: readers go on, and what is missing is counted.

The bench beamline is the IOC. Channel Access is read in a process of its own: its library reads its settings once.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.readers.simulated_beamline import PORTS, Beamline, BenchSettings
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from tests.epics_servers import free_ports
from tests.waiting import until

PATIENCE_S = 90.0
CA_CLIENT = """
import json, sys
from insitu.errors import SourceError
from insitu.readers.epics import CaWaveforms
for pv in ("T:sample_is_no_pv", "T:Stats1:Total_RBV"):
    try:
        list(CaWaveforms(pv, connect=0.5 if "no_pv" in pv else 30.0, initial=True)())
    except SourceError as e:
        print(json.dumps(str(e)), flush=True)
reader = CaWaveforms("T:image1:ArrayData", context={"furnace": "T:furnace.RBV", "i0": "T:scaler:i0"}, connect=60.0)
for a in reader():
    if a is not None:
        print(json.dumps([a.data.shape, a.time_ns, a.clock_sigma_ns, dict(a.labels), a.context["furnace"].unit,
                          int(a.data.max()), reader.reconnects]), flush=True)
"""


def free_row() -> int:
    """The first of as many free ports in a row as a bench takes."""
    import socket

    while True:
        (first,) = free_ports(1)
        if first + PORTS > 65_000:
            continue
        held = []
        try:
            for port in range(first, first + PORTS):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    held.append(socket.socket(type=kind))
                    held[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for one in held:
                one.close()


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> int:
    return free_row()


def running(ports: int, **settings: Any) -> Beamline:
    """A bench whose detector runs, ten frames a second."""
    given = {"prefix": "T", "acquire": True, "exposure_s": 0.02, "period_s": 0.1, "lag_s": 0.0, **settings}
    return Beamline(BenchSettings(**given), port=ports)


def in_ca(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CA_CLIENT], env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
    )


def lines(process: subprocess.Popen[str], found: list[Any]) -> Iterator[Any]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(("[", '"')):  # the library speaks too
            found.append(json.loads(line))
            yield found[-1]


def test_both_readers_go_on_when_an_ioc_comes_back_on_its_ports(
    ports: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from p4p.client.thread import Context

    heard: list[Any] = []
    with running(ports) as bench:
        for key, value in bench.environment.items():
            monkeypatch.setenv(key, value)
        ca = in_ca(bench.environment)
        try:
            said = lines(ca, heard)
            assert "T:sample_is_no_pv did not connect within 0.5 s" in next(said)
            assert "EPICS_CA_ADDR_LIST" in heard[0]
            assert "no array of numbers" in next(said)
            live = live_run(tmp_path)
            reader: Any = live.readers["det"]
            until(lambda: live.status()["frames"]["stored"] >= 5, "frames are stored")
            assert next(said)[0] == [4096]
            os.kill(bench.pid, signal.SIGKILL)
            until(lambda: not bench.alive, "it is dead")
            assert "has ended" in bench.problem
            until(lambda: not reader.connected, "the loss is noticed")
            before = live.status()["frames"]["stored"]
            with running(ports) as again, Context("pva", nt=False) as client:
                assert again.environment == bench.environment
                until(lambda: live.status()["frames"]["stored"] >= before + 2, "new frames are stored")
                for fault in ("missing", "clock"):  # frames that never come; a clock that is an hour ahead
                    client.put(f"T:fault:{fault}", 1)
                    taken = client.get("T:cam1:ArrayCounter_RBV")["value"]
                    until(lambda taken=taken: client.get("T:cam1:ArrayCounter_RBV")["value"] >= taken + 4, "it counts")
                    client.put(f"T:fault:{fault}", 0)
                before = live.status()["frames"]["stored"]
                until(lambda: live.status()["frames"]["stored"] >= before + 2, "it goes on")
                late = next(told for told in said if told[-1])  # after it has connected again
        finally:
            ca.kill()
            ca.wait()
            assert ca.stdout is not None
            ca.stdout.close()
    live.stop()
    summary = live.wait(PATIENCE_S)
    assert late[-1] == 1
    assert late[4] == "K"
    assert reader.reconnects == 1
    with StoredRun(live.path) as stored:
        frames = list(stored.frames())
        epochs = [e for e in stored.entries("event") if e.body["what"] == "epoch"]
    away = [f for f in frames if "had been away" in f.labels.get("connection", "")]
    assert len(away) == 1
    assert len(epochs) == 1
    new = [f for f in frames if f.n >= away[0].n]
    numbers = [int(f.source_seq or 0) & 0xFFFFFFFF for f in new]
    assert numbers == sorted(numbers)
    lost = set(range(numbers[0], numbers[-1] + 1)) - set(numbers)
    assert len(lost) >= 3
    assert summary.frames["lost"] >= len(lost)
    ahead = [f for f in new if "in the future" in f.labels.get("clock_warning", "")]
    assert len(ahead) >= 3
    assert all(f.clock_sigma_ns > 3000 * 10**9 for f in ahead)
    assert all(np.asarray(f.data).shape == (4096,) for f in new)


def live_run(root: Any) -> LiveRun:
    detector = {
        "format": 1, "source": "det", "live": True, "unit": "counts", "shape": [4096], "dtype": "int32",
        "reader": {"use": "epics.pva", "pv": "T:Pva1:Image", "connect": "60 s"},
    }  # fmt: skip
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}]}
    return LiveRun(load(recipe, detectors={"bench": detector}), data_root=root)
