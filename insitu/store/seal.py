"""Seal a run: records as Zarr, consolidated metadata, the ledger as one immutable file, and the digest of every file.

`finish` works from the ledger alone and may be repeated: a crash between the seal entry and `seal.json` loses nothing.
"""

import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from blake3 import blake3

from insitu.store.canonical import canonical, digest_bytes
from insitu.store.columns import NAT, write_whole
from insitu.store.files import Disk
from insitu.store.ledger import Ledger
from insitu.store.runs import StoredRun
from insitu.store.segments import group_metadata, unit_attributes
from insitu.types import Action

UNSEALED = frozenset({"seal.json", "sent.json", "lock", "ledger.db-wal", "ledger.db-shm"})
"""Files of a run folder that may change after the seal; so may all in `inbox/`."""
SPOOL = 16_384
"""So many numbers of a column are in memory at most."""


def digest_file(path: Path) -> str:
    """`blake3:<hex>` of a file."""
    h = blake3(max_threads=blake3.AUTO)
    if path.stat().st_size:
        h.update_mmap(path)
    return "blake3:" + h.hexdigest()


def sealed_files(folder: Path) -> Iterator[Path]:
    """Every file of a run that the seal covers, relative, in order."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] != "inbox" and str(relative) not in UNSEALED:
            yield relative


def seal_bytes(body: Mapping[str, Any]) -> bytes:
    """`seal.json`: the body, and its own digest, so that a flipped byte of this file is found in this file."""
    packed = canonical(body)
    return b'{"body":' + packed + b',"digest":"' + digest_bytes(packed).encode() + b'"}\n'


def finish(folder: Path, disk: Disk) -> str:
    """Everything after the seal entry is committed. Returns the head of the chain (hex). May be repeated."""
    ledger = Ledger(folder / "ledger.db", disk)
    head = ledger.head.hex()
    ledger.finish()
    with StoredRun(folder) as run:
        _write_records(run, disk)
        uid = run.uid
    consolidate(folder / "raw.zarr", disk, {"insitu_head": head})
    consolidate(folder / "derived.zarr", disk, {"insitu_head": head})
    consolidate(folder / "records.zarr", disk, {"insitu_head": head})
    files = {
        str(p): {"digest": digest_file(folder / p), "bytes": (folder / p).stat().st_size} for p in sealed_files(folder)
    }
    disk.write_file(folder / "seal.json", seal_bytes({"format": 1, "run_uid": uid, "head": head, "files": files}))
    return head


def consolidate(root: Path, disk: Disk, attributes: Mapping[str, Any]) -> None:
    """Put the metadata of all members into every group, so that opening needs one read."""
    if not (root / "zarr.json").exists():
        return
    for path in sorted(root.rglob("zarr.json"), key=lambda p: -len(p.parts)):
        metadata = orjson.loads(path.read_bytes())
        if metadata["node_type"] != "group":
            continue
        members = {}
        for p in sorted(path.parent.rglob("zarr.json")):
            if p != path:
                member = orjson.loads(p.read_bytes())
                member.pop("consolidated_metadata", None)
                members[str(p.parent.relative_to(path.parent))] = member
        if path.parent == root:
            metadata["attributes"] |= attributes
        metadata["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": members}
        disk.write_file(path, orjson.dumps(metadata, option=orjson.OPT_INDENT_2))


class _Spool:
    """A file without a name beside the run, in which long columns are kept: a day of records takes no more memory than
    a minute of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    def put(self, block: bytes) -> tuple[int, int]:
        """Where a block lies: offset and length."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(block)
        return at, len(block)

    def get(self, at: int, length: int) -> bytes:
        """The block again."""
        if self._file is None:
            raise ValueError("nothing was put")
        self._file.seek(at)
        return self._file.read(length)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Column:
    """Numbers of one kind, the newest in memory."""

    def __init__(self, code: str, spool: _Spool) -> None:
        self._newest, self._spool, self._count = array(code), spool, 0
        self._blocks: list[tuple[int, int]] = []

    def append(self, value: float) -> None:
        self._newest.append(value)
        self._count += 1
        if len(self._newest) >= SPOOL:
            self._blocks.append(self._spool.put(self._newest.tobytes()))
            del self._newest[:]

    def fill(self, rows: int) -> None:
        """NaN up to so many rows."""
        for _ in range(rows - self._count):
            self.append(float("nan"))

    def values(self) -> np.ndarray:
        """All of them, `(rows,)`."""
        blocks = [self._spool.get(*block) for block in self._blocks]
        return np.frombuffer(b"".join((*blocks, self._newest.tobytes())), self._newest.typecode)


class _Table:
    """Columns of the records of one source, growing by one row a record."""

    def __init__(self, folder: Path) -> None:
        self.rows, self.spool = 0, _Spool(folder)
        self.whole = {name: _Column("q", self.spool) for name in ("n", "seq", "time", "action")}
        self.values: dict[str, _Column] = {}
        self.units: dict[str, str] = {}

    def add(self, body: Mapping[str, Any]) -> None:
        row = (body["n"], body["seq"], body["time_ns"], Action[body["decision"]["action"]].value)
        for column, value in zip(self.whole.values(), row, strict=True):
            column.append(value)
        given = {**body.get("context", {}), **body["features"]}
        for key, f in given.items():
            self._put(key, f["value"], f["unit"])
            if "sigma" in f and f"{key}_sigma" not in given:
                self._put(f"{key}_sigma", f["sigma"], f["unit"])
        self.rows += 1

    def _put(self, key: str, value: float | None, unit: str) -> None:
        name = f"{key}_value" if key in self.whole else key  # `time` and such are columns of ours
        column = self.values.get(name)
        if column is None:
            column = self.values[name] = _Column("d", self.spool)
        self.units.setdefault(name, unit)
        column.fill(self.rows)
        column.append(float("nan") if value is None else value)

    def columns(self) -> Iterator[tuple[str, np.ndarray, dict[str, Any], float | int | str]]:
        """(name, values, attributes, fill value) of every column."""
        actions = {"flag_values": [a.value for a in Action], "flag_meanings": " ".join(a.name for a in Action)}
        time = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        for name, attributes in (("n", {}), ("seq", {}), ("time", time), ("action", actions)):
            yield name, self.whole[name].values(), attributes, NAT if name == "time" else -1
        for name, column in self.values.items():
            column.fill(self.rows)
            yield name, column.values(), unit_attributes(self.units[name]) | {"coordinates": "time"}, "NaN"


def _write_records(run: StoredRun, disk: Disk) -> None:
    tables: dict[str, _Table] = {}
    for body in run.records():
        if not body.get("provisional"):
            source = body["source"]
            if source not in tables:
                tables[source] = _Table(run.path)
            tables[source].add(body)
    root = run.path / "records.zarr"
    disk.make_folders(root)
    disk.write_file(root / "zarr.json", group_metadata({"run_uid": run.uid}))
    for source, table in tables.items():
        disk.make_folders(root / source)
        disk.write_file(root / source / "zarr.json", group_metadata({"source": source}))
        for name, values, attributes, fill in table.columns():
            write_whole(root / source / name, values, ("record",), attributes, disk, fill=fill)
        table.spool.close()
