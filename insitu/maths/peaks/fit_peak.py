"""One pseudo-Voigt on a linear background, fitted to the points of one window by Levenberg-Marquardt.

    y(x) = area * pv(x; position, fwhm, eta) + b0 + b1 u,   u = (x - middle) / half width of the window

with pv as in `profiles.pseudo_voigt`, or a K-alpha1/K-alpha2 doublet of them (`fit_batch.Doublet`), whose numbers are
those of K-alpha1. Shapes `(n,)`, all float64. Weights are 1/variance:
- a known standard uncertainty per point is used as it is;
- Poisson counts get the variance of the *model* (re-weighted three times), which is the maximum-likelihood answer and
  has none of the low bias of weights from the counts themselves;
- else the noise is read off the residuals.
The uncertainties are those of the weighted least-squares covariance, times sqrt(reduced chi^2) where that is above 1
(Birge): a profile that does not fit must not look precise.

Sources: K. Levenberg, Q. Appl. Math. 2 (1944) 164; D. W. Marquardt, J. SIAM 11 (1963) 431; R. T. Birge, Phys. Rev. 40
(1932) 207. Agrees with scipy.optimize.curve_fit (tests).
"""

from typing import NamedTuple

import numpy as np

from insitu.maths.peaks import fit_batch as batch
from insitu.maths.peaks.fit_batch import Batch, Doublet, fit_windows
from insitu.maths.peaks.fit_kernel import CONVERGED, ITERATIONS, NOT_CONVERGED, SINGULAR
from insitu.maths.peaks.fit_start import KNOWN, POISSON, RESIDUALS, window_variance

FEWEST_POINTS = 8
"""Six numbers are fitted; two points more are the least that leaves a residual."""

NO_SIGMA = "no point has a standard uncertainty above 0"
WHY = {
    NOT_CONVERGED: f"fit did not converge ({ITERATIONS} steps)",
    SINGULAR: "the points do not determine a peak and its background",
    batch.NO_SIGMA: NO_SIGMA,
    batch.AT_EDGE: "the fit ran to the edge of the window",
    batch.TOO_WIDE: "the fitted peak is wider than the window",
    batch.TOO_NARROW: "the fitted peak is narrower than the distance of the points",
    batch.NOT_FINITE: "the fit gave no finite numbers",
}


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
    eta_sigma: float = 0.0


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
    doublet: Doublet | None = None,
) -> PeakEstimate:
    """Fit the one peak in a window: `x` increasing, `y`, and `sigma` where known, all `(n,)`.

    `sigma` wins over `poisson`. Points with `sigma` not above 0 get the smallest sigma that is.
    A peak counts from `min_significance` on: area over the uncertainty that the noise alone gives it.

    >>> from insitu.maths.peaks.profiles import pseudo_voigt
    >>> x = np.linspace(28.2, 28.7, 101)
    >>> counts = np.random.default_rng(3).poisson(pseudo_voigt(x, 28.44, 0.08, 0.4, 100.0) + 50.0)
    >>> peak = fit_peak(x, counts, poisson=True)
    >>> round(peak.position[0], 2), round(peak.fwhm[0], 2), peak.position[1] < 0.002
    (28.44, 0.08, True)
    """
    if x.size < FEWEST_POINTS:
        return no_estimate(f"only {x.size} points (a fit needs {FEWEST_POINTS})")
    fitted = fit_windows(
        x, y, sigma, [0], [x.size], poisson=poisson, min_significance=min_significance, doublet=doublet,
        fewest=FEWEST_POINTS,
    )  # fmt: skip
    return estimates(fitted, min_significance)[0]


def estimates(fitted: Batch, min_significance: float) -> list[PeakEstimate]:
    """What a batch found, peak by peak, with reasons in words."""
    rows = fitted.values.tolist()
    found = []
    for k, status in enumerate(fitted.status.tolist()):
        if status == CONVERGED:
            v = rows[k]
            found.append(
                PeakEstimate(
                    (v[0], v[1]), (v[2], v[3]), (v[4], v[5]), (v[6], v[7]), v[8], v[10], v[11], "", v[9]
                )
            )  # fmt: skip
        else:
            found.append(no_estimate(_reason(status, int(fitted.points[k]), int(fitted.together[k]), min_significance)))
    return found


def _reason(status: int, points: int, together: int, min_significance: float) -> str:
    """Why the numbers must not be used."""
    if status == batch.NO_PEAK:
        return f"no peak above {min_significance:g} sigma"
    if status == batch.TOO_FEW:
        needed = f"a fit needs {FEWEST_POINTS}" if together == 1 else f"{together} overlapping peaks are fitted"
        return f"only {points} points ({needed})"
    if together > 1 and status in (NOT_CONVERGED, SINGULAR):
        return f"{WHY[status]}, with {together} overlapping peaks"
    return WHY[status]


def variance_of(y: np.ndarray, sigma: np.ndarray | None, poisson: bool) -> np.ndarray | None:
    """First variance per point, `(n,)`: from sigma, from counts, or one noise level; None where sigma says nothing."""
    y, variance = np.ascontiguousarray(y, dtype=np.float64), np.empty(y.size)
    known = y if sigma is None else np.ascontiguousarray(sigma, dtype=np.float64)
    kind = KNOWN if sigma is not None else POISSON if poisson else RESIDUALS
    return variance if window_variance(y, known, kind, variance) else None


def warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    x = np.linspace(0.0, 1.0, 32)
    fit_peak(x, 1e4 * np.exp(-(((x - 0.5) / 0.1) ** 2)) + 10.0, poisson=True)
