"""One and two peaks as models of one window: symmetric, lopsided, a pair of one shape, a pair of two widths.

All stand on a straight background, have the same points and weights, and begin from what the data show. See `fit_pair`.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.peaks.fit_batch import Doublet
from insitu.maths.peaks.fit_kernel import covariance, curve, minimise
from insitu.maths.peaks.fit_start import box, edges, refine

STARTS = ((0.25, 0.5), (0.5, 0.5), (0.5, 0.25), (0.5, 0.75), (0.9, 0.5), (0.9, 0.25), (0.9, 0.75))
"""Where a fit of two begins: distance over the FWHM of the one peak, and the first peak's part of the area."""
WIDTH_RATIO, LEAST_SHARE = 2.0, 0.15
"""Two peaks of different widths are a pair up to this ratio of widths, and from this part of the area on: beyond that
they describe the tails of one line."""
LEANS = (-0.3, 0.0, 0.3)
"""Where a fit of a lopsided peak, or of two different ones, begins: how much wider its left side is than the mean."""

ONE, SIDED = np.array([[0, 1, 1, 2, 3]]), np.array([[0, 1, 2, 3, 4]])
TWO, OWN = np.array([[0, 2, 2, 3, 4], [1, 2, 2, 3, 5]]), np.array([[0, 2, 2, 3, 4], [1, 6, 6, 3, 5]])
"""Places of position, left FWHM, right FWHM, eta and area in the numbers of a model (`fit_kernel`)."""


class Window(NamedTuple):
    """The points of a window and what all models of it have in common."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    doublet: Doublet


class Fitted(NamedTuple):
    """Numbers of one model, its chi^2, how the fit ended, and J^T W J there."""

    p: np.ndarray
    chi2: float
    status: int
    hess: np.ndarray


def begin(window: Window, variance: np.ndarray, least: float) -> np.ndarray | None:
    """First numbers of the one peak, read off the data; None where nothing stands out by `least` sigma."""
    x, doublet = window.x, window.doublet
    level, gain = edges(x, window.y)
    excess = window.y - level - gain * (x - 0.5 * (x[0] + x[-1])) / (0.5 * (x[-1] - x[0]))
    at, width, z = box(x, excess, variance, 0, x.size)
    if not z >= least:
        return None
    found = refine(x, excess, variance, at, width, doublet.ratio, doublet.alpha, doublet.angular)
    return np.array([found[0], found[1], 0.5, found[2], level, gain, *([doublet.ratio] if doublet.ratio > 0.0 else [])])


def bounds(window: Window, layout: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the `count` numbers of a model."""
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    left, right = float(window.x[0]), float(window.x[-1])
    narrow, wide = 0.5 * (right - left) / (window.x.size - 1), right - left
    for places in layout:
        low[places], high[places] = (left, narrow, narrow, 0.0, 0.0), (right, wide, wide, 1.0, np.inf)
    if window.doublet.ratio > 0.0:
        held = not window.doublet.fit_ratio
        low[-1], high[-1] = (window.doublet.ratio, window.doublet.ratio) if held else (0.0, 1.0)
    return low, high


def lines(window: Window, p: np.ndarray) -> tuple[int, float, bool]:
    """Where the ratio of a doublet stands in `p` (-1: single lines), and the doublet's wavelengths."""
    return (p.size - 1 if window.doublet.ratio > 0.0 else -1), float(window.doublet.alpha), window.doublet.angular


def fit_model(window: Window, start: np.ndarray, layout: np.ndarray) -> Fitted:
    """A model fitted from `start`."""
    p = start.copy()
    low, high = bounds(window, layout, p.size)
    chi2, status, hess = minimise(window.x, window.y, window.weight, p, low, high, layout, *lines(window, p))
    return Fitted(p, float(chi2) if math.isfinite(chi2) else math.inf, int(status), hess)


def lopsided(window: Window, one: np.ndarray) -> Fitted:
    """The best fit of a peak with a width of its own on either side, from beginnings around the one peak."""
    found = []
    for lean in LEANS:
        at, width = one[0] + lean * one[1], one[1]
        start = np.array([at, width * (1.0 + lean), width * (1.0 - lean), *one[2:]])
        found.append(fit_model(window, start, SIDED))
    return min(found, key=_chi2)


def pair_of_one_shape(window: Window, one: np.ndarray) -> Fitted:
    """The best fit of two peaks that share width and eta, from several beginnings around the one peak, and from the
    most that it leaves unexplained."""
    at, width, eta, area = one[:4]
    starts = [
        (at - apart * width * (1.0 - share), at + apart * width * share, width / (1.0 + apart), share)
        for apart, share in STARTS
    ]
    left = window.y - curve(window.x, one, ONE, *lines(window, one))
    variance = np.full(left.size, np.inf)
    np.divide(1.0, window.weight, out=variance, where=window.weight > 0.0)
    other, _, _ = box(window.x, left, variance, 0, window.x.size)
    starts.append((at, other, width, 0.8))
    found = []
    for low, high, fwhm, share in starts:
        start = np.array([low, high, fwhm, eta, area * share, area * (1.0 - share), *one[4:]])
        found.append(fit_model(window, start, TWO))
    return min(found, key=_chi2)


def pair_of_two_widths(window: Window, two: np.ndarray) -> Fitted | None:
    """The best fit of two peaks that share eta only, begun at the pair of one shape; None where it is no pair."""
    found = []
    for lean in LEANS:
        for apart in (1.0, 1.5):
            middle, half = 0.5 * (two[0] + two[1]), 0.5 * apart * (two[1] - two[0])
            left, right = two[2] * (1.0 + lean), two[2] * (1.0 - lean)
            start = np.array([middle - half, middle + half, left, two[3], two[4], two[5], right, *two[6:]])
            model = fit_model(window, start, OWN)
            narrow, wide = sorted((model.p[2], model.p[6]))
            areas = model.p[4], model.p[5]
            if wide <= WIDTH_RATIO * narrow and min(areas) >= LEAST_SHARE * sum(areas):
                found.append(model)
    return min(found, key=_chi2) if found else None


def model_covariance(window: Window, model: Fitted, layout: np.ndarray) -> np.ndarray | None:
    """Covariance of a model's numbers, for the weights it was fitted with; None where the points do not say."""
    count = model.p.size
    low, high = bounds(window, layout, count)
    cov = np.zeros((count, count))
    return cov if covariance(model.hess.copy(), low == high, layout, cov) else None


def _chi2(model: Fitted) -> float:
    return model.chi2
