"""Regions of a mask: labels in the order of reading, and area, centre and shape of each, summed exactly.

Areas, centres and eccentricities are those of scikit-image's `label(connectivity=2)` and `regionprops_table`; the sums
are whole numbers, so that nothing depends on their order.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import KDTree

from insitu.maths.video import runs


class Regions(NamedTuple):
    """`labels` int32 `(y, x)`, 0 outside; and per region `(n,)`: `area` px, centre `y`, `x` px, `eccentricity` (of the
    ellipse with the same second moments), `border`: whether it touches the edge of the image."""

    labels: np.ndarray
    area: np.ndarray
    y: np.ndarray
    x: np.ndarray
    eccentricity: np.ndarray
    border: np.ndarray

    @property
    def diameter(self) -> np.ndarray:
        """Equivalent-circle diameters `(n,)`, px: sqrt(4 area / pi)."""
        return np.sqrt(4.0 * self.area / math.pi)


@njit(cache=True, nogil=True)
def _sums(labels: np.ndarray, sums: np.ndarray, border: np.ndarray) -> None:
    """Per label: pixels, and sums of y, x, yy, xx, yx, run by run of equal labels along x."""
    height, width = labels.shape
    for y in range(height):
        x = 0
        while x < width:
            label = labels[y, x]
            first = x
            while x < width and labels[y, x] == label:
                x += 1
            if label <= 0:
                continue
            n, last = x - first, x - 1
            s = (first + last) * n // 2
            ss = last * (last + 1) * (2 * last + 1) // 6 - (first - 1) * first * (2 * first - 1) // 6
            sums[label, 0] += n
            sums[label, 1] += n * y
            sums[label, 2] += s
            sums[label, 3] += n * y * y
            sums[label, 4] += ss
            sums[label, 5] += y * s
            if first == 0 or x == width or y == 0 or y == height - 1:
                border[label] = True


@njit(cache=True, nogil=True)
def brightness(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Sums of float64 `image` `(y, x)` inside and outside the bool `mask`, always added in the same order (down each
    column, then these): numpy's and BLAS' own orders depend on where an array lies in memory."""
    inside, all_of_it = np.zeros(image.shape[1]), np.zeros(image.shape[1])
    for y in range(image.shape[0]):
        row, marked = image[y], mask[y]
        for x in range(row.size):
            all_of_it[x] += row[x]
            inside[x] += row[x] * marked[x]
    within, total = 0.0, 0.0
    for x in range(inside.size):
        within += inside[x]
        total += all_of_it[x]
    return within, total - within


def measure(labels: np.ndarray, count: int) -> Regions:
    """Area, centre and shape of the regions 1 to `count` of int32 `labels` `(y, x)`.

    >>> found = measure(np.array([[1, 1, 0], [0, 0, 2]], np.int32), 2)
    >>> found.area.tolist(), found.x.tolist(), found.eccentricity.tolist()
    ([2, 1], [0.5, 2.0], [1.0, 0.0])
    """
    sums, border = np.zeros((count + 1, 6), np.int64), np.zeros(count + 1, np.bool_)
    _sums(labels, sums, border)
    return _of_sums(labels, sums[1:], border[1:])


def _of_sums(labels: np.ndarray, sums: np.ndarray, border: np.ndarray) -> Regions:
    """Regions from their pixels and sums of y, x, yy, xx, yx, int64 `(n, 6)`."""
    area = sums[:, 0]
    n = np.maximum(area, 1).astype(np.float64)
    y, x = sums[:, 1] / n, sums[:, 2] / n
    yy = sums[:, 3] / n - y * y
    xx = sums[:, 4] / n - x * x
    yx = sums[:, 5] / n - y * x
    half, root = 0.5 * (yy + xx), np.sqrt((0.5 * (yy - xx)) ** 2 + yx * yx)
    long, short = half + root, np.maximum(half - root, 0.0)
    flat = long <= 1e-12 * np.maximum(n, 1.0)
    ratio = np.divide(short, long, out=np.ones_like(long), where=~flat)
    ratio[ratio < 1e-12] = 0.0
    return Regions(labels, area, y, x, np.sqrt(1.0 - ratio), border)


def regions_of(mask: np.ndarray) -> Regions:
    """The regions of a bool mask `(y, x)`; pixels that touch at a corner belong together."""
    found = runs.runs_of(mask)
    labels = np.zeros(mask.shape, np.int32)
    runs.painted(labels, *found[:4], np.arange(1, found.area.size + 1, dtype=np.int32))
    return _of_sums(labels, runs.moments(*found[:4], found.area.size), found.border)


def nearest_distances(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Distance from each centre to the nearest other one `(n,)`, px; empty for fewer than two."""
    if y.size < 2:
        return np.empty(0)
    places = np.column_stack([y, x])
    return KDTree(places).query(places, k=2)[0][:, 1]
