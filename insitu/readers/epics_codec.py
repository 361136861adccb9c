"""Arrays that areaDetector has compressed (NTNDArray.codec), unpacked: lz4, bslz4, blosc, zlib, jpeg.

What a codec declares is checked before it is believed: a few bytes can ask for terabytes.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np

SCALARS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
"""Types by pvData's number, which `codec.parameters` holds."""
LARGEST = 1 << 30
KNOWN = ("none", "lz4", "bslz4", "blosc", "zlib", "jpeg")
_BLOCK_BYTES = 8192


def scalar_type(parameters: object) -> np.dtype:
    """The type of the elements before compression, from `codec.parameters`. `ValueError` where it names none."""
    if parameters is not None and not isinstance(parameters, (int, np.integer)):
        try:
            parameters = parameters["value"]  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            parameters = None
    if not isinstance(parameters, (int, np.integer)) or not 0 <= int(parameters) < len(SCALARS):
        raise ValueError(f"codec.parameters is {parameters!r}, which names no type of elements (0 to 10)")
    return np.dtype(SCALARS[int(parameters)])


def check_known(codec: str) -> None:
    """`ValueError` for a codec that is not known here."""
    if codec not in _CODECS:
        raise ValueError(f"its codec is {codec!r}, which is not known here: there are {', '.join(KNOWN)}")


def unpacked(packed: bytes, codec: str, dtype: np.dtype, count: int) -> np.ndarray:
    """`count` elements `(count,)` of `dtype`. `ValueError`: what is wrong, for people."""
    nbytes = count * dtype.itemsize
    if nbytes > LARGEST:
        raise ValueError(f"it would unpack into {nbytes} bytes: at most 1 GiB is believed")
    check_known(codec)
    try:
        raw = _CODECS[codec](packed, nbytes, dtype.itemsize)
    except ValueError:
        raise
    except Exception as e:  # every codec has errors of its own
        raise ValueError(f"{codec} cannot unpack it: {type(e).__name__}: {e}") from e
    if len(raw) != nbytes:
        raise ValueError(f"{codec} unpacked it into {len(raw)} bytes, its dimensions say {nbytes}")
    return np.frombuffer(raw, dtype)


def _lz4(packed: bytes, nbytes: int, _: int = 1) -> bytes:
    """One LZ4 block, without a head."""
    import numcodecs.lz4 as lz4

    try:
        return bytes(lz4.decompress(struct.pack("<I", nbytes) + packed))
    except RuntimeError as e:
        raise ValueError(f"lz4 cannot unpack it: {e}") from e


def _bslz4(packed: bytes, nbytes: int, itemsize: int) -> bytes:
    """Blocks of shuffled bits, each packed by LZ4 behind its packed size; up to seven elements at the end are plain."""
    from insitu.maths.bitshuffle import unshuffled

    plain = nbytes // itemsize % 8 * itemsize
    block = max(_BLOCK_BYTES // itemsize // 8 * 8, 128) * itemsize
    out, at, left = bytearray(), 0, nbytes - plain
    while left:
        size = min(block, left)
        if at + 4 > len(packed):
            raise ValueError(f"bslz4: it ends after {len(out)} of {nbytes} bytes")
        (length,) = struct.unpack_from(">I", packed, at)
        if at + 4 + length > len(packed):
            raise ValueError(f"bslz4: a block of {length} bytes reaches beyond its end")
        bits = _lz4(packed[at + 4 : at + 4 + length], size)
        if len(bits) != size:
            raise ValueError(f"bslz4: a block has {len(bits)} bytes, not {size}")
        out += unshuffled(np.frombuffer(bits, np.uint8), itemsize).tobytes()
        at, left = at + 4 + length, left - size
    return bytes(out + packed[at : at + plain])


def _blosc(packed: bytes, nbytes: int, _: int) -> bytes:
    import numcodecs.blosc as blosc

    if len(packed) < 16:
        raise ValueError("blosc: it is shorter than its head")
    declared, length = struct.unpack_from("<I4xI", packed, 4)
    if declared != nbytes:
        raise ValueError(f"blosc declares {declared} bytes, its dimensions say {nbytes}")
    if length > len(packed):
        raise ValueError(f"blosc: {length} bytes were packed, {len(packed)} came")
    return bytes(blosc.decompress(packed))


def _zlib(packed: bytes, nbytes: int, _: int) -> bytes:
    return zlib.decompressobj().decompress(packed, nbytes + 1)


def _jpeg(packed: bytes, nbytes: int, _: int) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(packed), formats=["JPEG"]) as image:
        pixels = image.size[0] * image.size[1] * len(image.getbands())
        if pixels != nbytes:
            raise ValueError(f"the jpeg has {pixels} values, its dimensions say {nbytes}")
        return image.tobytes()


_CODECS = {"lz4": _lz4, "bslz4": _bslz4, "blosc": _blosc, "zlib": _zlib, "jpeg": _jpeg}
