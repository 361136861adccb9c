"""Which channel of a frame holds Barkhausen noise and which the magnetising field, by name and unit."""

from __future__ import annotations

import math
from functools import cache

from insitu.errors import UnitError
from insitu.maths.waveform import names
from insitu.types import Frame
from insitu.units import compatible, convert

MU0 = 4e-7 * math.pi
"""The magnetic constant, T per A/m (to 1e-9 of the value of 2022)."""
NOISE = frozenset(["noise", "mbn", "bn", "barkhausen", "pickup", "emission", "signal"])
FIELD = frozenset(
    [
        "field",
        "h",
        "b",
        "hall",
        "yoke",
        "magnetising",
        "magnetizing",
        "magnet",
        "excitation",
        "drive",
        "ramp",
        "current",
    ]
)
FIELD_UNITS = ("A/m", "T", "A", "oersted")


@cache
def factor(unit: str, wanted: str) -> float | None:
    """What a number in `unit` is multiplied by to be in `wanted`; None where that cannot be. A flux density in air is
    a field: 1 T is 1/mu0.

    >>> factor("mV", "V"), factor("counts", "V"), round(factor("mT", "A/m"), 2)
    (0.001, None, 795.77)
    """
    try:
        if compatible(unit, wanted):
            return convert(1.0, unit, wanted)
        if compatible(unit, "T") and compatible(wanted, "A/m"):
            return convert(1.0, unit, "T") / MU0 * convert(1.0, "A/m", wanted)
        if compatible(unit, "A/m") and compatible(wanted, "T"):
            return convert(1.0, unit, "A/m") * MU0 * convert(1.0, "T", wanted)
    except UnitError:
        return None
    return None


def choose(frame: Frame, noise: str, field: str) -> tuple[str, str]:
    """Names of the noise's and the field's channel, the latter "" where there is none; what is named is taken.

    ValueError with the channels there are where one that is named, or any noise, is not there.
    """
    if frame.data.ndim not in (1, 2):
        raise ValueError(f"this is no waveform: its dimensions are {', '.join(frame.dims)}")
    there = names(frame)
    for name in (noise, field):
        if name and name not in there:
            raise ValueError(f"there is no channel {name!r}: there are {', '.join(there)}")
    units = frame.unit if isinstance(frame.unit, tuple) else (frame.unit,) * len(there)
    fields = [field] if field else [n for n, u in zip(there, units, strict=False) if n != noise and _is_field(n, u)]
    if not noise:
        rest = [n for n in there if n not in fields]
        noise = next((n for n in rest if _words(n) & NOISE), rest[0] if rest else "")
        if not noise:
            raise ValueError(f"there is no channel of noise: there are {', '.join(there)}")
    return noise, fields[0] if fields else ""


def _words(name: str) -> set[str]:
    return set(name.split("_"))


def _is_field(name: str, unit: str) -> bool:
    return any(factor(unit, wanted) is not None for wanted in FIELD_UNITS if unit) or (
        bool(_words(name) & FIELD) and not _words(name) & NOISE
    )
