"""How uncertain the points of one pattern are: counting statistics, noise read off the data, and the background level.

Shapes `(n,)`; every result is in the unit of the data. "Saturated" points are known only to lie at or above a level:
their standard uncertainty is infinite, and whatever looks at them must say so instead of using them.

Sources: Poisson counts have variance = mean; noise from second differences after J. Immerkaer, Comput. Vis. Image
Underst. 64 (1996) 300, with the median instead of the mean; clipping as usual in photometry (E. Bertin, S. Arnouts,
Astron. Astrophys. Suppl. 117 (1996) 393).
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from insitu.types import Arrival, Frame

SATURATION, MARKED = "saturation", "marked"
"""Label of a prepared frame whose saturated points have an infinite uncertainty (the record keeps the raw labels)."""
MEDIAN_PER_SIGMA = 0.6744897501960817
"""Median of |z| for a standard normal z."""
LOWER_SIGMA = 0.15865525393145707
"""Share of a normal distribution below mean - 1 sigma."""
MEDIAN_COST = math.sqrt(math.pi / 2.0)
"""Standard deviation of a median over that of the mean, for normal noise."""


def poisson_sigma(counts: np.ndarray) -> np.ndarray:
    """Standard uncertainty of counts: `sqrt(max(counts, 1))`; a count of zero is not known exactly.

    >>> poisson_sigma(np.array([0, 4, 100])).tolist()
    [1.0, 2.0, 10.0]
    """
    return np.sqrt(np.maximum(np.asarray(counts, dtype=np.float64), 1.0))


def saturated(frame: Arrival, level: float | None = None) -> np.ndarray | None:
    """True where a point is saturated; None where nothing is known (floating-point data, no level, no marks).

    Of a frame that `with_sigma` has seen, the points it marked; else those at or above `level`, or at the largest
    number of an integer type where `level` is None. Points that come with an infinite uncertainty always count.
    """
    marked = None if frame.sigma is None else np.isinf(frame.sigma)
    if frame.labels.get(SATURATION) == MARKED:
        return marked
    if level is None and frame.data.dtype.kind in "iu":
        level = np.iinfo(frame.data.dtype).max
    if level is None:
        return marked if marked is not None and marked.any() else None
    full = frame.data >= level
    return full if marked is None else full | marked


def point_sigma(frame: Arrival) -> np.ndarray | None:
    """Standard uncertainty per point, float64: the frame's own, else Poisson where the unit is counts, else None."""
    if frame.sigma is not None:
        return np.asarray(frame.sigma, dtype=np.float64)
    return poisson_sigma(frame.data) if frame.unit == "counts" else None


def with_sigma(frame: Frame, level: float | None = None) -> Frame:
    """The frame with `point_sigma` filled in and saturated points marked by an infinite one.

    For prepare steps, before they subtract or scale: afterwards neither can be read off the data. Where the uncertainty
    is not known there is nothing to mark, and the frame stays as it is.
    """
    sigma, full = point_sigma(frame), saturated(frame, level)
    if sigma is None:
        return frame
    if full is None:
        return replace(frame, sigma=sigma)
    return replace(frame, sigma=np.where(full, np.inf, sigma), labels={**frame.labels, SATURATION: MARKED})


def noise_level(y: np.ndarray) -> float:
    """Noise per point from second differences: `median |y[i-1] - 2 y[i] + y[i+1]| / (0.6745 sqrt 6)`.

    A sloping background drops out and peaks count little, as long as most points lie beside them.
    0.0 for fewer than 3 points.

    >>> y = np.random.default_rng(1).normal(50.0, 2.0, 20000) + np.linspace(0.0, 100.0, 20000)
    >>> round(noise_level(y), 1)
    2.0
    """
    if y.size < 3:
        return 0.0
    y = np.asarray(y, dtype=np.float64)
    second = np.abs(y[:-2] - 2.0 * y[1:-1] + y[2:])
    return _median(second) / (MEDIAN_PER_SIGMA * math.sqrt(6.0))


def _median(values: np.ndarray) -> float:
    """What `np.median` gives for `(n,)`, NaN for NaN; the order of `values` is not kept."""
    below, above = (values.size - 1) // 2, values.size // 2
    values.partition((below, above, values.size - 1))
    return float(values[-1]) if math.isnan(values[-1]) else 0.5 * float(values[below] + values[above])


def search_sigma(y: np.ndarray, sigma: np.ndarray | None, poisson: bool) -> np.ndarray:
    """Uncertainty per point to judge peaks by, finite and above 0, `(n,)`: known, Poisson, or one noise level.

    Points whose own uncertainty is 0, infinite or not a number get the smallest or largest of the usable ones.
    """
    if sigma is not None:
        usable = np.isfinite(sigma) & (sigma > 0.0)
        if usable.any():
            good = sigma[usable]
            return np.where(usable, sigma, np.where(sigma > 0.0, good.max(), good.min()))
    if poisson:
        return poisson_sigma(y)
    return np.full(y.size, max(noise_level(y), 1e-12 * float(np.ptp(y)), 1e-300))


class Level(NamedTuple):
    """A background level, its standard uncertainty, and the scatter of the points it was taken from."""

    value: float
    sigma: float
    scatter: float


def background_level(y: np.ndarray, clip: float = 3.0, most: int = 20) -> Level:
    """Level of a flat background under peaks: the median of what is left after clipping, shape `(n,)` to one number.

    With median m and s = m - (value below which 15.9 % of the points lie), points outside m - `clip` s to m + `clip` s
    are left out until nothing changes. s is read on the low side, where no peak reaches. Standard uncertainty:
    `1.253 s / sqrt(kept)`. Right while peaks cover less than about half of the points; a sloping background gives a
    value between its ends.

    >>> rng = np.random.default_rng(2)
    >>> y = rng.poisson(100.0, 4000) + 0.0
    >>> y[1000:1400] += 5000.0
    >>> level = background_level(y)
    >>> abs(level.value - 100.0) < 1.0, round(level.scatter) == 10
    (True, True)
    """
    ordered = np.sort(np.asarray(y, dtype=np.float64))
    first, last = 0, ordered.size
    for _ in range(most):
        middle, scatter = _centre(ordered, first, last)
        low = int(np.searchsorted(ordered, middle - clip * scatter, side="left"))
        high = int(np.searchsorted(ordered, middle + clip * scatter, side="right"))
        if (low, high) == (first, last):
            break
        first, last = low, high
    middle, scatter = _centre(ordered, first, last)
    return Level(middle, MEDIAN_COST * scatter / math.sqrt(last - first), scatter)


def _centre(ordered: np.ndarray, first: int, last: int) -> tuple[float, float]:
    """Median of `ordered[first:last]`, and how far below it the 15.9 % point lies."""
    kept = last - first
    middle = 0.5 * (ordered[first + (kept - 1) // 2] + ordered[first + kept // 2])
    at = first + LOWER_SIGMA * (kept - 1)
    below = int(at)
    part = at - below
    low = ordered[below] * (1.0 - part) + ordered[min(below + 1, last - 1)] * part
    return float(middle), float(middle - low)
