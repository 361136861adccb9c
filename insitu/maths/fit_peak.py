"""One pseudo-Voigt on a linear background, fitted to the points of one window by Levenberg-Marquardt.

    y(x) = area * pv(x; position, fwhm, eta) + b0 + b1 u,   u = (x - middle) / half width of the window

with pv as in `profiles.pseudo_voigt`. Shapes `(n,)`, all float64. Weights are 1/variance:
- a known standard uncertainty per point is used as it is;
- Poisson counts get the variance of the *model* (re-weighted three times), which is the maximum-likelihood answer and
  has none of the low bias of weights from the counts themselves;
- else the noise is read off the residuals.
The uncertainties are those of the weighted least-squares covariance, times sqrt(reduced chi^2) where that is above 1
(Birge): a profile that does not fit must not look precise.

Sources: K. Levenberg, Q. Appl. Math. 2 (1944) 164; D. W. Marquardt, J. SIAM 11 (1963) 431; R. T. Birge, Phys. Rev. 40
(1932) 207. Agrees with scipy.optimize.curve_fit (tests).
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.fit_kernel import (
    AREA,
    ETA,
    FWHM,
    GAUSS,
    ITERATIONS,
    LORENTZ,
    NO_PEAK,
    NOT_CONVERGED,
    POSITION,
    SINGULAR,
    fit,
    widths,
)
from insitu.maths.noise import noise_level

FEWEST_POINTS = 8
"""Six numbers are fitted; two points more are the least that leaves a residual."""


class PeakEstimate(NamedTuple):
    """What was found in one window. Each of the four is (value, standard uncertainty); `fwhm` in units of x, `area`
    in y times x. `significance` is area over the uncertainty that the noise alone gives it. `why` is empty, or says
    why the numbers must not be used.
    """

    position: tuple[float, float]
    height: tuple[float, float]
    fwhm: tuple[float, float]
    area: tuple[float, float]
    eta: float
    significance: float
    chi2_reduced: float
    why: str


def no_estimate(why: str) -> PeakEstimate:
    """No numbers, and why."""
    nothing = (0.0, 0.0)
    return PeakEstimate(nothing, nothing, nothing, nothing, 0.0, 0.0, 0.0, why)


def fit_peak(
    x: np.ndarray,
    y: np.ndarray,
    sigma: np.ndarray | None = None,
    *,
    poisson: bool = False,
    min_significance: float = 5.0,
) -> PeakEstimate:
    """Fit the one peak in a window: `x` increasing, `y`, and `sigma` where known, all `(n,)`.

    `sigma` wins over `poisson`. Points with `sigma` not above 0 get the smallest sigma that is.
    A peak counts from `min_significance` on: area over the uncertainty that the noise alone gives it.

    >>> from insitu.maths.profiles import pseudo_voigt
    >>> x = np.linspace(28.2, 28.7, 101)
    >>> counts = np.random.default_rng(3).poisson(pseudo_voigt(x, 28.44, 0.08, 0.4, 100.0) + 50.0)
    >>> peak = fit_peak(x, counts, poisson=True)
    >>> round(peak.position[0], 2), round(peak.fwhm[0], 2), peak.position[1] < 0.002
    (28.44, 0.08, True)
    """
    if x.size < FEWEST_POINTS:
        return no_estimate(f"only {x.size} points (a fit needs {FEWEST_POINTS})")
    x, y = np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)  # copies: one layout, one compiled kernel
    known = sigma is not None
    variance = variance_of(y, sigma, poisson)
    if variance is None:
        return no_estimate("no point has a standard uncertainty above 0")
    p, cov, chi2, chi2_line, status = fit(x, y, variance, bool(poisson and not known), float(min_significance))
    if status == NO_PEAK:
        return no_estimate(f"no peak above {min_significance:g} sigma")
    reduced = chi2 / (x.size - 6)
    weighted = known or poisson
    noise = 1.0 if weighted else max(reduced, 1e-300)  # is there a peak? asked of the noise, not of the misfit
    absent = no_estimate(f"no peak above {min_significance:g} sigma")
    if (chi2_line - chi2) / noise < min_significance**2:
        return absent
    why = _complaint(x, p, status)
    if why:
        return no_estimate(why)
    significance = p[AREA] / math.sqrt(max(cov[AREA, AREA] * noise, 1e-300))
    if significance < min_significance:
        return absent
    return _estimate(p, cov * (max(1.0, reduced) if weighted else reduced), float(significance), float(reduced))


def variance_of(y: np.ndarray, sigma: np.ndarray | None, poisson: bool) -> np.ndarray | None:
    """First variance per point, `(n,)`: from sigma, from counts, or one noise level; None where sigma says nothing."""
    if sigma is not None:
        variance = np.array(sigma, dtype=np.float64) ** 2
        good = variance > 1e-200  # less is a zero that lost its way
        if not good.any():
            return None
        variance[~good] = variance[good].min()
        return variance
    if poisson:
        return np.maximum(y, 1.0)
    rounding = 1e-10 * float(np.max(np.abs(y)))
    noise = max(noise_level(y), 1e-6 * float(np.ptp(y)), rounding, 1e-100)
    return np.full(y.size, noise * noise)


def warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    x = np.linspace(0.0, 1.0, 32)
    fit_peak(x, 1e4 * np.exp(-(((x - 0.5) / 0.1) ** 2)) + 10.0, poisson=True)


def _complaint(x: np.ndarray, p: np.ndarray, status: int) -> str:
    """Why the numbers must not be used, or nothing."""
    if status == SINGULAR:
        return "the points do not determine a peak and its background"
    if status == NOT_CONVERGED:
        return f"fit did not converge ({ITERATIONS} steps)"
    narrow, wide = widths(x)
    if p[POSITION] <= x[0] or p[POSITION] >= x[-1]:
        return "the fit ran to the edge of the window"
    if p[FWHM] >= wide:
        return "the fitted peak is wider than the window"
    if p[FWHM] <= narrow:
        return "the fitted peak is narrower than the distance of the points"
    return ""


def _estimate(p: np.ndarray, cov: np.ndarray, significance: float, reduced: float) -> PeakEstimate:
    """Numbers and uncertainties from parameters and covariance, height `area/w (eta L0 + (1 - eta) G0)` included."""
    width, eta, area = p[FWHM], p[ETA], p[AREA]
    shape = eta * LORENTZ + (1.0 - eta) * GAUSS
    gradient = np.zeros(6)
    gradient[FWHM], gradient[ETA], gradient[AREA] = (
        -area * shape / width**2,
        area * (LORENTZ - GAUSS) / width,
        shape / width,
    )
    var_height = float(np.sum(gradient[:, None] * cov * gradient[None, :]))
    errors = np.sqrt(np.maximum(np.diagonal(cov), 0.0))
    if not (np.isfinite(p).all() and np.isfinite(errors).all() and math.isfinite(var_height)):
        return no_estimate("the fit gave no finite numbers")
    return PeakEstimate(
        position=(float(p[POSITION]), float(errors[POSITION])),
        height=(float(area * shape / width), math.sqrt(max(var_height, 0.0))),
        fwhm=(float(width), float(errors[FWHM])),
        area=(float(area), float(errors[AREA])),
        eta=float(eta),
        significance=significance,
        chi2_reduced=reduced,
        why="",
    )
