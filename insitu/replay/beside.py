"""What lies beside the frames of a run, held against the log: settings, quarantined bytes, and the views.

Yields (where, what is wrong). The log is the truth; everything here is said to follow from it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from insitu.errors import StorageError
from insitu.store.canonical import canonical, digest_bytes
from insitu.store.columns import CHUNK, NAT, STATES
from insitu.store.recover import rows_of
from insitu.store.runs import StoredRun

Problems = Iterator[tuple[str, str]]


def settings(run: StoredRun) -> Problems:
    """Recipe, detectors, environment and files must be those that the first entry names."""
    opened = run.open_body()
    expected = {"recipe.toml": opened.get("recipe"), "detectors.toml": opened.get("detector")}
    for name, digest in {**expected, **opened.get("files", {})}.items():
        if digest and _digest(run.path / name) != digest:
            yield name, "is not what the run was started with"
    digest = opened.get("environment")
    if digest:
        try:
            body = orjson.loads((run.path / "env.json").read_bytes())
            found = digest_bytes(canonical({k: v for k, v in body.items() if k != "digest"}))
        except (OSError, orjson.JSONDecodeError, AttributeError):
            found = ""
        if found != digest:
            yield "env.json", "is not what the run was started with"


def _digest(path: Path) -> str:
    try:
        return digest_bytes(path.read_bytes())
    except OSError:
        return ""


def quarantine(run: StoredRun) -> Problems:
    """The bytes of invalid, late and duplicate arrivals must be there as they came."""
    without_row: dict[str, int] = {}
    for e in run.entries("invalid", "late", "duplicate"):
        source = e.body["source"]
        name = str(e.body.get("seq"))
        if e.kind != "invalid":
            without_row[source] = without_row.get(source, 0) + 1
            name = f"{e.kind}-{without_row[source]}"
        if _digest(run.path / "quarantine" / source / name) != e.body["quarantine"]:
            yield f"quarantine/{source}/{name}", "has not the digest that the log holds, or is missing"


def views(run: StoredRun) -> Problems:
    """Columns, indexes and shapes of a sealed run must say what the log says."""
    for source in run.sources():
        segments = [e.body for e in run.entries("segment") if e.body["source"] == source]
        if not segments:
            continue
        rows, frames = rows_of(run, source)
        for i, body in enumerate(segments):
            first = body["first_seq"]
            end = segments[i + 1]["first_seq"] if i + 1 < len(segments) else max(rows, default=-1) + 1
            folder = run.segment_folder(source, body["segment"])
            states = [rows.get(seq, STATES.index("lost")) for seq in range(first, end)]
            times = [frames[seq].time_ns if seq in frames else NAT for seq in range(first, end)]
            for name, dtype, expected in (("state", "|u1", states), ("time", "<i8", times)):
                if not np.array_equal(_column(folder / name, dtype, end - first), np.array(expected, dtype)):
                    yield str((folder / name).relative_to(run.path)), "does not say what the log says"
            for name, described in body["arrays"].items():
                yield from _array(run, folder / name, described["per_shard"], first, end)


def _column(folder: Path, dtype: str, rows: int) -> np.ndarray:
    size = np.dtype(dtype).itemsize
    data = b"".join(
        path.read_bytes() if (path := folder / "c" / str(k)).exists() else b"\0" * CHUNK * size
        for k in range(-(-rows // CHUNK))
    )
    return np.frombuffer(data[: rows * size], dtype) if len(data) >= rows * size else np.empty(0, dtype)


def _array(run: StoredRun, folder: Path, per_shard: int, first: int, end: int) -> Problems:
    """Shape, and the index of every shard against the places in the ledger."""
    where = str(folder.relative_to(run.path))
    source, segment, name = folder.parts[-3:]
    metadata = orjson.loads((folder / "zarr.json").read_bytes())
    if metadata["shape"][0] != end - first:
        yield f"{where}/zarr.json", f"has {metadata['shape'][0]} rows, the log {end - first}"
    sql = "SELECT seq, shard, offset, nbytes FROM place WHERE source = ? AND seq BETWEEN ? AND ?"
    index: dict[int, np.ndarray] = {}
    for seq, shard, offset, nbytes in run.query(
        f"{sql} AND segment = ? AND array = ?", (source, first, end, int(segment), name)
    ):
        table = index.setdefault(shard, np.full((per_shard, 2), 2**64 - 1, "<u8"))
        table[(seq - first) % per_shard] = (offset, nbytes)
    for shard, table in index.items():
        path = folder / "c" / "/".join([str(shard), *["0"] * (len(metadata["shape"]) - 1)])
        try:
            with open(path, "rb") as f:
                stored = f.read(table.nbytes)
        except OSError as e:
            raise StorageError("cannot be read", where=str(path)) from e
        if stored != table.tobytes():
            yield str(path.relative_to(run.path)), "its index is not what the ledger says"
