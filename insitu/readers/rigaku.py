"""What Rigaku's formats share: rows of 2-theta, intensity and attenuator factor, and what is said about them.

The intensity is multiplied by the factor, as the published converters of the vendor's format do (NIMS RDE, dataset
template XRD); where no factor differs from 1, nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.maths.numbers import TableError, read_table, row_position
from insitu.readers.header import SECOND, label, number, read_time, wavelength, zone
from insitu.readers.pattern import (
    How,
    NoPattern,
    Pattern,
    Truncated,
    check_axis,
    check_values,
    line_of,
    table_error,
)
from insitu.readers.scans import LARGEST, Scan, in_degrees, intensities, one_number, steps, upwards
from insitu.types import Feature

_AMERICAN = re.compile(r"(\d\d?)/(\d\d?)/(\d\d(?:\d\d)?)\s+(\d\d?:\d\d:\d\d)")


class Section(NamedTuple):
    """Bytes that rows stand in (from `start`, to the end) and the name for messages about them."""

    data: bytes
    start: int
    name: str


def rows(section: Section, facts: Mapping[str, str], how: How) -> Pattern:
    """The pattern of rows of 2, 3 or (with `start` and `step` known) 1 number, and of what `facts` say about them:
    axis, axis_unit, unit, points, start, step, speed, speed_unit, began, ended, wavelength, wavelength2, intended,
    sample, temperature, temperature_unit, omega, chi, phi. Raises `FormatError` naming the line."""
    data, start, name = section
    where = f"{name}:{line_of(data, start)}"
    axis = facts.get("axis", "")
    if axis and not re.match(r"(two|2)theta|theta2theta", re.sub(r"[^a-z0-9]", "", axis.lower())):
        raise NoPattern(f"this is a scan over {axis[:30]}, not over 2-theta", where=where, expected="2-theta scans")
    in_degrees(facts.get("axis_unit") or "deg", where)
    columns = len(next((line for line in data[start:].split(b"\n", 20) if line.strip()), b"").split())
    if columns not in (1, 2, 3):
        raise (FormatError if columns else Truncated)(
            f"the first row has {columns} numbers" if columns else "the scan has no rows",
            where=where,
            expected="2-theta, intensity and attenuator factor",
            remedy="Export or measure it again",
        )
    try:
        table = read_table(data, start, columns)
    except TableError as error:
        raise table_error(data, error, name, columns) from error
    values, points = table.values, facts.get("points", "")
    if points.isdigit() and len(points) < 12 and int(points) != len(values):
        raise (Truncated if len(values) < int(points) else FormatError)(
            f"the scan has {len(values)} rows, its header declares {points}",
            where=where,
            expected=f"{points} rows",
            remedy="The file was cut off or put together: copy or measure it again",
        )
    return _pattern(values, columns, bool(table.whole[min(columns - 1, 1)]), section, facts, how)


def _pattern(
    values: np.ndarray, columns: int, whole: bool, section: Section, facts: Mapping[str, str], how: How
) -> Pattern:
    data, start, name = section
    where = f"{name}:{line_of(data, start)}"
    if columns == 1:
        first, step = (one_number(facts.get(key, ""), where) for key in ("start", "step"))
        two_theta = steps(first, first + step * (len(values) - 1), len(values), where)
    else:
        two_theta = np.ascontiguousarray(values[:, 0])
    scan = Scan(
        values[:, min(columns - 1, 1)],
        facts.get("unit") or "counts",
        whole,
        values[:, 2] if columns == 3 else None,
        False,
        _seconds(facts),
    )
    done = intensities(scan, how.unit, where)
    two_theta, intensity, sigma, down = upwards(two_theta, done.values, done.sigma)

    def line(i: int) -> int:
        return line_of(data, row_position(data, start, columns, len(values) - 1 - i if down else i))

    check_axis(two_theta, name, line)
    check_values(intensity, sigma, how.unit, name, line)
    labels = done.labels | {
        key: text
        for key, fact in (("sample", "sample"), ("scan_axis", "axis"), ("wavelength_intended", "intended"))
        if (text := label(facts.get(fact, "")))
    }
    if down:
        labels["scan_direction"] = "down"
    context = _context(facts)
    if done.seconds is not None:
        context["exposure_s"] = Feature(done.seconds, "s")
    began = started(facts.get("began", ""), zone(how.timezone))
    ended = started(facts.get("ended", ""), zone(how.timezone))
    lasted = max(0, ended[0] - began[0]) if began and ended else 0
    return Pattern(
        two_theta=two_theta,
        intensity=intensity,
        sigma=sigma,
        unit=how.unit,
        context=context,
        labels=labels,
        time_ns=began[0] if began else None,
        clock_sigma_ns=began[1] if began else 0,
        duration_ns=lasted or min(round((done.seconds or 0.0) * len(values) * SECOND), 2**62),
        whole=True,
    )


def _seconds(facts: Mapping[str, str]) -> float | None:
    """Time per point in s, from the speed: that of a step, or step by speed."""
    speed, step = (number("", facts.get(key, ""), "").value for key in ("speed", "step"))
    unit = facts.get("speed_unit", "").strip().lower().replace(" ", "")
    if not speed or speed < 0:
        return None
    per_second = {"deg/min": 1 / 60, "deg/sec": 1.0, "deg/s": 1.0}.get(unit)
    if unit in ("s", "sec", "second", "seconds", "sec/step", "s/step"):
        seconds = float(speed)
    else:
        seconds = abs(step) / (speed * per_second) if per_second and step else 0.0
    return seconds if 0 < seconds < LARGEST else None


def _context(facts: Mapping[str, str]) -> dict[str, Feature]:
    context: dict[str, Feature] = {}
    for key in ("wavelength", "wavelength2"):
        value = number("", facts.get(key, ""), "").value
        found = None if value is None else wavelength(float(value), "a")
        if found is not None:
            context[key] = found
    for key in ("omega", "chi", "phi"):
        value = number("", facts.get(key, ""), "").value
        if value is not None:
            context[key] = Feature(value, "deg")
    if facts.get("temperature"):
        context["temperature"] = number("temperature", facts["temperature"], facts.get("temperature_unit", ""))
    return context


def started(text: str, where: tzinfo) -> tuple[int, int] | None:
    """A time such as 2021-05-05T10:35:31Z or, as .ras has it, month/day/year: ns since 1970 UTC, and uncertainty.

    >>> from datetime import UTC
    >>> started("11/21/2017 08:32:31", UTC)
    (1511253151000000000, 1000000000)
    """
    american = _AMERICAN.fullmatch(text.strip())
    if american is None:
        return read_time(text, where)
    month, day, year, clock = american.groups()
    return read_time(f"{year if len(year) == 4 else f'20{year}'}-{month}-{day} {clock}", where)
