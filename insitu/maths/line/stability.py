"""Whether a channel is steady: no trend and no change of its scatter, each tested at a declared rate of error.

The samples are cut into `blocks` equal parts. Neighbouring samples of a machine follow each other, the means of parts
hardly do: a straight line through the means is tested with Student's t and blocks - 2 degrees of freedom, and so is
one through the logarithms of the parts' variances (M. S. Bartlett, D. G. Kendall, J. R. Stat. Soc. Suppl. 8 (1946)
128).
Both chances are compared with half of `error`, so that a steady channel of independent parts is called unsteady in
`error` of the frames. Samples that follow each other over more than a part raise that rate.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

BLOCKS = 8
FEWEST = 16
"""Samples: two in each of eight parts."""
LARGEST = 1e100
"""A larger number has no square in a float, and no place in nature."""


class Stability(NamedTuple):
    """`drift` along the samples in the channel's unit and its t; `growth`: factor of the scatter along the samples and
    its t; `limit`: |t| allowed; `chance` of the more unlikely of the two under steadiness."""

    drift: float
    drift_t: float
    growth: float
    growth_t: float
    limit: float
    chance: float

    @property
    def steady(self) -> bool:
        """Whether neither test speaks."""
        return max(abs(self.drift_t), abs(self.growth_t)) <= self.limit


def stability(values: np.ndarray, *, error: float = 0.001, blocks: int = BLOCKS) -> Stability | None:
    """The tests of the samples `(n,)`; None for fewer than two samples in each part, or
    numbers beyond `LARGEST`.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(5.0, 0.1, 400)
    >>> stability(noise).steady, stability(noise + np.linspace(0, 0.3, 400)).steady
    (True, False)
    """
    x = np.asarray(values, np.float64)
    x = x[np.isfinite(x)]
    size = x.size // blocks
    if size < 2 or float(np.abs(x).max()) > LARGEST:
        return None
    parts = x[x.size - size * blocks :].reshape(blocks, size)
    means = parts.mean(axis=1)
    spread = parts.var(axis=1, ddof=1)
    drift, drift_t = _line(means)
    floor = 1e-24 * max(float(np.max(np.abs(means))) ** 2, 1e-300)
    growth, growth_t = (0.0, 0.0) if not (spread > floor).all() else _line(0.5 * np.log(spread))
    limit = float(-stdtrit(blocks - 2.0, 0.25 * error))
    chance = 2.0 * float(stdtr(blocks - 2.0, -max(abs(drift_t), abs(growth_t))))
    return Stability(drift, drift_t, math.exp(min(growth, 700.0)), growth_t, limit, chance)


def _line(y: np.ndarray) -> tuple[float, float]:
    """Change along a straight line through y `(n,)`, and its t; no scatter at all gives an infinite one."""
    n = y.size
    at = np.arange(n) - 0.5 * (n - 1)
    slope = float(at @ y) / float(at @ at)
    rest = y - y.mean() - slope * at
    error = math.sqrt(float(rest @ rest) / (n - 2) / float(at @ at))
    if abs(slope) * n <= 1e-12 * float(np.max(np.abs(y))):
        return slope * (n - 1), 0.0
    return slope * (n - 1), slope / error if error > 1e-9 * abs(slope) else math.copysign(1e9, slope)
