"""Spectra are repeated until a number is known well enough: as many as its noise asks for."""

import re
from pathlib import Path

import pytest

from insitu.run import run
from insitu.store.runs import StoredRun
from tests.settings import setup

DETECTOR = {
    "format": 1,
    "source": "xas",
    "dims": ["channel", "energy"],
    "reader": {
        "use": "simulated.xas", "seed": 1, "frames": 1000, "reaction": "none",
        "below": "60 eV", "above": "120 eV", "points": 450,
        "edge_step": 0.1, "photons": 1e8,  # a thin sample: its noise is nearly the same below and above the edge
    },
}  # fmt: skip
WANTED = 800
"""By chance alone the scatter of so many values, squared, differs by 5 % from what it is on average."""


def test_averaging_ends_with_the_number_of_spectra_that_the_noise_predicts(tmp_path: Path) -> None:
    """The goal is the uncertainty of one spectrum, known beforehand from another run, over the root of `WANTED`."""
    features = [{"use": "xafs.edge", "element": "Ni"}]
    recipe = {"prepare": [{"use": "absorption"}], "features": features, "models": [], "rules": []}
    first = setup(recipe, "detector.reader.frames=100", "detector.reader.seed=2", detectors={"xas": DETECTOR})
    with StoredRun(Path(run(first, data_root=tmp_path / "one").path)) as stored:
        squares = [r["features"]["energy_half"]["sigma"] ** 2 for r in stored.records()]
    sigma = (sum(squares) / len(squares)) ** 0.5
    goal = f"{sigma / WANTED**0.5:.8f} eV"
    rule = {"use": "finish_when", "feature": "energy_half", "mean_sigma": goal, "count": 1}
    summary = run(
        setup({**recipe, "rules": [rule]}, detectors={"xas": DETECTOR}), data_root=tmp_path / "many", mode="act"
    )
    assert summary.ended == "finished"
    found = re.search(r"the mean of (\d+) frames", summary.reason)
    assert found, summary.reason
    assert int(found[1]) == pytest.approx(WANTED, rel=0.1)
