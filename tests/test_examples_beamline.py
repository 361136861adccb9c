"""The examples on the bench beamline: scripts on one real soft IOC, and what they leave behind."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.readers.simulated_beamline import Beamline, BenchSettings
from insitu.replay import verify
from insitu.store.runs import StoredRun

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "beamline"


@pytest.fixture(scope="module")
def bench() -> Iterator[Beamline]:
    with Beamline(BenchSettings(ramp_K_s=200.0, lag_s=0.02)) as bench:
        yield bench


@pytest.fixture(scope="module")
def client(bench: Beamline) -> Iterator[Any]:
    from p4p.client.thread import Context

    known = {k: v for k, v in bench.environment.items() if k.startswith("EPICS_PVA_")}
    with Context("pva", conf=known, useenv=False, nt=False) as context:
        yield context


def example(name: str, here: Path, env: dict[str, str]) -> str:
    """What a script prints, run in an empty folder."""
    paths = os.pathsep.join(filter(None, [str(EXAMPLES.parents[1]), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)], cwd=here, env={**os.environ, "PYTHONPATH": paths, **env},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def only_run(here: Path) -> Path:
    (ledger,) = here.glob("insitu-data/runs/*/*/ledger.db")
    return ledger.parent


def proved(path: Path) -> None:
    report = verify(path)
    assert report.identical, report.findings


def test_every_example_is_run_here() -> None:
    scripts = {p.name for p in EXAMPLES.glob("*.py")} - {"bench.py"}
    assert scripts == {"plain.py", "adaptive.py", "halted.py", "automation.py"}


def test_a_plain_scan_of_twenty_points_is_stored_as_the_ioc_served_it(
    bench: Beamline, client: Any, tmp_path: Path
) -> None:
    served: dict[int, np.ndarray] = {}
    began = []

    def take(value: Any) -> None:
        if value["value"] is not None:
            served[value["uniqueId"]] = np.asarray(value["value"])
        began.append(value)

    monitor = client.monitor("BENCH:Pva1:Image", take, request="record[queueSize=100]field()")
    said = example("plain.py", tmp_path, bench.environment)
    monitor.close()
    assert "20 of 20 points stored, 20 records" in said
    path = only_run(tmp_path)
    with StoredRun(path) as run:
        frames = list(run.frames())
    assert [f.context["furnace"].unit for f in frames] == ["K"] * 20
    assert [round(f.context["furnace"].value or 0.0) for f in frames] == list(range(330, 350))
    assert [f.context["number"].value for f in frames] == list(range(1, 21))
    for frame in frames:  # one came over Channel Access and bluesky, the other over PV Access
        assert np.array_equal(frame.data, served[int(frame.context["number"].value or 0)])
        assert frame.data.dtype == np.int32
    proved(path)


def test_a_scan_refines_itself_at_the_hidden_transition(bench: Beamline, tmp_path: Path) -> None:
    said = example("adaptive.py", tmp_path, bench.environment)
    found = re.search(r"at ([\d.]+) \+- ([\d.]+) K \(hidden at 393.0 K\)\n(\d+) points", said)
    assert found, said
    assert abs(float(found[1]) - 393.0) < 2.0
    assert int(found[3]) <= 24
    proved(only_run(tmp_path))


def test_a_scan_is_suspended_without_beam_and_aborted_without_sample(bench: Beamline, tmp_path: Path) -> None:
    said = example("halted.py", tmp_path, bench.environment)
    assert "resumed: yes" in said
    assert re.search(r"ended with abort: sample_lost: sample: peak1_area", said), said


def test_an_automation_script_drives_everything_through_the_command_line(tmp_path: Path) -> None:
    said = example("automation.py", tmp_path, {})
    assert "first: held (0), state held, released (0)" in said
    assert re.search(r"first: interrupted \(130\), 0 frames lost\nfirst: proved \(0\), byte for byte", said), said
    assert re.search(r"second: halted \(1\)\nsecond: sample_lost: sample: peak1_area [\d.]+", said), said
    assert said.endswith("the beamline ended with 0\n")
