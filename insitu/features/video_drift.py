"""How far the picture has moved since the frame before, to a fraction of a pixel, and how much it has changed.

    x, y         movement along x (to the right) and y (down) since the frame before, px, with standard uncertainty
    correlation  of both frames once the movement is taken out: 1 where nothing else changed
    changed      part of the pixels that then differ far more than the others: what came, went or moved on its own

Method and sources: `insitu.maths.video.register`. What counts is the contrast: where particles move over a still
background, the movement is an average of both. Where they diffuse, the mean of their steps is itself uncertain, and
sums over many frames are by the root of the squares of the uncertainties; the drift of `track`, a mean over particles,
is the better one there. Exposure changes do not matter.
"""

from collections.abc import Sequence

import numpy as np

from insitu.errors import ConfigError
from insitu.features.video_trial import warm_up
from insitu.maths.video.grey import grey
from insitu.maths.video.register import halved, register
from insitu.types import KEY, Feature, Frame, Output, References

UNITS = {"x": "px", "y": "px", "correlation": "", "changed": ""}


class Drift:
    """Extractor that needs the frame before; keys `name_x`, `name_y`, `name_correlation`, `name_changed`."""

    before = 1

    def __init__(self, *, name: str = "drift") -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self.name = name
        self.outputs = {f"{name}_{key}": Output(unit=unit, rtol=1e-4, atol=1e-4) for key, unit in UNITS.items()}
        warm_up(self)
        halved(np.zeros((4, 4), np.float32))  # what larger pictures need as well

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """Movement from `before[-1]` to `frame`."""
        try:
            if not before:
                raise ValueError("there is no frame before this one")
            found = register(grey(before[-1]), grey(frame))
        except ValueError as why:
            return {f"{self.name}_{key}": Feature(None, unit, why=str(why)) for key, unit in UNITS.items()}
        return {
            f"{self.name}_x": Feature(found.x, "px", sigma=found.sigma_x),
            f"{self.name}_y": Feature(found.y, "px", sigma=found.sigma_y),
            f"{self.name}_correlation": Feature(found.correlation, ""),
            f"{self.name}_changed": Feature(found.changed, ""),
        }
