"""Where the pixels of .img (ADSC, d*TREK), CBF and GE files lie: checked as in `image_layout`."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from insitu.errors import FormatError
from insitu.readers.image_headers import dectris_pairs
from insitu.readers.image_layout import (
    BROKEN,
    HEADER_BYTES,
    Layout,
    braced_pairs,
    checked_shape,
    fits,
    size_of,
    whole,
)
from insitu.readers.pattern import Truncated

# ---- Area Detector Systems, Rigaku d*TREK ----------------------------------------------------------------------------

_IMG_TYPES = {
    "unsigned_short": "u2",
    "unsigned short int": "u2",
    "unsigned_short_int": "u2",
    "short int": "i2",
    "short_int": "i2",
    "long int": "i4",
    "long_int": "i4",
    "signed_long": "i4",
    "unsigned long int": "u4",
    "unsigned_long_int": "u4",
    "float ieee": "f4",
    "float_ieee": "f4",
    "signed char": "i1",
    "unsigned char": "u1",
}


def img(file: BinaryIO, where: str) -> Iterator[Layout]:
    """The frame of an .img file of ADSC or d*TREK: `{ HEADER_BYTES= 512; ... }` and raw pixels."""
    text = file.read(HEADER_BYTES).decode("latin-1")
    match = re.match(r"\{\s*HEADER_BYTES\s*=\s*(\d{1,7})\s*;", text)
    if match is None:
        raise FormatError("HEADER_BYTES is no number", where=where, remedy=BROKEN)
    start = int(match[1])
    closing = text.find("}", 0, start + 1)
    if closing < 0:
        if size_of(file) < start:
            raise Truncated("the file ends within its header", where=where, remedy=BROKEN)
        raise FormatError("the header has no end", where=where, expected="a closing brace", remedy=BROKEN)
    pairs = tuple(braced_pairs(text[:closing]))
    keys = {name.lower(): value for name, value in reversed(pairs)}
    if keys.get("compression", "none").lower() not in ("none", ""):
        raise FormatError("the pixels are packed", where=where, remedy="Save it without compression")
    kind = keys.get("data_type", keys.get("type", "unsigned_short")).lower()
    if kind not in _IMG_TYPES:
        raise FormatError(f"the data type is {kind[:30]!r}", where=where, expected="such as unsigned_short")
    order = keys.get("byte_order", "little_endian").lower()
    if order not in ("little_endian", "big_endian"):
        raise FormatError(f"the byte order is {order[:30]!r}", where=where, expected="little_endian or big_endian")
    dtype = np.dtype((">" if order[0] == "b" else "<") + _IMG_TYPES[kind])
    columns, rows = (whole(keys.get(f"size{i}", ""), f"SIZE{i}", where) for i in (1, 2))
    shape = checked_shape(rows, columns, dtype.itemsize, where)
    layout = fits(Layout(offset=start, shape=shape, dtype=dtype, kind="img", pairs=pairs), size_of(file), where)
    if size_of(file) - start - layout.nbytes > 512:
        raise FormatError(
            f"the file has {size_of(file) - start} bytes for an image of {layout.nbytes}", where=where, remedy=BROKEN
        )
    yield layout


# ---- crystallographic binary format ----------------------------------------------------------------------------------

CBF_START = b"\x0c\x1a\x04\xd5"


def cbf(file: BinaryIO, where: str) -> tuple[Layout, bytes]:
    """The frame of a CBF file and its packed pixels; a wrong digest in the header, or sizes that lie, are refused."""
    head = file.read(HEADER_BYTES)
    start = head.find(CBF_START)
    if start < 0:
        kind = Truncated if len(head) < HEADER_BYTES else FormatError
        raise kind("there is no binary section", where=where, expected="an image", remedy=BROKEN)
    text = head[:start].decode("latin-1")
    begin = text.rfind("--CIF-BINARY-FORMAT-SECTION--")
    mime = dict(re.findall(r"^\s*([\w-]+)\s*[:=]\s*\"?([^\"\r\n;]*)", text[max(begin, 0) :], re.MULTILINE))
    mime = {name.lower(): value.strip() for name, value in mime.items()}
    packed = mime.get("conversions", "")
    if packed.upper() != "X-CBF_BYTE_OFFSET":
        raise FormatError(
            f"the pixels are packed by {packed[:30]!r}", where=where, expected="x-CBF_BYTE_OFFSET", remedy=BROKEN
        )
    names = ("x-binary-size", "x-binary-size-fastest-dimension", "x-binary-size-second-dimension")
    nbytes, columns, rows = (whole(mime.get(name, ""), name, where) for name in names)
    dtype = _cbf_type(mime, where)
    shape = checked_shape(rows, columns, dtype.itemsize, where)
    elements = mime.get("x-binary-number-of-elements", str(rows * columns))
    if whole(elements, "the number of elements", where) != rows * columns or nbytes < rows * columns:
        raise FormatError(
            f"{nbytes} bytes and {elements} elements cannot be {rows} x {columns} pixels", where=where, remedy=BROKEN
        )
    offset = start + len(CBF_START)
    if offset + nbytes > size_of(file):
        raise Truncated(
            f"the file ends after {size_of(file) - offset} of {nbytes} bytes of the image", where=where, remedy=BROKEN
        )
    file.seek(offset)
    raw = file.read(nbytes)
    digest = mime.get("content-md5", "")
    if digest and digest != base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode():
        raise FormatError("the pixels do not agree with the digest in the header", where=where, remedy=BROKEN)
    return Layout(offset=offset, shape=shape, dtype=dtype, kind="cbf", pairs=tuple(_cbf_pairs(text))), raw


def _cbf_type(mime: dict[str, str], where: str) -> np.dtype:
    text = mime.get("x-binary-element-type", "signed 32-bit integer")
    match = re.fullmatch(r"(un)?signed (8|16|32)-bit integer", text)
    if match is None:
        raise FormatError(f"the pixels are {text[:40]!r}", where=where, expected="such as signed 32-bit integer")
    return np.dtype(f"<{'u' if match[1] else 'i'}{int(match[2]) // 8}")


def _cbf_pairs(text: str) -> Iterator[tuple[str, str]]:
    """CIF items of one line, and the comment lines of Dectris' header contents."""
    yield from dectris_pairs(text)
    for name, value in re.findall(r"^(_[\w.\[\]]+)[ \t]+([^\s;][^\r\n]*)", text[:HEADER_BYTES], re.MULTILINE):
        yield name, value.strip().strip("'\"")


# ---- GE amorphous-silicon panels -------------------------------------------------------------------------------------

_GE_HEAD = struct.Struct("<10sHIHIHHHH")
_GE_BLANK = (8192, 2048, 2048, 16)
"""Header bytes, rows, columns and bits of panels whose control software leaves the header blank."""


def ge(file: BinaryIO, where: str) -> Iterator[Layout]:
    """The frames of a GE file: a header of 8 KiB (ADEPT, blank, or a text in braces) and raw pixels."""
    head, size = file.read(8192), size_of(file)
    if len(head) < 8192:
        raise Truncated("the file ends within its header", where=where, expected="8192 bytes", remedy=BROKEN)
    start, rows, columns, bits = _GE_BLANK
    pairs: tuple[tuple[str, str], ...] = ()
    stated = 0
    if head.startswith(b"ADEPT"):
        _, _, standard, _, user, stated, rows, columns, bits = _GE_HEAD.unpack_from(head)
        start = standard + user
    elif head.lstrip().startswith(b"{"):
        pairs = tuple(braced_pairs(head.split(b"}")[0].decode("latin-1")))
        stated = whole(dict(pairs).get("Num_Images", "0"), "Num_Images", where)
    if bits not in (8, 16, 32):
        raise FormatError(f"the pixels have {bits} bits", where=where, expected="8, 16 or 32", remedy=BROKEN)
    shape, dtype = checked_shape(rows, columns, bits // 8, where), np.dtype(f"<u{bits // 8}")
    nbytes = rows * columns * dtype.itemsize
    count = stated or (size - start) // nbytes
    if count < 1 or (not stated and (size - start) % nbytes):
        raise Truncated(f"{size - start} bytes are no whole frames of {nbytes}", where=where, remedy=BROKEN)
    if stated and size - start >= (stated + 1) * nbytes:
        there = (size - start) // nbytes
        raise FormatError(f"the header declares {stated} frames, the file has {there}", where=where, remedy=BROKEN)
    for i in range(count):
        yield fits(
            Layout(offset=start + i * nbytes, shape=shape, dtype=dtype, kind="edf", pairs=pairs),
            size,
            f"{where}, frame {i}" if i else where,
        )
