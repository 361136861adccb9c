"""What the diffraction features share: the wavelength of a frame, and the points that may be used.

Sentences of the errors become the reason of every feature that cannot be measured.
"""

from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.diffraction.phase_fit import Beam
from insitu.maths.noise import point_sigma, saturated
from insitu.maths.pattern import pattern_axis, unusable
from insitu.types import Detector, Frame

TUBES = (2.28970, 1.93604, 1.78897, 1.54059, 0.70932, 0.55941)
"""K-alpha1 of Cr, Fe, Co, Cu, Mo, Ag in angstrom: G. Hoelzer et al. 1997; International Tables C (1992), 4.2.2.4."""


class Points(NamedTuple):
    """Points that may be used, `(n,)`; `sigma` None where nothing is known of it; `poisson`: data are counts."""

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None
    poisson: bool


class BeamOf:
    """The wavelengths of frames: the recipe's, else the frame's, else those of the detector file.

    `polarisation` None: 1 (unpolarised, no monochromator) for a doublet or a tube's line, else 0 (synchrotron, or
    patterns integrated with the polarisation taken out).
    """

    def __init__(
        self,
        wavelength: float | None,
        wavelength2: float | None,
        ratio: float,
        polarisation: float | None,
        detector: Detector | None,
    ) -> None:
        for key, value in (("wavelength", wavelength), ("wavelength2", wavelength2)):
            if value is not None and not 0.01 < value < 100.0:
                raise ConfigError(f"{value:g} angstrom is no wavelength", where=key, expected="0.01 to 100 angstrom")
        if not 0.0 <= ratio <= 1.0:
            raise ConfigError(f"a ratio of {ratio:g} is none", where="ratio", expected="0 to 1; K-alpha2 has 0.5")
        if polarisation is not None and not 0.0 <= polarisation <= 1.0:
            raise ConfigError(
                f"a polarisation of {polarisation:g} is none",
                where="polarisation",
                expected="0 (synchrotron) to 1 (unpolarised); cos^2 of its angle for a monochromator",
            )
        self.given = {"wavelength": wavelength, "wavelength2": wavelength2}
        self.ratio, self.polarisation = ratio, polarisation
        self.calibration = {} if detector is None else dict(detector.calibration)

    def __call__(self, frame: Frame) -> Beam:
        """The beam of a frame; ValueError with a sentence where its wavelength is not known."""
        first = self._of(frame, "wavelength")
        if first is None:
            raise ValueError(
                'the wavelength is not known: give it as wavelength = "1.5406 angstrom" in the detector\'s '
                "[calibration], or in this entry of the recipe"
            )
        second = self._of(frame, "wavelength2") or 0.0
        if second and not 0.5 * first < second < 2.0 * first:
            raise ValueError(f"wavelength2 of {second:g} angstrom is no companion of {first:g} angstrom")
        polarisation = self.polarisation
        if polarisation is None:
            tube = bool(second) or any(abs(first / line - 1.0) < 2e-3 for line in TUBES)
            polarisation = 1.0 if tube else 0.0
        return Beam(first, second, self.ratio if second else 0.0, polarisation)

    def _of(self, frame: Frame, key: str) -> float | None:
        if (given := self.given[key]) is not None:
            return given
        for place in (frame.context, self.calibration):
            found = place.get(key)
            if found is None or found.value is None:
                continue
            if found.unit != "angstrom" or not 0.01 < found.value < 100.0:
                raise ValueError(f"{key} is {found.value:g} {found.unit!r}, expected 0.01 to 100 angstrom")
            return float(found.value)
        return None


def usable_points(frame: Frame, saturation: float | None = None) -> Points:
    """Points over two_theta that are neither masked nor saturated; ValueError with a sentence for people."""
    x = pattern_axis(frame, "two_theta", "deg")
    if not (x[-1] <= 180.0 and np.all(np.diff(x) > 0.0)):
        raise ValueError(f"two_theta does not increase to at most 180 deg (it ends at {x[-1]:g} deg)")
    seen = (x > 0.0) if frame.mask is None else (x > 0.0) & ~np.asarray(frame.mask, dtype=bool)
    if (full := saturated(frame, saturation)) is not None:
        seen &= ~full
    sigma = point_sigma(frame) if frame.sigma is not None else None
    if sigma is not None:
        if np.isnan(sigma[seen]).any():
            raise ValueError("a standard uncertainty is not a number")
        seen &= np.isfinite(sigma)
    if np.count_nonzero(seen) < 50:
        raise ValueError(f"only {np.count_nonzero(seen)} points can be used, expected at least 50")
    y = np.array(frame.data[seen], dtype=np.float64)
    if why := unusable(y):
        raise ValueError(why)
    return Points(x[seen], y, None if sigma is None else np.array(sigma[seen]), frame.unit == "counts")
