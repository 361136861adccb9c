"""Means of a curve between given edges: one rule for grids that are finer than the data and for coarser ones.

    mean_k = 1 / (e[k+1] - e[k])  integral of the straight lines through (x, y) from e[k] to e[k+1]

Exact for straight lines, keeps areas, and is the same sum whatever the layout. Outside of the data the curve is taken
to go on at its first and last value; who asks must know what is covered (`covered`).
"""

from typing import NamedTuple

import numpy as np


class Grid(NamedTuple):
    """What depends on the places alone: `steps` `(n - 1,)` of the points; for each edge `(k + 1,)` the point before it,
    how far it is beyond that point, and how far it lies outside of the data; `widths` `(k,)`."""

    steps: np.ndarray
    at: np.ndarray
    t: np.ndarray
    beyond: np.ndarray
    widths: np.ndarray


def grid_between(x: np.ndarray, edges: np.ndarray) -> Grid:
    """Prepare for curves over strictly increasing `x` `(n,)`, to be averaged between `edges` `(k + 1,)`."""
    inside = np.clip(edges, x[0], x[-1])
    at = np.clip(np.searchsorted(x, inside, side="right") - 1, 0, x.size - 2)
    return Grid(np.diff(x), at, inside - x[at], edges - inside, np.diff(edges))


def means_on(grid: Grid, y: np.ndarray) -> np.ndarray:
    """Means `(..., k)` of curves `y` `(..., n)` over a prepared grid."""
    y = np.asarray(y, np.float64)
    at, t, beyond = grid.at, grid.t, grid.beyond
    last = int(at.max())
    total = np.zeros((*y.shape[:-1], last + 1))
    parts = np.add(y[..., 1 : last + 1], y[..., :last], out=total[..., 1:])
    parts *= 0.5
    parts *= grid.steps[:last]
    np.add.accumulate(parts, axis=-1, out=parts)
    low = y[..., at]
    up_to = total[..., at] + t * (low + 0.5 * t * ((y[..., at + 1] - low) / grid.steps[at]))
    if beyond.any():
        up_to += np.where(beyond < 0.0, beyond * y[..., :1], beyond * y[..., -1:])
    return np.diff(up_to, axis=-1) / grid.widths


def means_between(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means `(..., k)` of curves `y` `(..., n)` over strictly increasing `x` `(n,)` between `edges` `(k + 1,)`.

    >>> means_between(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 0.0]), np.array([0.0, 1.0, 2.0, 3.0])).tolist()
    [1.0, 1.0, 0.0]
    """
    return means_on(grid_between(x, edges), y)


def covered(x: np.ndarray, edges: np.ndarray, gap: float) -> np.ndarray:
    """True `(k,)` where the middle between two `edges` lies within the data and in no hole of it: the points of `x`
    beside it are at most `gap` apart, or at most two widths.

    >>> covered(np.array([1.0, 2.0, 3.0, 9.0]), np.array([0.0, 1.9, 3.0, 7.0, 8.0]), 1.0).tolist()
    [False, True, True, False]
    """
    middle = 0.5 * (edges[1:] + edges[:-1])
    at = np.clip(np.searchsorted(x, middle, side="right") - 1, 0, x.size - 2)
    near = (x[at + 1] - x[at]) <= np.maximum(gap, 2.0 * np.diff(edges))
    return (middle >= x[0]) & (middle <= x[-1]) & near


def bin_means(values: np.ndarray, bins: int) -> np.ndarray:
    """Means of `values` `(..., n)` over `bins` equal parts of the last dimension; a value on a border counts in parts
    on both sides. float64 `(..., bins)`.

    >>> bin_means(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [1.6666666666666667, 4.333333333333333]
    """
    values = np.asarray(values, np.float64)
    n = values.shape[-1]
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    edges = np.arange(bins + 1) * (n / bins)
    edges[-1] = n
    at = np.minimum(edges.astype(np.int64), n - 1)
    up_to = total[..., at] + (edges - at) * values[..., at]
    return np.diff(up_to, axis=-1) / (n / bins)
