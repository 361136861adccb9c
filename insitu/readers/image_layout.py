"""Where the pixels of an image file lie, found out and checked before a single one is read.

A `Layout` says for each frame of a file: byte, shape, type, and what its header says. Everything that a header declares
is checked against the size of the file: a number that lies is an error in words, never an allocation. `Truncated` means
that the file ends too early (cut off, or still being written).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated

LARGEST_FRAME = 512 * 1024 * 1024
"""Bytes of one frame that are believed: the largest area detectors have 18 million pixels of 4 bytes."""
MOST_FRAMES = 1_000_000
"""Frames of one file that are believed."""
HEADER_BYTES = 1024 * 1024
"""A text header is never longer."""
BROKEN = "Copy the file again, or measure it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One frame: `shape` (rows, columns) of `dtype` (with its byte order) from byte `offset` on; `pairs` are names and
    texts of its header, of the given `kind` (see `image_headers`)."""

    offset: int
    shape: tuple[int, int]
    dtype: np.dtype
    kind: str
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def checked_shape(rows: int, columns: int, itemsize: int, where: str) -> tuple[int, int]:
    """The shape of a frame, refused where it is empty or larger than any detector's."""
    if rows < 1 or columns < 1 or rows * columns * itemsize > LARGEST_FRAME:
        raise FormatError(
            f"the header declares a frame of {rows} x {columns} pixels of {itemsize} bytes",
            where=where,
            expected=f"1 pixel to {LARGEST_FRAME >> 20} MiB",
            remedy="The header is damaged: copy the file again, or measure it again",
        )
    return rows, columns


def fits(layout: Layout, size: int, where: str) -> Layout:
    """The layout, refused where the file of `size` bytes ends before the frame does."""
    if layout.offset + layout.nbytes > size:
        rows, columns = layout.shape
        raise Truncated(
            f"the file ends after {max(0, size - layout.offset)} of {layout.nbytes} bytes of the image",
            where=where,
            expected=f"{rows} x {columns} pixels of {layout.dtype.itemsize} bytes from byte {layout.offset} on",
            remedy=BROKEN,
        )
    return layout


def whole(text: str, what: str, where: str) -> int:
    """A whole number of a header."""
    match = re.match(r"\s*([+-]?\d{1,18})(?:\.0*)?\s*$", text)
    if match is None:
        raise FormatError(f"{what} is {text.strip()[:40]!r}", where=where, expected="a whole number", remedy=BROKEN)
    return int(match[1])


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def refuse_stub(head: bytes, where: str) -> None:
    """Refuse a file with nothing in it."""
    if not head.strip(b"\0"):
        raise Truncated("the file is empty", where=where, remedy="Measure again, or remove the file")


# ---- ESRF data format ------------------------------------------------------------------------------------------------

_EDF_TYPES = {
    "i1": "signedbyte signed8",
    "u1": "unsignedbyte unsigned8",
    "i2": "signedshort signed16",
    "u2": "unsignedshort unsigned16 unsignedshortinteger",
    "i4": "signedinteger signed32 signedlong",
    "u4": "unsignedinteger unsigned32 unsignedlong",
    "i8": "signed64",
    "u8": "unsigned64",
    "f4": "floatvalue float floatieee32 float32",
    "f8": "double doublevalue floatieee64 doubleieee64",
}
_EDF_TYPE = {word: code for code, words in _EDF_TYPES.items() for word in words.split()}


def edf(file: BinaryIO, where: str) -> Iterator[Layout]:
    """The frames of an EDF file: blocks of `{ key = value ; ... }` and raw pixels."""
    size, position = size_of(file), 0
    for number in range(MOST_FRAMES):
        file.seek(position)
        head = file.read(min(HEADER_BYTES, 65536))
        skipped = len(head) - len(head.lstrip(b"\0\r\n\t "))
        if not head or skipped == len(head):
            if number == 0:
                refuse_stub(b"", where)
            return
        block = f"{where}, block {number}" if number else where
        if head[skipped : skipped + 1] != b"{":
            if number:
                return  # padding or a trailer behind the last image
            raise FormatError("there is no header", where=block, expected="a text in braces", remedy=BROKEN)
        end = _block_end(file, position, head, skipped, block)
        file.seek(position)
        pairs = tuple(braced_pairs(file.read(end - position).decode("latin-1")))
        keys = {name.lower(): text for name, text in reversed(pairs)}
        if (stated := keys.get("edf_headersize", "")).isdigit() and int(stated) >= end - position:
            end = position + int(stated)
        blob = whole(keys.get("edf_binarysize", keys.get("size", "0")), "the size of the data", block)
        if "dim_1" in keys and ".error" not in keys.get("edf_datablockid", "").lower():
            layouts = list(_edf_frames(pairs, keys, end, block))
            taken = sum(layout.nbytes for layout in layouts)
            boundary = keys.get("edf_blockboundary", "")
            padding = max(512, int(boundary) if boundary.isdigit() and len(boundary) < 8 else 0)
            if blob and not taken <= blob < taken + padding:
                raise FormatError(
                    f"the header declares {blob} bytes for an image of {taken}", where=block, remedy=BROKEN
                )
            blob = max(blob, taken)
            for layout in layouts:
                yield fits(layout, size, block)
        if blob < 0:
            raise FormatError(f"the size of the data is {blob} bytes", where=block, remedy=BROKEN)
        position = end + blob
        if position >= size:
            return


def _block_end(file: BinaryIO, position: int, head: bytes, skipped: int, where: str) -> int:
    """The byte behind the closing brace (and its newline) of a header."""
    match = re.compile(rb"}[ \t]*\r?\n").search(head, skipped)
    if match is None and len(head) == 65536:
        file.seek(position)
        head = file.read(HEADER_BYTES)
        match = re.compile(rb"}[ \t]*\r?\n").search(head, skipped)
    if match is None:
        raise Truncated("the header has no end", where=where, expected="a closing brace", remedy=BROKEN)
    return position + match.end()


def braced_pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.strip("{} \r\n\t\0").split(";"):
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip().strip('"')


def _edf_frames(pairs: tuple[tuple[str, str], ...], keys: dict[str, str], start: int, where: str) -> Iterator[Layout]:
    if (packed := keys.get("compression", "none").lower()) not in ("none", "no", ""):
        raise FormatError(f"the pixels are packed ({packed[:20]!r})", where=where, remedy="Save it without compression")
    if "edf_binaryfilename" in keys:
        raise FormatError("the pixels are in another file", where=where, remedy="Save the image with its data")
    code = _EDF_TYPE.get(keys.get("datatype", "").lower())
    if code is None:
        raise FormatError(
            f"the data type is {keys.get('datatype', '')[:30]!r}", where=where, expected="such as SignedInteger"
        )
    order = keys.get("byteorder", "LowByteFirst").lower()
    if order not in ("lowbytefirst", "highbytefirst"):
        raise FormatError(f"the byte order is {order[:30]!r}", where=where, expected="LowByteFirst or HighByteFirst")
    dtype = np.dtype((">" if order[0] == "h" else "<") + code)
    columns, rows, frames = (whole(keys.get(f"dim_{i}", "1"), f"Dim_{i}", where) for i in (1, 2, 3))
    shape = checked_shape(rows, columns, dtype.itemsize, where)
    if not 1 <= frames <= MOST_FRAMES or int(keys.get("dim_4", "1") != "1"):
        raise FormatError(f"the header declares {frames} frames", where=where, expected="1 to 1,000,000")
    for i in range(frames):
        at = start + i * rows * columns * dtype.itemsize
        yield Layout(offset=at, shape=shape, dtype=dtype, kind="edf", pairs=pairs)
