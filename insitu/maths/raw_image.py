"""A raw image of an area detector, summed over its pixels: what prepare steps and extractors of images share."""

import numpy as np

from insitu.maths.aligned import aligned
from insitu.maths.azimuthal import Cut, Integrator, Pattern, Range, counting_range, integrator_of
from insitu.maths.geometry import Setting
from insitu.maths.pixels import NO_FRAMES, frames_of
from insitu.maths.sectors import Cake
from insitu.types import Detector, Frame, References


class RawImage:
    """Integrates the images of one detector. The layout is built at once where the detector says the shape, else at the
    first frame; it is kept in the process by the digest of the geometry."""

    def __init__(self, setting: Setting, cut: Cut, detector: Detector | None) -> None:
        self.setting, self.cut = setting, cut
        self.saturation = None if detector is None else detector.saturation
        if detector is not None and detector.shape is not None and len(detector.shape) == 2:
            integrator = integrator_of(setting, NO_FRAMES, (detector.shape[0], detector.shape[1]), cut)
            if detector.dtype is not None:  # compiled for this type before the first frame waits for it
                image = aligned(np.full(detector.shape, 100, dtype=detector.dtype))
                integrator(image, counting_range(image.dtype, None, None))

    def integrator(self, frame: Frame, refs: References) -> Integrator:
        """What integrates frames of this shape with the dark and flat in force; ValueError where they do not fit."""
        if frame.data.ndim != 2:
            raise ValueError(
                f"{frame.source} gives frames over ({', '.join(frame.dims)}): only images (y, x) can be integrated"
            )
        ny, nx = frame.data.shape
        return integrator_of(self.setting, frames_of(refs), (ny, nx), self.cut)

    def counts(self, frame: Frame) -> Range:
        """Which values of the frame count."""
        return counting_range(frame.data.dtype, self.setting.geometry.low, self.saturation)

    def pattern(self, frame: Frame, refs: References) -> Pattern:
        """The sums of one frame; ValueError with a sentence for people where there are none."""
        integrator = self.integrator(frame, refs)
        skip, variance = frame.mask, None
        if frame.sigma is not None:
            variance = np.square(frame.sigma, dtype=np.float64)
            unknown = ~np.isfinite(variance)
            skip = unknown if skip is None else skip | unknown
        poisson = frame.unit == "counts"
        return integrator(frame.data, self.counts(frame), skip=skip, variance=variance, poisson=poisson)

    def cake(self, frame: Frame, refs: References) -> Cake:
        """One frame in sectors; ValueError where the uncertainty of its pixels is not known."""
        integrator, pattern = self.integrator(frame, refs), self.pattern(frame, refs)
        if pattern.sigma is None:
            raise ValueError(f"the image is in {frame.unit!r} and has no sigma: how far to trust a pixel is not known")
        shape = (self.cut.sectors, self.cut.bins)
        return Cake(
            intensity=pattern.intensity.reshape(shape),
            variance=np.square(pattern.sigma).reshape(shape),
            angle=integrator.angle,
            empty=pattern.empty.reshape(shape),
            signal=pattern.signal.reshape(shape),
            norm=pattern.norm.reshape(shape),
            axis=integrator.axis,
        )
