"""The CeO2 frame of the data folder: its detector, its frame, and the answers of its README."""

from pathlib import Path

import numpy as np

from insitu.types import Detector, Flip, Frame, Geometry

FOLDER = Path("xrd") / "frame2d_ceo2_pilatus1m"
RINGS = (7.4629, 8.6199, 12.2028, 14.3179, 18.8511, 21.2106)
"""What pyFAI gives for (111) (200) (220) (311) (331) (422), deg: the README's column."""


def image(data: Path) -> np.ndarray:
    import fabio

    pixels = np.array(fabio.open(str(data / FOLDER / "CeO2_Pilatus1M.tif")).data)
    pixels.flags.writeable = False
    return pixels


def detector(data: Path, flip: Flip = "up_down", **more) -> Detector:
    geometry = Geometry(poni=data / FOLDER / "CeO2_Pilatus1M.poni", flip=flip, **more)
    return Detector(name="area", source="det", geometry=geometry)


def frame(pixels: np.ndarray, **more) -> Frame:
    keys = {"source": "det", "dims": ("y", "x"), "unit": "counts", "time_ns": 0, "seq": 0, "n": 0} | more
    return Frame(data=pixels, **keys)
