"""Tiled's own server, in a process of its own, takes our runs through bluesky's own writer."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from insitu.run import run
from tests.documents import documents, events, sending
from tests.settings import WINDOW

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Tiled server with an empty catalog on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = tmp_path_factory.mktemp("tiled") / "said.txt"
    command = ["-m", "tiled", "serve", "catalog", "--temp", "--api-key", KEY, "--port", str(port)]
    with said.open("wb") as out, subprocess.Popen([sys.executable, *command], stdout=out, stderr=out) as process:
        try:
            _answers(port, process, said)
            yield f"http://127.0.0.1:{port}/api/v1?api_key={KEY}"
        finally:
            process.terminate()


def _answers(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"Tiled's server does not answer: {said.read_text()[-2000:]}")


def ingested(server: str, path: str) -> dict:
    """What Tiled holds after the documents of a run went into it."""
    command = [sys.executable, "-m", "tests.sinks.tiled_ingest", server, str(Path(path) / "ledger.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(180)
def test_tiled_holds_every_event_with_its_values_texts_and_absences(server, tmp_path):
    more = {
        "prepare": [{"use": "baseline", "window": "2 deg"}],
        "features": [{"use": "prepared"}, {"use": "totals"}, {"use": "xrd.peaks", "windows": WINDOW}],
    }
    rule = {"feature": "pattern", "shape": [4096], "dtype": "float32", "max_rate": "4 Hz"}
    policy = {"features": ["*"], "verdicts": ["*"], "context": ["temperature"], "arrays": [rule], "reasons": True}
    summary = run(sending(policy, frames=12, rate="20 Hz", faults=["slipped@6"], more=more), data_root=tmp_path)
    found = documents(summary)
    held = ingested(server, summary.path)
    assert held["start"] == summary.run_uid
    assert held["stop"] == found[-1][1]["num_events"]
    table = held["streams"]["det"]
    for key in ("frame_seq", "action", "limits_label", "peak1_position", "peak1_position_status", "temperature"):
        values = [e["data"][key] for e in events(found)]
        assert table[key] == [None if value != value else value for value in values], f"{key}: NaN is null in JSON"
    patterns = [e["data"]["pattern"] for e in events(found, "det-pattern")]
    assert held["streams"]["det-pattern"]["pattern"] == patterns
    assert [len(p) for p in patterns] == [4096] * 3


@pytest.mark.timeout(180)
@pytest.mark.parametrize("peaks", [0, 3, 7])
def test_tiled_takes_runs_with_no_three_and_seven_peaks(server, tmp_path, peaks):
    windows = [[f"{31.0 + k} deg", f"{32.0 + k} deg"] for k in range(7)]
    more = {"features": [{"use": "xrd.peaks", "windows": windows}], "models": [], "rules": []}
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.simple:Peaks", "peaks": peaks}}}
    summary = run(sending({"features": ["*"]}, detectors=table, more=more), data_root=tmp_path)
    held = ingested(server, summary.path)["streams"]["det"]
    for k in range(1, 8):
        assert held[f"peak{k}_position_status"] == ["ok" if k <= peaks else "absent"] * 4
