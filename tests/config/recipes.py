"""A recipe and its detectors, as dicts that tests change."""

import copy
from pathlib import Path
from typing import Any

from insitu.config import Setup

RECIPE: dict[str, Any] = {
    "format": 1,
    "title": "two of a kind",
    "detectors": ["left", "right"],
    "features": [
        {"use": "totals"},
        {"use": "xrd.peaks", "name": "peak", "source": "l", "windows": [["38.3 deg", "39.5 deg"]]},
    ],
    "models": [{"use": "limits", "feature": "peak1_area", "low": "100 counts deg"}],
    "rules": [{"use": "halt_after", "model": "limits"}],
    "policy": {"features": ["peak1_*"]},
}
LEFT: dict[str, Any] = {
    "format": 1,
    "source": "l",
    "live": True,
    "shape": [4096],
    "dtype": "uint32",
    "dims": ["two_theta"],
    "reader": {"use": "simulated.diffractometer", "frames": 2},
    "calibration": {"wavelength": "1.5406 angstrom"},
    "limits": {"exposure_s": {"min": 10, "max": 1000, "step": "0.1 s", "rate": "1 Hz", "unit": "ms"}},
}
RIGHT = {**LEFT, "source": "r", "live": False, "limits": {}}
DETECTORS = {"left": LEFT, "right": RIGHT}
FILES = {**LEFT, "live": False, "reader": {"use": "patterns"}}


def one(**changes: Any) -> dict[str, Any]:
    """The recipe with the left detector alone."""
    return {**copy.deepcopy(RECIPE), "detectors": ["left"], **changes}


def stored(setup: Setup, folder: Path) -> Path:
    """A run folder as far as config reads it."""
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(setup.recipe_toml)
    (folder / "detectors.toml").write_text(setup.detectors_toml)
    for name, path in setup.files.items():
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_bytes(path.read_bytes())
    return folder


def digests(setup: Setup) -> dict[str, str]:
    """Names and digests of what judges."""
    pipeline = setup.pipeline()
    return {stage.name: stage.digest for stage in (*pipeline.models, *pipeline.rules)}
