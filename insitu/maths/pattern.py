"""A frame read as one 1-D pattern: its axis and the points that may be used, or a sentence that says why not.

The sentences end up as the reason of every feature that cannot be measured, so they are written for people.
"""

import numpy as np

from insitu.types import Arrival

LARGEST = 1e100
"""Beyond this a number is taken for damage: squares and sums of such numbers overflow."""


def pattern_axis(frame: Arrival, dim: str, unit: str) -> np.ndarray:
    """Values of the one axis `dim`, float64 `(n,)`, increasing; ValueError with a sentence where there is none."""
    if frame.data.ndim != 1:
        raise ValueError(f"{frame.source} gives {frame.data.ndim}-dimensional frames, a pattern has one dimension")
    if dim not in frame.axes:
        raise ValueError(f"the pattern is over {_names(frame)}, not over {dim}")
    axis = frame.axes[dim]
    if axis.unit != unit:
        raise ValueError(f"the axis {dim} is in {axis.unit!r}, expected {unit!r}")
    values = np.ascontiguousarray(axis.values, dtype=np.float64)
    if values.shape != frame.data.shape:
        raise ValueError(f"the axis {dim} has {values.size} values for {frame.data.size} points")
    if values.size < 2 or not values[0] < values[-1]:
        raise ValueError(f"the axis {dim} does not increase over at least 2 points")
    return values


def seen_points(frame: Arrival) -> np.ndarray:
    """True where a point is not masked, `(n,)`; ValueError where a point that is not masked has no finite number."""
    seen = np.ones(frame.data.shape, dtype=bool) if frame.mask is None else ~np.asarray(frame.mask, dtype=bool)
    if not seen.any():
        raise ValueError("every point of the pattern is masked")
    if why := unusable(frame.data.ravel() if frame.mask is None else frame.data[seen]):
        raise ValueError(why)
    return seen


def unusable(y: np.ndarray) -> str:
    """Empty, or how many of the points `(n,)` are no usable numbers (NaN, infinite, beyond 1e100).

    >>> unusable(np.array([1.0, np.nan]))
    '1 of 2 points are not finite numbers'
    """
    if y.dtype.kind != "f":
        return ""
    bad = y.size - int(np.count_nonzero(np.abs(y) < min(LARGEST, float(np.finfo(y.dtype).max))))
    return f"{bad} of {y.size} points are not finite numbers" if bad else ""


def _names(frame: Arrival) -> str:
    """The axes the frame has, as text."""
    return " and ".join(frame.axes) or "no axis"
