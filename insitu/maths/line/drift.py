"""Statistics for noticing that a number has drifted: blocks of values that are independent of each other, how far
apart two samples are, and the threshold of a cumulative sum for a chance of false alarms.

Sources: block means and their correlation, Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989); autoregression, Burg,
thesis, Stanford (1975), its order, Hurvich and Tsai, Biometrika 76, 297 (1989); two-sample statistic
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


LONG = 2.0
"""Blocks are at least so many times as long as values follow each other."""
MOST_MEMORY = 0.45
"""Near 0.5 there is no mean any more that a series stays at."""
TRIED = np.linspace(-0.5, 1.0, 151)
"""Memories that are tried."""
CLEARLY = 2.75
"""Standard errors from which on a memory counts as seen (three in a thousand by chance, and looked for a few times)."""
WILD = 5.0
"""Quartile distances beyond the quartiles from which on a value is a wild one (7.4 sigma of normal values)."""
UNSURE = 0.05
"""Chance with which the true spread is larger than the one that a sample's is taken for."""


class Blocks(NamedTuple):
    """Means over `length` values, which hardly follow each other. `follows`: by how much the variance of the mean of
    many of them is larger than it would be if they did not at all, 1 or more."""

    length: int
    means: np.ndarray
    follows: float


def independent_blocks(values: np.ndarray, least: int = LEAST_BLOCKS) -> Blocks | None:
    """The shortest blocks of `values` `(n,)`, in order, that are twice as long as the values follow each other (sum of
    their autocorrelation), and whose means do not: their correlation from one to the next is inside what chance gives
    (two sigma, 2 / sqrt(blocks)). None where that would take more values than there are: fewer than `least` blocks.

    >>> independent_blocks(np.random.default_rng(0).normal(size=400)).length
    1
    >>> independent_blocks(np.arange(400.0)) is None
    True
    """
    variance, together = float(values.var()), long_run_variance(values)
    length = max(1, math.ceil(LONG * together / variance - 0.5)) if together > 1.1 * variance > 0.0 else 1
    while len(values) >= least * length:
        means = in_blocks(values, length)
        n, d = len(means), means - means.mean()
        power = float(d @ d)
        if power == 0.0:
            return Blocks(length, means, 1.0)
        if float(d[1:] @ d[:-1]) / power + 1.0 / n < 2.0 / math.sqrt(n):
            return Blocks(length, means, max(together / length / (power / (n - 1)), unseen(n)))
        length = max(length + 1, round(length * 1.2))
    return None


def unseen(n: int) -> float:
    """By how much the variance of a mean may be larger than that of `n` values that do not follow each other, where
    they do by as much as chance may hide in so many: a correlation of 1 / sqrt(n) from one to the next.

    >>> round(unseen(400), 2)
    1.11
    """
    hidden = 1.0 / math.sqrt(n)
    return (1.0 + hidden) / (1.0 - hidden)


def in_blocks(values: np.ndarray, length: int) -> np.ndarray:
    """Means of the last whole blocks of `values` `(n,)`: `(n // length,)`."""
    n = len(values) // length
    return values[len(values) - n * length :].reshape(n, length).mean(axis=1)


def long_run_variance(values: np.ndarray) -> float:
    """n times the variance of the mean of n values, for a large n: that of one value where they do not follow each
    other, more where they do. The larger of two estimates: the spectrum at frequency zero of the autoregression that
    fits `values` `(m,)` best, and the scatter of block means, where it is larger by more than chance makes it.

    >>> x = np.random.default_rng(0).normal(size=2000)
    >>> round(long_run_variance(x), 1), 2.0 < long_run_variance(x[1:] + 0.5 * x[:-1]) < 3.0  # truly 1 and 1.5^2
    (1.0, True)
    """
    variance, found, length = float(values.var()), _of_autoregression(values), 2
    while len(values) >= LEAST_BLOCKS * length:
        means = in_blocks(values, length)
        scatter = length * float(means.var(ddof=1))
        if scatter > (1.0 + 2.0 * math.sqrt(2.0 / len(means))) * variance:
            found = max(found, scatter)
        length = max(length + 1, round(length * 1.4))
    return found


def _of_autoregression(values: np.ndarray) -> float:
    """The spectrum at frequency zero of the autoregression that fits `values` best (Burg's, of the order that the
    corrected information criterion of Akaike likes best)."""
    n = len(values)
    forward = backward = values - values.mean()
    left = float(forward @ forward) / n
    if left == 0.0:
        return 0.0
    weights, best, found = np.zeros(0), math.inf, left
    for order in range(min(int(10.0 * math.log10(n)), n // 10) + 1):
        if order:
            ahead, behind = forward[1:], backward[:-1]
            power = float(ahead @ ahead + behind @ behind)
            if power == 0.0:
                break
            part = 2.0 * float(ahead @ behind) / power
            weights = np.append(weights - part * weights[::-1], part)
            forward, backward = ahead - part * behind, behind - part * ahead
            left *= 1.0 - part * part
        if left <= 0.0:
            break
        cost = n * math.log(left) + 2.0 * (order + 1) * n / max(n - order - 2, 1)
        if cost < best:
            best, found = cost, left / max(1.0 - float(weights.sum()), 1e-3) ** 2
    return found


class Memory(NamedTuple):
    """The exponent d of a series whose correlation dies away as lag^(2d - 1), and its standard error: 0 for one that
    forgets, below 0.5 for one that is stationary."""

    d: float
    error: float

    @property
    def seen(self) -> float:
        """d where it is clearly above 0, else 0."""
        return self.d if self.d > CLEARLY * self.error else 0.0

    @property
    def at_least(self) -> float:
        """d less half of its standard error, from 0 to `MOST_MEMORY`: what it is at least, two times in three."""
        return min(max(self.d - 0.5 * self.error, 0.0), MOST_MEMORY)


def periodogram(values: np.ndarray) -> np.ndarray:
    """Power of `values` `(n,)` at the frequencies 1/n, 2/n, ... to a half, in any unit. Mean values of it over series
    of one length tell their memory together, and a shift of the mean spoils only that of one."""
    return np.abs(np.fft.rfft(values - values.mean())[1:]) ** 2


def memory(power: np.ndarray, n: int, *, series: int = 1) -> Memory:
    """The memory of `series` series of `n` values with the mean `periodogram` `power`, from the lowest n^0.65
    frequencies: local Whittle (Robinson, Ann. Statist. 23, 1630 (1995)); standard error 1 / (2 sqrt(frequencies)).

    >>> x = np.random.default_rng(0).normal(size=400)
    >>> memory(periodogram(x), 400).seen, memory(periodogram(np.cumsum(x)), 400).seen > 0.6
    (0.0, True)
    """
    power = power[: int(n**0.65)]
    if len(power) < 4 or not power.max() > 0.0:
        return Memory(0.0, 0.0)
    frequency = np.arange(1, len(power) + 1) / n
    level = np.log((frequency ** (2.0 * TRIED[:, None]) * power).mean(axis=1))
    found = float(TRIED[np.argmin(level - 2.0 * TRIED * np.log(frequency).mean())])
    return Memory(found, 0.5 / math.sqrt(series * len(power)))


def of_memory(d: float, known: int, together: int) -> float:
    """By how much a memory d makes the variance of a mean of `together` values less one of `known` before them larger
    than 1 / together + 1 / known. That of a mean of n values is c n^(2d - 1), with
    c = gamma(1 - d) / ((1 + 2d) gamma(1 + d)) (Hosking, Biometrika 68, 165 (1981)); both taken as independent.

    >>> of_memory(0.0, 400, 80), round(of_memory(0.3, 400, 80), 1)
    (1.0, 15.9)
    """
    c = math.gamma(1.0 - d) / ((1.0 + 2.0 * d) * math.gamma(1.0 + d))
    both = known ** (2.0 * d - 1.0) + together ** (2.0 * d - 1.0)
    return max(1.0, c * both / (1.0 / known + 1.0 / together))


def departures(values: np.ndarray) -> int | None:
    """How many times `values` `(n,)` left the one that most of them have, each stretch counted once; None where no
    value is that of half of them.

    >>> departures(np.array([0.0, 0, 0, 1, 1, 0, 0, 1, 0])), departures(np.arange(9.0))
    (2, None)
    """
    middle = float(np.median(values))
    away = values != middle
    if 2 * int(np.count_nonzero(away)) >= len(values):
        return None
    return int(np.count_nonzero(away[1:] & ~away[:-1])) + int(away[0])


def usual_range(values: np.ndarray) -> tuple[float, float]:
    """Between which bounds a value of `values` `(n,)` is no wild one; no bounds where half of them are the same.

    >>> low, high = usual_range(np.arange(101.0))
    >>> (low, high)
    (-225.0, 325.0)
    """
    low, high = (float(x) for x in np.quantile(values, (0.25, 0.75)))
    apart = WILD * (high - low)
    return (low - apart, high + apart) if apart > 0.0 else (-math.inf, math.inf)


def widened(n: float) -> float:
    """By what the spread of a sample of `n` is multiplied, so that the true one is hardly ever larger.

    >>> round(widened(30), 2), round(widened(400), 2)
    (1.28, 1.06)
    """
    from scipy.special import chdtri

    return math.sqrt((n - 1) / float(chdtri(n - 1, 1.0 - UNSURE)))


def decay(steps: np.ndarray, slack: float) -> float:
    """How fast the chance dies away that a cumulative sum of `steps` `(n,)`, of mean 0 and spread 1, less `slack` in
    either direction, comes to a height h: as exp(-r h), where the mean of exp(r (step - slack)) is 1 (Lundberg's
    exponent: Asmussen, Albrecher, Ruin Probabilities, 2nd ed. (2010), chapter IV). 2 `slack` for normal steps, which
    is the most that is given; less where large steps in one direction are more frequent.

    >>> random = np.random.default_rng(0)
    >>> round(decay(random.normal(size=4000), 0.25), 2), 0.2 < decay(random.exponential(size=4000) - 1.0, 0.25) < 0.45
    (0.47, True)
    """

    def grows(r: float) -> bool:
        return max(float(np.exp(r * (sign * steps - slack)).mean()) for sign in (1.0, -1.0)) > 1.0

    low, high = 0.0, 2.0 * slack
    if not grows(high):
        return high
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if grows(middle) else (middle, high)
    return max(low, 0.02 * slack)


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
