"""How far the content of one image has moved to the next, to a fraction of a pixel.

First roughly, by phase correlation of both images reduced to about 128 pixels (C. D. Kuglin, D. C. Hines, Proc. IEEE
Conf. Cybern. Soc. (1975) 163), then by least squares from coarse to fine (B. D. Lucas, T. Kanade, IJCAI (1981) 674):

    d = argmin sum (after(r + d) - before(r))^2

where both images are smoothed by Gaussians whose centres lie half of d apart, so that nothing is interpolated, and
brought to the same mean and contrast, so that the exposure does not matter. The uncertainty comes from how much 64
parts of the image disagree (a sandwich estimate over parts, R. M. Rogers, Stata Tech. Bull. 13 (1993) 19): noise and
parts that move on their own are both in it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

SMOOTHING = 1.5
"""Width of the Gaussian at each level, px."""
REACH = 5
"""Pixels of it to each side; `_smooth` is written out for these."""
PARTS = 8
COARSE = 128
"""Side in px to which images are reduced for the rough shift."""
SMALLEST = 32
OUTLYING = 6.0


class Shift(NamedTuple):
    """Movement from the first image to the second along y and x, its standard uncertainties, px; `correlation` of the
    images after it was taken out (1: the same); `changed`: part of the pixels whose difference is then larger than
    `OUTLYING` times its typical scatter (1.4826 times the median size): what came, went or moved on its own."""

    y: float
    x: float
    sigma_y: float
    sigma_x: float
    correlation: float
    changed: float


def register(before: np.ndarray, after: np.ndarray) -> Shift:
    """The shift between two images `(y, x)` of one shape.

    Raises ValueError where there is none to be found: different shapes, too small, or nothing to be seen in them.

    >>> y, x = np.mgrid[:64, :64]
    >>> shift = register(np.sin(x / 5) * np.cos(y / 4), np.sin((x - 1.3) / 5) * np.cos((y + 0.4) / 4))
    >>> round(shift.y, 2), round(shift.x, 2)
    (-0.4, 1.3)
    """
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"the frames have different shapes, {list(before.shape)} and {list(after.shape)}")
    if min(before.shape) < SMALLEST:
        raise ValueError(f"the frames have {min(before.shape)} pixels along one side, {SMALLEST} are needed")
    a, b = (_numbers(image) for image in (before, after))
    pyramid = [(a, b)]
    while min(pyramid[-1][0].shape) >= 2 * COARSE:
        pyramid.append((halved(pyramid[-1][0]), halved(pyramid[-1][1])))
    y, x = rough(*pyramid[-1])
    found = Shift(y, x, 0.0, 0.0, 0.0, 0.0)
    for level in range(len(pyramid) - 1, -1, -1):
        if level < len(pyramid) - 1:
            found = found._replace(y=2.0 * found.y, x=2.0 * found.x)
        for _ in range(3 if level == len(pyramid) - 1 else 2 if level else 1):
            found = refine(*pyramid[level], found.y, found.x, compare=level == 0)
    return found


def _numbers(image: np.ndarray) -> np.ndarray:
    """The image as float32; what is no number counts as the mean of the others."""
    if image.min() == image.max():
        raise ValueError("nothing can be seen in a frame: all pixels are alike")
    numbers = np.array(image, dtype=np.float32, order="C")  # copied in any case: one kind of array for kernels
    if image.dtype.kind != "f" or np.isfinite(numbers).all():
        return numbers
    some = np.isfinite(numbers)
    return np.where(some, numbers, numbers[some].mean() if some.any() else 0.0).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def halved(image):
    """The float32 image with each 2 x 2 pixels made one, their mean."""
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    out = np.empty((rows, columns), np.float32)
    quarter = np.float32(0.25)
    for y in range(rows):
        upper, lower, target = image[2 * y], image[2 * y + 1], out[y]
        for x in range(columns):
            target[x] = quarter * (upper[2 * x] + lower[2 * x] + upper[2 * x + 1] + lower[2 * x + 1])
    return out


def rough(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """The whole-pixel shift (y, x) at which the phases of two images agree best; at most a third of the image."""
    from numpy.fft import irfft2, rfft2

    taper = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1])).astype(np.float32)
    one, two = (rfft2((image - image.mean()) * taper) for image in (a, b))
    cross = two * np.conj(one)
    size = np.abs(cross)
    # whitened only where there is signal: equal weight to empty frequencies would drown the peak in noise
    cross /= np.maximum(size, 1e-3 * float(size.max()) + 1e-30) ** 0.75
    peak = irfft2(cross, s=a.shape)
    limits = a.shape[0] // 3, a.shape[1] // 3
    peak[limits[0] + 1 : a.shape[0] - limits[0]] = -np.inf
    peak[:, limits[1] + 1 : a.shape[1] - limits[1]] = -np.inf
    y, x = divmod(int(np.argmax(peak)), a.shape[1])
    return y - a.shape[0] if y > limits[0] else y, x - a.shape[1] if x > limits[1] else x


def refine(a: np.ndarray, b: np.ndarray, y: float, x: float, *, compare: bool = False) -> Shift:
    """A better shift of `(y, x)` float32 images from one that is nearly right (about 1 px). `compare`: say what
    changed, too."""
    whole_y, whole_x = round(y), round(x)
    rest_y, rest_x = y - whole_y, x - whole_x
    one, two = _overlap(a, b, whole_y, whole_x)
    if min(one.shape) < 2 * REACH + PARTS + 2:
        raise ValueError("the frames hardly overlap: the content moved by more than can be followed")
    smooth_one, mean_one, spread_one = _smooth(one, _weights(rest_y / 2), _weights(rest_x / 2))
    smooth_two, mean_two, spread_two = _smooth(two, _weights(-rest_y / 2), _weights(-rest_x / 2))
    if not (spread_one > 0 and spread_two > 0):
        raise ValueError("nothing can be seen in the part that the frames share")
    sums = np.zeros((PARTS, PARTS, 6))
    _equations(smooth_one, smooth_two, mean_one, mean_two, 1.0 / spread_one, 1.0 / spread_two, sums)
    parts = sums.reshape(-1, 6)
    total = parts.sum(axis=0)
    matrix = np.array([[total[0], total[1]], [total[1], total[2]]])
    if not np.linalg.det(matrix) > 1e-9 * (total[0] + total[2]) ** 2:
        raise ValueError("the frames show no structure along one direction: the movement along it cannot be seen")
    inverse = np.linalg.inv(matrix)
    step = -inverse @ total[3:5]
    step = np.clip(step, -1.5, 1.5)
    left = parts[:, 3:5] + np.column_stack(
        [parts[:, 0] * step[0] + parts[:, 1] * step[1], parts[:, 1] * step[0] + parts[:, 2] * step[1]]
    )
    covariance = inverse @ (left.T @ left) @ inverse * (len(parts) / (len(parts) - 2.0))
    correlation = total[5] / ((smooth_one.shape[0] - 2) * (smooth_one.shape[1] - 2))
    sigma_y, sigma_x = (math.sqrt(max(0.0, float(covariance[i, i]))) for i in (0, 1))
    changed = 0.0
    if compare:
        changed = _changed(smooth_one, smooth_two, mean_one, mean_two, 1.0 / spread_one, 1.0 / spread_two)
    y, x = float(y + step[0]), float(x + step[1])
    return Shift(y, x, sigma_y, sigma_x, float(min(1.0, correlation)), changed)


def _overlap(a: np.ndarray, b: np.ndarray, y: int, x: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both images that show the same after a whole-pixel shift."""
    rows, columns = a.shape
    one = a[max(0, -y) : rows - max(0, y), max(0, -x) : columns - max(0, x)]
    two = b[max(0, y) : rows + min(0, y), max(0, x) : columns + min(0, x)]
    return np.ascontiguousarray(one), np.ascontiguousarray(two)


def _changed(a: np.ndarray, b: np.ndarray, mean_a: float, mean_b: float, scale_a: float, scale_b: float) -> float:
    """The part of the pixels that differ by far more than most; every second row and column is asked."""
    off = _differences(a, b, mean_a, mean_b, scale_a, scale_b)
    some = off.ravel()[::7]
    scatter = 1.4826 * float(np.partition(some, some.size // 2)[some.size // 2])
    return float(np.count_nonzero(off > OUTLYING * max(scatter, 1e-3)) / off.size)


@numba.njit(cache=True, nogil=True)
def _differences(a, b, mean_a, mean_b, scale_a, scale_b):
    """|b - a| in units of their spread, float32, of every second row and column."""
    rows, columns = (a.shape[0] + 1) // 2, (a.shape[1] + 1) // 2
    out = np.empty((rows, columns), np.float32)
    mid_a, mid_b = np.float32(mean_a), np.float32(mean_b)
    unit_a, unit_b = np.float32(scale_a), np.float32(scale_b)
    for y in range(rows):
        one, two, target = a[2 * y], b[2 * y], out[y]
        for x in range(columns):
            target[x] = abs((two[2 * x] - mid_b) * unit_b - (one[2 * x] - mid_a) * unit_a)
    return out


def _weights(offset: float) -> np.ndarray:
    """A Gaussian `(2 REACH + 1,)` whose centre lies `offset` px behind the middle: its mean moves the image ahead."""
    x = np.arange(-REACH, REACH + 1) + offset
    weights = np.exp(-(x**2) / (2.0 * SMOOTHING**2))
    return (weights / weights.sum()).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _smooth(image, along_y, along_x):
    """The image smoothed along both axes, REACH pixels smaller on each side; mean and standard deviation of that.

    Sums are written out and kept column by column: the compiler then works on many columns at once.
    """
    height, width = image.shape[0] - 2 * REACH, image.shape[1] - 2 * REACH
    out, line = np.empty((height, width), np.float32), np.empty(width + 2 * REACH, np.float32)
    sums, squares = np.zeros(width), np.zeros(width)
    first = np.float64(image[0, 0])
    v, h = along_y, along_x
    v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]
    h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10]
    for y in range(height):
        r0, r1, r2, r3, r4, r5 = image[y], image[y + 1], image[y + 2], image[y + 3], image[y + 4], image[y + 5]
        r6, r7, r8, r9, r10 = image[y + 6], image[y + 7], image[y + 8], image[y + 9], image[y + 10]
        for x in range(line.size):
            above = r0[x] * v0 + r1[x] * v1 + r2[x] * v2 + r3[x] * v3 + r4[x] * v4
            line[x] = above + r5[x] * v5 + r6[x] * v6 + r7[x] * v7 + r8[x] * v8 + r9[x] * v9 + r10[x] * v10
        target = out[y]
        for x in range(width):
            left = line[x] * h0 + line[x + 1] * h1 + line[x + 2] * h2 + line[x + 3] * h3 + line[x + 4] * h4
            right = line[x + 6] * h6 + line[x + 7] * h7 + line[x + 8] * h8 + line[x + 9] * h9 + line[x + 10] * h10
            value = left + line[x + 5] * h5 + right
            target[x] = value
            off = np.float64(value) - first
            sums[x] += off
            squares[x] += off * off
    total, square = 0.0, 0.0
    for x in range(width):
        total += sums[x]
        square += squares[x]
    count = height * width
    mean = total / count
    return out, first + mean, math.sqrt(max(0.0, square / count - mean * mean))


@numba.njit(cache=True, nogil=True)
def _equations(a, b, mean_a, mean_b, scale_a, scale_b, sums):
    """For each part of the image: gy gy, gy gx, gx gx, gy d, gx d and a b, with g the gradient of the mean of both
    and d their difference, both in units of their spread. Column by column, as `_smooth`."""
    height, width = a.shape
    parts = sums.shape[0]
    mid_a, mid_b = np.float32(mean_a), np.float32(mean_b)
    unit_a, unit_b = np.float32(scale_a), np.float32(scale_b)
    slope_a, slope_b = np.float32(0.25 * scale_a), np.float32(0.25 * scale_b)
    columns = np.empty((6, width), np.float32)
    yy, yx, xx, yd, xd, ab = columns[0], columns[1], columns[2], columns[3], columns[4], columns[5]
    for part in range(parts):
        columns[:] = 0.0
        first, last = 1 - (-part * (height - 2) // parts), 1 - (-(part + 1) * (height - 2) // parts)
        for y in range(first, last):
            a_up, a_row, a_down = a[y - 1], a[y], a[y + 1]
            b_up, b_row, b_down = b[y - 1], b[y], b[y + 1]
            for x in range(1, width - 1):
                gy = (a_down[x] - a_up[x]) * slope_a + (b_down[x] - b_up[x]) * slope_b
                gx = (a_row[x + 1] - a_row[x - 1]) * slope_a + (b_row[x + 1] - b_row[x - 1]) * slope_b
                one, two = (a_row[x] - mid_a) * unit_a, (b_row[x] - mid_b) * unit_b
                d = two - one
                yy[x] += gy * gy
                yx[x] += gy * gx
                xx[x] += gx * gx
                yd[x] += gy * d
                xd[x] += gx * d
                ab[x] += one * two
        for block in range(parts):
            start, stop = 1 + block * (width - 2) // parts, 1 + (block + 1) * (width - 2) // parts
            for k in range(6):
                total = 0.0
                for x in range(start, stop):
                    total += columns[k, x]
                sums[part, block, k] = total
