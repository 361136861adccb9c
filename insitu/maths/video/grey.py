"""One number per pixel, from frames that may have colours."""

import numpy as np

from insitu.types import Frame

_LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


def grey(frame: Frame) -> np.ndarray:
    """The frame's pixels `(y, x)`: as they are, or the luminance of (y, x, channel), rounded to the frame's type.

    Raises ValueError for anything else.
    """
    data = frame.data
    if frame.dims == ("y", "x") and min(data.shape) >= 3:
        return data
    if frame.dims == ("y", "x", "channel") and data.shape[2] >= 3 and min(data.shape[:2]) >= 3:
        one = data[..., :3] @ _LUMINANCE
        one = one.astype(data.dtype) if data.dtype.kind == "f" else np.rint(one).astype(data.dtype)
        one.flags.writeable = False  # as frames are
        return one
    raise ValueError(f"the frame is {dict(zip(frame.dims, data.shape, strict=True))}, an image (y, x) is needed")


def full_scale(dtype: np.dtype, saturation: float | None) -> float:
    """The level at which a pixel is saturated: as declared, else the largest number of a whole-number type."""
    if saturation is not None:
        return saturation
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else float("inf")
