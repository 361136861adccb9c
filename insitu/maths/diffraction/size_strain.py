"""Size of crystallites and microstrain from the widths of powder lines.

A line is a Voigt; what the instrument adds is taken off part by part: Lorentzian FWHM subtract, Gaussian ones in
squares. Of what remains, beta is the integral breadth (area over height) in radians two theta:

    Scherrer           L = lambda / (beta cos(theta))                         (volume-weighted mean thickness)
    Williamson-Hall    beta cos(theta) = lambda / L + 4 e sin(theta)          (straight line over 4 sin(theta))

e is the upper limit of the strain, d d/d. Angles in deg, lengths in angstrom; arrays `(n,)` over lines.

Sources: P. Scherrer, Nachr. Ges. Wiss. Goettingen (1918) 98, with K = 1 for the integral breadth (A. R. Stokes,
A. J. C. Wilson, Proc. Camb. Phil. Soc. 38 (1942) 313); G. K. Williamson, W. H. Hall, Acta Metall. 1 (1953) 22; parts of
a pseudo-Voigt: P. Thompson, D. E. Cox, J. B. Hastings, J. Appl. Cryst. 20 (1987) 79.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.peaks.profiles import GAUSS_HEIGHT, LORENTZ_HEIGHT

FEWEST = 4
"""Lines that a straight line of two numbers needs, so that something is left to judge it by."""


class Broadening(NamedTuple):
    """Size and strain, each (value, standard uncertainty); `scherrer` is the size without strain. A `why` that is not
    empty says why there is no such number."""

    size: tuple[float, float]
    strain: tuple[float, float]
    scherrer: tuple[float, float]
    chi2_reduced: float
    size_why: str
    why: str


def parts(fwhm: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian and Lorentzian FWHM of pseudo-Voigts (Thompson, Cox, Hastings, equations 7 and 8 inverted).

    >>> [float(p[0].round(3)) for p in parts(np.array([0.1]), np.array([0.0]))]
    [0.1, 0.0]
    """
    eta = np.clip(eta, 0.0, 1.0)
    lorentz = fwhm * (0.72928 * eta + 0.19289 * eta**2 + 0.07783 * eta**3)
    gauss = fwhm * np.sqrt(np.maximum(0.0, 1.0 - 0.74417 * eta - 0.24781 * eta**2 - 0.00810 * eta**3))
    return gauss, lorentz


def joined(gauss: np.ndarray, lorentz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FWHM and eta of the pseudo-Voigt of two parts (the same, equations 4 and 5).

    >>> [float(p[0].round(3)) for p in joined(np.array([0.0]), np.array([0.1]))]
    [0.1, 1.0]
    """
    powers = (1.0, 2.69269, 2.42843, 4.47163, 0.07842, 1.0)
    total = sum(c * gauss ** (5 - i) * lorentz**i for i, c in enumerate(powers))
    fwhm = np.asarray(total) ** 0.2
    part = np.divide(lorentz, fwhm, out=np.zeros_like(fwhm), where=fwhm > 0.0)
    return fwhm, 1.36603 * part - 0.47719 * part**2 + 0.11116 * part**3


def sample_breadth(fwhm: np.ndarray, eta: np.ndarray, instrument: np.ndarray, instrument_eta: np.ndarray) -> np.ndarray:
    """Integral breadth in deg that the sample adds, 0 where lines are no broader than the instrument's."""
    gauss, lorentz = parts(fwhm, eta)
    gauss_own, lorentz_own = parts(instrument, instrument_eta)
    wide, shape = joined(np.sqrt(np.maximum(gauss**2 - gauss_own**2, 0.0)), np.maximum(lorentz - lorentz_own, 0.0))
    return wide / (shape * LORENTZ_HEIGHT + (1.0 - shape) * GAUSS_HEIGHT)


def broadening(
    two_theta: np.ndarray,
    fwhm: np.ndarray,
    fwhm_sigma: np.ndarray,
    eta: np.ndarray,
    eta_sigma: np.ndarray,
    *,
    wavelength: float,
    instrument: np.ndarray,
    instrument_eta: np.ndarray,
) -> Broadening:
    """Size and strain from lines with their standard uncertainties; sigma grows with the misfit (chi^2 above 1)."""
    theta = np.radians(two_theta) / 2.0
    beta = sample_breadth(fwhm, eta, instrument, instrument_eta)
    # how the breadth moves with width and shape, by small steps, since both were fitted
    step = 1e-3 * fwhm
    by_width = (sample_breadth(fwhm + step, eta, instrument, instrument_eta) - beta) / step
    low, high = np.maximum(eta - 0.01, 0.0), np.minimum(eta + 0.01, 1.0)
    by_shape = (
        sample_breadth(fwhm, high, instrument, instrument_eta) - sample_breadth(fwhm, low, instrument, instrument_eta)
    ) / (high - low)
    sigma = np.hypot(np.hypot(by_width * fwhm_sigma, by_shape * np.minimum(eta_sigma, 0.3)), 1e-3 * fwhm)
    y, error = np.radians(beta) * np.cos(theta), np.radians(sigma) * np.cos(theta)
    broader = beta > 0.02 * fwhm
    if np.count_nonzero(broader) < FEWEST:
        return _nothing(
            f"{np.count_nonzero(broader)} of {beta.size} lines are broader than the instrument's, {FEWEST} are needed"
        )
    y, error, x = y[broader], error[broader], 4.0 * np.sin(theta[broader])
    weight = 1.0 / error**2
    mean = float(np.sum(weight * y) / np.sum(weight))
    spread = float(np.sum(weight * (y - mean) ** 2)) / max(1, y.size - 1)
    scherrer = wavelength / mean
    scherrer_sigma = scherrer / mean * math.sqrt(max(1.0, spread) / float(np.sum(weight)))
    rows = np.stack([np.ones(y.size), x], axis=1)
    cov = np.linalg.inv((rows * weight[:, None]).T @ rows)
    offset, slope = cov @ (rows.T @ (weight * y))
    chi2 = float(np.sum(weight * (y - rows @ np.array([offset, slope])) ** 2)) / (y.size - 2)
    errors = np.sqrt(np.diag(cov) * max(1.0, chi2))
    why = ""
    if not offset > 2.0 * errors[0]:
        limit = wavelength / max(2.0 * float(errors[0]) + max(float(offset), 0.0), 1e-12)
        why = f"no size shows: it is above about {limit:.2g} angstrom, strain explains the widths"
    size = (wavelength / offset, wavelength / offset**2 * float(errors[0])) if not why else (0.0, 0.0)
    return Broadening(size, (float(slope), float(errors[1])), (scherrer, scherrer_sigma), chi2, why, "")


def _nothing(why: str) -> Broadening:
    return Broadening((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.0, why, why)
