"""Frames that documents only point at, as one array: HDF5, Zarr or .npy beside the instrument.

An asset gives the frames of an index. A file that is still being written may not have them yet: `NotYetError`, and the
caller tries again. `document_files` has files with a frame each, `document_opening` finds the asset of a document.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from insitu.errors import FormatError, MissingExtraError
from insitu.readers.document_layout import Part, is_colour

NEXUS = "/entry/data/data"


class NotYetError(Exception):
    """The frames are not there yet, and may come."""


class Asset(Protocol):
    """`frames`: those of an index, `(frames, ...)`."""

    def frames(self, index: int, part: Part) -> np.ndarray: ...

    def close(self) -> None: ...


class Rows(ABC):
    """Frames along the first dimension of one array."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def array(self) -> Any:
        """The array as it is now, with `shape` and slices. Any exception: it is not there yet."""

    def frames(self, index: int, part: Part) -> np.ndarray:
        try:
            array = self.array()
            shape = tuple(array.shape)
        except MissingExtraError:
            raise
        except Exception as e:  # every library has errors of its own, also for files that are not finished
            self.close()
            raise NotYetError(f"{self.path}: {e}") from e
        if not shape:
            raise FormatError("it is one number and no array", where=str(self.path))
        first, last = _span(len(shape), index, part)
        if shape[0] < last:
            self.close()  # a writer that tells nobody: look again with a fresh handle
            raise NotYetError(f"{self.path} holds {shape[0]} of {last} rows")
        try:
            found = np.asarray(array[first:last])
        except Exception as e:
            self.close()
            raise NotYetError(f"{self.path}: {type(e).__name__}: {e}") from e
        if len(shape) == part.rank:
            found = found[np.newaxis]
        elif last - first < part.each:
            found = found[0]
        return fitting(found, part, self.path)

    def close(self) -> None:  # noqa: B027 - most hold none
        """No handle is held any more."""


def _span(ndim: int, index: int, part: Part) -> tuple[int, int]:
    """The rows of an index."""
    if ndim == part.rank:  # frames stand one below the other, as one long one
        return index * part.rows, (index + 1) * part.rows
    stacked = part.stacked if part.stacked is not None else part.rank is not None and ndim > part.rank + 1
    each = 1 if stacked else part.each
    return index * each, (index + 1) * each


def fitting(found: np.ndarray, part: Part, path: Path) -> np.ndarray:
    """Frames `(frames, ...)` as they were described; `FormatError` where they are something else."""
    while part.rank is not None and found.ndim > part.rank + 1 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape[0] != part.each:
        raise FormatError(
            f"it has {found.shape[0]} frames for one index", where=str(path), expected=f"{part.each}, as described"
        )
    if part.rank is not None and found.ndim != part.rank + 1 and not is_colour(found.shape[1:]):
        raise FormatError(
            f"a frame in it has the shape {list(found.shape[1:])}",
            where=str(path),
            expected=f"{part.rank} dimensions, as its data key says",
            remedy="Correct shape, chunk_shape or join_method of the documents, or name the dims in the detector file",
        )
    return found


class Hdf5(Rows):
    """A dataset of an HDF5 file that may still be written."""

    def __init__(self, path: Path, dataset: str) -> None:
        super().__init__(path)
        self.dataset = dataset
        self._file: Any = None

    def array(self) -> Any:
        if self._file is None:
            self._file = h5py().File(self.path, "r", libver="latest", swmr=True)
        array = self._file[self.dataset]
        array.id.refresh()
        return array

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(Exception):  # a file that was cut off behind our back
                file.close()


class Zarr(Rows):
    """A Zarr array, or one in a group."""

    def __init__(self, path: Path, dataset: str) -> None:
        super().__init__(path / dataset.strip("/") if dataset else path)

    def array(self) -> Any:
        import zarr

        return zarr.open_array(self.path, mode="r")


class Npy(Rows):
    """One `.npy` file."""

    def array(self) -> Any:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)


def h5py() -> Any:
    """The library, with the codecs of area detectors."""
    try:
        import h5py
    except ImportError as e:
        raise MissingExtraError("h5py", "xrd", purpose="A document that points at HDF5") from e
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401
    return h5py
