"""A rolling baseline: mean and spread of the last values that belonged, and how far a new one departs from them.

For m accepted values with mean b and sample standard deviation s, a new value v departs by

    t = (v - b) / (s sqrt(1 + 1/m))

which for independent normal noise follows Student's t with m - 1 degrees of freedom (a prediction interval: W. A.
Shewhart's chart for individuals with estimated parameters; G. J. Hahn, J. Am. Stat. Assoc. 64 (1969) 878). The
deviation allowed for m values is therefore the quantile of Student's t that is as rare as `deviation` standard
deviations of a normal distribution: 6 sigma asked is 7.3 allowed at m = 50 and 10.6 at m = 20, and the rate of false
alarms is 2.0e-9 a value whatever m is. With a plain 6 it would be thousands of times that at m = 20.

Only values that depart by less than 4 sigma belong and should enter the baseline: were all of them to enter that are
no false alarm, a few unlucky frames of a lasting fault would widen the baseline until it swallows the fault. Slow
drift enters, and is followed. Nothing is updated incrementally but the window itself, so no rounding error builds up
however long the stream.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

CEILING = 1e6
"""Largest departure given, in sigma: a baseline without any spread makes every other value infinitely far."""
_NEAR = 4.0
_OUTLIER_MADS = 6.0 * 1.4826
"""Values of the learning phase this many median absolute deviations from the median (6 sigma) are left out."""


def allowed_departure(deviation: float, values: int) -> float:
    """|t| allowed for a baseline of `values`, as rare as `deviation` sigma of a normal distribution.

    >>> round(allowed_departure(6.0, 50), 2), round(allowed_departure(6.0, 20), 2)
    (7.34, 10.62)
    """
    return float(-stdtrit(values - 1.0, ndtr(-deviation)))


@dataclass(frozen=True, slots=True)
class Departure:
    """How far one value is from the baseline: `t` in sigma (signed), what is `allowed`, whether it is so near that it
    `belongs` to the baseline, and the baseline then."""

    t: float
    allowed: float
    belongs: bool
    mean: float
    sigma: float
    values: int


class Baseline:
    """Mean and spread of the last `window` accepted values, from `warm_up` values on.

    `resolution`: the spread is never taken smaller than this (values that differ by less are the same); without it,
    any change of a value that never varied is a departure. `relearn_after`: so many values in a row that were
    rejected become the new baseline (a change of level is then accepted as the new normal); 0 is never.

    >>> rng = np.random.default_rng(1)
    >>> baseline = Baseline(window=50, warm_up=20, deviation=6.0)
    >>> for x in rng.normal(100.0, 2.0, 60):
    ...     if (departure := baseline.departure(x)) is None or departure.belongs:
    ...         baseline.accept(x)
    >>> found = baseline.departure(130.0)
    >>> round(found.t, 1), round(found.mean, 1), round(found.sigma, 1), found.values
    (16.6, 99.8, 1.8, 50)
    """

    def __init__(
        self, *, window: int, warm_up: int, deviation: float, resolution: float = 0.0, relearn_after: int = 0
    ) -> None:
        self.warm_up, self.window, self.resolution = warm_up, window, resolution
        self.relearn_after = relearn_after
        sizes, near = range(2, window + 1), min(deviation, _NEAR)
        self._allowed = [0.0, 0.0] + [allowed_departure(deviation, m) for m in sizes]
        self._near = [0.0, 0.0] + [allowed_departure(near, m) for m in sizes]
        self._values = np.zeros(window)
        self._next = 0
        self.count = 0
        """Values in the baseline now, at most `window`."""
        self._rejected: list[float] = []
        self._mean = self._sigma = 0.0

    def departure(self, value: float) -> Departure | None:
        """How far `value` is from the baseline; None while it is being learnt. Changes nothing."""
        m = self.count
        if m < self.warm_up:
            return None
        difference = value - self._mean
        spread = max(self._sigma, self.resolution) * (1.0 + 1.0 / m) ** 0.5
        if abs(difference) < CEILING * spread:
            t = difference / spread
        else:
            t = 0.0 if difference == 0.0 else CEILING if difference > 0.0 else -CEILING
        return Departure(t, self._allowed[m], abs(t) <= self._near[m], self._mean, self._sigma, m)

    def accept(self, value: float) -> None:
        """`value` belongs: it enters the baseline, the oldest one leaves it."""
        self._rejected.clear()
        self._values[self._next] = value
        self._next = (self._next + 1) % self.window
        self.count = min(self.count + 1, self.window)
        if self.count == self.warm_up:
            self._leave_out_outliers()
        self._summarise()

    def reject(self, value: float) -> bool:
        """`value` does not belong; True where it completes a new baseline made of rejected values."""
        if not self.relearn_after:
            return False
        self._rejected.append(value)
        if len(self._rejected) < self.relearn_after:
            return False
        self._restart(np.array(self._rejected[-self.window :]))
        self._rejected.clear()
        self._summarise()
        return True

    def _restart(self, values: np.ndarray) -> None:
        self.count = len(values)
        self._values[: self.count] = values
        self._next = self.count % self.window

    def _leave_out_outliers(self) -> None:
        """The learning phase has nothing to be judged by, so it is judged once by its own median."""
        values = self._values[: self.count]
        away = np.abs(values - np.median(values))
        scale = float(np.median(away))
        if scale > 0.0 and np.any(away > _OUTLIER_MADS * scale):
            self._restart(values[away <= _OUTLIER_MADS * scale].copy())

    def _summarise(self) -> None:
        values = self._values[: self.count]
        self._mean = float(np.add.reduce(values)) / self.count
        if self.count > 1:
            away = values - self._mean
            self._sigma = float(np.add.reduce(away * away) / (self.count - 1)) ** 0.5
            # a constant's rounding error is no spread
            if self._sigma < 1e-12 * abs(self._mean):
                self._sigma = 0.0
