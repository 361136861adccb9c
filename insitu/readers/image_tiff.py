"""Where the pixels of a TIFF file lie (TIFF 6.0, BigTIFF): every page that is an image, with its header texts.

Pages whose pixels lie there plainly are described by a `Layout`; packed or tiled ones are left to fabio (`packed`),
after their sizes were checked. Sources: Adobe, TIFF Revision 6.0 (1992); marresearch, marCCD header of 1024 bytes
behind the first kilobyte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.readers.image_headers import dectris_pairs, tiff_date
from insitu.readers.image_layout import BROKEN, MOST_FRAMES, Layout, checked_shape, fits, refuse_stub, size_of
from insitu.readers.pattern import Truncated

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_LARGEST_TAG = 16 * 1024 * 1024
_MARCCD = {"xtal_to_detector": 640, "exposure_time": 656, "pixelsize_x": 772, "pixelsize_y": 776}
"""Where the marCCD header has its whole numbers: um, ms, nm, nm."""


class Page(NamedTuple):
    """A page: where its pixels lie, or (`packed`) that a decoder has to unpack them into that shape and type."""

    layout: Layout
    packed: bool


class _Form(NamedTuple):
    """Byte order, and whether offsets have 8 bytes (BigTIFF)."""

    order: str
    big: bool


def pages(file: BinaryIO, where: str) -> Iterator[Page]:
    """The pages of an open TIFF file in their order; thumbnails are left out."""
    size = size_of(file)
    form, position = first_directory(file, where)
    seen: set[int] = set()
    shared: tuple[tuple[str, str], ...] | None = None
    while position:
        if position in seen or len(seen) >= MOST_FRAMES:
            raise FormatError("the list of pages runs in a circle", where=where, remedy=BROKEN)
        seen.add(position)
        tags, position = directory(file, form, position, size, where)
        if tag_number(tags, 254, 0) & 1 and len(seen) > 1:
            continue
        page = _page(tags, form, size, where)
        if shared is None:  # some writers describe only the first page
            shared = (*page.layout.pairs, *_marccd(file, form))
        pairs = page.layout.pairs or shared
        kind = "marccd" if _is_marccd(file) else "tif"
        yield page._replace(layout=replace(page.layout, pairs=shared if len(seen) == 1 else pairs, kind=kind))


def first_directory(file: BinaryIO, where: str) -> tuple[_Form, int]:
    head = file.read(16)
    refuse_stub(head, where)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise Truncated("the file ends within its header", where=where, remedy=BROKEN)
    (version,) = struct.unpack(order + "H", head[2:4])
    if version == 42:
        return _Form(order, False), struct.unpack(order + "I", head[4:8])[0]
    if version != 43 or len(head) < 16:
        raise FormatError(f"the TIFF version is {version}", where=where, expected="42 or 43", remedy=BROKEN)
    return _Form(order, True), struct.unpack(order + "Q", head[8:16])[0]


def _read(file: BinaryIO, at: int, count: int, size: int, where: str) -> bytes:
    if at + count > size:
        raise Truncated(f"the file ends before byte {at + count}", where=where, remedy=BROKEN)
    file.seek(at)
    return file.read(count)


def directory(
    file: BinaryIO, form: _Form, at: int, size: int, where: str
) -> tuple[dict[int, tuple[int | bytes, ...]], int]:
    """Tags of one directory, {tag: values}, and the place of the next."""
    head, entry, offset = ("Q", 20, "Q") if form.big else ("H", 12, "I")
    width = struct.calcsize(form.order + head)
    (count,) = struct.unpack(form.order + head, _read(file, at, width, size, where))
    if not 1 <= count <= 4096:
        raise FormatError(f"a page has {count} entries", where=where, expected="1 to 4096", remedy=BROKEN)
    room = struct.calcsize(form.order + offset)
    body = _read(file, at + width, count * entry + room, size, where)
    tags: dict[int, tuple[int | bytes, ...]] = {}
    for i in range(count):
        tag, kind, number = struct.unpack_from(form.order + "HH" + offset, body, i * entry)
        nbytes = number * _SIZES.get(kind, 0)
        if not 0 < nbytes <= _LARGEST_TAG:
            continue
        field = body[i * entry + 4 + room : (i + 1) * entry]
        if nbytes > room:
            field = _read(file, struct.unpack(form.order + offset, field)[0], nbytes, size, where)
        if kind in (2, 7):
            tags[tag] = (field[:nbytes],)
        else:
            tags[tag] = struct.unpack_from(f"{form.order}{number}{_CODES[kind]}", field)
    return tags, struct.unpack(form.order + offset, body[-room:])[0]


def tag_number(tags: dict[int, tuple[int | bytes, ...]], tag: int, default: int) -> int:
    values = tags.get(tag, ())
    return values[0] if values and isinstance(values[0], int) else default


def tag_text(tags: dict[int, tuple[int | bytes, ...]], tag: int) -> str:
    values = tags.get(tag, ())
    return values[0].split(b"\0")[0].decode("utf-8", "replace") if values and isinstance(values[0], bytes) else ""


def _page(tags: dict[int, tuple[int | bytes, ...]], form: _Form, size: int, where: str) -> Page:
    bits, samples = tag_number(tags, 258, 1), tag_number(tags, 277, 1)
    code = {1: "u", 2: "i", 3: "f", 4: "u"}.get(tag_number(tags, 339, 1), "")
    if bits not in (8, 16, 32, 64) or not code or (code == "f" and bits < 32) or samples != 1:
        raise FormatError(
            f"the pixels have {samples} samples of {bits} bits",
            where=where,
            expected="one number of 8, 16, 32 or 64 bits for each pixel",
            remedy="A picture is no measurement: give the detector's own file",
        )
    if tag_number(tags, 262, 1) not in (0, 1):
        raise FormatError(
            "the pixels are colours, no counts", where=where, expected="a grey image", remedy="Give the detector's file"
        )
    dtype = np.dtype(f"{form.order}{code}{bits // 8}")
    rows, columns = checked_shape(tag_number(tags, 257, 0), tag_number(tags, 256, 0), dtype.itemsize, where)
    tiled = 322 in tags
    offsets, counts = (tags.get(t, ()) for t in ((324, 325) if tiled else (273, 279)))
    plainly = tag_number(tags, 259, 1) == 1 and not tiled
    strips = [o for o in offsets if isinstance(o, int)]
    lengths = [c for c in counts if isinstance(c, int)]
    if not strips:
        raise FormatError("the page has no pixels", where=where, remedy=BROKEN)
    if not lengths and len(strips) == 1 and plainly:
        lengths = [rows * columns * dtype.itemsize]
    if len(lengths) != len(strips):
        raise FormatError(f"{len(strips)} strips have {len(lengths)} lengths", where=where, remedy=BROKEN)
    for at, length in zip(strips, lengths, strict=True):
        if at + length > size:
            raise Truncated(f"the file ends before byte {at + length}", where=where, remedy=BROKEN)
    pairs = tuple(dectris_pairs(tag_text(tags, 270)))
    if date := tag_text(tags, 306):
        pairs = (*pairs, ("datetime", tiff_date(date)))
    layout = Layout(offset=strips[0], shape=(rows, columns), dtype=dtype, kind="tif", pairs=pairs)
    if not plainly:
        return Page(layout, True)
    if sum(lengths) != layout.nbytes:
        raise FormatError(
            f"the header declares {rows} x {columns} pixels of {dtype.itemsize} bytes in {sum(lengths)} bytes",
            where=where,
            expected=f"{layout.nbytes} bytes",
            remedy=BROKEN,
        )
    joined = all(a + n == b for a, n, b in zip(strips, lengths, strips[1:], strict=False))
    return Page(fits(layout, size, where) if joined else layout, not joined)


def _is_marccd(file: BinaryIO) -> bool:
    file.seek(1028)
    return file.read(3) == b"MMX"


def _marccd(file: BinaryIO, form: _Form) -> Iterator[tuple[str, str]]:
    """What the marCCD header says that lies between byte 1024 and the pixels."""
    if not _is_marccd(file):
        return
    file.seek(1024)
    head = file.read(3072)
    if len(head) < 3072:
        return
    for name, at in _MARCCD.items():
        yield name, str(struct.unpack_from(form.order + "i", head, at)[0])
    yield "wavelength", f"{struct.unpack_from(form.order + 'i', head, 908)[0] * 1e-5:.12g}"  # femtometres there
    yield "acquire_timestamp", head[1344:1376].split(b"\0")[0].decode("latin-1")
