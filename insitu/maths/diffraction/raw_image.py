"""A raw image of an area detector, summed over its pixels: what prepare steps and extractors of images share."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import aligned
from insitu.maths.diffraction.azimuthal import Cut, Integrator, Pattern, Range, counting_range, integrator_of
from insitu.maths.diffraction.geometry import Setting
from insitu.maths.diffraction.pixels import NO_FRAMES, Frames, frames_of
from insitu.maths.diffraction.sectors import Cake
from insitu.types import Detector, Frame, References

COMMON = ("int32", "uint32", "uint16")
"""Types of most images: kernels are made ready for them where the detector file does not say the type."""
SMALL = (64, 64)
"""Images by which kernels are made ready where nobody says the shape."""


class RawImage:
    """Integrates the images of one detector.

    The layout is built at once where the detector file, its mask, dark or flat, or the poni says the shape, else at the
    first frame; kernels are compiled in any case. Layouts are kept in the process by the digest of the geometry, and
    the last one used here as well, however many others there are.
    """

    def __init__(self, setting: Setting, cut: Cut, detector: Detector | None) -> None:
        self.setting, self.cut = setting, cut
        self.saturation = None if detector is None else detector.saturation
        self._last: tuple[tuple[Frames, tuple[int, ...]], Integrator] | None = None
        given = None if detector is None else detector.shape
        shape = setting.shape if given is None or len(given) != 2 else (given[0], given[1])
        self._trials = shape or SMALL, (detector.dtype,) if detector is not None and detector.dtype else COMMON
        if shape is None:  # so small a piece of the detector may see nothing of the range
            cut = replace(cut, radial=None, azimuth=None)
        try:
            integrator = integrator_of(setting, NO_FRAMES, shape or SMALL, cut)
        except ValueError as wrong:
            raise ConfigError(str(wrong), where="geometry") from wrong
        for frame in self.trials():
            counts, nothing = counting_range(frame.data.dtype, None, None), np.zeros(frame.data.shape, dtype=bool)
            for skip in (None, nothing):  # a mask makes other numbers of them
                integrator(frame.data, counts, skip=skip)

    def trials(self) -> Iterator[Frame]:
        """Images on which kernels are compiled, or read from numba's cache, before the first frame waits for them: of
        the shape and type that the detector file says, else small ones of the common types."""
        shape, kinds = self._trials
        for dtype in kinds:
            image = aligned(np.full(shape, 100, dtype=dtype))
            yield Frame(source="trial", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)

    def integrator(self, frame: Frame, refs: References) -> Integrator:
        """What integrates frames of this shape with the dark and flat in force; ValueError where they do not fit."""
        if frame.data.ndim != 2:
            raise ValueError(
                f"{frame.source} gives frames over ({', '.join(frame.dims)}): only images (y, x) can be integrated"
            )
        key, last = (frames_of(refs), frame.data.shape), self._last
        if last is None or last[0] != key:
            ny, nx = frame.data.shape
            last = self._last = key, integrator_of(self.setting, key[0], (ny, nx), self.cut)
        return last[1]

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
