"""One append-only Zarr v3 array: `sharding_indexed`, index at the start, one inner chunk per frame.

A frame is appended once and never moved. Where it lies is told by the ledger (`place`); the shard's index and the
array's shape are a view of that, published now and then and rebuilt by recovery. A plain reader beside an open shard
may see a checksum error while the index is rewritten: retry.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import orjson

from insitu.errors import StorageError
from insitu.store import codec as codecs
from insitu.store.files import Disk, storage_error

MISSING = np.uint64(2**64 - 1)
SHARD_BYTES = 256_000_000
SHARD_FRAMES_MOST = 16_384
OPEN_SHARDS = 2
WRITE_BYTES = 4_000_000
WRITE_PARTS = 1000
"""Appended chunks are gathered and written together: at most this many bytes, and below the limit of one pwritev."""


class Place(NamedTuple):
    """Where one array of one frame lies: `row` of the array, shard file, offset and length in it."""

    row: int
    shard: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """What an array is: shape and dtype of one frame, names of its dimensions, frames per shard, codec, attributes."""

    item: tuple[int, ...]
    dtype: np.dtype
    dims: tuple[str, ...]
    per_shard: int
    codec: codecs.Codec = "fast"
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def header(self) -> int:
        """Bytes of the index at the head of a shard."""
        return self.per_shard * 16 + 4

    def metadata(self, rows: int) -> dict[str, Any]:
        """`zarr.json` of the array with `rows` frames."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [rows, *self.item],
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [self.per_shard, *self.item]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": {"b": False, "c": [0.0, 0.0]}.get(self.dtype.kind, 0),
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, *self.item],
                        "codecs": codecs.chunk_codecs(self.dtype, self.codec),
                        "index_codecs": [
                            {"name": "bytes", "configuration": {"endian": "little"}},
                            {"name": "crc32c"},
                        ],
                        "index_location": "start",
                    },
                }
            ],
            "attributes": dict(self.attributes),
            "dimension_names": ["frame", *self.dims],
        }

    def shard_file(self, folder: Path, shard: int) -> Path:
        """The file of one shard."""
        return folder / "c" / "/".join([str(shard), *["0"] * len(self.item)])


def frames_per_shard(nbytes: int) -> int:
    """How many frames of `nbytes` fill about 256 MB."""
    return max(1, min(SHARD_FRAMES_MOST, SHARD_BYTES // max(1, nbytes)))


class _Shard:
    """One open shard file: its index in memory, and where the next frame goes."""

    __slots__ = ("dirty", "end", "fd", "index", "stale", "unwritten", "written")

    def __init__(self, fd: int, per_shard: int, header: int) -> None:
        self.fd = fd
        self.index = np.full((per_shard, 2), MISSING, "<u8")
        self.end = self.written = header
        self.unwritten: list[bytes] = []  # from `written` to `end`
        self.dirty = False  # bytes written and not yet synced
        self.stale = False  # the index in the file is behind

    def index_bytes(self) -> bytes:
        data = self.index.tobytes()
        return data + google_crc32c.value(data).to_bytes(4, "little")


class FrameArray:
    """The writer of one array. `append`, then `sync`: only what was synced may be committed to the ledger."""

    def __init__(self, folder: Path, spec: ArraySpec, disk: Disk) -> None:
        self.folder, self.spec, self.disk = folder, spec, disk
        self._shards: dict[int, _Shard] = {}
        self._published = -1
        disk.make_folders(folder)
        self.publish(0, durable=True)

    def append(self, row: int, chunk: tuple[bytes, bytes]) -> Place:
        """Write the encoded frame of a row behind the last one of its shard. Not durable until `sync`."""
        number, at = divmod(row, self.spec.per_shard)
        shard = self._shards.get(number) or self._open(number)
        nbytes = len(chunk[0]) + len(chunk[1])
        shard.unwritten += chunk
        place = Place(row, number, shard.end, nbytes)
        shard.index[at] = (shard.end, nbytes)
        shard.end += nbytes
        shard.dirty = shard.stale = True
        if shard.end - shard.written >= WRITE_BYTES or len(shard.unwritten) >= WRITE_PARTS:
            self._write(shard)
        return place

    def _write(self, shard: _Shard) -> None:
        """One write for what has gathered."""
        if shard.unwritten:
            self.disk.write_at(shard.fd, shard.written, *shard.unwritten)
            shard.written = shard.end
            shard.unwritten.clear()

    def sync(self) -> None:
        """Make durable all that was appended."""
        for shard in self._shards.values():
            if shard.dirty:
                self._write(shard)
                self.disk.sync(shard.fd)
                shard.dirty = False

    def publish(self, rows: int, *, durable: bool = False) -> None:
        """Bring the view up to date: the index of each shard, then the shape."""
        for shard in self._shards.values():
            self._write(shard)
            if shard.stale:
                self.disk.write_at(shard.fd, 0, shard.index_bytes())
                shard.stale = False
            if durable:
                self.disk.sync(shard.fd)
        if rows != self._published or durable:
            metadata = orjson.dumps(self.spec.metadata(rows), option=orjson.OPT_INDENT_2)
            self.disk.write_file(self.folder / "zarr.json", metadata, durable=durable)
            self._published = rows

    def close(self, rows: int) -> None:
        """Publish for good and close the files."""
        self.publish(rows, durable=True)
        self.abandon()

    def abandon(self) -> None:
        """Close the files as they are (after an error). `append` opens them again."""
        for shard in self._shards.values():
            self.disk.close(shard.fd)
        self._shards.clear()

    def _open(self, number: int) -> _Shard:
        while len(self._shards) >= OPEN_SHARDS:
            self._retire(min(self._shards))
        path = self.spec.shard_file(self.folder, number)
        self.disk.make_folders(path.parent)
        fd = self.disk.open(path, create=True)
        shard = _Shard(fd, self.spec.per_shard, self.spec.header)
        size = self.disk.size(fd)
        if size:  # a reordered frame of a shard that was full: go on behind its end
            stored = self.disk.read_at(fd, 0, self.spec.header - 4)
            shard.index = np.frombuffer(stored, "<u8").reshape(-1, 2).copy()
            shard.end = shard.written = size
        else:
            self.disk.write_at(fd, 0, shard.index_bytes())
            self.disk.sync(fd)
            self.disk.sync_folder(path.parent)
        self._shards[number] = shard
        return shard

    def _retire(self, number: int) -> None:
        shard = self._shards.pop(number)
        self._write(shard)
        self.disk.write_at(shard.fd, 0, shard.index_bytes())
        self.disk.sync(shard.fd)
        self.disk.close(shard.fd)


def read_chunk(path: Path, offset: int, nbytes: int) -> bytes:
    """The bytes of one chunk. Raises `StorageError` where the file ends before it."""
    try:
        with open(path, "rb") as f:
            f.seek(offset)
            data = f.read(nbytes)
    except OSError as e:
        raise storage_error(e, path, "read") from e
    if len(data) != nbytes:
        raise StorageError(f"the file ends inside the frame at byte {offset}", where=str(path), remedy=codecs.DAMAGED)
    return data


def rebuild(folder: Path, spec: ArraySpec, rows: int, places: Iterable[Place], disk: Disk) -> int:
    """The array as the ledger says: index of every shard, shape, and nothing behind the last committed byte.

    Returns the number of bytes cut. Idempotent.
    """
    index: dict[int, np.ndarray] = {}
    for p in places:
        shard = index.setdefault(p.shard, np.full((spec.per_shard, 2), MISSING, "<u8"))
        shard[p.row % spec.per_shard] = (p.offset, p.nbytes)
    cut = 0
    disk.make_folders(folder)
    top = folder / "c"
    on_disk = {int(p.name) for p in top.iterdir() if p.name.isdigit()} if top.is_dir() else set()
    for number in sorted(on_disk | index.keys()):
        path = spec.shard_file(folder, number)
        if not path.exists() and number not in index:
            continue
        table = index.get(number, np.full((spec.per_shard, 2), MISSING, "<u8"))
        used = table[table[:, 0] != MISSING]
        end = int((used[:, 0] + used[:, 1]).max(initial=spec.header))
        size = path.stat().st_size if path.exists() else 0
        if size < end and len(used):
            raise StorageError(
                f"the file has {size} bytes, but the ledger holds committed frames up to byte {end}",
                where=str(path),
                remedy=codecs.DAMAGED,
            )
        fd = disk.open(path, create=True)
        try:
            data = table.tobytes()
            disk.write_at(fd, 0, data, google_crc32c.value(data).to_bytes(4, "little"))
            cut += max(0, size - end)
            disk.truncate(fd, end)
            disk.sync(fd)
        finally:
            disk.close(fd)
    disk.write_file(folder / "zarr.json", orjson.dumps(spec.metadata(rows), option=orjson.OPT_INDENT_2))
    return cut
