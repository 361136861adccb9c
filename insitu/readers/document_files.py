"""Frames of documents that lie in files with a frame each, or a few: TIFF, JPEG, .npy and HDF5 of area detectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import FormatError, MissingExtraError
from insitu.readers.document_assets import NEXUS, NotYetError, fitting, h5py
from insitu.readers.document_layout import Part, is_burst

PLACE = re.compile(r"%[-+#0 ]*\d*(?:\.\d+)?([a-zA-Z])")


class Files:
    """Files beside each other, named by a template: `%s%s_%6.6d.tiff` (areaDetector: folder, name, number), also with
    one text or none; `{:06d}.tif` (ophyd-async); or one TIFF file with many pages."""

    def __init__(self, path: Path, parameters: Mapping[str, Any], kind: str) -> None:
        self.path, self.kind = path, kind
        self.template = str(parameters.get("template") or ("_%d.npy" if kind == "npy" else "{:06d}.tif"))
        self.name = str(parameters.get("filename") or "")
        self.dataset = str(parameters.get("dataset") or NEXUS)

    def frames(self, index: int, part: Part) -> np.ndarray:
        count = 1 if part.stacked else max(1, part.each // part.per_file)
        if self.path.suffix.lower() in (".tif", ".tiff") and self.kind == "tiff":
            found = [self._read(self.path, k) for k in range(index * part.each, (index + 1) * part.each)]
        else:
            found = [self._read(self.file(k), None) for k in range(index * count, (index + 1) * count)]
        return fitting(np.concatenate([self._several(one, part) for one in found]), part, self.path)

    def close(self) -> None:
        """Nothing is held."""

    def _several(self, one: np.ndarray, part: Part) -> np.ndarray:
        """`(frames, ...)` of a file."""
        many = one.ndim > part.rank if part.rank else part.each > 1 and is_burst(one.shape)
        colour = part.rank == 2 and one.ndim == 3 and not is_burst(one.shape)
        return one if many and not colour else one[np.newaxis]

    def _read(self, path: Path, page: int | None) -> np.ndarray:
        try:
            return np.asarray(READ[self.kind](path, page, self.dataset))
        except MissingExtraError:
            raise
        except Exception as e:  # every library has errors of its own, also for files that are not finished
            raise NotYetError(f"{path}: {e}") from e

    def file(self, index: int) -> Path:
        """The file of a number."""
        try:
            return self._file(index)
        except (TypeError, ValueError, IndexError, KeyError) as e:
            raise FormatError(
                f"the template {self.template!r} gives no name of a file: {e}",
                where=str(self.path),
                expected="such as %s%s_%6.6d.tiff or {:06d}.tiff",
            ) from e

    def _file(self, index: int) -> Path:
        if self.kind == "npy":  # what it points at is the beginning of the names
            return Path(f"{self.path}_{index}.npy")
        texts = [kind for kind in PLACE.findall(self.template) if kind == "s"]
        if not PLACE.search(self.template):
            return self.path / self.template.format(index)
        given = {0: (), 1: (self.name,), 2: (f"{self.path}/", self.name)}[len(texts)]
        named = Path(self.template % (*given, index))
        return named if len(texts) == 2 else self.path / named


def _tiff(path: Path, page: int | None, _: str) -> Any:
    try:
        import tifffile
    except ImportError as e:
        raise MissingExtraError("tifffile", "video", purpose="A document that points at TIFF files") from e
    return tifffile.imread(path) if page is None else tifffile.imread(path, key=page)


def _jpeg(path: Path, _: int | None, __: str) -> Any:
    try:
        from PIL import Image
    except ImportError as e:
        raise MissingExtraError("pillow", "epics", purpose="A document that points at JPEG files") from e
    with Image.open(path, formats=["JPEG"]) as image:
        return np.asarray(image)


def _npy(path: Path, _: int | None, __: str) -> Any:
    return np.load(path, allow_pickle=False)


def _hdf5(path: Path, _: int | None, dataset: str) -> Any:
    with h5py().File(path, "r") as file:
        return file[dataset][()]


READ: Mapping[str, Callable[[Path, int | None, str], Any]] = {
    "tiff": _tiff, "jpeg": _jpeg, "npy": _npy, "hdf5": _hdf5,
}  # fmt: skip
"""By what the kind of a resource says."""
