"""A powder pattern from a structure: line positions, their areas, and the profile they add up to.

Area of a line for one unit of volume of the phase, on an arbitrary scale common to all phases:

    I = m |F|^2 LP(theta) / V^2,    LP = (1 + K cos^2(2 theta)) / ((1 + K) sin^2(theta) cos(theta))

K = 1 without a monochromator, cos^2 of its angle with a crystal one, 0 for a horizontal synchrotron beam diffracted
vertically. Angles in deg two theta, wavelength and d in angstrom. Sources: V. K. Pecharsky, P. Y. Zavalij, Fundamentals
of Powder Diffraction (2009), chapter 8; displacement: A. J. C. Wilson, Mathematical Theory of X-ray Powder
Diffractometry (1963).
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.crystal import Structure, bragg_angle, reflections
from insitu.maths.peaks.profiles import GAUSS_HEIGHT, LORENTZ_HEIGHT, caglioti

GAUSS_REACH = 3.0
"""Half-width in FWHM within which a Gaussian is added: at its end it is 1.5e-11 of its height."""


class Width(NamedTuple):
    """Instrument: Caglioti U, V, W in deg^2 and the Lorentzian fraction eta of the pseudo-Voigt."""

    u: float = 0.004
    v: float = -0.002
    w: float = 0.006
    eta: float = 0.5


class Lines(NamedTuple):
    """Powder lines in order of angle: indices `(n, 3)`, two theta in deg, area, multiplicity; the rest `(n,)`."""

    hkl: np.ndarray
    two_theta: np.ndarray
    area: np.ndarray
    multiplicity: np.ndarray


def lorentz_polarisation(two_theta: np.ndarray, monochromator: float = 1.0) -> np.ndarray:
    """LP factor at `two_theta` in deg; `monochromator` is K of the formula above, 0 to 1.

    >>> float(lorentz_polarisation(np.array([90.0]))[0].round(6))
    1.414214
    """
    angle = np.radians(np.asarray(two_theta, dtype=np.float64))
    polarisation = (1.0 + monochromator * np.cos(angle) ** 2) / (1.0 + monochromator)
    return polarisation / (np.sin(angle / 2.0) ** 2 * np.cos(angle / 2.0))


def powder_lines(structure: Structure, wavelength: float, top: float, monochromator: float = 1.0) -> Lines:
    """All lines of a structure up to `top` deg two theta."""
    d_min = wavelength / (2.0 * math.sin(math.radians(top) / 2.0))
    found = reflections(structure, d_min, wavelength)
    two_theta = bragg_angle(found.d, wavelength)
    area = found.square * lorentz_polarisation(two_theta, monochromator) / structure.cell.volume() ** 2
    return Lines(found.hkl, two_theta, area, found.multiplicity)


def displacement_shift(two_theta: np.ndarray, height_mm: float, radius_mm: float) -> np.ndarray:
    """How far lines move, in deg, when a flat sample lies `height_mm` above the axis: `2 s cos(theta)/R` in radians.

    >>> float(displacement_shift(np.array([0.0]), 0.1, 200.0)[0].round(4))
    0.0573
    """
    theta = np.radians(np.asarray(two_theta, dtype=np.float64)) / 2.0
    return np.degrees(2.0 * height_mm * np.cos(theta) / radius_mm)


def profile(x: np.ndarray, two_theta: np.ndarray, area: np.ndarray, width: Width) -> np.ndarray:
    """Sum of pseudo-Voigt lines at `x` (deg, increasing, `(n,)`); area per deg.

    The same as adding `pseudo_voigt` for every line, about five times faster: the Gaussian part is added only where it
    is not nothing.
    """
    fwhm = caglioti(two_theta, width.u, width.v, width.w)
    total = np.zeros(len(x))
    step = np.empty(len(x))
    first = np.searchsorted(x, two_theta - GAUSS_REACH * fwhm)
    last = np.searchsorted(x, two_theta + GAUSS_REACH * fwhm)
    for position, w, a, i, j in zip(two_theta, fwhm, area, first, last, strict=True):
        np.subtract(x, position, out=step)
        step *= 2.0 / w
        np.square(step, out=step)
        near = step[i:j].copy()
        step += 1.0
        np.divide(width.eta * a * LORENTZ_HEIGHT / w, step, out=step)
        total += step
        total[i:j] += (1.0 - width.eta) * a * GAUSS_HEIGHT / w * np.exp(-math.log(2.0) * near)
    return total


def background(x: np.ndarray) -> np.ndarray:
    """A smooth laboratory background at `x` deg two theta, 1 at 20 deg: air scatter, falling as 1/angle, on a floor.

    >>> float(background(np.array([20.0]))[0])
    1.0
    """
    return 0.4 + 0.6 * 20.0 / np.maximum(x, 1.0)


def amorphous_hump(x: np.ndarray, wavelength: float, d: float = 3.1) -> np.ndarray:
    """The broad ring of a molten or amorphous oxide, height 1, at the angle of `d` angstrom, 8 deg FWHM."""
    centre = float(bragg_angle(np.array([d]), wavelength)[0])
    return np.exp(-4.0 * math.log(2.0) * ((x - centre) / 8.0) ** 2)
