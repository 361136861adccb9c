"""Moments of what stands above a straight background in one window, with exactly propagated uncertainties.

With net_i = y_i - b_i, b the line through the mean points of the window's two edges, and dx_i trapezoid widths:

    area     M0 = sum dx_i net_i
    position M1 = sum dx_i x_i net_i / M0
    width    M2 = sum dx_i (x_i - M1)^2 net_i / M0,  FWHM = 2.3548 sqrt(M2): that of a Gaussian of the same variance
    height   the largest net_i (of noisy points, so a little high where the peak is weak)

Each is a smooth function of the points, so its variance is sum (d/dy_i)^2 sigma_i^2, the background's share included.
Assumes no shape and cannot fail to converge; but the wide tails of Lorentzian peaks are cut by the window, so position
is the number to trust, area and width are to be compared only within one window.

Source: JCGM 100:2008 (GUM) 5.1.2. Shapes `(n,)`, float64.
"""

import math

import numpy as np

from insitu.maths.peaks.fit_peak import FEWEST_POINTS, PeakEstimate, no_estimate, variance_of
from insitu.maths.peaks.profiles import FWHM_PER_SIGMA


def peak_moments(
    x: np.ndarray,
    y: np.ndarray,
    sigma: np.ndarray | None = None,
    *,
    poisson: bool = False,
    min_significance: float = 5.0,
    edge: float = 0.15,
) -> PeakEstimate:
    """Moments of the peak in a window: `x` increasing, `y`, and `sigma` where known, all `(n,)`.

    `edge`: share of the points at each end that is taken for background (at least 2 points).

    >>> x = np.linspace(-1.0, 1.0, 201)
    >>> y = 10.0 + 2.0 * x + 100.0 * np.exp(-0.5 * ((x - 0.1) / 0.08) ** 2)
    >>> found = peak_moments(x, y, np.full(201, 0.1))
    >>> round(found.position[0], 6), round(found.fwhm[0] / (2.354820 * 0.08), 4)
    (0.1, 1.0)
    """
    if x.size < FEWEST_POINTS:
        return no_estimate(f"only {x.size} points (moments need {FEWEST_POINTS})")
    x, y = np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)
    variance = variance_of(y, sigma, poisson)
    if variance is None:
        return no_estimate("no point has a standard uncertainty above 0")
    background = _Background(x, max(2, round(edge * x.size)))
    net = y - background.of(y)
    dx = np.empty_like(x)
    dx[1:-1] = 0.5 * (x[2:] - x[:-2])
    dx[0], dx[-1] = 0.5 * (x[1] - x[0]), 0.5 * (x[-1] - x[-2])

    def spread(gradient: np.ndarray) -> float:
        """Standard uncertainty of a number with this gradient with respect to the net points."""
        return math.sqrt(float(np.sum(background.back(gradient) ** 2 * variance)))

    area = float(np.sum(dx * net))
    area_sigma = spread(dx)
    significance = area / area_sigma if area_sigma > 0.0 else 0.0
    if not significance >= min_significance:
        return no_estimate(f"no peak above {min_significance:g} sigma")
    position = float(np.sum(dx * x * net)) / area
    second = float(np.sum(dx * (x - position) ** 2 * net)) / area
    if not (x[0] < position < x[-1] and second > 0.0):
        return no_estimate("what stands above the background is not one peak inside the window")
    width = FWHM_PER_SIGMA * math.sqrt(second)
    top = int(np.argmax(net))
    at_top = np.zeros_like(x)
    at_top[top] = 1.0
    return PeakEstimate(
        position=(position, spread(dx * (x - position) / area)),
        height=(float(net[top]), spread(at_top)),
        fwhm=(width, 0.5 * width / second * spread(dx * ((x - position) ** 2 - second) / area)),
        area=(area, area_sigma),
        eta=0.0,
        significance=significance,
        chi2_reduced=0.0,
        why="",
    )


class _Background:
    """The straight line through the mean points of the two edges, as a linear map of y and its transpose."""

    def __init__(self, x: np.ndarray, edge: int) -> None:
        self.edge = edge
        left, right = float(np.mean(x[:edge])), float(np.mean(x[-edge:]))
        self.to_right = (x - left) / (right - left)

    def of(self, y: np.ndarray) -> np.ndarray:
        """Background at every point, `(n,)`."""
        left, right = float(np.mean(y[: self.edge])), float(np.mean(y[-self.edge :]))
        return left + (right - left) * self.to_right

    def back(self, gradient: np.ndarray) -> np.ndarray:
        """A gradient with respect to net turned into one with respect to y."""
        total = gradient.copy()
        total[: self.edge] -= float(np.sum(gradient * (1.0 - self.to_right))) / self.edge
        total[-self.edge :] -= float(np.sum(gradient * self.to_right)) / self.edge
        return total
