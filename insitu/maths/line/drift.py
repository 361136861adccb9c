"""Statistics for noticing that a number has drifted: blocks of values that are independent of each other, how far
apart two samples are, and the threshold of a cumulative sum for a chance of false alarms.

Sources: block means and their correlation, Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989); two-sample statistic
and its limit distribution, Smirnov, Ann. Math. Statist. 19, 279 (1948); mean time between false alarms of a cumulative
sum, Siegmund, Sequential Analysis (Springer 1985), section 2.6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

LEAST_BLOCKS = 30
"""Blocks that tell whether blocks are independent, and what their spread is."""
OVERSHOOT = 1.166
"""By which a sum of normal steps passes a boundary, in sigma (twice 0.583)."""


class Blocks(NamedTuple):
    """Means over `length` values, which are independent of each other as far as the sample tells."""

    length: int
    means: np.ndarray


def independent_blocks(values: np.ndarray, least: int = LEAST_BLOCKS) -> Blocks | None:
    """The shortest blocks of `values` `(n,)`, in order, whose means do not follow each other: their correlation from
    one to the next is inside what chance gives (two sigma, 2 / sqrt(blocks)). None where that would take more values
    than there are: fewer than `least` blocks.

    >>> independent_blocks(np.random.default_rng(0).normal(size=400)).length
    1
    >>> independent_blocks(np.arange(400.0)) is None
    True
    """
    length = 1
    while len(values) >= least * length:
        n = len(values) // length
        means = values[len(values) - n * length :].reshape(n, length).mean(axis=1)
        d = means - means.mean()
        power = float(d @ d)
        if power == 0.0 or float(d[1:] @ d[:-1]) / power + 1.0 / n < 2.0 / math.sqrt(n):
            return Blocks(length, means)
        length = max(length + 1, round(length * 1.4))
    return None


def largest_gap(reference: np.ndarray, sample: np.ndarray) -> float:
    """The largest difference between the distributions of two samples, 0 to 1 (Kolmogorov and Smirnov). `reference`
    `(n,)` is sorted, `sample` `(m,)` need not be.

    >>> largest_gap(np.arange(10.0), np.arange(10.0) + 5.0)
    0.5
    """
    sample = np.sort(sample)
    both = np.concatenate((reference, sample))
    below = np.searchsorted(reference, both, side="right") / len(reference)
    return float(np.max(np.abs(below - np.searchsorted(sample, both, side="right") / len(sample))))


def allowed_gap(n: int, m: int, chance: float) -> float:
    """The gap that samples of `n` and `m` of one distribution exceed with this chance (limit distribution; a little
    too large, thus careful, for small samples)."""
    from scipy.special import kolmogi

    return float(kolmogi(min(chance, 1.0))) * math.sqrt((n + m) / (n * m))


def sum_threshold(slack: float, mean_time: float) -> float:
    """The threshold, in sigma, of a two-sided cumulative sum of standard normal steps less `slack`, for a false alarm
    once in `mean_time` steps on the mean.

    >>> round(sum_threshold(0.5, 930.0 / 2), 1)
    5.0
    """

    def once_in(height: float) -> float:
        x = 2.0 * slack * (height + OVERSHOOT)
        return (math.exp(min(x, 700.0)) - x - 1.0) / (2.0 * slack * slack) / 2.0

    low, high = 0.0, 1.0
    while once_in(high) < mean_time:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if once_in(middle) < mean_time else (low, middle)
    return high
