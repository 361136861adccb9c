"""Grains of a micrograph, or cells of a foam: how many, how large, how many sides they have.

    count            grains in sight, cut ones counted
    diameter_mean    mean equivalent-circle diameter, sqrt(4 area / pi), of all of them; diameter_median; diameter_std
    area_mean        labelled area / (whole grains + half of those cut by the edge), the planimetric mean of ASTM E112
    intercept        mean distance between walls along rows and columns
    astm_number      ASTM E112 grain size number of that area; only where the pixel size is known
    sides_mean       mean number of neighbours of the whole grains: near 6 in a plane network
    labels           array int32 `(y, x)`: the number of the grain that each pixel belongs to, 0 for none; what
                     `grain_track` follows

Lengths are in um where the pixel size is known, else in px. Methods and sources: `insitu.maths.video.grains`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.features.pixel_size import pixel_size_um
from insitu.maths.video import grains, segment
from insitu.maths.video.grey import grey
from insitu.maths.video.regions import Regions, measure
from insitu.types import KEY, ArrayFeature, Detector, Feature, Frame, Output, References


class Grains:
    """Extractor: see the head of this file.

    `walls`: `lines`, thin lines however faint (band contrast, etched boundaries): everything between them is grain;
    `level`, walls darker than their surroundings, as of a foam: cells are what is brighter than the mean over `block`
    px. `polarity`: of the walls. For lines: `width` and `length` (sigmas of the filter across and along a wall, px),
    `strength` and `share` (how clear a wall must be on the whole, in units of the noise, and of the clearest walls).
    For level: `smoothing` (sigma, px), `offset` (in standard deviations of the image; more makes walls thinner),
    `erode` (px taken off each cell, which parts cells that touch) and `reach` (px by which cells then grow back).
    `min_area`, `max_area`: px. `rows`, `columns`: the part of the image that is looked at (first, last + 1).
    """

    def __init__(
        self,
        *,
        walls: Literal["lines", "level"] = "lines",
        polarity: Literal["dark", "bright"] = "dark",
        width: float = 1.3,
        length: float = 4.0,
        strength: float = 6.5,
        share: float = 0.25,
        smoothing: float = 0.7,
        block: int = 101,
        offset: float = 0.1,
        erode: int = 1,
        reach: float = 6.0,
        min_area: int = 10,
        max_area: int | None = None,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        pixel_size: Annotated[float, "um"] | None = None,
        detector: Detector | None = None,
        name: str = "grain",
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        for key, value, low, high in (
            ("width", width, 0.5, 20),
            ("length", length, 0.5, 40),
            ("strength", strength, 0, 1000),
            ("share", share, 0, 1),
            ("smoothing", smoothing, 0, 100),
            ("block", block, 3, 10_001),
            ("offset", offset, -10, 10),
            ("erode", erode, 0, 100),
            ("reach", reach, 0, 1000),
            ("min_area", min_area, 1, 10**9),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{key} = {value} cannot be used", where=key, expected=f"{low} to {high}")
        if block % 2 == 0:
            raise ConfigError(f"block = {block} has no middle", where="block", expected="an odd number of pixels")
        if max_area is not None and max_area < min_area:
            raise ConfigError(f"max_area = {max_area}", where="max_area", expected=f"min_area ({min_area}) or more")
        for key, part in (("rows", rows), ("columns", columns)):
            if part is not None and not 0 <= part[0] < part[1]:
                raise ConfigError(f"{list(part)} is no range", where=key, expected="first, last + 1")
        segment.opencv("grains")
        self.name, self.walls, self.polarity = name, walls, polarity
        self.width, self.length, self.strength, self.share = width, length, strength, share
        self.smoothing, self.block, self.offset, self.erode, self.reach = smoothing, block, offset, erode, reach
        self.min_area, self.max_area = min_area, max_area
        self._part = slice(*(rows or (None, None))), slice(*(columns or (None, None)))
        self._um = pixel_size_um(pixel_size, detector)
        unit = "px" if self._um is None else "um"
        self._units = {"count": "", "diameter_mean": unit, "diameter_median": unit, "diameter_std": unit}
        self._units |= {"area_mean": f"{unit}**2", "intercept": unit, "astm_number": "", "sides_mean": ""}
        self.outputs = {f"{name}_{key}": Output(unit=u, rtol=1e-4) for key, u in self._units.items()}
        self.outputs[f"{name}_labels"] = Output(unit="", array=True)
        self._compile()

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """The grains of one frame."""
        try:
            labels, count = self.segment(grey(frame)[self._part])
        except ValueError as why:
            return {key: Feature(None, output.unit, why=str(why)) for key, output in self.outputs.items()}
        found: dict[str, Feature | ArrayFeature] = dict(self._numbers(labels, measure(labels, count)))
        found["labels"] = ArrayFeature(values=labels, dims=("y", "x"))
        return {f"{self.name}_{key}": value for key, value in found.items()}

    def segment(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        """Labels int32 of an image `(y, x)`, and how many. ValueError where nothing can be told apart."""
        if min(image.shape) < 8:
            raise ValueError("rows and columns leave nothing of the picture")
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise ValueError("some pixels are no numbers")
        if self.walls == "lines":
            return grains.by_lines(
                image,
                dark=self.polarity == "dark",
                width=self.width,
                length=self.length,
                strength=self.strength,
                share=self.share,
                least=self.min_area,
            )
        sign = 1.0 if self.polarity == "dark" else -1.0
        g = segment.smooth(sign * image.astype(np.float64), self.smoothing)
        spread = float(g.std())
        if image.min() == image.max():
            raise ValueError("the image shows nothing: all pixels are equal")
        mask = g > segment.local_mean(g, self.block) - self.offset * spread
        if self.erode:
            cv2 = segment.opencv("cells")
            cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
            mask = cv2.erode(mask.view(np.uint8), cross, iterations=self.erode).astype(bool)
        return grains.by_level(mask, least=self.min_area, most=self.max_area, reach=self.reach)

    def _numbers(self, labels: np.ndarray, found: Regions) -> dict[str, Feature]:
        n, scale = found.area.size, self._um or 1.0
        values: dict[str, float | None] = dict.fromkeys(self._units)
        whys = dict.fromkeys(self._units, "no grain was found")
        values["count"] = n
        if n:
            whole = ~found.border
            d = found.diameter * scale
            values |= {"diameter_mean": float(d.mean()), "diameter_median": float(np.median(d))}
            values["diameter_std"] = float(d.std())
            area = float(found.area.sum()) / (float(whole.sum()) + 0.5 * float(found.border.sum())) * scale**2
            values["area_mean"] = area
            length = grains.mean_intercept(labels)
            values["intercept"] = None if length is None else length * scale
            whys["intercept"] = "no wall is crossed"
            whys["astm_number"] = "the pixel size is not known: set pixel_size in the detector's calibration"
            if self._um is not None:
                values["astm_number"] = grains.astm_number(area * 1e-6)
            sides = grains.neighbour_counts(labels, n, round(2 * self.reach) if self.walls == "level" else 0)
            values["sides_mean"] = float(sides[whole].mean()) if whole.any() else None
            whys["sides_mean"] = "every grain is cut by the edge of the image"
        return {
            key: Feature(None, unit, why=whys[key]) if values[key] is None else Feature(values[key], unit)
            for key, unit in self._units.items()
        }

    def _compile(self) -> None:
        """Runs the kernels once, so that they are compiled before a frame is waiting."""
        y, x = np.mgrid[:32, :32]
        image = ((np.abs(y - 16) > 1) & (np.abs(x - 16) > 1)).astype(np.uint8) * np.uint8(200)
        frame = Frame(source="trial", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)
        part, self._part = self._part, (slice(None), slice(None))
        self(frame, {}, ())
        self._part = part
