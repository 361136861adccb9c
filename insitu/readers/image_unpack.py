"""Packed images, unpacked by fabio: whatever goes wrong in it is a `FormatError`, and what comes out is checked."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from insitu.errors import FormatError, InsituError, MissingExtraError
from insitu.readers.image_headers import texts
from insitu.readers.image_layout import (
    BROKEN,
    HEADER_BYTES,
    LARGEST_FRAME,
    MOST_FRAMES,
    Layout,
    checked_shape,
    size_of,
)
from insitu.readers.pattern import Truncated


def imported() -> Any:
    """fabio, silent: what it would log or warn of is said by our own errors."""
    try:
        import fabio
        import fabio.compression
        import fabio.fabioformats
    except ImportError as missing:
        raise MissingExtraError("fabio", "xrd", purpose="reading this image") from missing
    logging.getLogger("fabio").setLevel(logging.CRITICAL)
    return fabio


@contextlib.contextmanager
def guarded(where: str) -> Iterator[None]:
    """Whatever a decoder of others raises on a damaged file is a `FormatError` here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except InsituError:
        raise
    except MemoryError as error:
        raise FormatError("the file declares more than there is memory", where=where, remedy=BROKEN) from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:200]
        raise FormatError(f"the file cannot be decoded ({text})", where=where, remedy=BROKEN) from error


def as_declared(data: np.ndarray | None, layout: Layout | None, where: str) -> np.ndarray:
    """Decoded pixels as the header declared them: another shape or type is an error."""
    if data is None or data.ndim != 2 or data.dtype.kind not in "iuf" or data.size == 0:
        raise FormatError("no image came out", where=where, remedy=BROKEN)
    if data.nbytes > LARGEST_FRAME:
        raise FormatError(f"the image has {data.nbytes} bytes", where=where, remedy=BROKEN)
    if layout is not None and (data.shape != layout.shape or data.dtype.itemsize != layout.dtype.itemsize):
        raise FormatError(
            f"{data.shape} of {data.dtype} came out", where=where, expected=f"{layout.shape} of {layout.dtype}"
        )
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def _opened(file: BinaryIO, kind: str) -> Any:
    """fabio's image of a file of the given kind; it is handed the bytes, so that no name misleads it."""
    fabio = imported()
    size = size_of(file)
    if size > 4 * LARGEST_FRAME:
        raise FormatError(f"the file has {size} bytes", where=kind, expected="at most 2 GiB for this format")
    file.seek(0)
    buffer = fabio.fabioutils.BytesIO(file.read())
    image = fabio.fabioformats.factory(f"{kind}image")
    return image, buffer


def one_page(file: BinaryIO, where: str, number: int, layout: Layout) -> np.ndarray:
    """A page of a TIFF file whose pixels are packed, as its layout declares it."""
    with guarded(where):
        image, buffer = _opened(file, "tif")
        image = image.read(buffer)
        if number:
            image = image.getframe(number)
        return as_declared(image.data, layout, where)


def frames_of(file: BinaryIO, kind: str, name: str) -> Iterator[tuple[np.ndarray, tuple[tuple[str, str], ...]]]:
    """The frames of a format that only fabio knows, each with the pairs of its header."""
    _before(file, kind, name)
    with guarded(name):
        image, buffer = _opened(file, kind)
        image = image.read(buffer)
        count = int(image.nframes or 1)
    if not 1 <= count <= MOST_FRAMES:
        raise FormatError(f"the header declares {count} frames", where=name, remedy=BROKEN)
    for number in range(count):
        where = f"{name}, frame {number}" if number else name
        with guarded(where):
            frame = image if number == 0 else image.getframe(number)
            data = as_declared(frame.data, None, where)
            pairs = tuple(texts(dict(frame.header or {})))
        yield data, pairs


def _before(file: BinaryIO, kind: str, name: str) -> None:
    """Checks of what fabio would believe."""
    file.seek(0)
    head = file.read(HEADER_BYTES)
    if kind != "mar345":
        return
    order = "<" if head[:2] == b"\xd2\x04" else ">"
    words = np.frombuffer(head[:64].ljust(64, b"\0"), order + "i4")
    side, high, pixels = (int(words[i]) for i in (1, 2, 5))
    rows, columns = checked_shape(pixels // side if side > 0 else 0, side, 4, name)
    title = re.search(rb"\nCCP4 packed image, X: *(\d{1,6}), Y: *(\d{1,6})\n", head)
    if rows * side != pixels or not 0 <= high <= pixels:
        raise FormatError(f"{pixels} pixels in rows of {side} are no image", where=name, remedy=BROKEN)
    if title is None:
        raise Truncated("there are no packed pixels", where=name, expected="CCP4 packed image", remedy=BROKEN)
    if (int(title[2]), int(title[1])) != (rows, columns):
        raise FormatError(
            f"the packed image is {int(title[2])} x {int(title[1])}", where=name, expected=f"{rows} x {columns}"
        )
    file.seek(title.end())
    if not _all_packed(file.read(), pixels):
        raise Truncated("the file ends before the image does", where=name, remedy=BROKEN)


_PACKED_BITS = (0, 4, 5, 6, 7, 8, 16, 32)


def _all_packed(raw: bytes, pixels: int) -> bool:
    """Whether a stream of CCP4 packing holds so many pixels: groups of 3 bits log2(count), 3 bits width, differences
    (J. P. Abrahams, pack_c, 1995); fabio fills up with zeros what is missing."""
    at, end, found = 0, 8 * len(raw), 0
    while found < pixels:
        if at + 6 > end:
            return False
        word = (int.from_bytes(raw[at >> 3 : (at >> 3) + 2], "little") >> (at & 7)) & 63
        count = 1 << (word & 7)
        found += count
        at += 6 + count * _PACKED_BITS[word >> 3]
    return at <= end
