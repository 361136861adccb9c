"""Figures of merit with n and an interval: Wilson's for shares, a bootstrap over groups for everything else.

Intervals are at 95 %. Rows of one group (repeats of a compound, frames of one run) are not independent: the bootstrap
draws whole groups. E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209; B. Efron, R. J. Tibshirani, An Introduction to the
Bootstrap (1993), chapter 13; temperature: C. Guo et al., ICML 2017.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

Z95 = 1.959964


class Figure(NamedTuple):
    """A number, its interval, and of how many independent things."""

    value: float
    low: float
    high: float
    n: int

    def metric(self, name: str, *, data: str, split: str, note: str = "") -> dict[str, Any]:
        """As the manifest has it; `data`: "real" or "simulated"."""
        numbers = {k: round(float(v), 6) for k, v in zip(("value", "low", "high"), self[:3], strict=True)}
        return {"name": name, **numbers, "n": self.n, "data": data, "split": split, "note": note}


def wilson(right: int, n: int, z: float = Z95) -> Figure:
    """A share with Wilson's interval.

    >>> wilson(10, 10).low > 0.72
    True
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is no share")
    p, z2 = right / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Figure(p, max(0.0, middle - half), min(1.0, middle + half), n)


def bootstrap(
    score: Callable[[np.ndarray], float], groups: Sequence[Hashable], *, draws: int = 1000, seed: int = 0
) -> Figure:
    """`score(rows)` of all rows with a percentile interval over resampled groups; n is the number of groups.

    >>> x = np.arange(8.0)
    >>> figure = bootstrap(lambda rows: float(x[rows].mean()), range(8))
    >>> figure.value, figure.low < 3.5 < figure.high
    (3.5, True)
    """
    names = list(dict.fromkeys(groups))
    rows = {name: np.array([i for i, g in enumerate(groups) if g == name]) for name in names}
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = random.integers(0, len(names), len(names))
        value = score(np.concatenate([rows[names[i]] for i in drawn]))
        if math.isfinite(value):
            found.append(value)
    low, high = np.percentile(found, [2.5, 97.5]) if found else (math.nan, math.nan)
    return Figure(score(np.arange(len(groups))), float(low), float(high), len(names))


def balanced_accuracy(truth: np.ndarray, said: np.ndarray) -> float:
    """Mean over the true classes of the share said right."""
    return float(np.mean([np.mean(said[truth == c] == c) for c in np.unique(truth)]))


def calibration_error(truth: np.ndarray, score: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of probabilities: mean distance of share and score over bins, by their size."""
    at = np.clip((np.asarray(score) * bins).astype(int), 0, bins - 1)
    gaps = [np.sum(at == b) * abs(np.mean(truth[at == b]) - np.mean(score[at == b])) for b in np.unique(at)]
    return float(np.sum(gaps) / len(score))


def temperature(logits: np.ndarray, truth: np.ndarray, *, multilabel: bool = False) -> float:
    """The temperature (0.05 to 20) by which held-out logits are divided for the least log loss.

    `logits` (n, c); `truth` (n,) classes, or (n, c) of 0 and 1 where `multilabel`.
    """
    best, lowest = 1.0, math.inf
    for t in np.exp(np.linspace(math.log(0.05), math.log(20.0), 241)):
        z = logits / t
        if multilabel:
            loss = float(np.mean(np.logaddexp(0.0, z) - truth * z))
        else:
            top = z.max(axis=1, keepdims=True)
            total = top[:, 0] + np.log(np.exp(z - top).sum(axis=1))
            loss = float(np.mean(total - z[np.arange(len(z)), truth]))
        if loss < lowest:
            best, lowest = float(t), loss
    return best


def threshold_for(clean: np.ndarray, false_alarms: float) -> float:
    """The smallest threshold that at most the share `false_alarms` of clean scores (n,) exceeds, from the data where
    they are many enough, beyond them by an exponential tail fitted to the largest 2 %.

    >>> round(threshold_for(np.arange(1000.0), 0.01))
    989
    """
    ordered = np.sort(np.asarray(clean, dtype=np.float64))
    allowed = int(false_alarms * ordered.size)
    if allowed >= 10:
        return float(np.nextafter(ordered[ordered.size - 1 - allowed], np.inf))
    count = max(10, ordered.size // 50)
    start = float(ordered[-count - 1]) if ordered.size > count else float(ordered[0])
    scale = max(float(np.mean(ordered[-count:] - start)), 1e-12)
    tail = start + scale * math.log(count / ordered.size / false_alarms)
    return max(tail, float(ordered[-1]))
