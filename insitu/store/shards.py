"""Shard files that are open for reading: one array of one frame out of them, checked."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from insitu.errors import StorageError
from insitu.store.codec import DAMAGED, decode
from insitu.store.files import storage_error
from insitu.store.frames import ArraySpec
from insitu.store.ledger import PlaceRow

OPEN_FILES = 16


class Shards:
    """`path`: the shard file that a place is in. It is asked for only where the file is not open yet."""

    def __init__(self, path: Callable[[PlaceRow], Path]) -> None:
        self._path = path
        self._files: dict[tuple[str, int, str, int], tuple[int, Path]] = {}

    def read(self, p: PlaceRow, spec: ArraySpec) -> np.ndarray:
        """One array of one frame, read-only and aligned. Raises `StorageError` naming file and frame."""
        fd, path = self._open(p)
        where = f"{path}: frame {p.source}/{p.seq} ({p.array})"
        try:
            data = os.pread(fd, p.nbytes, p.offset)
        except OSError as e:
            raise storage_error(e, path, "read") from e
        if len(data) != p.nbytes:
            raise StorageError("the file ends inside this frame", where=where, remedy=DAMAGED)
        return decode(data, spec.item, spec.dtype, where)

    def close(self) -> None:
        for fd, _ in self._files.values():
            os.close(fd)
        self._files.clear()

    def _open(self, p: PlaceRow) -> tuple[int, Path]:
        key = (p.source, p.segment, p.array, p.shard)
        found = self._files.get(key)
        if found is None:
            if len(self._files) >= OPEN_FILES:
                os.close(self._files.pop(next(iter(self._files)))[0])
            path = self._path(p)
            try:
                found = self._files[key] = (os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
            except OSError as e:
                raise storage_error(e, path, "read") from e
        return found
