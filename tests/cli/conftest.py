"""What the tests of the command line share: a laboratory of small files, the command itself, and runs made with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from insitu.cli import main

RECIPE = """
format = 1
title = "A small ramp"
detectors = ["bench"]
[[features]]
use = "xrd.peaks"
name = "peak"
windows = [["31.0 deg", "32.0 deg"]]
[[models]]
use = "limits"
name = "phase"
feature = "peak1_height"
low = "1000 counts"
unknown_is = "anomaly"
[[rules]]
use = "halt_after"
model = "phase"
count = 3
[policy]
features = ["peak1_*"]
"""

DETECTOR = """
format = 1
source = "det"
shape = [1024]
dtype = "uint32"
unit = "counts"
dims = ["two_theta"]
[reader]
use = "simulated.diffractometer"
seed = 1
frames = 40
faults = ["lost_phase@30", "missing@10"]
"""


@dataclass(frozen=True)
class Said:
    """What one command gave: its exit status and what it printed."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1, f"stdout is not one line:\n{self.out}\n{self.err}"
        return orjson.loads(self.out)


Insitu = Callable[..., Said]


@pytest.fixture
def insitu(capfd: pytest.CaptureFixture[str]) -> Insitu:
    """Runs one command in this process."""

    def call(*arguments: str | Path) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return call


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pipelines/` and `detectors/` of its own, as a beamline has it."""
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "pipelines").mkdir()
    (folder / "detectors").mkdir()
    (folder / "pipelines" / "ramp.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "detectors" / "bench.toml").write_text(DETECTOR, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def here(laboratory: Path) -> Iterator[None]:
    """Every command is given in the laboratory."""
    before = Path.cwd()
    os.chdir(laboratory)
    yield
    os.chdir(before)


@pytest.fixture
def planted() -> int:
    """The frame (`seq`) from which the phase is lost in `DETECTOR`; its `n` is one less: frame 10 is missing."""
    return 30


@pytest.fixture(scope="session")
def halted(laboratory: Path) -> Path:
    """A sealed run in mode `act` that a rule has halted after the phase was lost."""
    from insitu.config import load
    from insitu.run import run

    setup = load(laboratory / "pipelines" / "ramp.toml")
    summary = run(setup, data_root=laboratory / "insitu-data", mode="act", operator="anna")
    assert summary.ended == "halted", summary
    return Path(summary.path)
