"""Seal a run: records as Zarr, consolidated metadata, the ledger as one immutable file, and the digest of every file.

`finish` works from the ledger alone and may be repeated: a crash between the seal entry and `seal.json` loses nothing.
"""

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


class _Table:
    """Columns of the records of one source, growing by one row a record."""

    def __init__(self) -> None:
        self.rows = 0
        self.whole: dict[str, array[int]] = {name: array("q") for name in ("n", "seq", "time", "action")}
        self.values: dict[str, array[float]] = {}
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
        column = self.values.setdefault(name, array("d"))
        self.units.setdefault(name, unit)
        if len(column) < self.rows:
            column.extend([float("nan")] * (self.rows - len(column)))
        column.append(float("nan") if value is None else value)

    def columns(self) -> Iterator[tuple[str, np.ndarray, dict[str, Any], float | int | str]]:
        """(name, values, attributes, fill value) of every column."""
        actions = {"flag_values": [a.value for a in Action], "flag_meanings": " ".join(a.name for a in Action)}
        time = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        for name, attributes in (("n", {}), ("seq", {}), ("time", time), ("action", actions)):
            yield name, np.array(self.whole[name], "<i8"), attributes, NAT if name == "time" else -1
        for name, values in self.values.items():
            full = np.full(self.rows, np.nan)
            full[: len(values)] = values
            yield name, full, unit_attributes(self.units[name]) | {"coordinates": "time"}, "NaN"


def _write_records(run: StoredRun, disk: Disk) -> None:
    tables: dict[str, _Table] = {}
    for body in run.records():
        if not body.get("provisional"):
            tables.setdefault(body["source"], _Table()).add(body)
    root = run.path / "records.zarr"
    disk.make_folders(root)
    disk.write_file(root / "zarr.json", group_metadata({"run_uid": run.uid}))
    for source, table in tables.items():
        disk.make_folders(root / source)
        disk.write_file(root / source / "zarr.json", group_metadata({"source": source}))
        for name, values, attributes, fill in table.columns():
            write_whole(root / source / name, values, ("record",), attributes, disk, fill=fill)
