"""How rare a false alarm may be called that good runs can show: how many of their frames count as independent, and the
threshold that goes with it.

Frames of one run are alike, and runs differ. Scores are those of frames that were left out of the learning together
with their whole run. Of n frames in R runs those whose score is among the largest tenth are looked at: their share in
each run varies by a factor d more than independent frames would make it (mean squares between runs over the variance,
L. Kish, Survey Sampling (Wiley 1965), section 5.4), and n frames count for

    n_eff = n / max(1, d)

The largest of n_eff scores is above the quantile 1 - a with 95 % certainty where (1 - a)^n_eff <= 0.05; with more, the
k + 1-largest is, where the chance of at most k of n_eff above it is 5 % or less (S. S. Wilks, Ann. Math. Statist. 12
(1941) 91). Nothing is extrapolated beyond the runs. On drawn runs (8 or 30 of 60 frames that follow each other, runs
apart by up to 1.5 of their scatter) the true rate was above the declared one in 0 to 6 % of the fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from insitu.errors import UsageError

SURE = 0.95
FEWEST = 5
"""Runs without which nothing is known of how they differ."""
FOLDS = 10
"""Groups of runs that are left out in turn, at most."""
LARGE = 0.9

Score = Callable[[np.ndarray], np.ndarray]
"""Scores `(n,)` of inputs `(n, ...)`."""


class Level(NamedTuple):
    """`threshold`; `above`: so many of the `frames` left out are above it; `independent`: what they count for."""

    threshold: float
    above: int
    frames: int
    independent: float


def left_out(runs: Sequence[np.ndarray], fit: Callable[[list[int]], Score]) -> list[np.ndarray]:
    """Scores of the frames of every run, `(n,)` each, by what was learnt without it. `fit` learns from the runs of
    these numbers."""
    count = min(FOLDS, len(runs))
    part = np.random.default_rng(0).permutation(len(runs)) % count
    found: list[np.ndarray] = [np.zeros(0)] * len(runs)
    for k in range(count):
        score = fit([i for i in range(len(runs)) if part[i] != k])
        for i in (i for i in range(len(runs)) if part[i] == k):
            found[i] = score(runs[i])
    return found


def independent(scores: Sequence[np.ndarray]) -> float:
    """Of frames with these scores, run by run: how many independent ones tell as much.

    >>> random = np.random.default_rng(0)
    >>> 500 < independent(list(random.normal(size=(20, 50)))) <= 1000
    True
    >>> independent(list(random.normal(size=(20, 50)) + 5.0 * random.normal(size=(20, 1)))) < 40
    True
    """
    every = np.concatenate(scores)
    ranks = np.empty(len(every))
    ranks[np.argsort(every, kind="stable")] = np.arange(len(every)) / len(every)
    large = (ranks >= LARGE).astype(float)
    parts = np.split(large, np.cumsum([len(s) for s in scores])[:-1])
    between = sum(len(part) * float(part.mean() - large.mean()) ** 2 for part in parts if len(part))
    return len(every) / max(1.0, between / (len(scores) - 1) / max(float(large.var()), 1e-12))


def needed(rate: float) -> int:
    """Independent frames without which a rate cannot be declared.

    >>> needed(0.01), needed(0.001)
    (299, 2995)
    """
    return math.ceil(math.log(1.0 - SURE) / math.log1p(-rate))


def lowest(n: float) -> float:
    """The lowest rate that `n` independent frames allow."""
    return -math.expm1(math.log(1.0 - SURE) / max(math.floor(n), 1))


def level(scores: Sequence[np.ndarray], rate: float) -> Level:
    """The threshold that at most the share `rate` of good frames is above, with 95 % certainty. Raises `UsageError`
    where the runs are too few for that, with how many would be enough."""
    n = independent(scores)
    if n < needed(rate):
        raise _too_few(scores, rate, n)
    return _level(np.concatenate(scores), n, rate)


def _level(every: np.ndarray, n: float, rate: float) -> Level:
    from scipy.stats import binom

    count = int(n)
    k = int(binom.ppf(1.0 - SURE, count, rate))
    while k > 0 and binom.cdf(k, count, rate) > 1.0 - SURE:
        k -= 1
    above = int(k * len(every) / count)
    threshold = float(np.sort(every)[len(every) - 1 - above])
    return Level(threshold * 1.0005 + 1e-9, above, len(every), n)  # it is compared with float32


def of_new_runs(scores: Sequence[np.ndarray], rate: float) -> list[int]:
    """False alarms in each run by the threshold that the other runs give."""
    found = []
    for i, own in enumerate(scores):
        others = [s for k, s in enumerate(scores) if k != i]
        limit = _level(np.concatenate(others), max(independent(others), float(needed(rate))), rate).threshold
        found.append(int(np.count_nonzero(own > limit)))
    return found


def _too_few(scores: Sequence[np.ndarray], rate: float, n: float) -> UsageError:
    runs, frames = len(scores), sum(map(len, scores))
    more = math.ceil(runs * needed(rate) / n)
    return UsageError(
        f"{runs} runs with {frames} frames count for {n:.0f} independent ones, too few to declare {100 * rate:g} % of "
        "false alarms",
        where="--false-alarms", expected=f"{needed(rate)} independent frames: about {more} runs like these",
        remedy=f"Measure more good runs, or declare {_rounded(lowest(n))} %, the lowest rate that these allow",
    )  # fmt: skip


def _rounded(rate: float) -> str:
    """In per cent with two digits, upwards."""
    percent = 100.0 * rate
    step = 10.0 ** (math.floor(math.log10(percent)) - 1)
    return f"{math.ceil(percent / step - 1e-9) * step:.2g}"
