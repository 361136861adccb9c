"""One memory layout for everyone: results change with layout, so every role sees the same one.

C-contiguous, native-endian, 64-byte-aligned and read-only (a BLAS or SIMD kernel may sum in another order elsewhere).
"""

import math

import numpy as np

ALIGNMENT = 64


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised, writable array whose first byte is 64-byte-aligned."""
    nbytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes].view(dtype).reshape(shape)


def is_aligned(array: np.ndarray) -> bool:
    """True where `aligned` would return the array itself."""
    return (
        array.flags.c_contiguous
        and not array.flags.writeable
        and array.dtype.isnative
        and array.ctypes.data % ALIGNMENT == 0
    )


def aligned(array: np.ndarray) -> np.ndarray:
    """The same values in the one layout; a copy unless `array` already has it.

    >>> a = aligned(np.arange(6.0).reshape(2, 3).T)
    >>> a.flags.c_contiguous, a.flags.writeable, a.ctypes.data % 64
    (True, False, 0)
    """
    if is_aligned(array):
        return array
    out = empty(array.shape, array.dtype.newbyteorder("="))
    out[...] = array
    if isinstance(out.base, np.ndarray):
        out.base.flags.writeable = False  # nobody can write to it any more: it may be shared
    out.flags.writeable = False
    return out


def owned(array: np.ndarray) -> np.ndarray:
    """A copy in the one layout, whoever may write to `array`."""
    return aligned(array.copy() if is_aligned(array) else array)
