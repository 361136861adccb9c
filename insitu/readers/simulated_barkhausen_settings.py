"""What simulated Barkhausen noise is set to: the sweep of the field, its activity, and the faults that it can have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.readers.faults import Fault, Kind, parse_fault, with_transport

BARKHAUSEN_KINDS: dict[str, Kind] = {
    "amplifier_off": Kind("the amplifier is off: its last stage's noise alone", "part of the noise left", 0.05, 0, 1),
    "clipped": Kind("the gain is set too high: the converter clips", "factor of the gain", 20.0, 1.0, 1e6),
    "hum": Kind("hum of the mains, 50 Hz and its third harmonic", "V", 0.2, 0.0, 1e6),
    "loose_probe": Kind("the probe rocks: contact is lost again and again", "part of the time", 0.5, 0.0, 1.0),
    "magnet_off": Kind("the magnet is off: no field, no jumps", "part of the field left", 0.0, 0.0, 1.0),
}
"""Faults of the measurement; beside them those of the transport (`faults.KINDS`)."""
ALLOWED = with_transport(BARKHAUSEN_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BarkhausenTruth:
    """The true answers for one frame. `c`: driving rate at the peak; `peak_field` and `fwhm` of the RMS envelope in the
    unit of the field (up sweeps at `+peak_field`, down sweeps at `-peak_field`); `height`: its RMS at the peak, V,
    without the amplifier's noise; `changed`: whether the planted change has happened; `faults` active."""

    index: int
    source_seq: int
    time_ns: int
    c: float
    peak_field: float
    fwhm: float
    height: float
    changed: bool
    faults: tuple[str, ...]


class Activity(NamedTuple):
    """How the driving rate depends on the field: `c` at `peak` (of an up sweep), falling to `background` c; `width`:
    full width at half height of sqrt(c), which is what the RMS of noise without its mean follows; `amplitude`: V for
    one unit of velocity."""

    c: float
    peak: float
    width: float
    background: float
    amplitude: float

    def rate(self, field: np.ndarray, up: np.ndarray) -> np.ndarray:
        """The driving rate `(n,)` at fields `(n,)`, in up sweeps where `up` is True."""
        away = (field - np.where(up, self.peak, -self.peak)) / self.width
        return self.c * np.maximum(np.exp(-8.0 * math.log(2.0) * away**2), self.background)


def triangle(cycles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A triangular wave `(n,)` from -1 to 1 and back, and where it goes up; `cycles` from its lowest point on.

    >>> wave, up = triangle(np.array([0.0, 0.25, 0.5, 0.75]))
    >>> wave.tolist(), up.tolist()
    ([-1.0, 0.0, 1.0, 0.0], [True, True, False, False])
    """
    phase = cycles % 1.0
    up = phase < 0.5
    return np.where(up, 4.0 * phase - 1.0, 3.0 - 4.0 * phase), up


def barkhausen_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that this noise can have; without a range it is one frame.

    >>> barkhausen_fault("hum@20-25=0.5"), barkhausen_fault("clipped@40").last
    (Fault(kind='hum', first=20, last=25, strength=0.5), 40)
    """
    return parse_fault(text, ALLOWED, of="Barkhausen noise", once=True)
