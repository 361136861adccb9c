"""A pattern as it would have been had the beam monitor counted, or the exposure lasted, a reference amount.

    data * reference / context[by],   sigma * reference / context[by]

The unit stays: counts at the reference. `sigma` is that of the measured points (Poisson where the frame gives none and
the unit is counts), scaled. The monitor's own uncertainty moves all points of a frame together: it is not included.
"""

import math
from dataclasses import replace

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.noise import with_sigma
from insitu.types import Frame, References


class Normalise:
    """Prepare: divide by a context number (`monitor`, `exposure_s`, ...), times `reference` in that number's unit.

    `saturation` is the raw level that marks a point as saturated. ValueError with a sentence for people where a frame
    has no such number, or one that is not above 0.
    """

    def __init__(self, *, by: str = "monitor", reference: float = 1.0, saturation: float | None = None) -> None:
        if not (math.isfinite(reference) and reference > 0.0):
            raise ConfigError(
                f"a reference of {reference:g} cannot be scaled to",
                where="reference",
                expected=f"a number above 0, in the unit of {by}",
            )
        self.by, self.reference, self.saturation = by, float(reference), saturation

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The scaled frame: data float64, same shape and unit."""
        scale = self.reference / self._amount(frame)
        data = np.asarray(frame.data, dtype=np.float64) * scale
        known = with_sigma(frame, self.saturation)
        return replace(known, data=data, sigma=None if known.sigma is None else known.sigma * scale)

    def _amount(self, frame: Frame) -> float:
        """The context number, above 0."""
        found = frame.context.get(self.by)
        if found is None:
            known = ", ".join(sorted(frame.context)) or "nothing"
            raise ValueError(f"cannot be normalised: no {self.by} in context (there is {known})")
        if found.value is None:
            raise ValueError(f"cannot be normalised: {self.by} has no value ({found.why})")
        if not found.value > 0:
            what = f"{found.value:g} {found.unit}".rstrip()
            raise ValueError(f"cannot be normalised: {self.by} is {what}, and only what is above 0 can be divided by")
        return float(found.value)
