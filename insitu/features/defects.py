"""Defects, pores or precipitates of a micrograph: how much of the area, how many, how large, how far apart, and where.

    area_fraction            pixels in defects / pixels looked at
    count                    defects (pixels that touch at a corner belong together)
    diameter_mean, _median   equivalent-circle diameters, sqrt(4 area / pi); those cut by the edge of the image count as
    diameter_p10, _p90       they are seen
    nearest                  mean distance from a defect's centre to the nearest other centre
    contrast                 mean brightness outside minus inside, positive for dark ones, after smoothing
    map                      array uint8 `(y, x)`: 1 in a defect
    preview                  array uint8, one pixel for each `preview` x `preview`: 255 where all of them are defect

Lengths are in um where the pixel size is known, else in px. Filters and their agreement with scikit-image:
`insitu.maths.video.segment`, `insitu.maths.video.regions`. One set of parameters is meant for a whole run.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.features.pixel_size import pixel_size_um
from insitu.features.video_trial import warm_up
from insitu.maths.video import edges, segment
from insitu.maths.video.grey import grey
from insitu.maths.video.regions import Regions, brightness, nearest_distances, regions_of
from insitu.types import KEY, ArrayFeature, Detector, Feature, Frame, Output, References

LENGTHS = ("diameter_mean", "diameter_median", "diameter_p10", "diameter_p90", "nearest")


class Defects:
    """Extractor: see the head of this file.

    `polarity`: `dark` or `bright` against what is around. `smoothing`: sigma of a Gaussian, px. `background`: a mean
    over so many px is taken off first (uneven light; 0: not). `threshold`: `local`, the mean over `block` px; `edges`,
    the level of the steepest edges within `block` px (for large areas whose inside is as bright as the surroundings
    elsewhere); `otsu`, one level for the image. `offset`: moves the level so that more is taken, in standard deviations
    of the image. Then `opening` removes what an ellipse of so many px does not fit into, regions below `min_area` or
    above `max_area` px go, and holes below `fill` px are filled. `preview`: pixels to one, 0 for no preview.
    """

    def __init__(
        self,
        *,
        polarity: Literal["dark", "bright"] = "dark",
        smoothing: float = 2.0,
        background: int = 0,
        threshold: Literal["local", "edges", "otsu"] = "local",
        block: int = 101,
        offset: float = 0.0,
        opening: int = 0,
        min_area: int = 1,
        max_area: int | None = None,
        fill: int = 0,
        preview: int = 8,
        pixel_size: Annotated[float, "um"] | None = None,
        detector: Detector | None = None,
        name: str = "defect",
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        for key, value, low, high in (
            ("smoothing", smoothing, 0, 100),
            ("background", background, 0, 10_001),
            ("block", block, 3, 10_001),
            ("offset", offset, -10, 10),
            ("opening", opening, 0, 1001),
            ("min_area", min_area, 1, 10**9),
            ("fill", fill, 0, 10**9),
            ("preview", preview, 0, 256),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{key} = {value} cannot be used", where=key, expected=f"{low} to {high}")
        for key, size in (("block", block), ("background", background)):
            if size and size % 2 == 0:
                raise ConfigError(f"{key} = {size} has no middle", where=key, expected="an odd number of pixels")
        if max_area is not None and max_area < min_area:
            raise ConfigError(f"max_area = {max_area}", where="max_area", expected=f"min_area ({min_area}) or more")
        segment.opencv("defects")
        self.name, self.polarity, self.smoothing, self.background = name, polarity, smoothing, background
        self.threshold, self.block, self.offset, self.opening = threshold, block, offset, opening
        self.min_area, self.max_area, self.fill, self.preview = min_area, max_area, fill, preview
        self._um = pixel_size_um(pixel_size, detector)
        self._unit = "px" if self._um is None else "um"
        self._counts = detector.unit if detector else "counts"
        units = {"area_fraction": "", "count": "", **dict.fromkeys(LENGTHS, self._unit), "contrast": self._counts}
        self.outputs = {f"{name}_{key}": Output(unit=unit, rtol=1e-6) for key, unit in units.items()}
        self.outputs[f"{name}_map"] = Output(unit="", array=True)
        if preview:
            self.outputs[f"{name}_preview"] = Output(unit="", array=True)
        warm_up(self)

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """The defects of one frame."""
        try:
            image = grey(frame)
            smoothed, mask, looked_at = self._mask(image, _ignored(frame, image.shape))
        except ValueError as why:
            return {key: Feature(None, output.unit, why=str(why)) for key, output in self.outputs.items()}
        features = self._numbers(smoothed, mask, looked_at, regions_of(mask))
        features["map"] = ArrayFeature(values=mask.view(np.uint8), dims=("y", "x"))
        if self.preview:
            features["preview"] = ArrayFeature(values=shrunk(mask, self.preview), dims=("y", "x"))
        return {f"{self.name}_{key}": value for key, value in features.items()}

    def mask(self, image: np.ndarray) -> np.ndarray:
        """The defects of an image `(y, x)` as bool. ValueError where nothing can be told apart."""
        return self._mask(image, None)[1]

    def _mask(self, image: np.ndarray, ignored: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
        """The smoothed image, the mask, and how many pixels were looked at."""
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise ValueError("some pixels are no numbers")
        g = segment.smooth(image, self.smoothing)
        if self.background:
            g = g - segment.local_mean(g, self.background)
        dark = self.polarity == "dark"
        offset = self.offset * edges.mean_spread(g)[1] * (1.0 if dark else -1.0) if self.offset else 0.0
        if self.threshold == "edges":
            mask = edges.beyond(g, self.block, offset, dark)
        else:
            level = segment.otsu(g) if self.threshold == "otsu" else segment.local_mean(g, self.block)
            if self.offset:
                level = level + offset
            mask = np.less(g, level) if dark else np.greater(g, level)
        if ignored is not None:
            mask &= ~ignored
        mask = segment.opened(mask, self.opening)
        mask = segment.without_small(mask, self.min_area, self.max_area)
        mask = segment.filled(mask, self.fill)
        if ignored is not None:
            mask &= ~ignored
        return g, mask, mask.size if ignored is None else int(np.count_nonzero(~ignored))

    def _numbers(
        self, g: np.ndarray, mask: np.ndarray, looked_at: int, found: Regions
    ) -> dict[str, Feature | ArrayFeature]:
        inside = int(found.area.sum())
        n = found.area.size
        scale = self._um or 1.0
        none = dict.fromkeys(LENGTHS, "no defect was found")
        values: dict[str, float] = {}
        if n:
            d = found.diameter * scale
            quantiles = np.percentile(d, [50, 10, 90])
            values = {"diameter_mean": float(d.mean())}
            values |= {f"diameter_{k}": float(q) for k, q in zip(("median", "p10", "p90"), quantiles, strict=True)}
            none["nearest"] = "there is only one defect"
        if n > 1:
            values["nearest"] = float(nearest_distances(found.y, found.x).mean()) * scale
        out: dict[str, Feature | ArrayFeature] = {"count": Feature(n, "")}
        why = "every pixel is masked"
        out["area_fraction"] = Feature(inside / looked_at, "") if looked_at else Feature(None, "", why=why)
        for key in LENGTHS:
            known = key in values
            out[key] = Feature(values[key], self._unit) if known else Feature(None, self._unit, why=none[key])
        if 0 < inside < mask.size:
            within, without = brightness(g, mask)
            out["contrast"] = Feature(without / (mask.size - inside) - within / inside, self._counts)
        else:
            out["contrast"] = Feature(None, self._counts, why="there is nothing to compare with")
        return {key: out[key] for key in ("area_fraction", "count", *LENGTHS, "contrast")}


def _ignored(frame: Frame, shape: tuple[int, ...]) -> np.ndarray | None:
    """The frame's mask as `(y, x)`, True = not looked at."""
    if frame.mask is None:
        return None
    mask = np.asarray(frame.mask, bool)
    return mask if mask.shape == shape else np.logical_or.reduce(mask.reshape(*shape, -1), axis=2)


def shrunk(mask: np.ndarray, step: int) -> np.ndarray:
    """Share of a bool mask in squares of `step` px, 0 to 255, uint8; what does not fill a square is left out.

    >>> shrunk(np.eye(4, dtype=bool), 2).tolist()
    [[127, 0], [0, 127]]
    """
    height, width = (max(n // step, 1) for n in mask.shape)
    part = mask[: height * step, : width * step]
    step_y, step_x = part.shape[0] // height, part.shape[1] // width
    rows = np.add.reduce(part.view(np.uint8).reshape(height, step_y, -1), axis=1, dtype=np.uint32)
    sums = rows.reshape(height, width, step_x).sum(axis=2, dtype=np.uint32)
    return (255 * sums // (step_y * step_x)).astype(np.uint8)
