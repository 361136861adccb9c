"""Frames that documents only point at: arrays in HDF5, TIFF files, Zarr and .npy beside the instrument.

`open_asset` takes a `stream_resource` or a `resource`; the asset gives rows by number. A file that is still being
written may not have them yet: `NotYetError`, and the caller tries again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

import numpy as np

from insitu.errors import ConfigError, FormatError

NEXUS = "/entry/data/data"


class NotYetError(Exception):
    """The rows are not there yet, and may come."""


class Asset(Protocol):
    """Rows `first` up to `last` of an array, `(rows, ...)`."""

    def rows(self, first: int, last: int) -> np.ndarray: ...

    def close(self) -> None: ...


def open_asset(resource: Mapping[str, Any]) -> Asset:
    """What a `stream_resource` (mimetype, uri, parameters) or an older `resource` (spec, path, kwargs) points at.
    `FormatError` for a kind that is not known here or a place that is not on this machine."""
    parameters = dict(resource.get("parameters") or resource.get("resource_kwargs") or {})
    kind = str(resource.get("mimetype") or resource.get("spec") or "")
    path = _path(resource)
    if "hdf5" in kind or kind.startswith("AD_HDF5"):
        return _Hdf5(path, str(parameters.get("dataset") or parameters.get("path") or NEXUS))
    if "zarr" in kind:
        return _Zarr(path, str(parameters.get("dataset") or ""))
    if "tiff" in kind.lower():
        return _Files(path, parameters)
    if "npy" in kind.lower():
        return _Npy(path)
    raise FormatError(
        f"frames of the kind {kind!r} cannot be read",
        where=str(path),
        expected="application/x-hdf5, application/x-zarr, image/tiff, AD_HDF5, AD_TIFF or NPY_SEQ",
    )


def _path(resource: Mapping[str, Any]) -> Path:
    uri = resource.get("uri")
    if uri is None:
        return Path(str(resource.get("root", ""))) / str(resource.get("resource_path", "")).lstrip("/")
    parsed = urlparse(str(uri))
    if parsed.scheme not in ("file", "") or parsed.netloc not in ("", "localhost", "127.0.0.1", os.uname().nodename):
        raise FormatError("the frames are not on this machine", where=str(uri), expected="file://localhost/...")
    return Path(unquote(parsed.path))


class _Hdf5:
    def __init__(self, path: Path, dataset: str) -> None:
        try:
            import h5py

            with suppress(ImportError):
                import hdf5plugin  # noqa: F401  - codecs of area detectors
        except ImportError as e:
            raise ConfigError(
                "documents point at HDF5", where="data", expected="h5py", remedy="pip install 'insitu[xrd]'"
            ) from e
        self.path, self.dataset, self._h5py = path, dataset, h5py
        self._file: Any = None

    def rows(self, first: int, last: int) -> np.ndarray:
        try:
            if self._file is None:
                self._file = self._h5py.File(self.path, "r", libver="latest", swmr=True)
            array = self._file[self.dataset]
            array.id.refresh()
        except (OSError, KeyError, RuntimeError) as e:
            self.close()
            raise NotYetError(f"{self.path}: {e}") from e
        if len(array) < last:
            self.close()  # a writer without SWMR: look again with a fresh handle
            raise NotYetError(f"{self.path} holds {len(array)} of {last} frames")
        return np.asarray(array[first:last])

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


class _Zarr:
    def __init__(self, path: Path, dataset: str) -> None:
        self.path = path / dataset if dataset else path

    def rows(self, first: int, last: int) -> np.ndarray:
        import zarr

        try:
            array = zarr.open_array(self.path, mode="r")
        except Exception as e:
            raise NotYetError(f"{self.path}: {e}") from e
        if len(array.shape) == 0 or array.shape[0] < last:
            raise NotYetError(f"{self.path} holds {array.shape[0] if array.shape else 0} of {last} frames")
        try:
            return np.asarray(array[first:last])
        except Exception as e:
            raise NotYetError(f"{self.path}: {e}") from e

    def close(self) -> None:
        """Nothing is held."""


class _Npy:
    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, first: int, last: int) -> np.ndarray:
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as e:
            raise NotYetError(f"{self.path}: {e}") from e
        if len(array) < last:
            raise NotYetError(f"{self.path} holds {len(array)} of {last} frames")
        return np.array(array[first:last])

    def close(self) -> None:
        """Nothing is held."""


class _Files:
    """One file for each frame: a template (`%s%s_%6.6d.tiff` of areaDetector, `{:06d}.tif` of ophyd-async), numbers."""

    def __init__(self, path: Path, parameters: Mapping[str, Any]) -> None:
        self.folder, self.parameters = path, parameters

    def rows(self, first: int, last: int) -> np.ndarray:
        return np.stack([self._one(index) for index in range(first, last)])

    def _one(self, index: int) -> np.ndarray:
        try:
            import tifffile
        except ImportError as e:
            raise ConfigError(
                "documents point at TIFF files", where="data", expected="tifffile", remedy="pip install 'insitu[video]'"
            ) from e
        path = self.file(index)
        try:
            return np.asarray(tifffile.imread(path))
        except Exception as e:
            raise NotYetError(f"{path}: {e}") from e

    def file(self, index: int) -> Path:
        """The file of one frame."""
        template = str(self.parameters.get("template", "{:06d}.tif"))
        name = str(self.parameters.get("filename", ""))
        if self.folder.suffix.lower() in (".tif", ".tiff"):
            return self.folder
        if "%" in template:
            try:
                return Path(template % (f"{self.folder}/", name, index))
            except TypeError:
                return self.folder / (template % index)
        return self.folder / template.format(index)

    def close(self) -> None:
        """Nothing is held."""
