"""Frames out of the chunks of an HDF5 dataset, with bounded memory, and no chunk that unpacks into more than it may.

HDF5 and its codecs believe what a chunk declares: a few bytes can ask for terabytes. Before a chunk is unpacked, the
size that it declares is compared with that of the dataset's chunks. Deflate declares none; it is unpacked for trial,
piece by piece, where it could become too large (at most 1032 times its size: P. Deutsch, RFC 1951).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from insitu.errors import FormatError
from insitu.maths.aligned import empty

CHUNK = 1024 * 1024 * 1024
"""Bytes of one chunk that are believed."""
DEFLATE_RATIO = 1032
_DEFLATE, _SHUFFLE, _FLETCHER, _SZIP = 1, 2, 3, 4
_BLOSC, _LZ4, _BITSHUFFLE, _ZSTD = 32001, 32004, 32008, 32015
_BROKEN = "Copy the file again, or measure it again"

Frame = Callable[[tuple[int, ...]], np.ndarray]


def chunked(item: Any, where: str) -> Frame:
    """A function that reads the frame at a place `(k, ...)` of a dataset `(n, ..., y, x)`: native, C-order, aligned.

    Where a chunk holds several frames they are read together and kept until the next chunk's turn.
    """
    shape, dtype = item.shape[-2:], item.dtype.newbyteorder("=")
    chunks = item.chunks
    if chunks is not None:
        nbytes = int(np.prod(chunks, dtype=object)) * dtype.itemsize
        if nbytes > CHUNK:
            raise FormatError(
                f"the chunks {chunks} have {nbytes >> 20} MiB",
                where=where,
                expected="at most 1 GiB",
                remedy="Write the file again with one frame a chunk",
            )
    depth = chunks[-3] if chunks is not None and len(chunks) >= 3 else 1
    if depth == 1 or depth * shape[0] * shape[1] * dtype.itemsize > CHUNK:

        def one(place: tuple[int, ...]) -> np.ndarray:
            data = empty(shape, dtype)
            item.read_direct(data, source_sel=(*place, slice(None), slice(None)))
            return data

        return one
    kept: dict[tuple[int, ...], np.ndarray] = {}

    def several(place: tuple[int, ...]) -> np.ndarray:
        key = (*place[:-1], place[-1] // depth)
        if key not in kept:
            kept.clear()
            last = min(item.shape[-3], (key[-1] + 1) * depth)
            kept[key] = item[(*place[:-1], slice(key[-1] * depth, last))]
        data = empty(shape, dtype)
        data[...] = kept[key][place[-1] - key[-1] * depth]
        return data

    return several


def check_chunk(item: Any, place: tuple[int, ...], where: str) -> bool:
    """Whether the chunks of a frame are there. Raises `FormatError` for one that would unpack into too much.

    Only the first chunk of a frame is looked at where a frame has many (over 64): tiles are written together.
    """
    if item.is_virtual:
        return True
    if item.chunks is None:
        return item.id.get_offset() is not None or item.external is not None or _compact(item)
    steps = [range(0, edge, chunk) for edge, chunk in zip(item.shape[-2:], item.chunks[-2:], strict=True)]
    lead = tuple(i - i % c for i, c in zip(place, item.chunks, strict=False))
    corners = [(*lead, y, x) for y in steps[0] for x in steps[1]]
    if len(corners) > 64:
        corners = corners[:1]
    return all(chunk_is_whole(item, corner, where) for corner in corners)


def _compact(item: Any) -> bool:
    import h5py

    return item.id.get_create_plist().get_layout() == h5py.h5d.COMPACT


def chunk_is_whole(item: Any, corner: tuple[int, ...], where: str) -> bool:
    """Whether the chunk of a dataset at `corner` is there; `FormatError` where its bytes cannot be what they say."""
    info = item.id.get_chunk_info_by_coord(corner)
    if info is None or info.byte_offset is None or info.size == 0:
        return False
    plist = item.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    filters = [f for i, f in enumerate(filters) if not info.filter_mask & (1 << i)]
    packing = [f for f in filters if f not in (_SHUFFLE, _FLETCHER)]
    size = int(np.prod(item.chunks, dtype=np.int64)) * item.dtype.itemsize
    if not packing:
        return True
    if len(packing) > 1:
        raise FormatError(f"the chunks are packed {len(packing)} times", where=where, remedy="Write it with one codec")
    stored = info.size
    if packing[0] == _DEFLATE and stored * DEFLATE_RATIO <= CHUNK:
        return True
    if packing[0] in (_DEFLATE, _BLOSC, _LZ4, _BITSHUFFLE, _ZSTD):
        _, raw = item.id.read_direct_chunk(corner)
        declared = _declared(packing[0], raw, size)
        if declared > size + 64:
            raise FormatError(
                f"a chunk declares {declared} bytes", where=where, expected=f"{size} bytes", remedy=_BROKEN
            )
    return True


def _declared(codec: int, raw: bytes, size: int) -> int:
    """Bytes that a packed chunk says it unpacks into."""
    if codec == _DEFLATE:
        unpack, total = zlib.decompressobj(), 0
        data = raw
        while data and total <= size + 64:
            total += len(unpack.decompress(data, 1 << 20))
            data = unpack.unconsumed_tail
        return total
    if codec in (_LZ4, _BITSHUFFLE):
        return struct.unpack(">Q", raw[:8])[0] if len(raw) >= 12 else 2**62
    if codec == _BLOSC:
        return struct.unpack("<I", raw[4:8])[0] if len(raw) >= 16 else 2**62
    return _zstd_size(raw, size)


def _zstd_size(raw: bytes, size: int) -> int:
    """The content size in a zstd frame header (RFC 8878); `size` where it has none: then hdf5plugin does not unpack."""
    if raw[:4] != b"\x28\xb5\x2f\xfd" or len(raw) < 18:
        return size
    flags = raw[4]
    at = 5 + (0 if flags & 0x20 else 1) + (0, 1, 2, 4)[flags & 3]
    kind = flags >> 6
    if kind == 0:
        return raw[at] if flags & 0x20 else size
    width = (0, 2, 4, 8)[kind]
    return int.from_bytes(raw[at : at + width], "little") + (256 if width == 2 else 0)
