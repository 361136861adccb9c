"""A recording of waveforms as every decoder gives it: tracks of channels, and what files call rates, units and names.

A track is one or more channels that are sampled together; its blocks come in order, and none is larger than `BLOCK`
bytes or so, so that a file of any size passes through little memory.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from insitu.errors import FormatError, InsituError, MissingExtraError
from insitu.units import check_unit

BLOCK = 4 * 1024 * 1024
"""Bytes of a block, about."""
LARGEST = 1024 * 1024 * 1024
"""Bytes of one frame that are believed."""
MOST_CHANNELS = 4096
DAMAGED = "Copy the file again, or record it again"

_RATES = frozenset(
    [
        "fs",
        "fsample",
        "rate",
        "samplerate",
        "sampleratehz",
        "samplingrate",
        "samplingratehz",
        "samplingfrequency",
        "samplefrequency",
        "samplespersecond",
        "scanrate",
        "framerate",
        "fadc",
    ]
)
_INTERVALS = frozenset(
    [
        "dt",
        "deltat",
        "deltax",
        "increment",
        "xincrement",
        "xincr",
        "xinc",
        "wfincrement",
        "timeincrement",
        "timestep",
        "timedelta",
        "tinc",
        "sampleinterval",
        "samplinginterval",
        "sampleperiod",
        "samplingperiod",
        "samplingtime",
        "sampletime",
        "interval",
    ]
)
_HZ = {"": 1.0, "hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9, "1/s": 1.0}
_HZ |= {f"{prefix}{s}/s": size for prefix, size in (("", 1.0), ("k", 1e3), ("m", 1e6), ("g", 1e9)) for s in ("s", "sa")}
SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3,
           "milliseconds": 1e-3, "us": 1e-6, "usec": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9,
           "ps": 1e-12, "min": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}  # fmt: skip
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([^\d\s].{0,20})?\s*")
_SAID = {"volt": "V", "volts": "V", "millivolts": "mV", "ampere": "A", "amps": "A", "amperes": "A", "tesla": "T",
         "sec": "s", "seconds": "s", "c": "degC", "°c": "degC", "celsius": "degC", "deg c": "degC", "°": "deg",
         "%": "percent", "none": "", "unknown": "", "n/a": "",
         "-": "", "a.u.": "arb", "au": "arb", "1": ""}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """Channels sampled together: their `titles` in the file and `units` ("" where it says none), the `dtype` as stored,
    `blocks` of `(channel, k)` in order, the `rate` in Hz where it is known, and the `length` in samples where the head
    tells it. `numbers` of their columns in the file, from 1, where those are not all channels. `rows`: which rows of a
    frame they fill."""

    titles: tuple[str, ...]
    units: tuple[str, ...]
    dtype: np.dtype
    blocks: Iterator[np.ndarray]
    rate: float | None = None
    length: int | None = None
    numbers: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """What one file holds. `start_ns`: time of the first sample, where the file says, known to `clock_sigma_ns`.
    `problem`: what is missing at its end; it is raised when all that is there was given. `certain`: the file itself
    says where it ends. `nameless`: the titles are ours, the file gives none. `line_of`: the line of a sample, of
    text."""

    tracks: tuple[Track, ...]
    start_ns: int | None = None
    clock_sigma_ns: int = 0
    rate_from: str = ""
    nameless: bool = False
    certain: bool = False
    problem: FormatError | None = None
    line_of: Callable[[int], int] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to read a file: `name` for messages, `timezone` of times, `dataset` inside the file, `wanted` channels
    (titles or numbers from 1; empty for all), `sample_rate` in Hz where the file must not be believed or does not
    say, and `layout`: which dimension of a table is the channel."""

    name: str = "waveform"
    timezone: str = "UTC"
    dataset: str = ""
    wanted: tuple[int | str, ...] = ()
    sample_rate: float | None = None
    layout: str = "auto"


def clean(title: str, number: int) -> str:
    """A name of a channel that may stand in labels and keys.

    >>> clean("Coil B (V)", 1), clean("µ", 2), clean("2nd", 3)
    ('coil_b_v', 'u', 'c_2nd')
    """
    plain = title.replace("µ", "u").replace("μ", "u")
    name = re.sub(r"[^a-z0-9]+", "_", plain.lower().encode("ascii", "ignore").decode()).strip("_")[:60]
    return f"c{number}" if not name else name if name[0].isalpha() else f"c_{name}"


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Names without repetition: the second `x` is `x_2`.

    >>> unique(["x", "y", "x"])
    ('x', 'y', 'x_2')
    """
    out: list[str] = []
    for name in names:
        k, told = 1, name
        while told in out:
            k += 1
            told = f"{name}_{k}"
        out.append(told)
    return tuple(out)


def unit_of(text: str) -> str:
    """A unit as files write it, in words that `insitu.units` reads; "" where it is none.

    >>> unit_of("Volts"), unit_of("m/s^2"), unit_of("[mV]"), unit_of("Pa (rms)")
    ('V', 'm/s**2', 'mV', '')
    """
    plain = text.strip().strip("()[]").strip()
    plain = _SAID.get(plain.lower(), plain) if plain not in ("C",) else "C"
    for told, written in (("µ", "u"), ("μ", "u"), ("²", "**2"), ("³", "**3"), ("·", " "), ("^", "**")):
        plain = plain.replace(told, written)
    if not plain or len(plain) > 30:
        return ""
    try:
        return check_unit(plain)
    except InsituError:
        return ""


def key_of(text: str) -> tuple[str, str]:
    """A title in lower case without blanks and marks, and the unit that stands in brackets behind it.

    >>> key_of("Sample Rate (kHz)"), key_of("dt[ms]")
    (('samplerate', 'kHz'), ('dt', 'ms'))
    """
    match = re.fullmatch(r"\s*(.{0,80}?)\s*[(\[]([^()\[\]]{0,20})[)\]]\s*:?\s*", text)
    title, unit = (match[1], match[2].strip()) if match else (text, "")
    return re.sub(r"[^a-z0-9]+", "", title.lower())[:80], unit


def rate_in(pairs: Iterable[tuple[str, Any]]) -> float | None:
    """The sample rate in Hz that names and values tell: `fs`, `sample rate`, `dt`, `wf_increment`, ...; None where none
    does.

    >>> rate_in([("gain", 2), ("dt (ms)", "0.5")]), rate_in([("Sampling Rate", "10 kHz")])
    (2000.0, 10000.0)
    """
    for title, value in pairs:
        key, unit = key_of(str(title))
        if key not in _RATES and key not in _INTERVALS:
            continue
        number, said = _quantity(value)
        scale = (_HZ if key in _RATES else SECONDS).get((said or unit).lower().rstrip("."))
        if number is None or scale is None or not number > 0:
            continue
        rate = number * scale if key in _RATES else 1 / (number * scale) if number * scale > 0 else math.inf
        if plausible(rate):
            return near_whole(rate)
    return None


def plausible(rate: float) -> bool:
    """Whether a number can be a sample rate in Hz: once in 30 years to 1 THz."""
    return math.isfinite(rate) and 1e-9 <= rate <= 1e12


def near_whole(rate: float) -> float:
    """1 / 0.001 and 1 / 2.2675737e-05 to the digits that such a number has: 15 of them."""
    return float(f"{rate:.12g}") if abs(float(f"{rate:.12g}") - rate) <= 4e-15 * rate else rate


def _quantity(value: Any) -> tuple[float | None, str]:
    """The number in a header's value, and the unit in it."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value[:100])
        return (float(match[1]), (match[2] or "").strip().strip("()[]")) if match else (None, "")
    try:
        number = float(np.asarray(value).reshape(-1)[0]) if np.size(value) == 1 else math.nan
    except (TypeError, ValueError, OverflowError):
        return None, ""
    return (number if math.isfinite(number) else None), ""


def imported(module: str, package: str, purpose: str) -> ModuleType:
    """A module of the extra `magnetic`."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise MissingExtraError(package, "magnetic", purpose=purpose) from missing


@contextlib.contextmanager
def guarded(where: str) -> Iterator[None]:
    """Whatever a library raises on a damaged file is a `FormatError` here."""
    try:
        yield
    except (InsituError, GeneratorExit):
        raise
    except MemoryError as error:
        raise FormatError("the file declares more than there is memory", where=where, remedy=DAMAGED) from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:200]
        raise FormatError(f"the file cannot be decoded ({text})", where=where, remedy=DAMAGED) from error


def checked_dtype(dtype: np.dtype, where: str) -> np.dtype:
    """The native form of a type of numbers that a frame may have; anything else is refused."""
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype.newbyteorder("=")
    remedy = "Write it as float64"
    if dtype.kind == "c":
        remedy = "Write real and imaginary part as two channels"
    raise FormatError(
        f"the samples are {dtype}"[:100], where=where, expected="whole numbers or floats of 1 to 8 bytes", remedy=remedy
    )


def per_block(channels: int, itemsize: int) -> int:
    """How many samples of each channel a block holds."""
    return max(1, BLOCK // max(1, channels * itemsize))
