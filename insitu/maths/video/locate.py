"""Particles in an image, to a fraction of a pixel: band pass, local maxima, centres of brightness.

The method of J. C. Crocker and D. G. Grier, J. Colloid Interface Sci. 179 (1996) 298, with the conventions of trackpy
0.7 (D. Allan et al., doi 10.5281/zenodo.16089574), whose `locate` it equals for whole-number images:

    band      gaussian(image, noise_size) - running_mean(image, smoothing), 0 below `least`, scaled to the type's range
    maxima    pixels that none within 1.41 separation / 2 exceeds, above the `percentile` of what is not 0
    refine    centre of brightness of the band in a disc of `diameter`, moved until it sits in the middle
    mass      sum of the band in the disc, in grey levels; size: radius of gyration, px; ecc: 0 round, 1 a line
    crowded   of two nearer than `separation` the one of less mass goes; so do those of less than `min_mass`

`sigma` is the uncertainty of x (and of y) that white noise of the pixels gives: noise sqrt(sum dx^2) / mass over the
pixels of the disc that stand out, a lower bound (T. Savin and P. S. Doyle, Biophys. J. 88 (2005) 623): overlapping
images and motion during the exposure add to it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np

from insitu.maths.video import locate_kernel as kernel

COLUMNS = ("y", "x", "mass", "size", "ecc", "signal", "raw_mass", "sigma")
"""Columns of what `locate` finds: px, px, grey levels, px, -, grey levels, grey levels, px."""
Polarity = Literal["bright", "dark", "auto"]
ITERATIONS = 10
SHIFT = 0.6
TRUNCATE = 4.0


def locate(
    image: np.ndarray,
    diameter: int,
    *,
    min_mass: float = 0.0,
    dark: bool = False,
    separation: float | None = None,
    noise_size: float = 1.0,
    smoothing: int | None = None,
    percentile: float = 64.0,
) -> np.ndarray:
    """Particles of an image `(y, x)`: `(n, 8)` float64, columns `COLUMNS`, from top to bottom.

    `diameter`: odd, px, somewhat larger than a particle looks; `dark`: darker than what is around them. `separation`
    (default: diameter + 1) between particles, `noise_size` of the smoothing, `smoothing` (odd, default: diameter) of
    the background, all px. Images of floats are first brought to 16 bits between their smallest and largest value
    (mass and signal come back in their unit). Raises ValueError for an even diameter or an image that is no 2-D one.

    >>> y, x = np.mgrid[:40, :40]
    >>> found = locate((200 * np.exp(-((y - 18.3) ** 2 + (x - 21.6) ** 2) / 8)).astype(np.uint8), 11)
    >>> [round(float(v), 1) for v in found[0, :2]]
    [18.3, 21.6]
    """
    smoothing = diameter if smoothing is None else smoothing
    if diameter < 3 or diameter % 2 == 0 or smoothing < 3 or smoothing % 2 == 0:
        raise ValueError(f"diameter {diameter} and smoothing {smoothing} must be odd and 3 or more")
    if image.ndim != 2:
        raise ValueError(f"the image has {image.ndim} dimensions, 2 are needed")
    if min(image.shape) <= 2 * smoothing:
        return np.empty((0, len(COLUMNS)))
    raw, unit = whole_numbers(image)
    raw = raw.view()
    raw.flags.writeable = False  # as frames are: kernels are compiled for one kind of array
    top = int(np.iinfo(raw.dtype).max)
    separation = diameter + 1.0 if separation is None else separation
    weights = _half_gaussian(noise_size)
    band, largest, residual = kernel.band_pass(raw, top, dark, weights, smoothing, 1.0)
    if largest == 0.0:
        return np.empty((0, len(COLUMNS)))
    scale = top / largest
    scaled, histogram = np.empty(raw.shape, raw.dtype), np.zeros(top + 1, np.int64)
    kernel.quantise(band, scale, scaled, histogram)
    side = int(2.0 * separation / math.sqrt(2.0))
    radius = diameter // 2
    margin = max(radius, int(separation // 2) - 1, smoothing // 2, 1)
    threshold = kernel.percentile(histogram, percentile)
    places = kernel.peaks(scaled, threshold, (side - 1) // 2, side // 2, margin)
    out = np.empty((len(places), len(COLUMNS)))
    kernel.centroids(scaled, raw, top, dark, places, radius, *_disc(radius), ITERATIONS, SHIFT, out)
    out = out[~kernel.crowded(out, float(separation))]
    out[:, [2, 5]] /= scale
    out = out[out[:, 2] > min_mass / unit]
    out[:, 7] = np.sqrt(residual / _left(weights) * out[:, 7]) / out[:, 2]
    out[:, [2, 5, 6]] *= unit
    return out


def whole_numbers(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The image as uint8 or uint16, and the size of its steps in the image's own unit (1 where nothing was changed).

    NaN counts as the smallest value.
    """
    if image.dtype in (np.uint8, np.uint16):
        return np.ascontiguousarray(image), 1.0
    finite = image if image.dtype.kind != "f" else image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if image.dtype.kind in "iu" and high - low <= 65535.0:
        return (image.astype(np.int64) - int(low)).astype(np.uint16), 1.0
    step = (high - low) / 65535.0 if high > low else 1.0
    with np.errstate(invalid="ignore"):
        scaled = np.clip((image.astype(np.float64) - low) / step, 0.0, 65535.0)
    return np.nan_to_num(scaled, nan=0.0).astype(np.uint16), step


def looks_dark(image: np.ndarray, diameter: int) -> bool:
    """Whether what stands out at the size of a particle is dark: the third moment of the band is negative."""
    from scipy.ndimage import gaussian_filter

    small = np.asarray(image, dtype=np.float32)
    seen = np.isfinite(small)
    if not seen.all():
        small = np.where(seen, small, small[seen].mean() if seen.any() else 0.0)
    band = gaussian_filter(small, diameter / 6.0) - gaussian_filter(small, diameter / 2.0)
    return bool(np.mean(band.astype(np.float64) ** 3) < 0.0)


@cache
def _half_gaussian(sigma: float) -> np.ndarray:
    """The middle and one side of a Gaussian that sums to 1, cut at 4 sigma."""
    reach = int(TRUNCATE * sigma + 0.5)
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-(x**2) / (2.0 * sigma**2))
    return np.ascontiguousarray((weights / weights.sum())[reach:])


@cache
def _disc(radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Offsets `(m,)` of the pixels within `radius`, and cosine and sine of twice their directions (1, 0 in the
    middle)."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = (y / radius) ** 2 + (x / radius) ** 2 <= 1.0
    dy, dx = np.ascontiguousarray(y[inside]), np.ascontiguousarray(x[inside])
    square = np.maximum(dy * dy + dx * dx, 1)
    cosines = np.where((dy == 0) & (dx == 0), 1.0, (dx * dx - dy * dy) / square)
    return dy, dx, cosines, 2.0 * dx * dy / square


def _left(weights: np.ndarray) -> float:
    """Part of white noise's variance that is left when the smoothed image is taken away."""
    full = np.concatenate([weights[:0:-1], weights])
    kernel_2d = np.outer(full, full)
    return float(1.0 - 2.0 * weights[0] ** 2 + np.sum(kernel_2d**2))
