"""How sharp, how bright and how noisy an image is, in one pass over its pixels.

mean, spread   of the pixels
noise          sigma of white noise: sqrt(pi / 2) / 6 times the mean of |N|, N the image filtered by the difference
               of two Laplacians, which leaves out flat and sloping parts (J. Immerkaer, Comput. Vis. Image
               Underst. 64 (1996) 300). Detail as fine as the pixels is taken for noise
focus          sqrt(mean |grad|^2 - 2/4 noise^2) / sqrt(spread^2 - noise^2), 1/px: the reciprocal of the length
               over which the brightness changes. Neither exposure nor contrast changes it, blur lowers it
saturated      part of the pixels at or above a level
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np


class Sharpness(NamedTuple):
    """Of an image: mean, spread and noise in its unit; focus in 1/px, None where only noise is seen; saturated part."""

    mean: float
    spread: float
    noise: float
    focus: float | None
    saturated: float


def sharpness(image: np.ndarray, full: float) -> Sharpness:
    """What there is to say of an image `(y, x)`, 3 x 3 pixels or more; `full`: the level of saturation.

    >>> y, x = np.mgrid[:64, :64]
    >>> round(sharpness(np.sin(x / 5.0), 1.0).focus, 2)
    0.2
    """
    total, squares, filtered, slopes, at_top = _sums(np.ascontiguousarray(image), full)
    inner = (image.shape[0] - 2) * (image.shape[1] - 2)
    mean = total / image.size
    variance = max(0.0, squares / image.size - mean * mean)
    noise = math.sqrt(math.pi / 2.0) / 6.0 * filtered / inner
    signal, slope = variance - noise**2, slopes / inner - 0.5 * 2.0 * noise**2
    seen = signal > 1e-3 * variance and signal > 0 and slope > 0
    focus = math.sqrt(slope / signal) if seen else None
    return Sharpness(mean, math.sqrt(variance), noise, focus, at_top / image.size)


@numba.njit(cache=True)
def _sums(image, full):
    """Sums over pixels: of them, their squares, |difference of Laplacians|, squared gradient, and those at `full`."""
    height, width = image.shape
    total, squares, filtered, slopes = 0.0, 0.0, 0.0, 0.0
    at_top = np.int64(0)
    first = np.float64(image[0, 0])
    for y in range(height):
        row_total, row_squares = 0.0, 0.0
        for x in range(width):
            value = np.float64(image[y, x])
            row_total += value - first
            row_squares += (value - first) ** 2
            at_top += value >= full
        total += row_total
        squares += row_squares
    for y in range(1, height - 1):
        row_filtered, row_slopes = 0.0, 0.0
        for x in range(1, width - 1):
            up, here, down = np.float64(image[y - 1, x]), np.float64(image[y, x]), np.float64(image[y + 1, x])
            left, right = np.float64(image[y, x - 1]), np.float64(image[y, x + 1])
            corners = (
                np.float64(image[y - 1, x - 1])
                + np.float64(image[y - 1, x + 1])
                + np.float64(image[y + 1, x - 1])
                + np.float64(image[y + 1, x + 1])
            )
            row_filtered += abs(corners - 2.0 * (up + down + left + right) + 4.0 * here)
            row_slopes += 0.25 * ((down - up) ** 2 + (right - left) ** 2)
        filtered += row_filtered
        slopes += row_slopes
    count = height * width
    return total + first * count, squares + 2.0 * first * total + count * first**2, filtered, slopes, at_top
