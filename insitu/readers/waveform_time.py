"""A column of times as a sample rate: are the samples evenly spaced, how far apart, and where are they not?

The rate is the simplest number that the rounding of the times allows: times printed as 0.000023, 0.000045, 0.000068
are 44,100 Hz and not 44,093.8. Every step must be within half a step of that (a missing sample is a step of two);
where times are printed so coarsely that they repeat, within that coarseness.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from insitu.errors import FormatError
from insitu.readers.waveform_track import near_whole, plausible


class Uneven(ValueError):
    """Times that are not evenly spaced: what is wrong, and at which sample (from 0, of the recording)."""

    def __init__(self, what: str, sample: int) -> None:
        super().__init__(what)
        self.what, self.sample = what, sample


class Clock:
    """Takes times in s, block by block. After the first `add`, `rate` is known (None for a single sample).

    >>> clock = Clock(); clock.add(np.round(np.arange(200) / 44100, 6)); clock.rate
    44100.0
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self.first: float | None = None
        self.jitter = 0.0
        self._last, self._n, self._coarse = 0.0, 0, 0.0

    def add(self, times: np.ndarray) -> None:
        """Check the times `(k,)` in s that follow."""
        if not len(times):
            return
        bad = np.flatnonzero(~np.isfinite(times))
        if len(bad):
            raise Uneven("the time is not a finite number", self._n + int(bad[0]))
        if self.first is None:
            self.first, joined, before = float(times[0]), times, 0
        else:
            joined, before = np.concatenate(([self._last], times)), self._n - 1
        steps = np.diff(joined)
        back = np.flatnonzero(steps < 0)
        if len(back):
            i = int(back[0])
            raise Uneven(f"the time turns back, from {joined[i]:.9g} s to {joined[i + 1]:.9g} s", before + i + 1)
        if self.rate is None and len(steps):
            self._begin(joined, steps)
        self._check(joined, steps, before)
        self._last, self._n = float(times[-1]), self._n + len(times)
        self._drift()

    def _begin(self, times: np.ndarray, steps: np.ndarray) -> None:
        m, total = len(steps), float(times[-1] - times[0])
        if not total > 0:
            raise Uneven("the time stands still", 1)
        middle, rounding = float(np.median(steps)), _rounding(times)
        if np.count_nonzero(steps == 0) > 0.05 * m:  # fewer are rows that stand twice, not a coarse clock
            self._coarse = max(rounding, float(steps[steps > 0].min()))
        elif np.count_nonzero(np.abs(steps - middle) > 0.5 * rounding) > max(1, 0.005 * m):
            self._coarse = rounding  # fewer are gaps between times that are written exactly
        if middle > 2 * self._coarse and (np.abs(steps - middle) > 0.5 * middle + self._coarse).any():
            self.rate = near_whole(1 / middle)  # a gap is to be found, not to be averaged
            return
        after, k = times[1:] - times[0], np.arange(1, m + 1)
        u = max(self._coarse or min(rounding, 0.5 * middle), 4e-16 * float(np.abs(times).max()))
        known = after > 2 * u
        low = float((k / (after + u)).max())
        high = float((k[known] / (after[known] - u)).min()) if known.any() else low
        if not low <= high:  # they scatter more than rounding does
            u = float(np.abs(after - k * (total / m)).max())
            low, high = m / (total + u), m / max(total - u, 1e-3 * total)
        self.rate = _simplest(low, high, m / total if low <= m / total <= high else (low + high) / 2)
        if not plausible(self.rate):
            raise Uneven(f"{self.rate:.3g} samples a second cannot be", 1)

    def _check(self, times: np.ndarray, steps: np.ndarray, before: int) -> None:
        if self.rate is None or not len(steps):
            return
        period = 1 / self.rate
        away = np.abs(steps - period)
        bad = np.flatnonzero(away > max(0.5 * period, 1.01 * self._coarse) + 1e-15 * abs(times[-1]))
        if len(bad):
            i = int(bad[0])
            raise Uneven(
                f"the time steps by {steps[i]:.6g} s, from {times[i]:.9g} s to {times[i + 1]:.9g} s, where "
                f"{period:.6g} s ({self.rate:.6g} Hz) is the rule",
                before + i + 1,
            )
        self.jitter = max(self.jitter, (float(away.max()) - 1.01 * self._coarse) / period)

    def _drift(self) -> None:
        """Refuse a rate that changes on the way by more than a thousandth."""
        if self.rate is None or self.first is None:
            return
        off = (self._last - self.first) * self.rate - (self._n - 1)
        if abs(off) > 1 + 1e-3 * self._n + 2 * self._coarse * self.rate:
            raise Uneven(
                f"the rate is not {self.rate:.6g} Hz any more: the time is {off:+.3g} samples off", self._n - 1
            )


def _rounding(times: np.ndarray) -> float:
    """The last decimal that the times have: 0.001 for 0.004, 0.017, 1.2; 0 where they have more than twelve.

    >>> _rounding(np.array([0.004, 0.017, 1.2]))
    0.001
    """
    some = times[:: max(1, len(times) // 1000)]
    for decimals in range(13):
        if (np.abs(np.round(some, decimals) - some) <= 4e-16 * np.abs(some)).all():
            return 10.0**-decimals if decimals else 0.0  # whole seconds are meant as they stand
    return 0.0


def _simplest(low: float, high: float, best: float) -> float:
    """The number with the fewest digits, or one over it, that is not below `low` and not above `high`.

    >>> _simplest(999.0, 1001.2, 1000.1), _simplest(333330.0, 333336.0, 333333.1)
    (1000.0, 333333.3333333333)
    """
    for digits in range(1, 10):
        rate = float(f"{best:.{digits - 1}e}")
        if low <= rate <= high:
            return rate
        period = float(f"{1 / best:.{digits - 1}e}")
        if period > 0 and low <= 1 / period <= high:
            return near_whole(1 / period)
    return best


def rate_of_blocks(blocks: Iterable[np.ndarray], where: str) -> float | None:
    """The rate in Hz of times `(k,)` in s, block after block; `FormatError` where they are not even."""
    clock = Clock()
    try:
        for block in blocks:
            clock.add(block)
    except Uneven as error:
        raise FormatError(
            f"sample {error.sample}: {error.what}",
            where=where,
            expected="evenly spaced times",
            remedy='Set sample_rate = "..." in the detector\'s [reader] if the samples are evenly spaced all the same',
        ) from error
    return clock.rate
