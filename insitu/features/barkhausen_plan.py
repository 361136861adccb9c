"""What the extractor of Barkhausen noise plans once for windows of one length and rate: spectrum, slope, band-pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from insitu.maths.magnetic.barkhausen_psd import SlopeFit, Welch
from insitu.maths.waveform import Wave

SLOPE = (0.02, 0.1)
"""Parts of the sample rate between which the slope is taken unless told."""
ORDER = 2
PLANS = 16


class Plan(NamedTuple):
    """What depends on the length and rate of a window alone; `why`: the band that it cannot have."""

    welch: Welch
    slope: SlopeFit
    sos: np.ndarray | None
    start: np.ndarray | None
    why: str


class Plans:
    """Plans by length and rate, made when first asked for; those of a few are kept (they change no result).

    `segment`: samples of a segment of the spectrum; `slope`: Hz, None for the default; `band`: Hz, None for no end."""

    def __init__(
        self, segment: int, slope: tuple[float, float] | None, band: tuple[float | None, float | None]
    ) -> None:
        self.segment, self.slope, self.band = segment, slope, band
        self._made: dict[tuple[int, float], Plan] = {}

    def __call__(self, n: int, rate: float) -> Plan:
        """The plan for windows of n samples at a rate in Hz."""
        plan = self._made.get((n, rate))
        if plan is None:
            if len(self._made) >= PLANS:
                self._made.clear()
            welch = Welch(n, rate, self.segment)
            low, high = self.slope or (SLOPE[0] * rate, SLOPE[1] * rate)
            sos, start, why = _band_pass(*self.band, rate)
            plan = self._made[n, rate] = Plan(welch, SlopeFit(welch.frequency, low, high), sos, start, why)
        return plan


def _band_pass(low: float | None, high: float | None, rate: float) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    """Coefficients and start values of the filter (None: there is nothing to filter), or why there can be none."""
    from scipy.signal import butter, sosfilt_zi

    if low is not None and low >= 0.45 * rate:
        return None, None, f"the band begins at {low:g} Hz: at {rate:g} samples a second there is nothing above it"
    upper = high if high is not None and high < 0.49 * rate else None  # above, the sampling ends the band
    if not low and upper is None:
        return None, None, ""
    kind = "bandpass" if low and upper else "highpass" if low else "lowpass"
    sos = np.asarray(butter(ORDER, [low, upper] if kind == "bandpass" else low or upper, kind, fs=rate, output="sos"))
    return sos, np.asarray(sosfilt_zi(sos)), ""


def stretched(field: Wave, noise: Wave, n: int) -> np.ndarray | None:
    """The field at the n samples of the noise; None where nobody knows at which of them it was measured."""
    h = field.values
    if h.size == n and field.rate == noise.rate:
        return h
    if h.size < 2 or field.rate is None or noise.rate is None:
        return None
    step = field.rate / noise.rate
    if abs(h.size - n * step) > 1.0 + step:
        return None
    return np.interp(np.arange(n) * step, np.arange(h.size), h)
