"""The examples on the bench beamline: scripts on one real soft IOC, and what they leave behind."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from insitu.readers.simulated_beamline import Beamline, BenchSettings
from insitu.replay import verify
from insitu.store.runs import StoredRun
from tests.epics_servers import pva_client

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "beamline"


@pytest.fixture(scope="module")
def bench() -> Iterator[Beamline]:
    with Beamline(BenchSettings(ramp_K_s=200.0, lag_s=0.02)) as bench:
        yield bench


@pytest.fixture(scope="module")
def client(bench: Beamline) -> Iterator[Any]:
    with pva_client(bench.environment) as client:
        yield client


SEVERAL = """
import os, runpy, sys
given = sys.argv[1:]
for path, folder in zip(given[::2], given[1::2]):
    os.chdir(folder)
    sys.argv, sys.path[0] = [path], os.path.dirname(path)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as e:
        print("ended with status", e.code, flush=True)
"""


def run(env: dict[str, str], *arguments: str) -> str:
    """What python prints."""
    paths = os.pathsep.join(filter(None, [str(EXAMPLES.parents[1]), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], env={**os.environ, "PYTHONPATH": paths, **env},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


class Example(NamedTuple):
    """What a script left in its folder, and what it printed."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def served() -> dict[int, np.ndarray]:
    """Arrays that the IOC gave over PV Access, by their numbers."""
    return {}


@pytest.fixture(scope="module")
def examples(
    bench: Beamline, client: Any, served: dict[int, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Example]:
    """The scripts, one after the other in one process (importing takes longer than they do)."""

    def take(value: Any) -> None:
        if value["value"] is not None:
            served.setdefault(value["uniqueId"], np.asarray(value["value"]))

    monitor = client.monitor("BENCH:Pva1:Image", take, request="record[queueSize=100]field()")
    names = ("plain", "adaptive", "halted")
    folders = [tmp_path_factory.mktemp(name) for name in names]
    pairs = [
        str(part) for name, folder in zip(names, folders, strict=True) for part in (EXAMPLES / f"{name}.py", folder)
    ]
    said = run(bench.environment, "-c", SEVERAL, *pairs).split("ended with status 0\n")
    monitor.close()
    assert len(said) == 4, said
    return {name: Example(folder, text) for name, folder, text in zip(names, folders, said, strict=False)}


def only_run(here: Path) -> Path:
    (ledger,) = here.glob("insitu-data/runs/*/*/ledger.db")
    return ledger.parent


def test_every_example_is_run_here() -> None:
    scripts = {p.name for p in EXAMPLES.glob("*.py")} - {"bench.py"}
    assert scripts == {"plain.py", "adaptive.py", "halted.py", "automation.py"}


def test_a_plain_scan_of_twenty_points_is_stored_as_the_ioc_served_it(
    examples: dict[str, Example], served: dict[int, np.ndarray]
) -> None:
    folder, said = examples["plain"]
    assert "20 of 20 points stored, 20 records" in said
    path = only_run(folder)
    with StoredRun(path) as stored:
        frames = list(stored.frames())
    assert [f.context["furnace"].unit for f in frames] == ["K"] * 20
    assert [round(f.context["furnace"].value or 0.0) for f in frames] == list(range(330, 350))
    assert [f.context["number"].value for f in frames] == list(range(1, 21))
    for frame in frames:  # one came over Channel Access and bluesky, the other over PV Access
        assert np.array_equal(frame.data, served[int(frame.context["number"].value or 0)])
        assert frame.data.dtype == np.int32
    report = verify(path)
    assert report.identical, report.findings


def test_a_scan_refines_itself_at_the_hidden_transition(examples: dict[str, Example]) -> None:
    said = examples["adaptive"].said
    found = re.search(r"at ([\d.]+) \+- ([\d.]+) K \(hidden at 393.0 K\)\n(\d+) points", said)
    assert found, said
    assert abs(float(found[1]) - 393.0) < 2.0
    assert int(found[3]) <= 24


def test_a_scan_is_suspended_without_beam_and_aborted_without_sample(examples: dict[str, Example]) -> None:
    said = examples["halted"].said
    assert "resumed: yes" in said
    assert re.search(r"ended with abort: sample_lost: sample: peak1_area", said), said


def test_an_automation_script_drives_everything_through_the_command_line(tmp_path: Path) -> None:
    said = run({}, str(EXAMPLES / "automation.py"), str(tmp_path))
    assert "first: held (0), state held, released (0)" in said
    assert re.search(r"first: interrupted \(130\), 0 frames lost\nfirst: proved \(0\), byte for byte", said), said
    assert re.search(r"second: halted \(1\)\nsecond: sample_lost: sample: peak1_area [\d.]+", said), said
    assert said.endswith("the beamline ended with 0\n")
