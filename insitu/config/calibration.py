"""`[calibration]` of a detector file: any number may stand there; those with well-known names must be what they say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace

from insitu import units
from insitu.config.document import At, Problems
from insitu.errors import UnitError
from insitu.types import Feature

KNOWN: dict[str, tuple[str, bool]] = {
    "wavelength": ("angstrom", True),
    "wavelength2": ("angstrom", True),
    "temperature": ("K", True),
    "energy": ("keV", False),
    "distance": ("m", False),
    "pixel_size": ("um", False),
}
"""Well-known name: a unit of its kind, and whether the value is brought to it (readers and features rely on that)."""


def checked(given: Mapping[str, Feature], at: At) -> dict[str, Feature]:
    """The calibration with wavelength in angstrom and temperature in K; all that is impossible is told at once."""
    problems, found = Problems(), {}
    for name, feature in given.items():
        with problems.gather():
            found[name] = _known(name, feature, at / name) if name in KNOWN else _free(name, feature, at / name)
    problems.stop()
    return found


def _known(name: str, feature: Feature, at: At) -> Feature:
    unit, brought = KNOWN[name]
    number = float(feature.value or 0.0)
    expected = f'a number with a unit like "{unit}"'
    if not feature.unit:
        raise at.wrong(f"{number:g} has no unit", expected=f'{expected}, such as "{number:g} {unit}"')
    try:
        converted = units.convert(number, feature.unit, unit)
    except UnitError as e:
        raise at.adopt(UnitError(e.what, expected=expected, remedy=e.remedy)) from e
    if not converted > 0:
        raise at.wrong(f"{number:g} {feature.unit} cannot be a {name.replace('_', ' ')}", expected="more than 0")
    if not brought or feature.unit == unit:
        return feature
    return replace(feature, value=float(f"{converted:.12g}"), unit=unit)  # 1.5406, where 0.15406 nm gave 1.54060...02


def _free(name: str, feature: Feature, at: At) -> Feature:
    """A name of one's own; but one letter beside a well-known name it would be overlooked without a word."""
    near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.88)
    if near and not name.startswith(near[0]):
        raise at.wrong(f'"{name}" is not "{near[0]}"', expected=near[0], remedy="Correct it, or choose another name")
    return feature
