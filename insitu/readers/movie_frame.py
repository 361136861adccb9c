"""One picture of a movie, as any of the decoders gives it, and what they share: bounds, guards, colours."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np

from insitu.errors import FormatError, InsituError, MissingExtraError
from insitu.maths.aligned import aligned
from insitu.readers.image_layout import BROKEN, LARGEST_FRAME
from insitu.types import Feature

Channel = Literal["as_stored", "luminance", "red", "green", "blue"]
_COLOURS = {"red": 0, "green": 1, "blue": 2}
_LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""


class Picture(NamedTuple):
    """A frame: `data` (y, x) or (y, x, channel); seconds since the first one (`after_s`) and when that was
    (`start_ns`), None where the file does not say; `timing`: what said it; `invalid`: why there is no frame."""

    data: np.ndarray
    after_s: float | None = None
    start_ns: int | None = None
    timing: str = ""
    duration_s: float = 0.0
    labels: Mapping[str, str] = {}
    context: Mapping[str, Feature] = {}
    invalid: str = ""


NOTHING = np.empty((0, 0), np.uint8)


def imported(name: str, package: str) -> ModuleType:
    """A module of the extra `video`."""
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise MissingExtraError(package, "video", purpose="reading this movie") from missing


@contextlib.contextmanager
def guarded(where: str) -> Iterator[None]:
    """Whatever a decoder of others raises on a damaged file is a `FormatError` here."""
    try:
        yield
    except InsituError:
        raise
    except MemoryError as error:
        raise FormatError("the file declares more than there is memory", where=where, remedy=BROKEN) from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:200]
        raise FormatError(f"the file cannot be decoded ({text})", where=where, remedy=BROKEN) from error


def checked_size(height: int, width: int, pixel_bytes: float, packed_bytes: int, ratio: int, where: str) -> None:
    """Refuse what a header declares before it is allocated: larger than any camera's, or more than `packed_bytes` can
    unpack to (`ratio`: the most that the packing can gain)."""
    declared = height * width * pixel_bytes
    if height < 1 or width < 1 or declared > LARGEST_FRAME or declared > ratio * packed_bytes + 65536:
        raise FormatError(
            f"the header declares {height} x {width} pixels in {packed_bytes} bytes of data",
            where=where,
            expected=f"1 pixel to {LARGEST_FRAME >> 20} MiB that the data can hold",
            remedy=BROKEN,
        )


def is_grey(data: np.ndarray) -> bool:
    """Whether all channels of `(y, x, channel)` say the same."""
    return bool((data[..., 1:] == data[..., :1]).all())


def plain(data: np.ndarray) -> np.ndarray:
    """Pixels `(y, x)` or `(y, x, channel)` without what says nothing: an opaque alpha channel, a single channel."""
    if data.ndim == 3 and data.shape[2] in (2, 4):
        alpha = data[..., -1]
        top = np.iinfo(data.dtype).max if data.dtype.kind in "iu" else 1.0
        if (alpha == top).all():
            data = data[..., :-1]
    return data[..., 0] if data.ndim == 3 and data.shape[2] == 1 else data


def chosen(data: np.ndarray, channel: Channel, coloured: bool, where: str) -> np.ndarray:
    """The frame that is kept, read-only. `coloured`: colours were seen before, so grey frames keep three channels."""
    data = plain(data)
    if data.ndim == 3 and data.shape[2] == 2:  # grey and a mask of its own: not known which is meant
        raise FormatError("the frame has grey and a transparency that varies", where=where, expected="grey or RGB")
    if data.ndim == 2:
        if coloured and channel == "as_stored":
            data = np.repeat(data[..., None], 3, axis=2)
    elif channel in _COLOURS:
        data = data[..., _COLOURS[channel]]
    elif channel == "luminance":
        grey = data[..., :3] @ np.array(_LUMINANCE)
        data = grey.astype(data.dtype) if data.dtype.kind == "f" else np.rint(grey).astype(data.dtype)
    elif not coloured and data.shape[2] == 3 and is_grey(data):
        data = data[..., 0]
    return aligned(data)
