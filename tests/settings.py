"""Recipes and detectors for tests, as plain tables."""

from collections.abc import Mapping
from typing import Any

from insitu.config import Setup, load

WINDOW = [["31.0 deg", "32.0 deg"]]

RECIPE: dict[str, Any] = {
    "format": 1,
    "title": "test",
    "detectors": ["bench"],
    "features": [{"use": "totals"}, {"use": "xrd.peaks", "windows": WINDOW}],
    "models": [{"use": "limits", "feature": "peak1_position", "low": "31.45 deg", "high": "31.60 deg"}],
    "rules": [{"use": "halt_after", "model": "limits", "count": 3}],
}


def detector(source: str = "det", *, live: bool = False, **reader: Any) -> dict[str, Any]:
    """A simulated diffractometer."""
    return {
        "format": 1,
        "source": source,
        "live": live,
        "shape": [4096],
        "dtype": "uint32",
        "unit": "counts",
        "dims": ["two_theta"],
        "reader": {"use": "simulated.diffractometer", "frames": 60, "exposure": "1 ms", **reader},
        "calibration": {"wavelength": "1.5406 angstrom"},
    }


def setup(
    recipe: Mapping[str, Any] | None = None, *sets: str, detectors: Mapping[str, Any] | None = None, **reader: Any
) -> Setup:
    """The test recipe (changed by `recipe`) on one simulated diffractometer set by `reader`, or on `detectors`."""
    found = detectors or {"bench": detector(**reader)}
    table = {**RECIPE, "detectors": list(found), **(recipe or {})}
    return load(table, sets=sets, detectors=found)
