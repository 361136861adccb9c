"""Image files of area detectors, frame by frame: TIFF, EDF, CBF, ADSC and d*TREK .img, marCCD, mar345, GE and others.

Pixels that lie plainly in the file (most TIFF, EDF, .img) are taken from where a checked `Layout` says; what is packed
is unpacked by fabio, and must come out as the header declared it. A file that cannot be decoded is a `FormatError`,
one that ends too early `Truncated`; nothing that a header declares is allocated before it was compared with the file.
"""

from __future__ import annotations

import bz2
import contextlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from insitu.errors import FormatError, InsituError
from insitu.maths.aligned import empty
from insitu.readers.header import Header
from insitu.readers.image_headers import read_pairs
from insitu.readers.image_layout import (
    BROKEN,
    LARGEST_FRAME,
    Layout,
    checked_shape,
    edf,
    refuse_stub,
    size_of,
)
from insitu.readers.image_layout_more import cbf, ge, img
from insitu.readers.image_tiff import pages
from insitu.readers.image_unpack import as_declared, frames_of, guarded, imported, one_page
from insitu.readers.pattern import Truncated

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


class Image(NamedTuple):
    """One frame: `data` `(y, x)`, what its header says, `number` by the instrument's count (None: position),
    `mask` (True = ignore) where the file has one."""

    data: np.ndarray
    head: Header
    number: int | None = None
    mask: np.ndarray | None = None
    invalid: str = ""


class Kind(NamedTuple):
    """A kind of file: its name (fabio's where fabio reads it), endings of file names, and how such files begin."""

    name: str
    suffixes: str
    magic: tuple[bytes, ...]


KINDS = (
    Kind("tif", "tif tiff mccd", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    Kind("cbf", "cbf", (b"###CBF:",)),
    Kind("img", "img", (b"{\nHEADER_BYTES", b"{\r\nHEADER_BYTES")),
    Kind("ge", "ge ge1 ge2 ge3 ge4 ge5", (b"ADEPT",)),
    Kind("edf", "edf cor", (b"{", b"\n{", b"\r\n{")),
    Kind(
        "mar345", "mar3450 mar2300 mar1200 mar1600 mar2000 mar3000 mar2400 mar1800", (b"\xd2\x04\0\0", b"\0\0\x04\xd2")
    ),
    Kind("bruker100", "sfrm", (b"FORMAT :100",)),
    Kind("bruker", "gfrm", (b"FORMAT :        86",)),
    Kind("numpy", "npy", (b"\x93NUMPY",)),
    Kind("oxd", "", (b"OD SAPPHIRE",)),
    Kind("raxis", "osc stl", (b"R-AXIS",)),
    Kind("fit2d", "f2d", (b"\\$FFF_START",)),
    Kind("esperanto", "esperanto esper", (b"ESPERANTO FORMAT",)),
)
"""What is read, by the bytes at its beginning; the ending decides where a GE header was blanked or replaced."""
SUFFIXES = frozenset(f".{name}" for kind in KINDS for name in kind.suffixes.split())
PACKED = {".gz": 31, ".bz2": 0}
FORMATS = "TIFF, CBF, EDF, marCCD, mar345, ADSC/d*TREK .img, GE, Bruker, .npy, or HDF5/NeXus (.h5, .hdf5, .nxs, .cxi)"


def kind_of(path: Path, head: bytes) -> str:
    """The kind of a file from its first bytes and its name; "" where it is none that is read."""
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    suffix = name.rpartition(".")[2]
    if suffix in KINDS[3].suffixes.split():
        return "ge"
    if head.startswith(HDF5_MAGIC):
        return "hdf5"
    return next((kind.name for kind in KINDS if head.startswith(kind.magic)), "")


def images(path: Path, name: str, timezone: str = "UTC") -> Iterator[Image]:
    """The frames of an image file in their order; `name` of the file for messages. Raises `FormatError`,
    `Truncated`, and `MissingExtraError` where a packed file needs fabio and it is not installed."""
    try:
        with contextlib.ExitStack() as stack:
            file: BinaryIO = stack.enter_context(open(path, "rb"))
            if path.suffix.lower() in PACKED:
                file = stack.enter_context(_unpacked(file, path.suffix.lower(), name))
            head = file.read(64)
            if kind_of(path, head) != "ge":  # some panels leave their header blank
                refuse_stub(head, name)
            file.seek(0)
            yield from _decoders(kind_of(path, head), path, name)(file, timezone)
    except OSError as error:
        if isinstance(error, InsituError):
            raise
        raise FormatError(
            f"the file cannot be read: {error.strerror or error}", where=name, remedy="Check its permissions"
        ) from error


def _decoders(kind: str, path: Path, name: str) -> Callable[[BinaryIO, str], Iterator[Image]]:
    match kind:
        case "tif":
            return lambda file, tz: _tiff(file, name, tz)
        case "edf":
            return lambda file, tz: (_plain(file, layout, tz, name) for layout in edf(file, name))
        case "img":
            return lambda file, tz: (_plain(file, layout, tz, name) for layout in img(file, name))
        case "ge":
            return lambda file, tz: (_plain(file, layout, tz, name) for layout in ge(file, name))
        case "cbf":
            return lambda file, tz: _cbf(file, name, tz)
        case "numpy":
            return lambda file, tz: _npy(file, name, tz)
        case "":
            raise no_image(name)
        case _:
            return lambda file, tz: _fabio(file, kind, name, tz)


def check_structure(path: Path, name: str) -> None:
    """Raise `Truncated` where a file ends too early and `FormatError` where its structure is wrong, as far as that can
    be seen without unpacking."""
    with open(path, "rb") as file:
        head = file.read(64)
        if kind_of(path, head) != "ge":
            refuse_stub(head, name)
        file.seek(0)
        walk = {"tif": pages, "edf": edf, "img": img, "ge": ge}.get(
            "" if path.suffix in PACKED else kind_of(path, head)
        )
        if walk is not None:
            deque(walk(file, name), maxlen=0)
        elif kind_of(path, head) == "cbf":
            cbf(file, name)


def no_image(name: str) -> FormatError:
    """The error that says that a file is no image that can be read."""
    return FormatError(
        "this is no image that can be read",
        where=name,
        expected=FORMATS,
        remedy='Say which files count, for example --set detector.reader.pattern="*.tif"',
    )


def _unpacked(file: BinaryIO, suffix: str, name: str) -> Any:
    """A .gz or .bz2 file unpacked into a temporary file, at most so large as a frame may be, 16 times."""
    import tempfile

    decoder = bz2.BZ2Decompressor() if suffix == ".bz2" else zlib.decompressobj(PACKED[suffix])
    out, total = tempfile.TemporaryFile(), 0  # noqa: SIM115 - the caller closes it
    try:
        while not decoder.eof:
            block = file.read(1 << 20) if getattr(decoder, "needs_input", True) else b""
            if not block and getattr(decoder, "needs_input", True):
                raise Truncated("the packed file ends too early", where=name, remedy=BROKEN)
            while True:
                part = decoder.decompress(block, 1 << 22)
                total += out.write(part)
                if total > 16 * LARGEST_FRAME:
                    raise FormatError("the file unpacks to more than 8 GiB", where=name, remedy="Unpack it yourself")
                block = getattr(decoder, "unconsumed_tail", b"")
                if not block:
                    break
    except (zlib.error, OSError, EOFError) as error:
        out.close()
        if isinstance(error, InsituError):
            raise
        raise FormatError(f"the packed file is damaged: {error}", where=name, remedy=BROKEN) from error
    out.seek(0)
    return out


def _pixels(file: BinaryIO, layout: Layout, where: str) -> np.ndarray:
    """The pixels of a plain layout, native byte order, aligned."""
    data = empty(layout.shape, layout.dtype)
    file.seek(layout.offset)
    got = file.readinto(memoryview(data).cast("B"))  # type: ignore[attr-defined]
    if got != layout.nbytes:
        raise Truncated(f"the file ends after {got} of {layout.nbytes} bytes of the image", where=where, remedy=BROKEN)
    if not data.dtype.isnative:
        data = data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
    return data


def _plain(file: BinaryIO, layout: Layout, timezone: str, where: str) -> Image:
    return Image(_pixels(file, layout, where), read_pairs(layout.pairs, layout.kind, timezone))


def _tiff(file: BinaryIO, name: str, timezone: str) -> Iterator[Image]:
    for number, page in enumerate(pages(file, name)):
        where = f"{name}, page {number + 1}" if number else name
        layout = page.layout
        if page.packed:
            data = one_page(file, where, number, layout)
            yield Image(data, read_pairs(layout.pairs, layout.kind, timezone))
        else:
            yield _plain(file, layout, timezone, where)


def _cbf(file: BinaryIO, name: str, timezone: str) -> Iterator[Image]:
    layout, raw = cbf(file, name)
    fabio = imported()
    rows, columns = layout.shape
    with guarded(name):
        pixels = fabio.compression.decByteOffset(raw, size=rows * columns, dtype=layout.dtype)
        data = as_declared(np.asarray(pixels).reshape(layout.shape), layout, name)
    yield Image(data, read_pairs(layout.pairs, "cbf", timezone))


def _npy(file: BinaryIO, name: str, timezone: str) -> Iterator[Image]:
    """A .npy array `(y, x)` or `(n, y, x)` of numbers."""
    with guarded(name):
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise FormatError(f"the version is {version}", where=name, expected="1.0 or 2.0", remedy=BROKEN)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)  # type: ignore[misc]
    if dtype.kind not in "iuf" or len(shape) not in (2, 3) or (fortran and len(shape) == 3):
        raise FormatError(f"{shape} of {dtype} is no image", where=name, expected="numbers (y, x) or (n, y, x)")
    rows, columns = checked_shape(shape[-2], shape[-1], dtype.itemsize, name)
    start, count = file.tell(), shape[0] if len(shape) == 3 else 1
    if start + count * rows * columns * dtype.itemsize > size_of(file):
        raise Truncated("the file ends before the image does", where=name, remedy=BROKEN)
    if start + count * rows * columns * dtype.itemsize < size_of(file):
        raise FormatError(f"the file is longer than {shape} of {dtype}", where=name, remedy=BROKEN)
    for i in range(count):
        lying = (columns, rows) if fortran else (rows, columns)
        at = start + i * rows * columns * dtype.itemsize
        data = _pixels(file, Layout(offset=at, shape=lying, dtype=dtype, kind="npy"), name)
        yield Image(np.ascontiguousarray(data.T) if fortran else data, read_pairs((), "npy", timezone))


def _fabio(file: BinaryIO, kind: str, name: str, timezone: str) -> Iterator[Image]:
    """The frames of a format that only fabio knows."""
    for data, pairs in frames_of(file, kind, name):
        yield Image(data, read_pairs(pairs, "bruker" if kind == "bruker100" else kind, timezone))
