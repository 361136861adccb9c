"""Units of measurement: read them from text, compare them, convert between them.

pint knows the units; `units.txt` adds `counts` and `arb`. The registry is made once, at the first unit that is not
the one wanted, so that `insitu --help` does not pay for it. For pint an angle, a count and a bit are plain numbers;
here they are kinds of their own: 5 counts are not 5 deg. An absent unit, "", is a plain number.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insitu.errors import UnitError
from insitu.types import Feature

if TYPE_CHECKING:
    import pint

_NUMBER = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.DOTALL)
_NAME = r"(?:[^\W\d]\w*|[%°Å]\w*)"
_POWER = r"(?:\s*(?:\*\*|\^)\s*-?\d(?:\.5)?)?"
_UNIT = re.compile(rf"(?:1\s*/\s*)?{_NAME}{_POWER}(?:(?:\s*[*/]\s*|\s+){_NAME}{_POWER})*")
"""Names with small powers, joined by `*`, `/` or a space. pint evaluates what it reads: `10**10**10` would hang it."""

_CONFUSED = {
    "a.u.": "arb",
    "au": "arb",
    "arb.": "arb",
    "arb.u.": "arb",
    "arb. u.": "arb",
    "C": "degC",
    "deg C": "degC",
    "F": "degF",
    "cps": "counts/s",
    "A": "angstrom",
}
"""What people write and pint reads as something else (or not at all), and what they mean."""

_COMMON = """
deg rad mrad K degC degF counts arb s ms us ns min hour day Hz kHz MHz angstrom nm um mm cm m pm eV keV byte kB MB GB
MiB GiB degree degrees kelvin second seconds percent A mA V mV T mT Pa bar mbar W J N g kg mol
"""
"""Proposed before the rest of what pint knows."""


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that `word` was probably meant to be, or None.

    >>> nearest("limts", ["limits", "change_point"])
    'limits'
    """
    folded = {option.casefold(): option for option in sorted(options, reverse=True)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A remedy that names the nearest of `options`, or "" where none is near."""
    match = nearest(word, options)
    return f'Did you mean "{match}"?' if match else ""


@cache
def _registry() -> pint.UnitRegistry:
    import pint

    registry = pint.UnitRegistry(cache_folder=None)
    registry.load_definitions(Path(__file__).with_suffix(".txt"))
    return registry


@cache
def _unit(text: str) -> Any:
    """`text` as pint's unit; raises `UnitError` with the nearest known unit."""
    import pint

    if text == "":
        return _registry().Unit("")
    if text in _CONFUSED and text not in ("C", "F", "cps", "A"):
        raise UnitError(f'"{text}" is not a unit', remedy=f'Did you mean "{_CONFUSED[text]}"?')
    if not _UNIT.fullmatch(text):
        raise UnitError(
            f'"{text}" is not a unit',
            expected='names joined by "*", "/" or a space, with small powers, such as "counts/s" or "1/angstrom"',
        )
    try:
        return _registry().parse_units(text.replace("^", "**"))
    except pint.errors.UndefinedUnitError as e:
        names = e.unit_names if isinstance(e.unit_names, str) else next(iter(e.unit_names))
        raise UnitError(f'"{text}" is not a known unit', remedy=_proposal(names)) from e
    except (pint.errors.PintError, ValueError, AssertionError) as e:
        raise UnitError(f'"{text}" is not a unit: {e}') from e


@cache
def _kind(text: str) -> Any:
    """The unit in base units, with angle, count and bit kept: equal for units that convert into each other."""
    return _registry().get_root_units(_unit(text))[1]


def _proposal(word: str) -> str:
    return did_you_mean(word, _COMMON.split()) or did_you_mean(word, dir(_registry()))


def check_unit(text: str) -> str:
    """`text` where it is a unit; `UnitError` with the nearest match where it is none."""
    _unit(text)
    return text


def compatible(a: str, b: str) -> bool:
    """Whether a value in `a` can be given in `b`.

    >>> compatible("deg", "rad"), compatible("deg", "degC"), compatible("counts", "")
    (True, False, False)
    """
    return a == b or _kind(a) == _kind(b)


@cache
def _converter(from_unit: str, to_unit: str) -> Callable[[float], float]:
    if not compatible(from_unit, to_unit):
        raise UnitError(
            f'"{from_unit}" cannot be converted to "{to_unit}"',
            expected=f'a unit like "{to_unit}"' if to_unit else "a plain number",
            remedy=_confusion(from_unit, to_unit),
        )
    quantity, source, target = _registry().Quantity, _unit(from_unit), _unit(to_unit)

    def through_quantity(value: float) -> float:
        return float(quantity(value, source).to(target).magnitude)

    if through_quantity(0.0) != 0.0:  # degC, degF, dB: not a mere factor
        return through_quantity
    factor = through_quantity(1.0)
    return lambda value: value * factor


def _confusion(from_unit: str, to_unit: str) -> str:
    meant = _CONFUSED.get(from_unit)
    return f'Did you mean "{meant}"?' if meant and compatible(meant, to_unit) else ""


def convert(value: float, from_unit: str, to_unit: str) -> float:
    """`value` in `from_unit`, given in `to_unit`; `UnitError` names both where that cannot be.

    Offset units are temperatures, not differences: 25 degC is 298.15 K.

    >>> convert(25.0, "degC", "K")
    298.15
    >>> convert(512.0, "MB", "byte")
    512000000.0
    """
    if from_unit == to_unit:
        return float(value)
    return _converter(from_unit, to_unit)(float(value))


def parse(text: str) -> Feature:
    """A number with its unit, as recipes write it; the unit is checked and kept as written.

    >>> parse("0.5 deg")
    Feature(value=0.5, unit='deg', sigma=None, why=None)
    >>> parse("3").unit
    ''
    """
    match = _NUMBER.fullmatch(text)
    if match is None or not math.isfinite(float(match[1])):
        raise UnitError(
            f'"{text}" is not a number with a unit', expected='text such as "0.5 deg", "25 degC" or "10 Hz"'
        )
    return Feature(float(match[1]), check_unit(" ".join(match[2].split())))
