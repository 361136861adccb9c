"""Several departures from normal to one, with a declared rate of false alarms.

Every feature says one number, `y`: standard normal where all is normal, large where it departs the way that was
declared (or either way). The features of a source, and then the sources, are joined by

    Stouffer:  sum w y / sqrt(sum w^2)               (w: the departures expected, in sigma)
    Fisher:    -2 sum ln p ~ chi^2 with 2k degrees   (p = 1 - Phi(y))

and brought back to a standard normal number. Stouffer with the expected departures as weights is the naive-Bayes
log-likelihood ratio of "departs by w" against "normal", `llr = sum (w y - w^2 / 2)`, on another scale (Neyman, Pearson,
Phil. Trans. R. Soc. A 231 (1933) 289; S. A. Stouffer et al., The American Soldier (1949); R. A. Fisher, Statistical
Methods for Research Workers). All are exact for independent normal noise.

`at_least = u` asks that u sources depart: the score is the least that can be made by leaving u - 1 of them out
(partial conjunction: Y. Benjamini, R. Heller, Biometrics 64 (2008) 1215). Whatever u - 1 sources see then causes no
more false alarms than declared.

A departure that lasts is found by `Lasting`, E. S. Page's cumulative sum (Biometrika 41 (1954) 100), whose limit
follows from the mean number of frames between false alarms by D. Siegmund's approximation (Sequential Analysis (1985)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from scipy.special import chdtrc, log_ndtr, ndtri, ndtri_exp, stdtr

TOP = 30.0
"""Largest departure that is told apart, in sigma."""
MOST_ADDED = 5.0
"""No frame adds more than this to a cumulative sum: lasting is not the same as large."""
Combine = Literal["stouffer", "fisher"]


def normal_equivalent(t: float, freedom: int | None) -> float:
    """The departure in sigma of a normal distribution that is as rare as Student's `t` with `freedom` degrees.

    >>> round(normal_equivalent(3.0, 10), 3), normal_equivalent(3.0, None)
    (2.474, 3.0)
    """
    if freedom is None or t == 0.0:
        return min(max(t, -TOP), TOP)
    tail = float(stdtr(freedom, -abs(t)))
    z = TOP if tail <= 0.0 else min(-float(ndtri(tail)), TOP)
    return math.copysign(z, t)


def two_sided(z: float) -> float:
    """A departure either way as one that counts upwards: standard normal where `z` is.

    >>> round(two_sided(3.0), 3), round(two_sided(-3.0), 3), round(two_sided(0.6745), 2)
    (2.782, 2.782, 0.0)
    """
    return min(-float(ndtri_exp(min(math.log(2.0) + float(log_ndtr(-abs(z))), -1e-300))), TOP)


def joined(parts: Sequence[tuple[float, float]], combine: Combine) -> float:
    """One departure of several `(y, weight)`.

    >>> round(joined([(2.0, 1.0), (2.0, 1.0), (2.0, 1.0)], "stouffer"), 2)
    3.46
    >>> round(joined([(2.0, 1.0), (2.0, 1.0), (2.0, 1.0)], "fisher"), 2)
    3.12
    """
    if len(parts) == 1:
        return parts[0][0]
    if combine == "stouffer":
        return sum(w * y for y, w in parts) / math.sqrt(sum(w * w for _, w in parts))
    total = -2.0 * sum(float(log_ndtr(-y)) for y, _ in parts)
    p = float(chdtrc(2.0 * len(parts), total))
    return TOP if p <= 0.0 else max(min(-float(ndtri(p)), TOP), -TOP)


def conjunction(sources: Mapping[str, tuple[float, float]], at_least: int, combine: Combine) -> float:
    """The departure that `at_least` of the sources share: the least over all ways of leaving the others out.

    >>> round(conjunction({"a": (9.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0)}, 2, "stouffer"), 2)
    0.0
    """
    kept = len(sources) - at_least + 1
    return min(joined([sources[s] for s in some], combine) for some in combinations(sources, kept))


def allowed_once(rate: float) -> float:
    """The departure that one normal frame exceeds with the chance `rate`.

    >>> round(allowed_once(1e-5), 2)
    4.26
    """
    return -float(ndtri(rate))


def allowed_sum(rate: float, reference: float) -> float:
    """The limit of a cumulative sum of `y - reference` that is exceeded once in `1/rate` normal frames.

    Mean run length `(exp(2 k h) - 2 k h - 1) / (2 k^2)` with h the limit + 1.166.

    >>> round(allowed_sum(1 / 930, 0.5), 1)  # tables of one-sided sums: 5 for k = 0.5 and 930 frames
    5.0
    """
    low, high = 0.0, 1.0
    while _frames(high, reference) * rate < 1.0:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _frames(middle, reference) * rate < 1.0 else (low, middle)
    return high


def _frames(limit: float, k: float) -> float:
    x = 2.0 * k * (limit + 1.166)
    return (math.exp(x) - x - 1.0) / (2.0 * k * k) if x < 600.0 else math.inf


class Lasting:
    """A cumulative sum of departures: `exceeded` once it is above what is allowed, until it has fallen back.

    `shift`: the lasting departure that it is to find soonest, in sigma; `rate`: false alarms a frame; `learnt`: from
    how many frames normal was learnt (None: declared), which makes it more careful, so that the rate holds with
    95 % whatever was learnt.

    >>> lasting = Lasting(shift=1.0, rate=1e-5, learnt=None)
    >>> [lasting.add(n, 2.0) for n in range(12)].index(True), lasting.since
    (6, 0)
    """

    def __init__(self, *, shift: float, rate: float, learnt: int | None) -> None:
        self.reference = 0.5 * shift
        self.allowed = allowed_sum(rate, self.reference)
        self._step = self.reference + (1.645 / math.sqrt(learnt) if learnt else 0.0)
        self.sum = 0.0
        self.since: int | None = None
        """The `n` of the first frame of the departure, as far as the sum can tell."""
        self.exceeded = False

    def add(self, n: int, y: float) -> bool:
        """The departure `y` of frame `n`; whether a lasting one is there."""
        if self.sum <= 0.0:
            self.since = None
        self.sum = min(max(0.0, self.sum + min(y, MOST_ADDED) - self._step), 2.0 * self.allowed)
        if self.sum > 0.0 and self.since is None:
            self.since = n
        if self.sum > self.allowed:
            self.exceeded = True
        elif self.sum <= 0.5 * self.allowed:
            self.exceeded = False
        return self.exceeded
