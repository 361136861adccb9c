"""The shipped recipe `xafs` on a quick-XAS series: channels of 1,600 points in, records in the ledger and raw data on
disk out. Spectra a second, sustained.

Every spectrum has i0, itrans and irefer with its own noise, and an edge that moves through the series. The same frames
without analysis (stored and committed only) tell what the features cost.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from insitu.config import load
from insitu.config.settings import Setup
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Arrival, Axis

ROOT = Path(__file__).resolve().parent.parent
POINTS, COUNT, QUICK, ROUNDS = 1600, 2000, 400, 3
GOAL = 200.0


class QuickScan:
    """A reader of computed spectra of an Fe edge, held in memory: reading them costs nothing."""

    def __init__(self, *, frames: int = COUNT) -> None:
        energy = np.linspace(6900.0, 8000.0, POINTS)
        rng, self.frames = np.random.default_rng(5), frames
        k = np.sqrt(np.maximum(energy - 7125.0, 0.0) / 3.81)
        wiggle = 0.4 * np.sin(2.0 * k * 2.2) * np.exp(-0.01 * k * k) / (1.0 + k)
        self.axis = Axis(energy, "eV")
        self.data = []
        for i in range(50):
            e0 = 7118.0 + 0.1 * i
            rise = 0.5 + np.arctan((energy - e0) / 1.5) / np.pi + 0.3 * np.exp(-0.5 * ((energy - e0 - 6.0) / 3.0) ** 2)
            mu = 0.6 + 1.2 * (rise + np.where(k > 0.0, wiggle, 0.0))
            foil = 0.4 + 0.5 + np.arctan((energy - 7112.0) / 1.5) / np.pi
            i0 = 1e6 * (1.0 + 1e-3 * rng.standard_normal(POINTS))
            itrans = i0 * np.exp(-mu) * (1.0 + 1e-4 * rng.standard_normal(POINTS))
            irefer = itrans * np.exp(-foil) * (1.0 + 1e-4 * rng.standard_normal(POINTS))
            self.data.append(np.stack([i0, itrans, irefer]))

    def __call__(self) -> Iterator[Arrival]:
        labels = {"channels": "i0 itrans irefer", "element": "Fe", "edge": "K"}
        for i in range(self.frames):
            yield Arrival(
                source="xas", data=self.data[i % len(self.data)], dims=("channel", "energy"), unit=("", "", ""),
                time_ns=1_750_000_000_000_000_000 + i * 5_000_000, clock="header", source_seq=i,
                axes={"energy": self.axis}, labels=labels,
            )  # fmt: skip


def setup(frames: int, *, analysed: bool) -> Setup:
    """The shipped recipe on that reader; without its prepares, features, models and rules for the comparison."""
    recipe = tomllib.loads((ROOT / "pipelines" / "xafs.toml").read_text())
    if not analysed:
        recipe = {key: recipe[key] for key in ("format", "title", "detectors", "policy")}
        recipe["features"] = []
        recipe["policy"]["features"] = []
    detector = {
        "format": 1, "source": "xas",
        "reader": {"use": "benchmarks.xafs_recipe:QuickScan", "frames": frames},
    }  # fmt: skip
    return load(recipe, detectors={"spectra": detector})


def rate(disk: Path, frames: int, *, analysed: bool) -> float:
    """Spectra a second of one run, from its start to its seal."""
    folder = Path(tempfile.mkdtemp(dir=disk))
    try:
        made = setup(frames, analysed=analysed)
        began = time.perf_counter()
        summary = run(made, data_root=folder)
        took = time.perf_counter() - began
        assert summary.frames["stored"] == frames
        if analysed:
            with StoredRun(Path(summary.path)) as stored:
                found = [record["features"] for record in stored.records()]
            assert len(found) == frames
            assert all(f["shell_position"]["value"] and f["foil_offset"]["value"] for f in found)
        return frames / took
    finally:
        shutil.rmtree(folder)


def main(disk: Path, *, quick: bool) -> None:
    frames = QUICK if quick else COUNT
    rate(disk, 50, analysed=True)
    full, bare = [], []
    for _ in range(1 if quick else ROUNDS):
        full.append(rate(disk, frames, analysed=True))
        bare.append(rate(disk, frames, analysed=False))
    got = statistics.median(full)
    print(f"\nRecipe xafs, {frames} spectra of {POINTS} points and 3 channels, with store and ledger")
    print(f"  all features       {got:8.0f} spectra/s ({min(full):.0f} to {max(full):.0f}); goal {GOAL:g}")
    print(f"  stored only        {statistics.median(bare):8.0f} spectra/s")
