"""Pixels of a raw image that cannot be trusted: saturated, missing, dead and hot ones.

    saturated   at or above the detector's saturation, or marked so (the largest numbers of an integer type)
    missing     below the lowest value that counts (gaps), or no number (NaN); pixels of the mask are not counted again
    dead        0 where at least 25 counts are expected from the other pixels about this angle and azimuth
    hot         above 8 times the expected count and 10 sigma more, with no neighbour of a quarter of that: a single
                pixel, where a spot of the sample covers several (cosmic rays and zingers are counted here too)

All are numbers of pixels. What is expected comes from the geometry of the detector; without one, dead and hot pixels
have no value.
"""

from collections.abc import Sequence

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.diffraction.azimuthal import Cut, Pattern, counting_range
from insitu.maths.diffraction.geometry import read_setting
from insitu.maths.diffraction.odd_pixels import BELOW, DEAD, HOT, MISSING, SATURATED, count_odd
from insitu.maths.diffraction.raw_image import RawImage
from insitu.types import KEY, Detector, Feature, Frame, Geometry, Output, References

KEYS = ("saturated", "missing", "dead", "hot")
CUT = Cut(bins=500, split="no", sectors=36)


class Pixels:
    """Extractor of raw images: saturated, missing, dead and hot pixels, with `name_` before the keys."""

    raw = True

    def __init__(self, *, name: str = "pixels", detector: Detector | None = None) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self.name = name
        self._geometry = Geometry() if detector is None or detector.geometry is None else detector.geometry
        self._saturation = None if detector is None else detector.saturation
        self._image = None
        if self._geometry.poni is not None:
            self._image = RawImage(read_setting(detector, "image.pixels"), CUT, detector)
        self.outputs = {f"{name}_{key}": Output(unit="") for key in KEYS}
        for frame in () if self._image is None else self._image.trials():
            self(frame, {}, ())  # compile before a frame waits

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """The four numbers of one image."""
        try:
            found = self._plain(frame) if self._image is None else self._expected(self._image, frame, refs)
        except ValueError as why:
            found = {key: Feature(None, "", why=str(why)) for key in KEYS}
        return {f"{self.name}_{key}": found[key] for key in KEYS}

    def _plain(self, frame: Frame) -> dict[str, Feature]:
        """What can be said without geometry."""
        low, high = counting_range(frame.data.dtype, self._geometry.low, self._saturation)
        data = frame.data if frame.mask is None else frame.data[~np.asarray(frame.mask, dtype=bool)]
        counts = np.zeros(5, dtype=np.int64)
        counts[SATURATED] = np.count_nonzero(data >= high)
        counts[BELOW] = np.count_nonzero(~(data >= low))
        found = _features(counts)
        why = "what a pixel should count is not known: give the detector a geometry (poni)"
        return found | {key: Feature(None, "", why=why) for key in ("dead", "hot")}

    def _expected(self, image: RawImage, frame: Frame, refs: References) -> dict[str, Feature]:
        """All four, from the mean of each cell of angle and azimuth."""
        integrator, pattern, range_ = image.integrator(frame, refs), image.pattern(frame, refs), image.counts(frame)
        counts = np.zeros(5, dtype=np.int64)
        cells, weight = integrator.cells
        if frame.mask is not None:
            cells = np.where(np.asarray(frame.mask, dtype=bool).reshape(-1), pattern.intensity.size, cells)
        limits = float(range_.low), float(range_.high)
        mean = _typical(pattern)
        count_odd(np.ascontiguousarray(frame.data), cells, weight, mean, _least(mean, pattern), *limits, counts)
        return _features(counts)


def _typical(pattern: Pattern) -> np.ndarray:
    """Mean of each cell, the middle one of three neighbours in azimuth: one hot pixel must not hide the next."""
    shape = (CUT.sectors, CUT.bins)
    mean, empty = pattern.intensity.reshape(shape), pattern.empty.reshape(shape)
    beside = [np.where(np.roll(empty, k, axis=0), mean, np.roll(mean, k, axis=0)) for k in (-1, 1)]
    low, high = np.minimum(*beside), np.maximum(*beside)
    return np.clip(mean, low, high).reshape(-1)


def _least(mean: np.ndarray, pattern: Pattern) -> np.ndarray:
    """The least of each cell and its two neighbours in angle: in a cell that holds the edge of a ring, the mean is no
    measure of every pixel."""
    shape = (CUT.sectors, CUT.bins)
    least = np.where(pattern.empty, np.inf, mean).reshape(shape)
    beside = np.pad(least, ((0, 0), (1, 1)), constant_values=np.inf)
    least = np.minimum(np.minimum(beside[:, :-2], beside[:, 2:]), least)
    return np.where(np.isfinite(least), least, 0.0).reshape(-1)


def _features(counts: np.ndarray) -> dict[str, Feature]:
    """The numbers by key."""
    missing = int(counts[MISSING] + counts[BELOW])
    numbers = (int(counts[SATURATED]), missing, int(counts[DEAD]), int(counts[HOT]))
    return {key: Feature(number, "") for key, number in zip(KEYS, numbers, strict=True)}
