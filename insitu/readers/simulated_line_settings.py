"""What a simulated production line is set to: its channels, its loads, and the faults that it can have."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from insitu.readers.faults import Fault, Kind, parse_fault, with_transport


class Channel(NamedTuple):
    """One sensor: name, unit, samples in a second, and the standard deviation of its own noise."""

    name: str
    unit: str
    rate_Hz: float
    noise: float


CHANNELS = (
    Channel("temperature", "degC", 8.0, 0.02),
    Channel("pressure", "bar", 64.0, 0.02),
    Channel("flow", "l/min", 64.0, 0.08),
    Channel("power", "kW", 64.0, 0.03),
    Channel("vibration", "mm/s", 512.0, 0.5),
)

LINE_KINDS: dict[str, Kind] = {
    "bearing_wear": Kind(
        "a damaged bearing: bursts at its defect frequency in the vibration",
        "peak of a burst over the noise",
        10.0,
        0,
        1e3,
    ),
    "leak": Kind("a leak: pressure is lost, and the pump delivers more", "part of the pressure lost", 0.15, 0.0, 1.0),
    "stuck": Kind("the pressure sensor repeats its last value before", "", 0.0, 0.0, 0.0),
    "dropout": Kind("the flow sensor gives no numbers for a part of the cycle", "part of the samples", 0.3, 0.0, 1.0),
    "drift": Kind("the temperature sensor drifts away from the truth", "degC in 100 frames", 1.0, -100.0, 100.0),
}
"""Faults of a line; beside them those of the transport (`faults.KINDS`)."""

ALLOWED = with_transport(LINE_KINDS)


def line_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that a line can have.

    >>> line_fault("leak@200-300=0.2")
    Fault(kind='leak', first=200, last=300, strength=0.2)
    """
    return parse_fault(text, ALLOWED, of="a line")


def profile(t: np.ndarray) -> np.ndarray:
    """The load within a cycle at times 0 to 1 of it: rises over a tenth, holds, falls over a tenth at eight tenths."""
    return np.clip(np.minimum(t / 0.1, (0.9 - t) / 0.1), 0.0, 1.0)


def wander(time_s: float, phases: np.ndarray, periods_s: tuple[float, ...]) -> float:
    """A slow, smooth course of unit size: sines of incommensurable periods, whose phases the seed has set."""
    terms = [math.sin(2.0 * math.pi * time_s / p + a) for p, a in zip(periods_s, phases.tolist(), strict=True)]
    return sum(terms) / len(terms)
