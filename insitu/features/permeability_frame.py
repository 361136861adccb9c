"""What the extractors of driven cores have in common: the two channels of a frame, in T and A/m, and their lock-in.

B is a channel in T, or the voltage of a winding; H a channel in A/m, or the current of a winding, or the voltage at its
shunt. They are found by name (`b`, `h`, `v`, `i`), else by unit; a channel without unit is taken to be in T, A/m, V, A.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu import units
from insitu.errors import ConfigError, InsituError
from insitu.maths.magnetic.lock_in import LockIn, lock_in
from insitu.maths.magnetic.permeability import Channels, Winding, corrected, flux_and_field
from insitu.maths.waveform import Wave, names, wave
from insitu.types import KEY, ArrayFeature, Feature, Frame

UNITS = {"b": "T", "v": "V", "h": "A/m", "i": "A"}
ALSO = {
    "b": ("b", "flux", "flux_density", "induction"),
    "v": ("v", "u", "voltage", "emf"),
    "h": ("h", "field", "field_strength"),
    "i": ("i", "current"),
}
"""Names that files give to the channels."""
UNKNOWN = ("", "arb", "counts", "dimensionless")
"""Units of files that do not tell any."""
MOST_FLUX = 20.0
"""T of any core; more are raw counts of a converter, or another unit."""
FEWEST_FLAT = 6
"""Samples at one extreme, as many as it takes to call a channel clipped."""
SQUARE = 0.3
"""A voltage that stays at its extremes for longer than this is a square wave, not a clipped sine."""


class Pair(NamedTuple):
    """Two channels as they were measured: `kinds` ("b" or "v", "h" or "i"), `values` `(2, n)` in SI units, `rate` Hz,
    `declared` frequency in Hz (None where nobody says), `clipped`: largest part of a channel's samples at an extreme
    where it is cut off, and the `name` of that channel; `name_b`: the channel of B."""

    kinds: tuple[str, str]
    values: np.ndarray
    rate: float
    declared: float | None
    clipped: float
    name: str
    name_b: str


class Flux(NamedTuple):
    """B alone: `values` `(n,)` in T (kind "b"), or V/m^2, the voltage per turn and area (kind "v")."""

    kind: str
    values: np.ndarray
    frequency: float
    rate: float


class Seen(NamedTuple):
    """How far looking got; `found` is in T and A/m, corrected. What is None was not found, and `why` says why."""

    pair: Pair | None = None
    found: LockIn | None = None
    why: str = ""


class _Last(threading.local):
    """What was seen last, in each thread: the extractors of a recipe look at one frame in turn, and mostly alike."""

    frame: Frame | None = None
    look: Look | None = None
    seen = Seen()


_LAST = _Last()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How to look at frames: the recipe's keys, checked."""

    b: str
    h: str
    v: str
    i: str
    shunt: float | None
    winding: Winding
    frequency: float | None
    harmonics: int
    known: Channels

    def seen(self, frame: Frame) -> Seen:
        """Both channels and their lock-in, as far as there are any; hangs on frame and settings alone."""
        if _LAST.frame is not frame or _LAST.look != self:
            _LAST.frame, _LAST.look, _LAST.seen = frame, self, self._see(frame)
        return _LAST.seen

    def _see(self, frame: Frame) -> Seen:
        seen = Seen()
        try:
            pair = self._pair(frame)
            seen = Seen(pair)
            if pair.clipped > 0.0:
                raise ValueError(
                    f"channel {pair.name} is clipped: {100.0 * pair.clipped:.2g} % of its samples lie at its extremes"
                )
            found = lock_in(pair.values, pair.rate, pair.declared, harmonics=self.harmonics)
            true = corrected(flux_and_field(found, pair.kinds, self.winding), self.known)
            peak = float(abs(true.amplitude[0][0]))
            if peak > MOST_FLUX:
                raise ValueError(
                    f"B would be {peak:.3g} T, as no core has: tell the unit of channel {pair.name_b} (channel_units in"
                    " the detector file), or its turns and area"
                )
            return Seen(pair, true)
        except (ValueError, ArithmeticError, InsituError) as e:
            return seen._replace(why=str(e) or type(e).__name__)

    def alone(self, frame: Frame) -> tuple[Flux | None, str]:
        """The channel of B, where that of H is not needed; or None, and why."""
        try:
            kind, channel = self._one(frame, ("b", "v"), (self.b, self.v))
            self._wound(kind, "h")
            if channel.rate is None:
                raise ValueError("the sample rate is not known: neither the file nor the detector tells it")
            cut = clipped(channel.values, square=kind == "v")
            if cut > 0.0:
                raise ValueError(
                    f"channel {channel.name} is clipped: {100.0 * cut:.2g} % of its samples at its extremes"
                )
            values = _si(channel, kind, None)
            found = lock_in(values, channel.rate, self._declared(frame), harmonics=self.harmonics)
            scale = 1.0 / (self.winding.secondary * self.winding.area) if kind == "v" else 1.0
            scale /= self.known.gain_b
            return Flux(kind, values * scale, found.frequency, channel.rate), ""
        except (ValueError, ArithmeticError, InsituError) as e:
            return None, str(e) or type(e).__name__

    def _declared(self, frame: Frame) -> float | None:
        """The frequency that the recipe gives, or the frame, in Hz."""
        told = frame.context.get("frequency")
        if self.frequency is not None or told is None or not told.value:
            return self.frequency
        return units.convert(float(told.value), told.unit or "Hz", "Hz")

    def _pair(self, frame: Frame) -> Pair:
        flux, field = self._one(frame, ("b", "v"), (self.b, self.v)), self._one(frame, ("h", "i"), (self.h, self.i))
        self._wound(flux[0], field[0])
        (kind_b, first), (kind_h, second) = flux, field
        if first.rate is None or second.rate is None:
            raise ValueError("the sample rate is not known: neither the file nor the detector tells it")
        if first.rate != second.rate or first.values.size != second.values.size:
            raise ValueError(
                f"{first.name} and {second.name} are not sampled together: {first.rate:g} and {second.rate:g} Hz, "
                f"{first.values.size} and {second.values.size} samples"
            )
        cut = [clipped(first.values, square=kind_b == "v"), clipped(second.values)]
        values = np.stack([_si(first, kind_b, None), _si(second, kind_h, self.shunt)])
        worst = int(np.argmax(cut))
        return Pair(
            (kind_b, kind_h),
            values,
            first.rate,
            self._declared(frame),
            cut[worst],
            (first.name, second.name)[worst],
            first.name,
        )

    def _one(self, frame: Frame, kinds: tuple[str, str], given: tuple[str, str]) -> tuple[str, Wave]:
        """The channel of one of two kinds: the one that the recipe names, else by name, else by unit."""
        for kind, name in zip(kinds, given, strict=True):
            if name:
                return kind, wave(frame, name)
        there = names(frame)
        for kind in kinds:
            called = [name for name in there if name in ALSO[kind] or name.split("_")[0] in ALSO[kind][:1]]
            if len(called) == 1:
                return kind, wave(frame, called[0])
        waves = [wave(frame, name) for name in there] if frame.data.ndim in (1, 2) and len(there) <= 64 else []
        for kind in kinds:
            fits = [w for w in waves if w.unit not in UNKNOWN and _converts(w.unit, UNITS[kind])]
            if len(fits) == 1:
                return kind, fits[0]
        what = " or ".join(f"{kind} ({UNITS[kind]})" for kind in kinds)
        raise ValueError(f"there is no channel {what} among {', '.join(there[:20])}: name it in the recipe")

    def _wound(self, kind_b: str, kind_h: str) -> None:
        if kind_b == "v" and not math.isfinite(self.winding.area):
            raise ValueError("B from a voltage needs the turns and the area of the core: set turns and area")
        if kind_h == "i" and not math.isfinite(self.winding.length):
            raise ValueError("H from a current needs the turns and the length of the core: set turns and length")


def look(
    *,
    b: str,
    h: str,
    v: str,
    i: str,
    shunt: float | None,
    turns: float,
    secondary: float | None,
    area: float | None,
    length: float | None,
    frequency: float | None,
    harmonics: int,
    known: Channels,
) -> Look:
    """The keys of a recipe, checked: `ConfigError` for what cannot be meant."""
    for key, number in (
        ("shunt", shunt), ("turns", turns), ("secondary", secondary), ("area", area), ("length", length),
        ("frequency", frequency), ("gain_b", known.gain_b), ("gain_h", known.gain_h),
    ):  # fmt: skip
        if number is not None and not (number > 0 and math.isfinite(number)):
            raise ConfigError(f"{key} is {number}", where=key, expected="more than 0")
    if not 1 <= harmonics <= 200:
        raise ConfigError(f"{harmonics} harmonics", where="harmonics", expected="1 to 200")
    for key, number in (("gain_sigma", known.gain_sigma), ("phase_sigma", known.phase_sigma)):
        if not number >= 0:
            raise ConfigError(f"{key} is {number}", where=key, expected="0 or more")
    winding = Winding(
        primary=turns,
        secondary=turns if secondary is None else secondary,
        area=math.nan if area is None else area,
        length=math.nan if length is None else length,
    )
    return Look(b=b, h=h, v=v, i=i, shunt=shunt, winding=winding, frequency=frequency, harmonics=harmonics, known=known)


def prefix(name: str) -> str:
    """What a recipe's `name` puts before the keys."""
    if name and not KEY.fullmatch(name):
        raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
    return f"{name}_" if name else ""


def told(number: tuple[float, float, str], unit: str) -> Feature:
    """A feature from (value, sigma, why)."""
    value, sigma, why = number
    if not math.isfinite(value):
        return Feature(None, unit, why=why or "it could not be computed from these channels")
    return Feature(float(value), unit, sigma=float(sigma) if math.isfinite(sigma) else None)


def without(outputs: dict, why: str) -> dict[str, Feature | ArrayFeature]:
    """Every key without a value, and why."""
    return {key: Feature(None, output.unit, why=why or "not measured") for key, output in outputs.items()}


def clipped(values: np.ndarray, *, square: bool = False) -> float:
    """Part of the samples `(n,)` that lie at an extreme where a channel is cut off; 0 where none is.

    Cut off is where the extreme value itself comes three times in a row and far more often than its neighbour among
    the values there are (a sine that is only coarsely digitised stays at its top 2.4 times as long as one step below).

    >>> sine = np.sin(np.arange(1000) / 7.3)
    >>> clipped(sine), clipped(np.round(sine * 100)), clipped(np.clip(sine, -0.8, 0.8)) > 0.3
    (0.0, 0.0, True)
    """
    if values.size < 16 or not np.isfinite(values).all():
        return 0.0
    cut = 0
    for side in (values, -values):
        top = side.max()
        at = side == top
        many = int(np.count_nonzero(at))
        if many < FEWEST_FLAT or many == values.size or not np.any(at[2:] & at[1:-1] & at[:-2]):
            continue
        below = side[~at]
        if many > 5 * int(np.count_nonzero(below == below.max())):
            cut += many
    share = cut / values.size
    return 0.0 if square and share > SQUARE else share


def _converts(unit: str, to: str) -> bool:
    try:
        units.convert(1.0, unit, to)
    except InsituError:
        return False
    return True


def _si(channel: Wave, kind: str, shunt: float | None) -> np.ndarray:
    """The channel's values in T, V, A/m or A."""
    to = UNITS[kind]
    if channel.unit in UNKNOWN:
        return channel.values / shunt if kind == "i" and shunt is not None else channel.values
    if kind == "i" and shunt is not None and _converts(channel.unit, "V"):
        return channel.values * (units.convert(1.0, channel.unit, "V") / shunt)
    if not _converts(channel.unit, to):
        more = ": set shunt" if kind == "i" and _converts(channel.unit, "V") else ""
        raise ValueError(f"channel {channel.name} is in {channel.unit}, not in {to}{more}")
    factor = units.convert(1.0, channel.unit, to)
    return channel.values if factor == 1.0 else channel.values * factor
