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
PARTS = 8
COARSE = 128
"""Side in px to which images are reduced for the rough shift."""
SMALLEST = 32


class Shift(NamedTuple):
    """Movement from the first image to the second along y and x, its standard uncertainties, px; `correlation` of the
    images after it was taken out (1: the same)."""

    y: float
    x: float
    sigma_y: float
    sigma_x: float
    correlation: float


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
    found = Shift(y, x, 0.0, 0.0, 0.0)
    for level in range(len(pyramid) - 1, -1, -1):
        if level < len(pyramid) - 1:
            found = found._replace(y=2.0 * found.y, x=2.0 * found.x)
        for _ in range(3 if level == len(pyramid) - 1 else 2 if level else 1):
            found = refine(*pyramid[level], found.y, found.x)
    return found


def _numbers(image: np.ndarray) -> np.ndarray:
    """The image as float32; what is no number counts as the mean of the others."""
    if image.min() == image.max():
        raise ValueError("nothing can be seen in a frame: all pixels are alike")
    numbers = np.asarray(image, dtype=np.float32)
    if image.dtype.kind != "f" or np.isfinite(numbers).all():
        return numbers
    some = np.isfinite(numbers)
    return np.where(some, numbers, numbers[some].mean() if some.any() else 0.0).astype(np.float32)


def halved(image: np.ndarray) -> np.ndarray:
    """The image with each 2 x 2 pixels made one, their mean."""
    rows, columns = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    even = image[:rows, :columns]
    return 0.25 * (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])


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


def refine(a: np.ndarray, b: np.ndarray, y: float, x: float) -> Shift:
    """A better shift of `(y, x)` float32 images from one that is nearly right (about 1 px)."""
    whole_y, whole_x = round(y), round(x)
    rest_y, rest_x = y - whole_y, x - whole_x
    one, two = _overlap(a, b, whole_y, whole_x)
    if min(one.shape) < 2 * REACH + PARTS + 2:
        raise ValueError("the frames hardly overlap: the content moved by more than can be followed")
    smooth_one = _smooth(one, _weights(rest_y / 2), _weights(rest_x / 2))
    smooth_two = _smooth(two, _weights(-rest_y / 2), _weights(-rest_x / 2))
    (mean_one, spread_one), (mean_two, spread_two) = _level(smooth_one), _level(smooth_two)
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
    return Shift(float(y + step[0]), float(x + step[1]), sigma_y, sigma_x, float(min(1.0, correlation)))


def _overlap(a: np.ndarray, b: np.ndarray, y: int, x: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both images that show the same after a whole-pixel shift."""
    rows, columns = a.shape
    one = a[max(0, -y) : rows - max(0, y), max(0, -x) : columns - max(0, x)]
    two = b[max(0, y) : rows + min(0, y), max(0, x) : columns + min(0, x)]
    return np.ascontiguousarray(one), np.ascontiguousarray(two)


def _level(image: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the pixels."""
    mean = float(image.mean(dtype=np.float64))
    rest = (image - np.float32(mean)).ravel()
    return mean, math.sqrt(max(0.0, float(np.mean(rest * rest, dtype=np.float64))))


def _weights(offset: float) -> np.ndarray:
    """A Gaussian `(2 REACH + 1,)` whose centre lies `offset` px behind the middle: its mean moves the image ahead."""
    x = np.arange(-REACH, REACH + 1) + offset
    weights = np.exp(-(x**2) / (2.0 * SMOOTHING**2))
    return (weights / weights.sum()).astype(np.float32)


@numba.njit(cache=True)
def _smooth(image, along_y, along_x):
    """The image smoothed along both axes, REACH pixels smaller on each side."""
    height, width = image.shape
    reach = along_y.size // 2
    out = np.empty((height - 2 * reach, width - 2 * reach), np.float32)
    line = np.empty(width, np.float32)
    for y in range(out.shape[0]):
        first = image[y]
        for x in range(width):
            line[x] = first[x] * along_y[0]
        for j in range(1, along_y.size):
            row, weight = image[y + j], along_y[j]
            for x in range(width):
                line[x] += row[x] * weight
        target = out[y]
        for x in range(target.size):
            target[x] = line[x] * along_x[0]
        for j in range(1, along_x.size):
            weight = along_x[j]
            for x in range(target.size):
                target[x] += line[x + j] * weight
    return out


@numba.njit(cache=True)
def _equations(a, b, mean_a, mean_b, scale_a, scale_b, sums):
    """For each part of the image: gy gy, gy gx, gx gx, gy d, gx d and a b, with g the gradient of the mean of both
    and d their difference, both in units of their spread."""
    height, width = a.shape
    parts = sums.shape[0]
    for y in range(1, height - 1):
        part = (y - 1) * parts // (height - 2)
        for block in range(parts):
            yy, yx, xx, yd, xd, ab = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            start, stop = 1 + block * (width - 2) // parts, 1 + (block + 1) * (width - 2) // parts
            for x in range(start, stop):
                gy = 0.25 * ((a[y + 1, x] - a[y - 1, x]) * scale_a + (b[y + 1, x] - b[y - 1, x]) * scale_b)
                gx = 0.25 * ((a[y, x + 1] - a[y, x - 1]) * scale_a + (b[y, x + 1] - b[y, x - 1]) * scale_b)
                one, two = (a[y, x] - mean_a) * scale_a, (b[y, x] - mean_b) * scale_b
                d = two - one
                yy += gy * gy
                yx += gy * gx
                xx += gx * gx
                yd += gy * d
                xd += gx * d
                ab += one * two
            sums[part, block, 0] += yy
            sums[part, block, 1] += yx
            sums[part, block, 2] += xx
            sums[part, block, 3] += yd
            sums[part, block, 4] += xd
            sums[part, block, 5] += ab
