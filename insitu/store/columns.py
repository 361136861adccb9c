"""Per-frame columns (time, state, ...) as small Zarr arrays beside the frames: a view published from the ledger.

One value per row, raw little-endian chunks of 8192 rows; only the chunks that changed are rewritten.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from insitu.store.files import Disk

CHUNK = 8192
NAT = np.iinfo(np.int64).min
STATES = ("stored", "invalid", "dropped", "lost")
"""What `state` says of a row: 0 stored; the others have a fill row."""
LOST = 3


def plain_metadata(
    shape: tuple[int, ...],
    dtype: np.dtype,
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
    fill: float | int | str = 0,
    chunk: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """`zarr.json` of an uncompressed array; one chunk unless `chunk` says otherwise."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [max(1, c) for c in (chunk or shape)]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": dict(attributes),
        "dimension_names": list(dims),
    }


def write_whole(
    folder: Path,
    values: np.ndarray,
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
    disk: Disk,
    *,
    fill: float | int | str = 0,
) -> None:
    """A whole small array at once, durable: static axes and the columns of `records.zarr`."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    disk.make_folders(folder)
    if little.size:
        chunk = folder / "c" / "/".join(["0"] * little.ndim) if little.ndim else folder / "c"
        disk.make_folders(chunk.parent)
        disk.write_file(chunk, little.tobytes())
    metadata = plain_metadata(little.shape, little.dtype, dims, attributes, fill)
    disk.write_file(folder / "zarr.json", orjson.dumps(metadata, option=orjson.OPT_INDENT_2))


class Column:
    """One value per row of a segment. `put` in any order of rows; `publish` writes the chunks that changed."""

    def __init__(self, folder: Path, dtype: str, fill: int, attributes: Mapping[str, Any], disk: Disk) -> None:
        self.folder, self.dtype, self.fill, self.disk = folder, np.dtype(dtype), fill, disk
        self.attributes = dict(attributes)
        self._chunks: dict[int, np.ndarray] = {}
        self._published = -1
        self._unsynced: set[int] = set()

    def put(self, rows: np.ndarray, values: np.ndarray) -> set[int]:
        """Set `values` at `rows`; the numbers of the chunks that changed."""
        numbers = rows // CHUNK
        changed = set(np.unique(numbers).tolist())
        for number in changed:
            chunk = self._chunks.get(number)
            if chunk is None:
                chunk = self._chunks[number] = self._read(number)
            here = numbers == number
            chunk[rows[here] - number * CHUNK] = values[here]
        return changed

    def publish(self, rows: int, changed: set[int], *, durable: bool = False) -> None:
        """Bring the files up to date with `rows` rows."""
        if self._published < 0:
            self.disk.make_folders(self.folder / "c")
        for number in sorted(changed):
            self.disk.write_file(self.folder / "c" / str(number), self._chunks[number].data.cast("B"), durable=durable)
            self._unsynced.add(number)
        if durable:
            self._sync(self._unsynced - changed)
            self._unsynced.clear()
        for number in sorted(self._chunks)[:-2]:  # the last two may still change
            del self._chunks[number]
        if rows != self._published or durable:
            metadata = plain_metadata((rows,), self.dtype, ("frame",), self.attributes, self.fill, (CHUNK,))
            self.disk.write_file(
                self.folder / "zarr.json", orjson.dumps(metadata, option=orjson.OPT_INDENT_2), durable=durable
            )
            self._published = rows

    def forget(self) -> None:
        """Let the memory go; what is put later is read back first. Only after a durable `publish`."""
        self._chunks.clear()

    def _sync(self, numbers: set[int]) -> None:
        """Make durable what was written in passing."""
        for number in sorted(numbers):
            fd = self.disk.open(self.folder / "c" / str(number))
            try:
                self.disk.sync(fd)
            finally:
                self.disk.close(fd)
        if numbers:
            self.disk.sync_folder(self.folder / "c")

    def _read(self, number: int) -> np.ndarray:
        path = self.folder / "c" / str(number)
        if path.exists():
            return np.frombuffer(path.read_bytes(), self.dtype).copy()
        return np.full(CHUNK, self.fill, self.dtype)


class FrameColumns:
    """The columns of one segment. Rows are noted one by one, and go into the arrays when they are published."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._columns = _columns(folder, disk)
        self._noted: list[tuple[int, int, int, int, int]] = []
        self._states: list[tuple[int, int]] = []

    def frame(self, row: int, time_ns: int, duration_ns: int, clock_sigma_ns: int, source_seq: int | None) -> None:
        """A stored frame."""
        self._noted.append((row, time_ns, duration_ns, clock_sigma_ns, -1 if source_seq is None else source_seq))

    def state(self, row: int, state: int) -> None:
        """What became of a row without a frame."""
        self._states.append((row, state))

    def publish(self, rows: int, *, durable: bool = False) -> None:
        """Bring the files up to date with `rows` rows."""
        changed: dict[str, set[int]] = {name: set() for name in self._columns}
        if self._states:
            table = np.array(self._states, np.int64)
            changed["state"] |= self._columns["state"].put(table[:, 0], table[:, 1])
        if self._noted:
            table = np.array(self._noted, np.int64)
            for k, name in enumerate(("time", "exposure", "clock_sigma", "source_seq"), 1):
                changed[name] |= self._columns[name].put(table[:, 0], table[:, k])
            changed["state"] |= self._columns["state"].put(table[:, 0], np.zeros(len(table), np.int64))
        self._noted.clear()
        self._states.clear()
        for name, column in self._columns.items():
            column.publish(rows, changed[name], durable=durable)

    def forget(self) -> None:
        """Let the memory go."""
        for column in self._columns.values():
            column.forget()


def _columns(folder: Path, disk: Disk) -> dict[str, Column]:
    """The columns that every segment has: time, exposure, clock_sigma_ns, source_seq and state."""
    states = {"flag_values": list(range(len(STATES))), "flag_meanings": " ".join(STATES)}
    return {
        "time": Column(
            folder / "time",
            "<i8",
            NAT,
            {
                "units": "nanoseconds since 1970-01-01",
                "calendar": "proleptic_gregorian",
                "long_name": "start of exposure, UTC",
            },
            disk,
        ),
        "clock_sigma": Column(
            folder / "clock_sigma", "<i8", -1, {"unit": "ns", "long_name": "standard uncertainty of time"}, disk
        ),
        "exposure": Column(folder / "exposure", "<i8", -1, {"unit": "ns", "long_name": "duration of exposure"}, disk),
        "source_seq": Column(
            folder / "source_seq", "<i8", -1, {"long_name": "the instrument's own frame number, -1: none"}, disk
        ),
        "state": Column(folder / "state", "|u1", LOST, {"long_name": "what became of the frame", **states}, disk),
    }
