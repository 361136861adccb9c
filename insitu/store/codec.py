"""One frame to the bytes of one Zarr chunk and back: bytes, blosc, crc32c.

crc32c is there because 95 in 100 flipped bits in a blosc chunk decode silently to wrong data.
"""

from typing import Any, Literal

import google_crc32c
import numcodecs.blosc as blosc
import numpy as np

from insitu.errors import StorageError
from insitu.maths.aligned import empty
from insitu.store.canonical import little

Codec = Literal["fast", "small"]

_SETTINGS: dict[Codec, tuple[str, int, int]] = {"fast": ("lz4", 5, 0), "small": ("zstd", 1, 262144)}
LARGEST = 2**31 - 1 - 16
"""blosc holds at most 2 GiB less its header in one chunk."""


def _own_threads() -> None:
    blosc.use_threads = False  # parallelism is frames over threads of ours; blosc's global pool would serialise them


_own_threads()


def chunk_codecs(dtype: np.dtype, codec: Codec) -> list[dict[str, Any]]:
    """The `codecs` of an inner chunk as Zarr v3 metadata."""
    cname, level, blocksize = _SETTINGS[codec]
    return [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {
            "name": "blosc",
            "configuration": {
                "cname": cname,
                "clevel": level,
                "shuffle": "shuffle" if dtype.itemsize > 1 else "noshuffle",
                "typesize": dtype.itemsize,
                "blocksize": blocksize,
            },
        },
        {"name": "crc32c"},
    ]


def encode(array: np.ndarray, codec: Codec) -> tuple[bytes, bytes]:
    """The bytes of a chunk, and the four bytes of its checksum. Any thread; the GIL is released in the long parts."""
    cname, level, blocksize = _SETTINGS[codec]
    if array.nbytes > LARGEST:
        raise StorageError(
            f"a frame of {array.nbytes} bytes does not fit into one chunk",
            expected=f"at most {LARGEST} bytes",
            remedy="Split the detector into modules, one source each",
        )
    shuffle = blosc.SHUFFLE if array.dtype.itemsize > 1 else blosc.NOSHUFFLE
    data = bytes(blosc.compress(little(array), cname.encode(), level, shuffle, blocksize))
    return data, google_crc32c.value(data).to_bytes(4, "little")


def decode(chunk: bytes, shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    """The frame in a chunk, read-only and aligned. Raises `StorageError` naming `where` if one bit differs."""
    data = chunk[:-4]
    if len(chunk) < 20 or google_crc32c.value(data) != int.from_bytes(chunk[-4:], "little"):
        raise StorageError("the stored bytes do not have their checksum", where=where, remedy=DAMAGED)
    out = empty(shape, dtype.newbyteorder("<"))
    size = int.from_bytes(data[4:8], "little")  # blosc header: decoded size
    if size != out.nbytes:
        raise StorageError(f"the chunk holds {size} bytes, not {out.nbytes}", where=where, remedy=DAMAGED)
    if out.nbytes:
        blosc.decompress(data, out)
    if isinstance(out.base, np.ndarray):
        out.base.flags.writeable = False  # nobody can write to it any more: it may be shared
    out.flags.writeable = False
    return out


DAMAGED = "The disk or a copy damaged it: restore this file from a backup, `insitu verify` tells which are affected"
