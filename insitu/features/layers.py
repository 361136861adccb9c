"""A layer across a cross-section (an oxide, a coating): how thick it is, and the cracks through it.

    thickness        mean over the columns of the picture; its sigma is that of the mean, with columns that say the same
                     as their neighbours counted once in `CORRELATED` px
    thickness_std    standard deviation over the columns: how even the layer is
    roughness        standard deviation of the upper limit about a straight line
    cracks           how many cracks go through a quarter of the thickness or more
    crack_fraction   pixels of cracks / pixels of the layer
    crack_length     length of all cracks together
    map              array uint8 `(y, x)`: 1 layer, 2 crack

The layer lies below the strongest step in brightness (turn the picture otherwise). Lengths are in um where the pixel
size is known, else in px. Methods: `insitu.maths.video.layers`, `insitu.maths.video.cracks`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.pixel_size import pixel_size_um
from insitu.maths.video.cracks import crack_length, find_cracks
from insitu.maths.video.grey import grey
from insitu.maths.video.layers import Layer, find_layer, shortest_path
from insitu.maths.video.segment import opencv
from insitu.types import KEY, ArrayFeature, Detector, Feature, Frame, Output, References

CORRELATED = 32


class Layers:
    """Extractor: see the head of this file.

    `thinnest`: px that the layer has at least. `tolerance`: how much its brightness may differ from place to place, as
    a part of it. `widest`: cracks and pores at its upper limit of up to this part of the thickness belong to it.
    `margin`: part of the height, at both ends, where no limit is looked for. `crack_width`, `crack_strength`: sigma of
    the filter for cracks, px, and how clear a crack must be. `crack_rise`: part of the thickness that it must cross.
    """

    def __init__(
        self,
        *,
        thinnest: int = 48,
        tolerance: float = 0.08,
        widest: float = 0.08,
        margin: float = 0.05,
        crack_width: float = 4.0,
        crack_strength: float = 4.0,
        crack_rise: float = 0.25,
        pixel_size: Annotated[float, "um"] | None = None,
        detector: Detector | None = None,
        name: str = "layer",
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        for key, value, low, high in (
            ("thinnest", thinnest, 4, 10_000),
            ("tolerance", tolerance, 0.001, 10),
            ("widest", widest, 0, 1),
            ("margin", margin, 0, 0.4),
            ("crack_width", crack_width, 0.5, 50),
            ("crack_strength", crack_strength, 0.1, 100),
            ("crack_rise", crack_rise, 0.01, 1),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{key} = {value} cannot be used", where=key, expected=f"{low} to {high}")
        opencv("layers")
        self.name, self._um = name, pixel_size_um(pixel_size, detector)
        self._layer = {"thinnest": thinnest, "tolerance": tolerance, "widest": widest, "margin": margin}
        self.crack_width, self.crack_strength, self.crack_rise = crack_width, crack_strength, crack_rise
        unit = "px" if self._um is None else "um"
        self._units = {"thickness": unit, "thickness_std": unit, "roughness": unit, "cracks": "", "crack_fraction": ""}
        self._units |= {"crack_length": unit}
        self.outputs = {f"{name}_{key}": Output(unit=u, rtol=1e-4) for key, u in self._units.items()}
        self.outputs[f"{name}_map"] = Output(unit="", array=True)
        shortest_path(np.ones((4, 4)), 0.1)  # compile before a frame waits
        crack_length(np.eye(4, dtype=bool))

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """The layer of one frame."""
        try:
            image = grey(frame)
            if image.dtype.kind == "f" and not np.isfinite(image).all():
                raise ValueError("some pixels are no numbers")
            layer = find_layer(image, **self._layer)
            if not layer.inside.any():
                raise ValueError("no layer was found below the strongest step in brightness")
        except ValueError as why:
            return {key: Feature(None, output.unit, why=str(why)) for key, output in self.outputs.items()}
        found = self._thickness(layer)
        picture = layer.inside.astype(np.uint8)
        try:
            rise = self.crack_rise * float(layer.thickness.mean())
            cracks, count = find_cracks(
                image, layer.inside, width=self.crack_width, strength=self.crack_strength, rise=rise
            )
            picture[cracks] = 2
            found["cracks"] = Feature(count, "")
            found["crack_fraction"] = Feature(int(cracks.sum()) / int(layer.inside.sum()), "")
            found["crack_length"] = Feature(crack_length(cracks) * (self._um or 1.0), self._units["crack_length"])
        except ValueError as why:
            keys = ("cracks", "crack_fraction", "crack_length")
            found |= {key: Feature(None, self._units[key], why=str(why)) for key in keys}
        found["map"] = ArrayFeature(values=picture, dims=("y", "x"))
        return {f"{self.name}_{key}": value for key, value in found.items()}

    def _thickness(self, layer: Layer) -> dict[str, Feature | ArrayFeature]:
        scale, unit = self._um or 1.0, self._units["thickness"]
        columns = layer.thickness * scale
        spread = float(columns.std())
        independent = max(columns.size / CORRELATED, 1.0)
        x = np.arange(columns.size)
        line = np.polyval(np.polyfit(x, layer.upper, 1), x)
        return {
            "thickness": Feature(float(columns.mean()), unit, sigma=spread / independent**0.5),
            "thickness_std": Feature(spread, unit),
            "roughness": Feature(float((layer.upper - line).std()) * scale, unit),
        }
