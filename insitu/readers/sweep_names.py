"""What sweeps over frequency are made of: how files call frequency, mu', mu'', L, R, Z, and in which units."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from insitu import units
from insitu.errors import FormatError, InsituError

FEWEST = 2
NAMES: dict[str, str] = {
    "frequency": r"f|freq|freq[ue]*ncy|frequenz",
    "mu_real": r"mu|mu_r|mu_?r?_?(real|re|prime|1|p|s|'|′)|(re|real)_?(mu|permeability)(_?r)?",
    "mu_imag": r"mu_?r?_?(imag|im|double_?prime|primeprime|2|pp|''|\"|″|′′)|im(ag)?_?(mu|permeability)(_?r)?",
    "l": r"l|ls|inductance",
    "r": r"r|rs|esr|resistance",
    "z": r"z|z_?abs|abs_?z|\|z\||impedance|z_?mag(nitude)?",
    "theta": r"theta|θ|phase|phi|angle|z_?phase",
    "z_real": r"z_?re(al)?|re_?z|z'",
    "z_imag": r"z_?im(ag)?|im_?z|z''|x",
    "b_peak": r"b|b_?peak|b_?pk|bpk|flux_?density",
    "h_peak": r"h|h_?peak|h_?pk",
    "temperature": r"t|temp|temperature",
}
"""Own name: how files call it, after units and brackets are taken off and in lower case."""
UNITS = {
    "frequency": "Hz", "mu_real": "", "mu_imag": "", "l": "H", "r": "ohm", "z": "ohm", "theta": "deg", "z_real": "ohm",
    "z_imag": "ohm", "b_peak": "T", "h_peak": "A/m", "temperature": "K",
}  # fmt: skip
ABOUT = ("b_peak", "h_peak", "temperature")
"""What is not measured over frequency, but holds for a sweep."""
REMEDY = "Name the columns: columns = { frequency = 1, mu_real = 2, mu_imag = 3 }"


class Sweep(NamedTuple):
    """`frequency` `(n,)` Hz, increasing; `values` `(channels, n)` float64 with `names` and `units`, nan where nothing
    was measured; `about`: {name: (value, unit)} of what holds for all of it."""

    frequency: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    about: dict[str, tuple[float, str]]


class Column(NamedTuple):
    """A named array with its unit."""

    name: str
    unit: str
    values: np.ndarray


def known(title: str) -> tuple[str, str]:
    """Own name and unit of a title: `Frequency (kHz)`, `f_Hz`, `Ls [uH]`; "" for a unit that it does not tell.

    >>> known("Frequency (kHz)"), known("mu''"), known("B_T"), known("Q factor")
    (('frequency', 'kHz'), ('mu_imag', ''), ('b_peak', 'T'), ('q_factor', ''))
    """
    text, unit = title.strip().strip('"').strip(), ""
    bracket = re.search(r"[\[(]([^\])]*)[\])]\s*$", text)
    part = re.match(r"(re|im|real|imag|abs)\s*[\[(]", text, re.IGNORECASE)  # Re(mu): no unit in brackets
    if bracket and not (part and part.end() > bracket.start()) and _is_unit(bracket[1]):
        text, unit = text[: bracket.start()].strip(), _spelt(bracket[1])
    elif (slash := re.search(r"\s*/\s*([^/]+)$", text)) and _is_unit(slash[1]):
        text, unit = text[: slash.start()], _spelt(slash[1])
    elif (tail := re.search(r"[_ ](m?T|[kMG]?Hz|[uµm]?H|[mk]?[Oo]hm|deg|K|C)$", text)) and len(text) > len(tail[0]):
        text, unit = text[: tail.start()], _spelt(tail[1])
    plain = re.sub(r"[\s()\[\]]+", "_", re.sub("[µμ]r?(?![a-z])", "mu", text.lower())).strip("_")
    for own, pattern in reversed(NAMES.items()):
        if re.fullmatch(pattern, plain):
            return own, unit
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9_]", "_", plain)).strip("_") or "column", unit


def _is_unit(text: str) -> bool:
    try:
        return bool(text.strip()) and units.convert(1.0, _spelt(text), _spelt(text)) is not None
    except InsituError:
        return False


def _spelt(unit: str) -> str:
    """A unit as our unit file spells it."""
    plain = unit.strip().replace("Ohm", "ohm").replace("Ω", "ohm").replace("Ω", "ohm").replace("°", "deg")
    return "degC" if plain == "C" else plain


def in_si(column: Column, name: str) -> np.ndarray:
    unit = UNITS.get(column.name, "")
    if not column.unit or not unit:
        return column.values
    try:
        return np.array([units.convert(float(v), column.unit, unit) if np.isfinite(v) else v for v in column.values])
    except InsituError as error:
        raise FormatError(f"{column.name} in {column.unit}", where=name, expected=f"a unit like {unit}") from error


def sweep_of(f: np.ndarray, columns: list[Column], name: str) -> Sweep:
    """One sweep, in increasing frequency; constants of it are told beside."""
    if not (np.isfinite(f).all() and (f > 0.0).all()):
        raise FormatError("a frequency is not above 0", where=name, expected="frequencies above 0")
    order = np.argsort(f, kind="stable")
    if not np.all(np.diff(f[order]) > 0.0):
        raise FormatError("a frequency comes twice in one sweep", where=name, expected="every frequency once")
    about, kept = {}, []
    for column in columns:
        values = in_si(column, name)[order]
        if column.name in ABOUT and np.isfinite(values).any():
            about[column.name] = (float(f"{np.nanmedian(values):.7g}"), UNITS[column.name])
        elif column.name != "frequency":
            kept.append(Column(column.name, UNITS.get(column.name) or column.unit, values))
    if not kept:
        raise FormatError("beside the frequency there is nothing", where=name, remedy=REMEDY)
    return Sweep(
        f[order], np.stack([c.values for c in kept]), tuple(c.name for c in kept), tuple(c.unit for c in kept), about
    )
