"""Frequency sweeps from archives of arrays that numpy saved (.npz).

An array of frequencies (`f_Hz`, `freq`, ...) and arrays as long, real or complex, are sweeps. Of a table (frequency,
amplitude), each column is one, and `B_T` or the like tells the amplitude. Nothing is unpickled.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from insitu.errors import FormatError
from insitu.readers.sweep_names import ABOUT, FEWEST, NAMES, Column, Sweep, in_si, known, sweep_of

LARGEST = 1_000_000_000
MOST_SWEEPS = 100_000


def from_archive(data: bytes, name: str) -> list[Sweep]:
    """The sweeps of a .npz file. Raises `FormatError` naming it."""
    arrays = _arrays(data, name)
    axes = {key: a for key, a in arrays.items() if a.ndim == 1 and known(key)[0].startswith("f") and _rises(a)}
    if not axes:
        raise FormatError(
            f"no array is a frequency: {', '.join(arrays)}", where=name, expected="an increasing array such as f_Hz"
        )
    out: list[Sweep] = []
    for key, array in arrays.items():
        own = _own(key)
        if key in axes or own in ABOUT or array.ndim not in (1, 2) or own.startswith("mu_imag"):
            continue
        axis = _axis_of(key, array, axes)
        if axis is not None:
            out += _of_array(key, own, array, axis, arrays, axes[axis], name)
    if len(out) > MOST_SWEEPS:
        raise FormatError(f"{len(out)} sweeps in one file", where=name, expected=f"at most {MOST_SWEEPS}")
    return out


def _arrays(data: bytes, name: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            if sum(info.file_size for info in archive.zip.infolist()) > LARGEST:
                raise FormatError("the arrays are larger than any sweep", where=name, expected="less than 1 GB")
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"the archive cannot be read: {error}", where=name, remedy="Export the file again") from error
    return {key: a for key, a in arrays.items() if a.dtype.kind in "fiuc"}


def _rises(array: np.ndarray) -> bool:
    return array.size >= FEWEST and array.dtype.kind != "c" and bool(array[0] > 0) and bool(np.all(np.diff(array) > 0))


def _own(key: str) -> str:
    """The own name of an array: words such as `small` or `large` behind it do not count."""
    own = known(key)[0]
    if own in NAMES:
        return own
    for cut in range(key.count("_"), 0, -1):
        own = known("_".join(key.split("_")[:cut]))[0]
        if own in NAMES:
            return own
    return known(key)[0]


def _axis_of(key: str, array: np.ndarray, axes: dict[str, np.ndarray]) -> str | None:
    """The frequencies that belong to an array: as long as one side of it, and of the most alike name."""
    words = set(key.lower().split("_"))
    fits = [axis for axis, f in axes.items() if f.size in array.shape]
    return max(fits, key=lambda axis: len(words & set(axis.lower().split("_"))), default=None)


def _of_array(
    key: str, own: str, array: np.ndarray, axis: str, arrays: dict[str, np.ndarray], f: np.ndarray, name: str
) -> list[Sweep]:
    """The sweeps of one array, or of a real array and the imaginary one beside it."""
    upright = array.ndim == 1 or array.shape[0] == f.size
    table: NDArray[np.complex128] = np.asarray(array if upright else array.T, np.complex128).reshape(f.size, -1)
    frequencies = Column("frequency", known(axis)[1], np.asarray(f, np.float64))
    imaginary = None
    if array.dtype.kind == "c":
        imaginary = -table.imag if np.nanmedian(table.imag) <= 0.0 else table.imag
    elif own == "mu_real":
        beside = [k for k, a in arrays.items() if _own(k) == "mu_imag" and a.shape == array.shape]
        if beside:
            other = arrays[beside[0]]
            imaginary = np.asarray(other if upright else other.T, np.float64).reshape(table.shape)
    names = ("mu_real", "mu_imag") if own == "mu_real" else ("z_real", "z_imag") if own == "z" else (own, f"{own}_imag")
    beside_all = {_own(k): a for k, a in arrays.items() if _own(k) in ABOUT}
    out = []
    for j in range(table.shape[1]):
        parts = [table.real[:, j]] if imaginary is None else [table.real[:, j], imaginary[:, j]]
        labels = names if imaginary is not None else (own,)
        columns = [Column(n, known(key)[1], np.asarray(p, np.float64)) for n, p in zip(labels, parts, strict=True)]
        if np.count_nonzero(np.all(np.isfinite(parts), axis=0)) < FEWEST:
            continue
        columns += [c for what, a in beside_all.items() if (c := _about(what, a, array, j, f.size)) is not None]
        si = in_si(frequencies, name)
        out.append(sweep_of(si, [frequencies, *columns], name))
    return out


def _about(what: str, array: np.ndarray, beside: np.ndarray, j: int, n: int) -> Column | None:
    """What holds for sweep j of a table: a column of an array of the same shape, or an element of one as long."""
    if array.shape == beside.shape and array.ndim == 2:
        return Column(what, "", np.asarray(array[:, j] if array.shape[0] == n else array[j], np.float64))
    if (
        array.ndim == 1
        and beside.ndim == 2
        and array.size == (beside.shape[1] if beside.shape[0] == n else beside.shape[0])
    ):
        return Column(what, "", np.full(n, float(array[j])))
    return None
