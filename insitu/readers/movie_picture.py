"""Single pictures: PNG, JPEG and BMP, checked as a whole before they are decoded.

The library that decodes fills what is missing of a cut file with grey, and believes the sizes in headers. So the
checksums of a PNG and the end of a JPEG are looked at first, and sizes are compared with what is there.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from insitu.errors import FormatError
from insitu.readers.image_layout import BROKEN
from insitu.readers.movie_frame import checked_size, guarded, imported
from insitu.readers.pattern import Truncated

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
BMP = b"BM"
_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_DEFLATE = 1040
"""The most that deflate can gain (about 1032 : 1)."""


def looks_like(head: bytes) -> bool:
    """Whether a file begins as one of these."""
    return head.startswith((PNG, JPEG)) or (head.startswith(BMP) and len(head) > 18 and head[6:10] == b"\0\0\0\0")


def check(data: bytes, where: str) -> None:
    """Refuse a picture that is cut (`Truncated`) or whose header lies (`FormatError`)."""
    if data.startswith(PNG):
        _check_png(data, where)
    elif data.startswith(JPEG):
        _check_jpeg(data, where)
    else:
        _check_bmp(data, where)


def decode(data: bytes, where: str) -> np.ndarray:
    """Pixels `(y, x)` or `(y, x, channel)`, red first, of the bytes of a file."""
    check(data, where)
    cv2 = imported("cv2", "opencv-python-headless")
    with guarded(where):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.size == 0 or pixels.dtype.kind not in "iuf":
        raise FormatError("the picture cannot be decoded", where=where, remedy=BROKEN)
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return pixels


def _check_png(data: bytes, where: str) -> None:
    at, ended, packed = len(PNG), False, 0
    width = height = depth = samples = 0
    while not ended:
        if at + 12 > len(data):
            raise Truncated("the file ends before its last chunk", where=where, remedy=BROKEN)
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise Truncated(f"the file ends within the chunk at byte {at}", where=where, remedy=BROKEN)
        body = memoryview(data)[at + 4 : at + 8 + length]
        if zlib.crc32(body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise FormatError(f"the chunk at byte {at} has a wrong checksum", where=where, remedy=BROKEN)
        if kind == b"IHDR" and length >= 13:
            width, height, depth, colour = struct.unpack_from(">IIBB", data, at + 8)
            samples = _SAMPLES.get(colour, 4)
        packed += length if kind == b"IDAT" else 0
        ended = kind == b"IEND"
        at += 12 + length
    checked_size(height, width, samples * max(depth, 8) / 8.0, packed, _DEFLATE * 8, where)


def _check_jpeg(data: bytes, where: str) -> None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            raise FormatError(f"there is no marker at byte {at}", where=where, remedy=BROKEN)
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, samples = struct.unpack_from(">HHB", data, at + 5)
            # one block of 8 x 8 pixels takes at least a few bits, progressive ones less
            checked_size(height, width, max(samples, 1), len(data), 4000, where)
            break
        at += 2 + length
    else:
        raise Truncated("the file ends within its header", where=where, remedy=BROKEN)
    if b"\xff\xd9" not in data[-4096:]:
        raise Truncated("the file ends before the end of the picture", where=where, remedy=BROKEN)


def _check_bmp(data: bytes, where: str) -> None:
    if len(data) < 30:
        raise Truncated("the file ends within its header", where=where, remedy=BROKEN)
    (offset,) = struct.unpack_from("<I", data, 10)
    width, height, _, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    checked_size(abs(height), abs(width), max(bits, 8) / 8.0, len(data), 1 if packing == 0 else 300, where)
    if packing == 0 and offset + (abs(width) * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise Truncated("the file ends before the picture does", where=where, remedy=BROKEN)
