"""From the diffraction angle to what does not depend on the wavelength.

    q = 4 pi sin(two_theta / 2) / wavelength        (1/angstrom, increasing with angle)
    d = wavelength / (2 sin(two_theta / 2))         (angstrom, decreasing: the data are reversed)

Points keep their values: an area over q is then in counts/angstrom, over d in counts angstrom. The wavelength is the
keyword's, else that of the frame's context (headers can lie: the keyword wins).
"""

import math
from dataclasses import replace
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.pattern import pattern_axis
from insitu.types import Axis, Frame, References


def q_of(two_theta_deg: np.ndarray, wavelength_angstrom: float) -> np.ndarray:
    """Scattering vector in 1/angstrom, `(n,)`.

    >>> float(np.round(q_of(np.array([60.0]), 2.0 * math.pi)[0], 12))
    1.0
    """
    return 4.0 * math.pi / wavelength_angstrom * np.sin(np.radians(np.asarray(two_theta_deg) / 2.0))


def d_of(two_theta_deg: np.ndarray, wavelength_angstrom: float) -> np.ndarray:
    """Lattice spacing in angstrom, `(n,)`, by Bragg's law in first order; angles above 0.

    >>> float(np.round(d_of(np.array([60.0]), 1.5406)[0], 12))
    1.5406
    """
    return wavelength_angstrom / (2.0 * np.sin(np.radians(np.asarray(two_theta_deg) / 2.0)))


class ToQ:
    """Prepare: two_theta in deg becomes q in 1/angstrom."""

    def __init__(self, *, wavelength: Annotated[float, "angstrom"] | None = None) -> None:
        self.wavelength = _checked(wavelength)

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The same points over `q`; ValueError with a sentence for people where axis or wavelength is missing."""
        two_theta = pattern_axis(frame, "two_theta", "deg")
        _below_180(two_theta)
        q = q_of(two_theta, _wavelength(frame, self.wavelength))
        return replace(frame, dims=("q",), axes={"q": Axis(q, "1/angstrom")})


class ToD:
    """Prepare: two_theta in deg becomes d in angstrom; data, sigma and mask are reversed, so that d increases."""

    def __init__(self, *, wavelength: Annotated[float, "angstrom"] | None = None) -> None:
        self.wavelength = _checked(wavelength)

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The same points over `d`; ValueError with a sentence for people where axis or wavelength is missing."""
        two_theta = pattern_axis(frame, "two_theta", "deg")
        _below_180(two_theta)
        if not two_theta[0] > 0.0:
            raise ValueError(f"the pattern starts at {two_theta[0]:g} deg: an angle of 0 or below has no d-spacing")
        d = d_of(two_theta, _wavelength(frame, self.wavelength))
        return replace(
            frame,
            dims=("d",),
            axes={"d": Axis(d[::-1].copy(), "angstrom")},
            data=frame.data[::-1].copy(),
            sigma=None if frame.sigma is None else frame.sigma[::-1].copy(),
            mask=None if frame.mask is None else frame.mask[::-1].copy(),
        )


def _checked(wavelength: float | None) -> float | None:
    """The keyword, if it can be one."""
    if wavelength is not None and not (math.isfinite(wavelength) and wavelength > 0.0):
        raise ConfigError(
            f"{wavelength:g} angstrom is no wavelength", where="wavelength", expected="a length above 0, or none"
        )
    return wavelength


def _below_180(two_theta: np.ndarray) -> None:
    """Past 180 deg the sine falls again and the axis would fold back on itself."""
    if not (two_theta[0] >= -180.0 and two_theta[-1] <= 180.0):
        raise ValueError(f"two_theta runs from {two_theta[0]:g} to {two_theta[-1]:g} deg, expected -180 to 180 deg")


def _wavelength(frame: Frame, given: float | None) -> float:
    """Wavelength in angstrom: the keyword, else the frame's."""
    if given is not None:
        return given
    found = frame.context.get("wavelength")
    if found is None or found.value is None:
        raise ValueError("no wavelength in context: give one in the detector's calibration or to this step")
    if found.unit != "angstrom" or not found.value > 0:
        raise ValueError(f"the wavelength in context is {found.value:g} {found.unit!r}, expected angstrom above 0")
    return float(found.value)
