"""Particles in a frame: how many, how bright, how large, and where each of them is, to a fraction of a pixel.

    count      particles found
    mass       median of their masses (brightness above the surroundings, summed)
    size       median of their radii of gyration, px
    positions  array `(most, 6)` float32: x, y, mass, size, ecc, sigma of each, brightest first; NaN fills the rest

`positions` has the same shape in every frame, so that it can be stored and sent; of more than `most` particles the
brightest are kept, and `count` still counts all. Method, units and sources: `insitu.maths.video.locate`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.video.grey import grey
from insitu.maths.video.locate import COLUMNS, locate, looks_dark
from insitu.types import KEY, ArrayFeature, Detector, Feature, Frame, Output, References

KEPT = ("x", "y", "mass", "size", "ecc", "sigma")
"""Columns of `positions`."""
COMMON = ("uint8", "uint16")
"""Types of pictures that have kernels of their own; what else comes is made uint16."""
_TAKEN = [COLUMNS.index(name) for name in KEPT]


class Particles:
    """Extractor: particles by band pass, local maxima and centres of brightness.

    `diameter`: odd number of pixels, somewhat larger than a particle looks. `polarity`: `dark` or `bright` against the
    surroundings; `auto` decides frame by frame which of the two stands out. `min_mass`: fainter ones do not count.
    `separation`: nearest neighbours (default: diameter + 1). `noise_size`: smoothing in px. `max_ecc`, `max_size`:
    what is less round or larger is no particle (default: no limit). `most`: rows of `positions`.
    """

    def __init__(
        self,
        *,
        diameter: int,
        polarity: Literal["dark", "bright", "auto"] = "auto",
        min_mass: float = 0.0,
        separation: float | None = None,
        noise_size: float = 1.0,
        max_ecc: float | None = None,
        max_size: float | None = None,
        most: int = 2000,
        detector: Detector | None = None,
        name: str = "particle",
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        if diameter < 3 or diameter % 2 == 0 or diameter > 501:
            raise ConfigError(f"a diameter of {diameter} px", where="diameter", expected="an odd number, 3 to 501")
        if separation is not None and not 1.0 <= separation <= 1000.0:
            raise ConfigError(f"a separation of {separation:g} px", where="separation", expected="1 to 1000 px")
        if not 0.1 <= noise_size <= diameter / 2:
            raise ConfigError(
                f"a noise size of {noise_size:g} px", where="noise_size", expected=f"0.1 to {diameter / 2:g} px"
            )
        if not 1 <= most <= 100_000:
            raise ConfigError(f"{most} rows", where="most", expected="1 to 100000")
        self.name, self.diameter, self.polarity, self.min_mass = name, diameter, polarity, min_mass
        self.separation, self.noise_size, self.most = separation, noise_size, most
        self.max_ecc, self.max_size = max_ecc, max_size
        self._mass_unit = detector.unit if detector else "counts"
        self.outputs = {
            f"{name}_count": Output(unit=""),
            f"{name}_mass": Output(unit=self._mass_unit, rtol=1e-6),
            f"{name}_size": Output(unit="px", rtol=1e-6),
            f"{name}_positions": Output(unit="", rtol=1e-5, array=True),
        }
        for kind in (detector.dtype,) if detector and detector.dtype else COMMON:
            self(_trial(kind), {}, ())  # compile before a frame waits

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """The particles of one frame."""
        try:
            image = grey(frame)
            dark = looks_dark(image, self.diameter) if self.polarity == "auto" else self.polarity == "dark"
            found = locate(
                image,
                self.diameter,
                min_mass=self.min_mass,
                dark=dark,
                separation=self.separation,
                noise_size=self.noise_size,
            )
        except ValueError as why:
            return self._without(str(why))
        if frame.mask is not None and len(found):
            places = np.rint(found[:, :2]).astype(int)
            found = found[~np.asarray(frame.mask, bool).reshape(*image.shape, -1)[places[:, 0], places[:, 1], 0]]
        if self.max_ecc is not None:
            found = found[found[:, COLUMNS.index("ecc")] <= self.max_ecc]
        if self.max_size is not None:
            found = found[found[:, COLUMNS.index("size")] <= self.max_size]
        return self._features(found)

    def _features(self, found: np.ndarray) -> dict[str, Feature | ArrayFeature]:
        order = np.lexsort((found[:, 1], found[:, 0], -found[:, 2]))[: self.most]
        table = np.full((self.most, len(KEPT)), np.nan, np.float32)
        table[: len(order)] = found[order][:, _TAKEN]
        none = "no particle was found"
        mass, size = (float(np.median(found[:, i])) if len(found) else None for i in (2, 3))
        return {
            f"{self.name}_count": Feature(len(found), ""),
            f"{self.name}_mass": Feature(mass, self._mass_unit, why=None if mass is not None else none),
            f"{self.name}_size": Feature(size, "px", why=None if size is not None else none),
            f"{self.name}_positions": ArrayFeature(values=table, dims=("particle", "column"), unit=""),
        }

    def _without(self, why: str) -> dict[str, Feature | ArrayFeature]:
        return {key: Feature(None, output.unit, why=why) for key, output in self.outputs.items()}


def _trial(kind: str) -> Frame:
    """A frame with one particle, read-only as frames are."""
    y, x = np.mgrid[:64, :64]
    data = (100.0 + 100.0 * np.exp(-((y - 32.0) ** 2 + (x - 32.0) ** 2) / 8.0)).astype(kind)
    data.flags.writeable = False
    return Frame(source="trial", data=data, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)
