"""Scans as laboratory diffractometers store them: an axis, counts or rates, attenuator factors, counting times.

What was counted is what carries the noise. An attenuator of factor f lets 1/f of the beam through: the intensity is
f n, its standard uncertainty f sqrt(max(n, 1)), with n the counts. A rate r over t seconds stands for r t counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.maths.noise import poisson_sigma
from insitu.maths.numbers import TableError, read_table
from insitu.readers.pattern import whole_numbers

COUNTS = frozenset({"counts", "count", ""})
RATES = frozenset({"cps", "counts/s", "counts/sec", "counts per second", "count/s", "c/s", "1/s"})
LARGEST = 1e9
"""No attenuator factor is larger, and no counting time (s)."""
_DEGREES = frozenset({"deg", "degree", "degrees", "°"})


class Scan(NamedTuple):
    """What was recorded. `values` (n,) in `unit` ("counts" or "cps" in the file's words); `whole`: written as whole
    numbers; `factors` (n,): of the attenuator, already multiplied in where `applied`; `seconds`: per point, one number
    or (n,), None where not known."""

    values: np.ndarray
    unit: str
    whole: bool = False
    factors: np.ndarray | None = None
    applied: bool = False
    seconds: float | np.ndarray | None = None


class Intensities(NamedTuple):
    """`values` (n,) and their `sigma` (n,), None where it is the square root of counts; `seconds` counted per point;
    `labels`: what was done."""

    values: np.ndarray
    sigma: np.ndarray | None
    seconds: float | None
    labels: dict[str, str]


def intensities(scan: Scan, unit: str, where: str) -> Intensities:
    """What was recorded, in the `unit` that the detector file names: counts, a rate, or else as it is.

    Points that were counted for different times are scaled to the longest of them. Raises `FormatError`.

    >>> intensities(Scan(np.array([4.0, 9.0]), "counts", factors=np.array([1.0, 10.0])), "counts", "a").values.tolist()
    [4.0, 90.0]
    """
    values, labels = np.asarray(scan.values, dtype=np.float64), dict[str, str]()
    declared, wanted = scan.unit.strip().lower(), unit.strip().lower()
    if declared not in COUNTS and declared not in RATES:
        raise FormatError(f"the unit {scan.unit[:20]!r} is not read", where=where, expected="counts, or cps")
    rate, to_rate = declared in RATES, wanted in RATES
    factors = _factors(scan.factors, len(values), where)
    times = _times(scan.seconds, len(values), where)
    seconds = None if times is None else float(times.max())
    if rate != to_rate and (to_rate or wanted == "counts") and seconds is None:
        raise FormatError(
            f"the file gives {'a rate' if rate else 'counts'} and no counting time: {unit} cannot be made of it",
            where=where,
            remedy=f'Set unit = "{"counts/s" if rate else "counts"}" in the detector file',
        )

    # values = native * counts, the result = change * values; both (n,) or one number
    native, change = np.ones(1), np.ones(1)
    if factors is not None:
        labels["attenuator"] = f"factors {factors.min():g} to {factors.max():g}, corrected"
        native, change = (factors, change) if scan.applied else (native, factors)
    if times is not None and seconds is not None:
        native = native / times if rate else native
        if not rate and times.min() < times.max():
            labels["counting_times"] = f"{times.min():g} to {times.max():g} s, scaled to {seconds:g} s"
            change = change * (seconds / times)
        if rate != to_rate and (to_rate or wanted == "counts"):
            labels["unit_in_file"] = scan.unit.strip()
            change = change * seconds if rate else change / seconds

    scaled = bool((native * change != 1).any())
    if not scaled and not rate and not scan.whole and (values % 1).any():
        labels["counts_in_file"] = "no whole numbers: scaled or smoothed by the instrument's program"
    with np.errstate(over="ignore"):
        done = values * change
    if not np.isfinite(done).all():
        raise FormatError("an intensity is larger than a number can be", where=where, remedy="Export the file again")
    kept = whole_numbers(done, scan.whole and not (done % 1).any())
    known = scaled and not (rate and times is None)
    sigma = native * change * poisson_sigma(values / native) if known else None
    return Intensities(kept, sigma, seconds, labels)


def _factors(factors: np.ndarray | None, points: int, where: str) -> np.ndarray | None:
    """Attenuator factors (n,), None where all are 1."""
    if factors is None or not (factors != 1).any():
        return None
    if factors.shape not in ((1,), (points,)):
        raise FormatError(f"{len(factors)} attenuator factors stand beside {points} points", where=where)
    if not ((factors > 0) & (factors < LARGEST)).all():
        raise FormatError(
            f"an attenuator factor is not between 0 and {LARGEST:g}", where=where, remedy="Export the file again"
        )
    return factors


def _times(seconds: float | np.ndarray | None, points: int, where: str) -> np.ndarray | None:
    """Counting times (1,) or (n,) in s."""
    if seconds is None:
        return None
    times = np.atleast_1d(np.asarray(seconds, dtype=np.float64))
    if times.shape not in ((1,), (points,)):
        raise FormatError(f"{len(times)} counting times stand beside {points} points", where=where)
    if not ((times > 0) & (times < LARGEST)).all():
        raise FormatError(
            f"a counting time is not between 0 and {LARGEST:g} s", where=where, remedy="Correct it, or export again"
        )
    return times


def number_list(text: str, where: str) -> tuple[np.ndarray, bool]:
    """Numbers between blanks, (n,) float64, and whether all are written as whole ones. Raises `FormatError`."""
    lines = "\n".join(text.split()).encode()
    try:
        table = read_table(lines, 0, 1)
    except TableError as error:
        count = lines.count(b"\n", 0, error.position) + 1
        word = lines[error.position :][:30].split(b"\n")[0].decode(errors="replace")
        raise FormatError(
            f"{word!r}, number {count} of a list, is not a finite number",
            where=where,
            expected="numbers between blanks",
            remedy="Correct it, or export the file again",
        ) from error
    return table.values[:, 0], bool(table.whole[0])


def one_number(text: str, where: str) -> float:
    """One finite number. Raises `FormatError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise FormatError(f"{text[:30]!r} is not a finite number", where=where, expected="a number")
    return value


def in_degrees(unit: str, where: str) -> None:
    """Refuse positions in another unit."""
    if unit.strip().lower() not in _DEGREES:
        raise FormatError(f"2-theta is in {unit[:20]!r}", where=where, expected="deg", remedy="Export in degrees")


def steps(first: float, last: float, points: int, where: str) -> np.ndarray:
    """Evenly spaced positions (n,) in deg, as round as they are written."""
    if not max(abs(first), abs(last)) < 1e6:
        raise FormatError(
            f"{first:g} to {last:g} cannot be 2-theta in degrees", where=where, expected="-180 to 180 deg"
        )
    return np.round(np.linspace(first, last, points), 10)


def upwards(
    two_theta: np.ndarray, intensity: np.ndarray, sigma: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, bool]:
    """The arrays turned round if the scan went downwards, and whether it did."""
    down = len(two_theta) > 1 and bool((np.diff(two_theta) < 0).all())
    if down:
        two_theta, intensity = two_theta[::-1].copy(), intensity[::-1].copy()
        sigma = None if sigma is None else sigma[::-1].copy()
    return two_theta, intensity, sigma, down
