"""What a powder pattern shows before any phase is known: a coarse background, how wide its lines are, and its peaks.

Angles in deg; arrays `(n,)` over points.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from insitu.maths.noise import search_sigma
from insitu.maths.peaks.find_peaks import FoundPeaks, find_peaks

BLOCK = 25.0
"""Width in FWHM of the blocks in which the background is read."""
LOW = 0.3
"""Quantile of a block that is taken for its background."""


class LineWidth(NamedTuple):
    """FWHM(two theta) = sqrt(w + u tan^2(theta)), w and u in deg^2 and above 0; `eta` is the Lorentzian part."""

    w: float
    u: float
    eta: float

    def fwhm(self, two_theta: np.ndarray) -> np.ndarray:
        """FWHM in deg at angles in deg."""
        return np.sqrt(self.w + self.u * np.tan(np.radians(two_theta) / 2.0) ** 2)


class Observed(NamedTuple):
    """Points `x`, `y`, `sigma` (n,), a coarse `background` (n,), line `width`, the peaks found: position, width and
    area `(k,)`, in order of position, and from which angle on the pattern is looked at."""

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray
    background: np.ndarray
    width: LineWidth
    position: np.ndarray
    fwhm: np.ndarray
    area: np.ndarray


def observe(
    x: np.ndarray, y: np.ndarray, sigma: np.ndarray | None, *, poisson: bool, min_significance: float = 5.0
) -> Observed | str:
    """Read a pattern; a sentence for people where it has no peaks."""
    noise = search_sigma(y, sigma, poisson)
    found = find_peaks(y, noise, min_significance=min_significance)
    points = np.arange(x.size, dtype=np.float64)
    fwhm = np.interp(found.right, points, x) - np.interp(found.left, points, x)
    step = (x[-1] - x[0]) / (x.size - 1)
    narrow = (fwhm > 1.2 * step) & (fwhm < 0.1 * (x[-1] - x[0]))
    found, fwhm = FoundPeaks(*(column[narrow] for column in found)), fwhm[narrow]
    if not fwhm.size:
        return f"no peak above {min_significance:g} sigma"
    position = 0.5 * (np.interp(found.left, points, x) + np.interp(found.right, points, x))
    width = line_width(position, fwhm, found.prominence)
    background = coarse_background(x, y, BLOCK * float(np.median(width.fwhm(position))))
    area = 1.2 * found.prominence * fwhm
    # what is many times wider than the lines is no line: a hump, the edge of the beam stop
    line = fwhm < 5.0 * width.fwhm(position)
    return Observed(x, y, noise, background, width, position[line], fwhm[line], area[line])


def line_width(position: np.ndarray, fwhm: np.ndarray, height: np.ndarray, most: int = 30) -> LineWidth:
    """Width law from the strongest peaks `(k,)`: overlapped ones are too wide, so those above the law count less."""
    strong = np.argsort(-height, kind="stable")[:most]
    square = fwhm[strong] ** 2
    tangent = np.tan(np.radians(position[strong]) / 2.0) ** 2
    w, u = float(np.median(square)), 0.0
    if strong.size >= 6:
        weight = np.ones(strong.size)
        for _ in range(10):
            rows = np.stack([np.ones(strong.size), tangent], axis=1) * weight[:, None] / square[:, None]
            w, u = np.linalg.lstsq(rows, weight, rcond=None)[0]
            if u < 0.0 or w < 0.1 * float(np.min(square)):  # no law of this form: one width for all
                w, u = float(np.quantile(square, 0.4)), 0.0
                break
            off = square / (w + u * tangent) - 1.0
            weight = np.where(off > 0.0, 1.0 / (1.0 + (off / 0.3) ** 2), 1.0 / (1.0 + (off / 0.6) ** 2))
    least = 1e-3 * float(np.median(square))
    return LineWidth(max(float(w), least), max(float(u), 0.0), 0.5)


def coarse_background(x: np.ndarray, y: np.ndarray, block: float) -> np.ndarray:
    """A broken line through a low quantile of blocks `block` deg wide, `(n,)`."""
    count = int(np.clip((x[-1] - x[0]) / block, 4, 200))
    edges = np.searchsorted(x, np.linspace(x[0], x[-1], count + 1))
    edges[-1] = x.size
    knots = [(a, b) for a, b in pairwise(edges) if b - a > 2]
    if not knots:
        return np.full(x.size, float(np.quantile(y, LOW)))
    at = [float(np.mean(x[a:b])) for a, b in knots]
    low = [float(np.quantile(y[a:b], LOW)) for a, b in knots]
    return np.interp(x, at, low)


def hats(x: np.ndarray, count: int) -> np.ndarray:
    """Background functions: `count` triangles that overlap by half, `(count, n)`.

    >>> hats(np.array([0.0, 0.25, 1.0]), 2).tolist()
    [[1.0, 0.75, 0.0], [0.0, 0.25, 1.0]]
    """
    at = (x - x[0]) / (x[-1] - x[0]) * (count - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[None, :] - np.arange(count)[:, None]))


def tangent_squared(two_theta: np.ndarray) -> np.ndarray:
    """tan^2(theta) of angles two theta in deg."""
    return np.tan(np.radians(two_theta) / 2.0) ** 2


def companion(two_theta: np.ndarray, wavelength: float, wavelength2: float) -> np.ndarray:
    """How much further, in deg, the line of a second wavelength lies; 0 where it cannot be reached.

    >>> float(companion(np.array([30.0]), 1.5405, 1.5443)[0].round(4))
    0.0757
    """
    sine = np.sin(np.radians(two_theta) / 2.0) * (wavelength2 / wavelength)
    return np.where(sine < 1.0, np.degrees(2.0 * np.arcsin(np.minimum(sine, 1.0))) - two_theta, 0.0)
