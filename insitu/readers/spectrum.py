"""An absorption spectrum as a decoder gives it: what the file holds, channel by channel, on the axis of the scan.

The axis is the energy in eV wherever the file tells one: eV and keV as they are, the angle of the monochromator by
Bragg's law, E = h c / (2 d sin(angle)). A scan downwards is turned round. Points that the monochromator passed twice,
or in slightly wrong order (a quick scan, an encoder that trembles), are kept and put in order; two scans in one table
are refused. An axis of anything else (a position, a number of the row) is kept under its own name: such data are no
spectrum, and a warning says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from insitu.errors import FormatError
from insitu.types import Axis, Feature

HC = 12398.419843320026
"""h c in eV angstrom (SI 2019, exact constants)."""

LEAST_EV, MOST_EV = 30.0, 200_000.0
JITTER = 0.02
"""How far, as a part of the whole range, the axis may step back and still be one scan."""

ENERGY_UNITS = {"ev": 1.0, "kev": 1000.0, "": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What the reader knows beforehand. `name`: the file, as people know it; `timezone`: of times that do not say;
    `d_spacing` in angstrom, where the detector file gives it; `columns`: {channel: number from 1, or title}.
    `as_taken`: points stay in the order in which they were measured."""

    name: str = "spectrum"
    timezone: str = "UTC"
    d_spacing: float | None = None
    columns: Mapping[str, int | str] = field(default_factory=dict)
    as_taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """`axis` (n,) of name `dim`, not decreasing; `values` (channels, n) with a name and a unit for each channel.
    `time_ns`: start, ns since 1970 UTC, known to `clock_sigma_ns`, None where the file has no time. `warnings`: what
    is wrong with the file and could be borne."""

    dim: str
    axis: Axis
    values: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    context: dict[str, Feature] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    time_ns: int | None = None
    clock_sigma_ns: int = 0
    duration_ns: int = 0
    warnings: tuple[str, ...] = ()


def bragg_energy(angle: np.ndarray, d_spacing: float) -> np.ndarray:
    """Energy (n,) in eV of Bragg angles (n,) in deg at planes `d_spacing` angstrom apart.

    >>> bragg_energy(np.array([14.3083]), 3.1355).round(0).tolist()
    [8000.0]
    """
    return HC / (2.0 * d_spacing * np.sin(np.radians(angle)))


def scan_axis(
    x: np.ndarray, name: str, unit: str, d_spacing: float | None, where: str
) -> tuple[str, np.ndarray, str, str]:
    """Name, values (n,), unit of the axis, and a warning ("" without), from a column and what it is called."""
    kind = name.lower()
    if kind in ("energy", "e") or unit.lower() in ("ev", "kev"):
        if unit.lower() not in ENERGY_UNITS:
            raise FormatError(f"the energy is in {unit!r}", where=where, expected="eV or keV")
        energy = x * ENERGY_UNITS[unit.lower()]
        if not unit and energy.size and 0 < energy[0] < LEAST_EV * 4 and energy[-1] < MOST_EV / 1000:
            energy = energy * 1000.0  # no unit, and no element has an edge there in eV: keV
        return "energy", energy, "eV", ""
    if kind in ("angle", "theta", "bragg", "bragg_angle", "mono_angle"):
        degrees = np.degrees(x) if unit.lower().startswith("rad") else x
        if d_spacing is None:
            return "angle", degrees, "deg", "an angle without the d-spacing of the monochromator gives no energy"
        if not ((degrees > 0) & (degrees < 90)).all():
            raise FormatError("the angle is outside 0 to 90 deg", where=where, expected="Bragg angles in degrees")
        return "energy", bragg_energy(degrees, d_spacing), "eV", ""
    dim = clean(name) or "x"
    told = f"{name} ({unit})" if unit else name
    return dim, x, unit, f"the first column is {told}, no energy: this is no absorption spectrum"


def ordered(
    x: np.ndarray, values: np.ndarray, where: Callable[[int], str], *, energy: bool, as_taken: bool = False
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Axis (n,) not decreasing, values (channels, n) in its order, and whether the scan ran downwards. `as_taken`: both
    in the order of the rows."""
    given = x, values
    if x.size < 2:
        raise FormatError(f"the table has {x.size} rows", where=where(0), expected="2 or more")
    if not energy:
        return x, values, False
    if (x == x[0]).all():
        raise FormatError(f"the energy is {x[0]:g} eV in every row", where=where(0), expected="an energy scan")
    if np.array_equal(x, x[0] + np.arange(x.size)) and x[0] in (0.0, 1.0):
        raise FormatError(
            "the first column counts rows: that is no energy",
            where=where(0),
            expected="energy in eV or keV, or a Bragg angle with its d-spacing",
            remedy="Name the column with the energy in the detector file: columns = { energy = 2 }",
        )
    bad = np.flatnonzero(~((x >= LEAST_EV) & (x <= MOST_EV)))
    if bad.size:
        raise FormatError(
            f"{x[bad[0]]:g} eV is no X-ray energy",
            where=where(int(bad[0])),
            expected=f"{LEAST_EV:g} to {MOST_EV:g} eV",
        )
    down = bool(x[-1] < x[0])
    if down:
        x, values = x[::-1], values[:, ::-1]
    back = np.maximum.accumulate(x) - x
    worst = int(back.argmax())
    if back[worst] > JITTER * (x.max() - x.min()):
        row = x.size - 1 - worst if down else worst
        raise FormatError(
            f"the energy turns back by {back[worst]:g} eV",
            where=where(row),
            expected="one scan, upwards or downwards",
            remedy="Cut the file where the second scan begins",
        )
    if as_taken:
        return *given, down
    order = np.argsort(x, kind="stable")
    return np.ascontiguousarray(x[order]), np.ascontiguousarray(values[:, order]), down


def clean(text: str) -> str:
    """A channel's name as keys are written: small letters, digits and _.

    >>> clean("Mn_Ka (mca1)"), clean("2theta")
    ('mn_ka_mca1', 'x_2theta')
    """
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.lower())
    name = "_".join(part for part in name.split("_") if part)
    return name if not name or name[0].isalpha() else f"x_{name}"


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ: the second `i0` is `i0_2`."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(found)


def kelvin(text: str) -> Feature | None:
    """A temperature such as `15K`, `300 K`, `-196 C`, `room temperature` (293 to 298 K, so 295.5 +- 2.5 K)."""
    words = text.strip().lower()
    if words in ("room temperature", "room temp", "room", "rt", "ambient", "room temperature."):
        return Feature(295.5, "K", sigma=2.5)
    number = words.rstrip("kelvincdg°. ")
    try:
        value = float(number)
    except ValueError:
        return None
    unit = words[len(number) :].strip(" .")
    if unit in ("c", "°c", "degc", "deg c", "celsius"):
        value += 273.15
    elif unit not in ("k", "kelvin"):
        return None
    return Feature(value, "K") if math.isfinite(value) and 0 <= value < 1e5 else None
