"""Array features on disk: `derived.zarr/<source>/<key>`, one row per frame. A cache: never synced on its own, cut away
by recovery, and made again by `measure`.

Rows are `seq`, so that row k belongs to frame k of the source. The first array of a key fixes shape, dtype and axes;
one of another kind is left out and said once (its digest is in the record all the same).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from insitu.maths.aligned import aligned
from insitu.store.codec import encode
from insitu.store.columns import write_whole
from insitu.store.files import Disk
from insitu.store.frames import ArraySpec, FrameArray, frames_per_shard
from insitu.store.segments import group_metadata, unit_attributes
from insitu.types import KEY, ArrayFeature


class Derived:
    """The arrays of one run, opened when the first of a key comes."""

    def __init__(self, root: Path, disk: Disk, say: Callable[[str], None], attributes: Mapping[str, Any]) -> None:
        self.root, self.disk, self._say, self._attributes = root, disk, say, dict(attributes)
        self._arrays: dict[tuple[str, str], FrameArray] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self._told: set[tuple[str, str]] = set()

    def add(self, source: str, seq: int, arrays: Mapping[str, ArrayFeature]) -> None:
        """The array features of one frame."""
        for key, feature in arrays.items():
            at = (source, key)
            values = aligned(np.asarray(feature.values))
            array = self._arrays.get(at) or self._open(at, feature, values)
            if array is None:
                continue
            if array.spec.item != values.shape or array.spec.dtype != values.dtype:
                if at not in self._told:
                    self._told.add(at)
                    kept = f"{list(array.spec.item)} {array.spec.dtype}"
                    self._say(f"{source}/{seq}: {key} is {list(values.shape)} {values.dtype}, kept are those of {kept}")
                continue
            array.append(seq, encode(values, "fast"))
            self._rows[at] = max(self._rows[at], seq + 1)

    def publish(self, *, durable: bool = False) -> None:
        """Bring the views up to date."""
        for at, array in self._arrays.items():
            array.publish(self._rows[at], durable=durable)

    def close(self) -> None:
        for at, array in self._arrays.items():
            array.close(self._rows[at])
        self._arrays.clear()

    def _open(self, at: tuple[str, str], feature: ArrayFeature, values: np.ndarray) -> FrameArray | None:
        """The array of a key; None where it cannot be kept: a cache must not stop the store."""
        source, key = at
        names = (*feature.dims, *feature.axes)
        if not values.size or not all(KEY.fullmatch(name) for name in names):
            if at not in self._told:
                self._told.add(at)
                self._say(f"{key} of {source} is not kept: shape {list(values.shape)}, names {sorted({*names})}")
            return None
        group = self.root / source
        if not (group / "zarr.json").exists():
            self.disk.make_folders(group)
            self.disk.write_file(self.root / "zarr.json", group_metadata(self._attributes))
            self.disk.write_file(group / "zarr.json", group_metadata({"source": source}))
        # an axis carries the name of its key: two keys may have axes of one name and of different lengths
        dims = tuple(f"{key}_{d}" if d in feature.axes else d for d in feature.dims)
        for name, axis in feature.axes.items():
            full = f"{key}_{name}"
            write_whole(group / full, axis.values, (full,), unit_attributes(axis.unit), self.disk)
        spec = ArraySpec(
            item=values.shape,
            dtype=values.dtype,
            dims=dims,
            per_shard=frames_per_shard(values.nbytes),
            attributes=unit_attributes(feature.unit) | {"source": source},
        )
        self._rows[at] = 0
        array = self._arrays[at] = FrameArray(group / key, spec, self.disk)
        return array
