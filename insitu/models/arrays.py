"""Arrays of a bundle as plain npz: sizes are known and bounded before anything is unpacked, and no object is made.

An npz is a zip of npy files (NEP 1). Read here are only little-endian numbers in C order, as `numpy.savez` writes them.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod

import numpy as np

from insitu.errors import ModelError

LARGEST = 128 * 1024 * 1024
"""Bytes of all arrays of one file, unpacked."""
_HEADER = re.compile(
    r"\{'descr': '([<|][fiu][1248])', 'fortran_order': False, 'shape': \(((?:\d{1,9}, ?)*(?:\d{1,9})?),?\), \} *\n"
)
_DTYPES = {"<f4", "<f8", "|u1", "|i1", "<i4", "<i8"}


def read_arrays(data: bytes, where: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of an npz, exactly those of `names`, read-only. Raises `ModelError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sorted(e.filename for e in entries) != sorted(f"{name}.npy" for name in names):
                raise _bad(where, "other arrays than expected", expected=", ".join(names))
            if sum(e.file_size for e in entries) > LARGEST:
                raise _bad(where, "arrays that unpack to too many bytes", expected=f"at most {LARGEST:,}")
            return {e.filename.removesuffix(".npy"): _array(archive, e, where) for e in entries}
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OSError) as e:
        raise _bad(where, f"this is no npz: {e}") from e
    except (ValueError, OverflowError) as e:
        if isinstance(e, ModelError):
            raise
        raise _bad(where, f"this is no npz: {e}") from e


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray:
    name = entry.filename
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise _bad(where, f"{name} is packed in another way", expected="stored or deflated")
    with archive.open(entry) as f:  # gives file_size bytes at most, and checks their CRC
        raw = f.read(entry.file_size + 1)
    if len(raw) != entry.file_size or raw[:8] != b"\x93NUMPY\x01\x00":
        raise _bad(where, f"{name} is no npy file of version 1.0, or has another size than it says")
    (length,) = struct.unpack("<H", raw[8:10])
    found = _HEADER.fullmatch(raw[10 : 10 + length].decode("latin-1"))
    if not found or found[1] not in _DTYPES:
        raise _bad(where, f"the header of {name}", expected="numbers of 1, 4 or 8 bytes in C order")
    dtype, shape = np.dtype(found[1]), tuple(int(n) for n in found[2].replace(" ", "").split(",") if n)
    body = memoryview(raw)[10 + length :]
    if prod(shape) * dtype.itemsize != len(body):
        raise _bad(where, f"{name} says {list(shape)} of {dtype}, and has {len(body):,} bytes")
    return np.frombuffer(body, dtype).reshape(shape)


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz, packed, with the same bytes for the same arrays.

    >>> read_arrays(write_arrays({"x": np.arange(3.0)}), "x.npz", ("x",))["x"]
    array([0., 1., 2.])
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            if array.dtype.newbyteorder("<").str not in _DTYPES:
                raise _bad(name, f"an array of {array.dtype}", expected="float32, float64, uint8, int8, int32 or int64")
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _bad(where: str, what: str, expected: str = "") -> ModelError:
    return ModelError(what, where=where, expected=expected, remedy="Write the bundle again")
