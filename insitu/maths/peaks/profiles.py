"""Peak profiles of powder diffraction: pseudo-Voigt with unit area, and how its width grows with angle.

Everything is per peak and vectorised: `x` has shape `(n,)`, the peak's numbers are scalars or broadcast against it.

Source: G. K. Wertheim, M. A. Butler, K. W. West, D. N. E. Buchanan, Rev. Sci. Instrum. 45 (1974) 1369 (pseudo-Voigt);
G. Caglioti, A. Paoletti, F. P. Ricci, Nucl. Instrum. 3 (1958) 223 (width).
"""

import math

import numpy as np

Array = float | np.ndarray

GAUSS_HEIGHT = 2.0 * math.sqrt(math.log(2.0) / math.pi)
"""Height of a Gaussian of unit area times its FWHM."""
LORENTZ_HEIGHT = 2.0 / math.pi
"""Height of a Lorentzian of unit area times its FWHM."""
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""FWHM of a Gaussian over its standard deviation."""


def gaussian(x: Array, position: Array, fwhm: Array, area: Array = 1.0) -> np.ndarray:
    """Gaussian of a given area: `area * (2/w) sqrt(ln 2/pi) exp(-4 ln 2 ((x - x0)/w)^2)`, w the FWHM.

    Units: `x`, `position` and `fwhm` alike; the result is area per unit of `x`.

    >>> x = np.linspace(-5.0, 5.0, 1001)
    >>> float(np.round(gaussian(x, 0.0, 1.0, 3.0).sum() * 0.01, 9))
    3.0
    """
    t = (np.asarray(x, dtype=np.float64) - position) / fwhm
    return area * (GAUSS_HEIGHT / np.asarray(fwhm)) * np.exp(-4.0 * math.log(2.0) * t * t)


def lorentzian(x: Array, position: Array, fwhm: Array, area: Array = 1.0) -> np.ndarray:
    """Lorentzian of a given area: `area * (2/(pi w)) / (1 + 4 ((x - x0)/w)^2)`, w the FWHM.

    Its tails are wide: only 0.94 of the area lies within 5 FWHM of the centre on either side.
    """
    t = (np.asarray(x, dtype=np.float64) - position) / fwhm
    return area * (LORENTZ_HEIGHT / np.asarray(fwhm)) / (1.0 + 4.0 * t * t)


def pseudo_voigt(x: Array, position: Array, fwhm: Array, eta: Array, area: Array) -> np.ndarray:
    """Pseudo-Voigt: `area * (eta L + (1 - eta) G)`, Lorentzian and Gaussian of unit area and the same FWHM.

    `eta` 0 is a Gaussian, 1 a Lorentzian. Units: `x`, `position`, `fwhm` alike (deg); result area per unit of `x`.

    >>> y = pseudo_voigt(np.array([0.0, 0.5]), 0.0, 1.0, 0.4, 2.0)
    >>> float(np.round(y[1] / y[0], 12))
    0.5
    """
    eta = np.asarray(eta, dtype=np.float64)
    return eta * lorentzian(x, position, fwhm, area) + (1.0 - eta) * gaussian(x, position, fwhm, area)


def pseudo_voigt_height(fwhm: Array, eta: Array, area: Array) -> np.ndarray:
    """Value of `pseudo_voigt` at its centre: `(area/w) (eta 2/pi + (1 - eta) 2 sqrt(ln 2/pi))`.

    >>> float(pseudo_voigt_height(1.0, 1.0, 1.0)) == LORENTZ_HEIGHT
    True
    """
    eta = np.asarray(eta, dtype=np.float64)
    return area / np.asarray(fwhm) * (eta * LORENTZ_HEIGHT + (1.0 - eta) * GAUSS_HEIGHT)


def caglioti(two_theta: Array, u: float, v: float, w: float) -> np.ndarray:
    """FWHM in deg at `two_theta` in deg: `sqrt(U tan^2(theta) + V tan(theta) + W)`; U, V, W in deg^2.

    ValueError where U, V, W give no real width there.

    >>> float(np.round(caglioti(90.0, 0.01, -0.01, 0.01), 12))
    0.1
    """
    t = np.tan(np.radians(np.asarray(two_theta, dtype=np.float64)) / 2.0)
    square = u * t * t + v * t + w
    if np.any(square <= 0.0):
        raise ValueError(f"Caglioti U={u}, V={v}, W={w} deg^2 give no real width at all angles asked for")
    return np.sqrt(square)
