"""Means of a curve between given edges: one rule for grids that are finer than the data and for coarser ones.

    mean_k = 1 / (e[k+1] - e[k])  integral of the straight lines through (x, y) from e[k] to e[k+1]

Exact for straight lines, keeps areas, and is the same sum whatever the layout. Outside of the data the curve is taken
to go on at its first and last value; who asks must know what is covered (`covered`).
"""

from typing import NamedTuple

import numpy as np


class Grid(NamedTuple):
    """What depends on the places alone: half the `steps` between the points `(n - 1,)`; for each edge `(k + 1,)` the
    point before it, how far it is beyond that point, and how far it lies outside of the data; `widths` `(k,)`."""

    halves: np.ndarray
    at: np.ndarray
    t: np.ndarray
    beyond: np.ndarray
    widths: np.ndarray


def grid_between(x: np.ndarray, edges: np.ndarray) -> Grid:
    """Prepare for curves over strictly increasing `x` `(n,)`, to be averaged between `edges` `(k + 1,)`."""
    inside = np.clip(edges, x[0], x[-1])
    at = np.clip(np.searchsorted(x, inside, side="right") - 1, 0, x.size - 2)
    return Grid(0.5 * np.diff(x), at, inside - x[at], edges - inside, np.diff(edges))


def means_on(grid: Grid, y: np.ndarray) -> np.ndarray:
    """Means `(..., k)` of curves `y` `(..., n)` over a prepared grid."""
    y = np.asarray(y, np.float64)
    at, t, beyond = grid.at, grid.t, grid.beyond
    curves = y.reshape(-1, y.shape[-1])
    total = _integrals(grid, curves) if len(curves) > 1 else _integral(grid, curves)
    low = y[..., at]
    slope = (y[..., at + 1] - low) / (2.0 * grid.halves[at])
    up_to = total.reshape(low.shape) + t * (low + 0.5 * t * slope)
    if beyond.any():
        up_to += np.where(beyond < 0.0, beyond * y[..., :1], beyond * y[..., -1:])
    return np.diff(up_to, axis=-1) / grid.widths


def _integral(grid: Grid, y: np.ndarray) -> np.ndarray:
    """Integrals of curves `(m, n)` up to the points before the edges, `(m, k + 1)`."""
    last = int(grid.at.max())
    total = np.empty((len(y), last + 1))
    total[:, 0] = 0.0
    parts = np.add(y[:, 1 : last + 1], y[:, :last], out=total[:, 1:])
    parts *= grid.halves[:last]
    np.add.accumulate(parts, axis=-1, out=parts)
    return total[:, grid.at]


def _integrals(grid: Grid, y: np.ndarray) -> np.ndarray:
    """The same to the last bit. A running sum waits for each of its additions: those of two curves go on side by side
    as the two parts of complex numbers, in the time of one."""
    m, last = len(y), int(grid.at.max())
    pairs = np.zeros((-(-m // 2), last + 1), np.complex128)
    for side, half in ((0, pairs.real), (1, pairs.imag)):
        rows = y[side::2]
        parts = np.add(rows[:, 1 : last + 1], rows[:, :last], out=half[: len(rows), 1:])
        parts *= grid.halves[:last]
    np.add.accumulate(pairs[:, 1:], axis=-1, out=pairs[:, 1:])
    found = pairs[:, grid.at]
    return np.stack([found.real, found.imag], axis=1).reshape(-1, len(grid.at))[:m]


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
