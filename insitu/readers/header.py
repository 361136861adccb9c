"""What the header lines of a pattern say: numbers with units into context, texts into labels, and the start time.

A number without a unit is not guessed at: its feature has no value and says why. E-mail addresses, proposal numbers and
paths are not taken. Header clocks are computer clocks that nobody compared, hence the uncertainty of one second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from insitu.errors import ConfigError
from insitu.types import Feature

SECOND = 1_000_000_000
_PAIR = re.compile(r"[\s#!;'%\"*/]*([A-Za-z0-9][\w .,/-]{0,60}?)\s*(?:[(\[]([^()\[\]]{0,20})[)\]])?\s*[=:]\s*(.*)")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*\(?\s*([^\s(),;]*)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(?P<h>\d\d?):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_DATES = (
    re.compile(r"(?P<y>\d{4})[-/](?P<m>\d\d?)[-/](?P<d>\d\d?)[T ,]+" + _CLOCK + r"\s*(?P<z>Z|UTC|[+-]\d\d:?\d\d)?"),
    re.compile(r"(?P<m>[A-Za-z]{3})[a-z]*\.? +(?P<d>\d\d?),? +(?P<y>\d{4}),? +" + _CLOCK),
    re.compile(r"(?P<d>\d\d?)[- ](?P<m>[A-Za-z]{3})[a-z]*[- ](?P<y>\d{4})[ ,]+" + _CLOCK),
    re.compile(r"(?P<m>[A-Za-z]{3}) +(?P<d>\d\d?) +" + _CLOCK + r" +(?P<y>\d{4})"),
)

_KELVIN = {"k": 0.0, "kelvin": 0.0, "c": 273.15, "°c": 273.15, "degc": 273.15, "celsius": 273.15, "deg c": 273.15}
_ANGSTROM = {"a": 1.0, "å": 1.0, "ang": 1.0, "angstrom": 1.0, "angstroms": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}
_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "second": 1.0, "ms": 1e-3, "min": 60.0, "us": 1e-6}

_NUMBERS = {
    "temp": "temperature",
    "temperature": "temperature",
    "sample temperature": "temperature",
    "t": "temperature",
    "wavelength": "wavelength",
    "calibrated wavelength": "wavelength",
    "lambda": "wavelength",
    "time per step": "exposure_s",
    "count time": "exposure_s",
    "counting time": "exposure_s",
    "exposure": "exposure_s",
    "exposure time": "exposure_s",
    "monitor": "monitor",
    "intensity scale": "intensity_scale",
    "no steps": "steps",
    "number of steps": "steps",
}
_TEXTS = {
    "sample": "sample",
    "sample name": "sample",
    "user sample name": "sample",
    "composition": "composition",
    "chemical formula": "composition",
    "comment": "comment",
    "sample comment": "comment",
    "scan comment": "scan_comment",
    "run no": "run_number",
    "run number": "run_number",
    "scan number": "run_number",
    "title": "title",
}
LABELS = tuple(sorted({*_TEXTS.values()}))
"""What the texts of a header are called."""
_TIMES = {"scan time", "date", "date time", "start", "start time", "scan date", "time", "acquisition time", "timestamp"}


@dataclass(slots=True)
class Header:
    """What was found: see `insitu.types.Arrival` for context, labels, time_ns, clock_sigma_ns, duration_ns.
    `step` is the 2-theta step in deg that the header gives, for comparison."""

    context: dict[str, Feature] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    time_ns: int | None = None
    clock_sigma_ns: int = 0
    duration_ns: int = 0
    step: float | None = None


def zone(name: str) -> tzinfo:
    """The time zone of an IANA name such as Europe/Berlin."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"there is no time zone {name!r}",
            where="timezone",
            expected="a name such as UTC or Europe/Berlin",
            remedy="Correct the name; if it is right, install the package tzdata",
        ) from error


def read_time(text: str, where: tzinfo) -> tuple[int, int] | None:
    """Time of a header text in ns since 1970 UTC, and its uncertainty in ns; None where it is no date with a time.

    A local time that the end of summer time makes ambiguous is uncertain by that hour.

    >>> read_time("APR 25, 2011 12:35:45.325926", UTC)
    (1303734945325926000, 1000000000)
    """
    found = [match for form in _DATES if (match := form.search(text))]
    if not found:
        return None
    part = found[0].groupdict()
    name, offset = part["m"].lower(), part.get("z")
    month = int(name) if name.isdigit() else _MONTHS.index(name) + 1 if name in _MONTHS else 0
    tz = where
    if offset in ("Z", "UTC"):
        tz = UTC
    elif offset:
        size = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
        tz = timezone(size if offset[0] == "+" else -size)
    try:
        day = datetime(int(part["y"]), month, int(part["d"]), tzinfo=tz)
        local = day.replace(hour=int(part["h"]), minute=int(part["mi"]), second=int(part["s"]))
        since = local - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    if not 0 <= since.days < 106_000:  # what an int64 of nanoseconds can hold
        return None
    fold = local.replace(fold=1).utcoffset() != local.utcoffset()
    nanoseconds = int((part["f"] or "").ljust(9, "0"))
    return (since.days * 86400 + since.seconds) * SECOND + nanoseconds, (3600 if fold else 1) * SECOND


def _printable(text: str) -> str:
    """Text without control characters and outer blanks."""
    return (text if text.isprintable() else "".join(c for c in text if c.isprintable())).strip()


def label(text: str) -> str:
    """A header text as a label: printable, at most 200 characters; nothing where it holds an address.

    >>> label("  ceria, batch 7 ")
    'ceria, batch 7'
    """
    text = " ".join(_printable(text.replace("\n", " ").replace("\t", " ")).split())
    return "" if "@" in text else text[:200]


def number(key: str, text: str, unit: str) -> Feature:
    """A header number in the unit of its context key: temperature K, wavelength angstrom, exposure_s s, else none.

    >>> number("temperature", "25.5", "Celsius")
    Feature(value=298.65, unit='K', sigma=None, why=None)
    """
    match = _NUMBER.match(text.strip())
    target = {"temperature": "K", "wavelength": "angstrom", "exposure_s": "s", "monitor": "counts"}.get(key, "")
    if not match or not math.isfinite(value := float(match[1])):
        return Feature(None, target, why=f"the header says {text.strip()[:40]!r}, which is no number")
    unit = (unit or match[2]).strip().lower().rstrip(".")
    missing = Feature(None, target, why=f"the header gives {text.strip()[:40]!r} in no unit that is known here")
    if key == "temperature":
        kelvin = value + _KELVIN[unit] if unit in _KELVIN else None
        return missing if kelvin is None or kelvin < 0 else Feature(kelvin, "K")
    if key == "wavelength":
        return wavelength(value, unit) or missing
    if key == "exposure_s":
        return Feature(value * _SECONDS[unit], "s") if unit in _SECONDS and value >= 0 else missing
    return Feature(value, target)


def wavelength(value: float, unit: str) -> Feature | None:
    """A wavelength in angstrom, if it is one that diffraction uses (0.01 to 10 angstrom).

    Without a unit, angstrom and metre are told apart by size.
    """
    if unit not in _ANGSTROM:
        unit = "m" if 0 < value < 1e-8 else "a"
    size = value * _ANGSTROM[unit]
    return Feature(float(f"{size:.12g}"), "angstrom") if 0.01 <= size <= 10 else None


def read_header(lines: Iterable[str], timezone: str = "UTC") -> Header:
    """What lines such as `# Temp (K) = 300`, `Wavelength: 4.066e-11 m` say; the first of a kind counts."""
    head, where = Header(), zone(timezone)
    for line in lines:
        match = _PAIR.match(line[:400])
        if match is None:
            continue
        words = match[1].lower().replace(".", " ").replace("_", " ").replace("/", " ").split()
        unit, text = match[2] or "", _printable(match[3])
        if not unit and len(words) > 1 and words[-1] in ("k", "c") and words[0] in ("temp", "temperature"):
            unit = words.pop()
        key = " ".join(words)
        if key in _TIMES and head.time_ns is None and (found := read_time(text, where)):
            head.time_ns, head.clock_sigma_ns = found
        elif key in _NUMBERS and _NUMBERS[key] not in head.context:
            head.context[_NUMBERS[key]] = number(_NUMBERS[key], text, unit)
        elif key in _TEXTS and text and "@" not in text:
            head.labels.setdefault(_TEXTS[key], text[:200])
        elif key == "2theta step" and unit == "deg":
            head.step = number("", text, "").value
    steps, exposure = head.context.pop("steps", None), head.context.get("exposure_s")
    if exposure and exposure.value is not None:
        count = steps.value if steps and steps.value is not None else 1
        head.duration_ns = max(0, min(round(exposure.value * count * SECOND), 2**62))
    return head


def title_line(line: str) -> str:
    """A free title line as a label; nothing where it holds a path or an address."""
    text = _printable(line).strip(" #!;'\"%\t")
    return "" if "/" in text or "\\" in text or "@" in text else " ".join(text.split())[:200]
