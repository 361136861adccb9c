"""An image of an area detector to a 1-D pattern: mean normalised intensity over 2-theta (or q), with uncertainty.

The geometry is the detector file's (`[geometry]`: poni, flip, mask, dark, flat, polarisation, solid angle); a frame
with the role dark or flat replaces the file's. What does not count in a frame (below `low`, at or above the detector's
saturation, the marks of integer types, NaN, the frame's own mask) is left out of sums and normalisation of that frame.
`insitu.maths.diffraction.azimuthal` has the formulas; results agree with pyFAI's integrate1d.
"""

import math
from dataclasses import replace
from typing import Annotated, Literal

from insitu.errors import ConfigError
from insitu.maths.diffraction.azimuthal import Cut
from insitu.maths.diffraction.geometry import read_setting
from insitu.maths.diffraction.pixels import UNITS
from insitu.maths.diffraction.raw_image import RawImage
from insitu.types import Axis, Detector, Feature, Frame, References


class Azimuthal:
    """Prepare: frame `(y, x)` to frame `(two_theta,)` in deg, or `(q,)` in 1/angstrom.

    `bins`: points of the pattern. `split`: `bbox` shares a pixel out over the bins that it reaches into, `no` gives
    it to the bin of its middle (faster, and sums of counts are exact). `two_theta`, `q`: range of the axis, else all
    that the detector sees; `azimuth`: a sector. Masked points of the pattern are bins without any pixel.
    """

    def __init__(
        self,
        *,
        bins: int = 1000,
        unit: Literal["two_theta", "q"] = "two_theta",
        split: Literal["no", "bbox"] = "bbox",
        two_theta: tuple[Annotated[float, "deg"], Annotated[float, "deg"]] | None = None,
        q: tuple[Annotated[float, "1/angstrom"], Annotated[float, "1/angstrom"]] | None = None,
        azimuth: tuple[Annotated[float, "deg"], Annotated[float, "deg"]] | None = None,
        detector: Detector | None = None,
    ) -> None:
        if not 8 <= bins <= 1_000_000:
            raise ConfigError(f"{bins} bins are no pattern", where="bins", expected="8 to 1000000")
        ranges = {"two_theta": two_theta, "q": q}
        other = "q" if unit == "two_theta" else "two_theta"
        if ranges[other] is not None:
            raise ConfigError(f"the axis is {unit}", where=other, expected=f'a range of {unit}, or unit = "{other}"')
        top = {"two_theta": 180.0, "q": math.inf}[unit]
        cut = Cut(
            unit=unit,
            bins=bins,
            split=split,
            radial=_ordered(ranges[unit], unit, 0.0, top),
            azimuth=_ordered(azimuth, "azimuth", -360.0, 720.0),
        )
        setting = read_setting(detector, "azimuthal integration")
        if unit == "q" and setting.wavelength is None:
            raise ConfigError(
                f"q needs a wavelength, and {setting.poni.name} has none",
                where="unit",
                remedy='Write wavelength = "... angstrom" under [calibration] of the detector',
            )
        self._image = RawImage(setting, cut, detector)

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The pattern of an image; ValueError with a sentence for people where there is none."""
        integrator, pattern = self._image.integrator(frame, refs), self._image.pattern(frame, refs)
        wavelength, name = self._image.setting.wavelength, self._image.cut.unit
        context = dict(frame.context)
        if wavelength is not None:
            context["wavelength"] = Feature(wavelength, "angstrom")
        return replace(
            frame,
            data=pattern.intensity,
            sigma=pattern.sigma,
            mask=pattern.empty if pattern.empty.any() else None,
            dims=(name,),
            axes={name: Axis(integrator.axis, UNITS[name][1])},
            context=context,
        )


def _ordered(window: tuple[float, float] | None, key: str, low: float, high: float) -> tuple[float, float] | None:
    """The range, if it is one."""
    if window is None:
        return None
    if not (low <= window[0] < window[1] <= high and math.isfinite(window[1])):
        raise ConfigError(
            f"{window[0]:g} to {window[1]:g} is no range", where=key, expected="the lower end first, then the higher"
        )
    return float(window[0]), float(window[1])
