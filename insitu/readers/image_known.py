"""What the detector file knows of an area detector, and headers that contradict it.

Headers of area detectors are often wrong: distances are those of a motor, wavelengths those of the day before. What the
detector file says (`[calibration]`, then the poni file of `[geometry]`) wins; the header's number is kept beside it as
`header_wavelength`, `header_distance`, `header_pixel_size`, and the contradiction is told once for a series.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from insitu import units
from insitu.maths.diffraction.poni import read_poni
from insitu.readers.image_headers import UNITS
from insitu.types import Detector, Feature

TOLERANCE = {"wavelength": 1e-3, "distance": 5e-3, "pixel_size": 5e-3, "pixel_size_x": 5e-3, "pixel_size_y": 5e-3}
"""Relative difference from which a header contradicts. 0.1 % in wavelength moves a line at 10 deg by 0.01 deg; nominal
distances are rounded to about 0.5 % at best."""
_FIELDS = {
    "distance": "distance",
    "wavelength": "wavelength",
    "pixelsize1": "pixel_size_y",
    "pixelsize2": "pixel_size_x",
}
_SCALE = {"wavelength": 1e10, "distance": 1.0, "pixel_size_x": 1e6, "pixel_size_y": 1e6}

log = logging.getLogger(__name__)


class Fact(NamedTuple):
    """A number that is known, in the unit of the context, and from where."""

    feature: Feature
    origin: str


def known(detector: Detector | None) -> dict[str, Fact]:
    """What a detector file says: wavelength (angstrom), distance (m), pixel_size or pixel_size_x and _y (um)."""
    facts: dict[str, Fact] = {}
    if detector is None:
        return facts
    for name in TOLERANCE:
        feature = detector.calibration.get(name)
        if feature is not None and feature.value is not None:
            value = units.convert(feature.value, feature.unit, UNITS[name])
            facts[name] = Fact(Feature(float(f"{value:.12g}"), UNITS[name], feature.sigma), "[calibration]")
    geometry = detector.geometry
    if geometry is not None and geometry.poni is not None:
        if "pixel_size" in facts:
            facts["pixel_size_x"] = facts["pixel_size_y"] = facts.pop("pixel_size")
        said = read_poni(geometry.poni)
        for key, name in _FIELDS.items():
            if key not in said:
                continue
            value = float(f"{said[key] * _SCALE[name]:.12g}")
            facts.setdefault(name, Fact(Feature(value, UNITS[name]), geometry.poni.name))
    x, y = facts.get("pixel_size_x"), facts.get("pixel_size_y")
    if x is not None and y is not None and x.feature == y.feature:
        facts["pixel_size"] = x
        del facts["pixel_size_x"], facts["pixel_size_y"]
    return facts


def settled(
    context: Mapping[str, Feature], facts: Mapping[str, Fact], told: list[str], where: str
) -> dict[str, Feature]:
    """The context of a frame with what is known better put in place.

    A contradiction not told yet is appended to `told` as a sentence and logged; `where` names the frame it is from.
    """
    result = dict(context)
    if not facts:
        return result
    for name in ("pixel_size_x", "pixel_size_y"):  # known for one side of the pixel, given for both, or the reverse
        if name in facts and name not in result and "pixel_size" in result:
            result[name] = result["pixel_size"]
    if "pixel_size" not in facts and ("pixel_size_x" in facts or "pixel_size_y" in facts):
        result.pop("pixel_size", None)
    for name, (feature, origin) in facts.items():
        for given_name in (name, "pixel_size_x", "pixel_size_y") if name == "pixel_size" else (name,):
            given = result.pop(given_name, None)
            if given is None or given.value is None or feature.value is None:
                continue
            if abs(given.value / feature.value - 1.0) > TOLERANCE[name]:
                result[f"header_{given_name}"] = given
                _tell(f"the header's {given_name}", given, feature, origin, told, where)
        result[name] = feature
    return result


def _tell(what: str, given: Feature, right: Feature, origin: str, told: list[str], where: str) -> None:
    begin = f"{what} is "
    if any(text.startswith(begin) for text in told):
        return
    assert given.value is not None
    assert right.value is not None
    text = (
        f"{begin}{given.value:.6g} {given.unit}, {origin} of the detector file says {right.value:.6g} {right.unit} "
        f"({100 * abs(given.value / right.value - 1):.2g} % apart): the detector file is taken"
    )
    told.append(text)
    log.warning("%s: %s", where, text)
