"""The shipped recipe `loops` on files and on a simulated magnetometer: run, seen, and replayed to the same bytes."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from insitu.config import load
from insitu.readers.simulated_loops import LoopSeries
from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun

ROOT = Path(__file__).resolve().parent.parent


def records(path: str) -> list[dict]:
    with StoredRun(Path(path)) as stored:
        return list(stored.records())


def test_a_folder_of_good_and_bad_loops_is_measured_and_the_bad_ones_are_named(data, tmp_path):
    folder = tmp_path / "loops"
    shutil.copytree(data / "magnetic" / "vsm", folder)
    b, m = np.loadtxt(folder / "hyst_NED1-5c.csv", delimiter=",", skiprows=1).T
    top = 0.6 * np.abs(m).max()
    rows = "".join(f"{x},{y}\n" for x, y in zip(b, np.clip(m, -top, top), strict=True))
    (folder / "hyst_clipped.csv").write_text(f"B_T,M_Am2_per_kg\n{rows}")
    summary = run(load("loops", inputs=str(folder)), data_root=tmp_path)
    found = records(summary.path)
    assert summary.frames["stored"] == 12
    labels = [r["verdicts"]["bad_loop"]["label"] for r in found]
    assert labels.count("anomaly") == 1
    assert "clipped" in found[labels.index("anomaly")]["verdicts"]["bad_loop"]["reason"]
    assert sum(r["features"]["bc"]["value"] is not None for r in found) == 6
    assert sum(r["features"]["bcr"]["value"] is not None for r in found) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_a_change_of_the_coercivity_is_noticed_where_it_began(tmp_path, seed):
    recipe = tomllib.loads((ROOT / "pipelines" / "loops.toml").read_text())
    reader = {"use": "simulated.loops", "frames": 70, "points": 202, "seed": seed, "change_at": 40, "over": 0}
    detector = {"format": 1, "source": "vsm", "reader": reader}
    summary = run(load(recipe, detectors={"vsm": detector}), data_root=tmp_path)
    changes = [r["verdicts"]["trend"] for r in records(summary.path) if r["verdicts"]["trend"]["label"] == "change"]
    assert changes
    assert changes[-1]["scores"]["frame"] == 40
    truth = LoopSeries(frames=70, points=202, seed=seed, change_at=40, over=0).truth(69).bc
    assert changes[-1]["scores"]["after"] == pytest.approx(truth, rel=0.02)
    assert verify(Path(summary.path)).identical
