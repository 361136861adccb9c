"""`insitu sim beamline` as a process, `insitu run --pvs` beside it, and a stock client that sees both."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from insitu.store.runs import StoredRun
from tests.epics_servers import pva_client
from tests.waiting import gone, until

INSITU = [sys.executable, "-c", "from insitu.cli import main; main()"]
PATIENCE_S = 90.0
RECIPE = """
format = 1
title = "t"
detectors = ["bench_pva"]
[[features]]
use = "totals"
[[models]]
use = "limits"
name = "light"
feature = "maximum"
low = "100 counts"
"""
DETECTOR = """
format = 1
source = "det"
live = true
shape = [4096]
dtype = "int32"
unit = "counts"
[reader]
use = "epics.pva"
pv = "B:Pva1:Image"
connect = "60 s"
context = { furnace = "B:furnace.RBV" }
"""


def begin(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*INSITU, *arguments], cwd=folder, env={**os.environ, **(env or {})}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def beamline(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    arguments = ("sim", "beamline", "--prefix", "B", "--acquire", "--exposure", "0.02", "--period", "0.1", "--json")
    process = begin(tmp_path, *arguments)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_a_run_on_the_bench_says_what_it_sees_as_pvs_and_is_held_by_one(beamline: Any, tmp_path: Path) -> None:
    bench, told = beamline
    for folder, name, text in (("pipelines", "r.toml", RECIPE), ("detectors", "bench_pva.toml", DETECTOR)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    assert all("127.0.0.1" in v for k, v in told["environment"].items() if k.endswith("ADDR_LIST") and "AUTO" not in k)
    live = begin(tmp_path, "run", "r", "--pvs", "B:PIPE=max*", "--json", env=told["environment"])
    with pva_client(told["environment"]) as client:

        def pv(name: str, timeout_s: float = 60.0) -> Any:
            return client.get(f"B:PIPE:{name}", throw=False, timeout=timeout_s)

        until(lambda: not isinstance(pv("frame", 2.0), Exception) and pv("frame")["value"] > 2, "frames are judged")
        assert (pv("light_label")["value"], pv("state")["value"]) == ("normal", "running")
        assert (pv("maximum")["display.units"], pv("decision")["value"]) == ("counts", "CONTINUE")
        assert pv("maximum")["value"] > 100
        assert isinstance(pv("total", 2.0), Exception)  # not asked for
        beat = pv("heartbeat")["value"]
        until(lambda: pv("heartbeat")["value"] != beat, "the heart beats")
        client.put("B:PIPE:hold", 1)
        until(lambda: pv("held")["value"] == 1, "it is held")
        client.put("B:PIPE:release", 1)
        until(lambda: pv("held")["value"] == 0, "it is released")
        client.put("B:fault:shutter", 1)  # and the bench is still there beside it
        until(lambda: pv("light_label")["value"] == "anomaly", "the dark is seen")
        assert pv("light_label")["alarm.severity"] == 2
    live.send_signal(signal.SIGINT)
    said, err = live.communicate(timeout=PATIENCE_S)
    assert live.returncode == 130, err
    summary = json.loads(said)
    with StoredRun(Path(summary["path"]) if Path(summary["path"]).is_absolute() else tmp_path / summary["path"]) as run:
        orders = [e.body for e in run.entries("operator")]
        frame = next(iter(run.frames()))
    assert [(o["command"], o["operator"]) for o in orders] == [
        ("hold", "PV B:PIPE:hold"), ("release", "PV B:PIPE:release"),
    ]  # fmt: skip
    assert frame.context["furnace"].unit == "K"
    bench.send_signal(signal.SIGINT)
    rest, err = bench.communicate(timeout=PATIENCE_S)
    assert (bench.returncode, rest) == (0, "")
    assert gone(told["pid"])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--image", "big"), "no size of an image"),
        (("--fault", "melted@3"), "of no kind that a bench beamline has"),
        (("--prefix", "A B"), "no prefix of PVs"),
        (("--play", "no/such/folder"), "is not there"),
        (("--port", "80"), "port 80"),
    ],
)
def test_a_beamline_that_cannot_be_is_refused(insitu: Any, arguments: tuple[str, ...], what: str) -> None:
    said = insitu("sim", "beamline", *arguments, "--json")
    assert said.code == 2
    assert what in said.body["error"]["what"]


def test_pvs_that_cannot_be_are_refused_before_the_run(insitu: Any) -> None:
    for asked, what in (("A B", "no prefix of PVs"), ("A=nobody*", "no feature is called")):
        said = insitu("run", "ramp", "--pvs", asked, "--json")
        assert said.code == 2
        assert what in said.body["error"]["what"]
