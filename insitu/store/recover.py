"""Recover a run whose process was killed: the folder becomes what its ledger says, and is sealed `failed`.

A run is never resumed. Everything acknowledged is kept; bytes behind the last committed frame are cut; views are
rebuilt. May be interrupted and repeated at any point.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from insitu.errors import StorageError
from insitu.store.columns import STATES, FrameColumns
from insitu.store.files import Disk
from insitu.store.frames import Place, rebuild
from insitu.store.growing import points_of
from insitu.store.ledger import Ledger, add_body
from insitu.store.lock import Lock, is_locked
from insitu.store.outbox import Egress, account, pack, spool, stop_document
from insitu.store.runs import StoredRun, is_run
from insitu.store.seal import finish
from insitu.store.segments import array_spec, group_metadata, segment_attributes
from insitu.store.tally import Tally


def find_unsealed(data_root: Path) -> list[Path]:
    """Runs that no living process writes and that were never sealed, oldest first. A folder in which nothing was
    acknowledged before the kill is none."""
    found = [p.parent for p in sorted((data_root / "runs").glob("*/*/ledger.db"))]
    return [p for p in found if not (p / "seal.json").exists() and not is_locked(p) and _began(p)]


def _began(folder: Path) -> bool:
    try:
        return is_run(folder)
    except (StorageError, sqlite3.Error):
        return True  # damaged, not empty: `recover` says what is wrong


Recount = Callable[[StoredRun], dict[str, Any] | None]
"""The account of what left and what stayed, from policy, records and outbox; None where it cannot be had."""


def recover(folder: Path, disk: Disk | None = None, *, recount: Recount | None = None) -> dict[str, Any]:
    """Seal what is there. `recount` says why records did not leave; without it only their number is told. Returns what
    was found and done: uid, already_sealed, frames, records, skipped, cut_bytes, removed, balanced. Raises
    `StorageError` where committed data is missing."""
    disk = disk or Disk()
    lock = Lock(folder)
    try:
        if not is_run(folder):
            return {"path": str(folder), "uid": folder.name, "began": False, "already_sealed": False, "frames": 0}
        with StoredRun(folder) as run:
            uid, seal = run.uid, run.seal_body()
            if seal is not None and run.sealed:
                return {"path": str(folder), "uid": uid, "began": True, "already_sealed": True, **_counts(seal)}
        found: dict[str, Any] = {} if seal is not None else _close(folder, disk, recount)
        finish(folder, disk)
    finally:
        lock.release()
    with StoredRun(folder) as run:
        counts = _counts(cast(dict[str, Any], run.seal_body()))
    return {"path": str(folder), "uid": uid, "began": True, "already_sealed": False, **counts, **found}


def _counts(seal: dict[str, Any]) -> dict[str, Any]:
    return {"ended": seal["ended"], "frames": seal["counts"]["frames"]["stored"], "counts": seal["counts"]}


def _close(folder: Path, disk: Disk, recount: Recount | None) -> dict[str, Any]:
    removed = [str(p.relative_to(folder)) for p in _leftovers(folder)]
    for name in removed:
        (folder / name).unlink()
    if (folder / "derived.zarr").exists():  # a cache that was never synced: it may be torn anywhere
        shutil.rmtree(folder / "derived.zarr")
        removed.append("derived.zarr")
    with StoredRun(folder) as run:
        cut, strays = _rebuild(run, disk)
        tally = run.tally()
        without = list(_without_record(run))
        unfinished = [{"source": f.source, "seq": f.seq, "points": points_of(f)} for f in run.unfinished()]
        egress, stop = account(run.connection)
        manifest = _manifest(run, egress, tally, recount) if egress.run_uid and stop is None else None
    ledger = Ledger(folder / "ledger.db", disk)
    reason = "the process was killed before this frame was judged"
    for n, source, seq in without:
        body = {"source": source, "seq": seq, "reason": reason}
        add_body(ledger, "skipped", n, body)
        tally.add("skipped", body)
    found = {"skipped": len(without), "cut_bytes": cut, "removed": removed + strays, "balanced": tally.balanced}
    found |= {"unfinished": unfinished} if unfinished else {}
    add_body(ledger, "recovered", None, found)
    counts = tally.as_dict()
    reason = "killed; recovered afterwards"
    seal: dict[str, Any] = {"ended": "failed", "reason": reason, "counts": counts}
    if manifest is not None:
        seal["egress"] = {**manifest, "spool": spool(manifest, folder)}
    add_body(ledger, "seal", None, seal)
    if "egress" in seal:
        document = stop_document(egress, seal, ledger.head.hex(), time.time(), reason)
        ledger.offer(None, "stop", pack("stop", document)[1])
    ledger.commit()
    ledger.close()
    return found


def _manifest(run: StoredRun, egress: Egress, tally: Tally, recount: Recount | None) -> dict[str, Any]:
    """The account of what left. What was recounted must be what the outbox holds."""
    found, kept = egress.manifest(), tally.analysed - egress.records
    told = recount(run) if recount is not None else None
    if told is not None and all(told[name] == found[name] for name in found):
        return told
    return {**found, "records": tally.analysed, "withheld": {"in_all": kept} if kept else {}}


def _leftovers(folder: Path) -> Iterator[Path]:
    """Temporary files of writes that never ended."""
    yield from (p for p in folder.rglob(".*.tmp") if p.is_file())


def _rebuild(run: StoredRun, disk: Disk) -> tuple[int, list[str]]:
    """Every array, column and group from the ledger. Returns bytes cut, and segments removed that never had a
    committed frame."""
    cut, strays = 0, []
    opened = run.open_body()
    raw = run.path / "raw.zarr"
    attributes = {"run_uid": run.uid, "insitu_format": opened["format"]}
    attributes |= {"simulated": True} if opened.get("simulated") else {}
    disk.make_folders(raw)
    disk.write_file(raw / "zarr.json", group_metadata(attributes))
    for source in opened["sources"]:
        disk.make_folders(raw / source)
        disk.write_file(raw / source / "zarr.json", group_metadata({"source": source}))
        segments = [e.body for e in run.entries("segment") if e.body["source"] == source]
        for stray in sorted(p for p in (raw / source).iterdir() if p.is_dir()):
            if stray.name not in {str(s["segment"]) for s in segments}:
                cut += sum(p.stat().st_size for p in stray.rglob("*") if p.is_file())
                shutil.rmtree(stray)
                strays.append(str(stray.relative_to(run.path)))
        rows, frames = rows_of(run, source)
        for i, body in enumerate(segments):
            end = segments[i + 1]["first_seq"] if i + 1 < len(segments) else max(rows, default=-1) + 1
            cut += _rebuild_segment(run, body, end, rows, frames, disk)
    return cut, strays


class Times(NamedTuple):
    """The columns of a stored frame."""

    time_ns: int
    duration_ns: int
    clock_sigma_ns: int
    source_seq: int | None


def rows_of(run: StoredRun, source: str) -> tuple[dict[int, int], dict[int, Times]]:
    """By `seq`: the state of every row, and the columns of those that are stored."""
    rows: dict[int, int] = {}
    frames: dict[int, Times] = {}
    for e in run.entries("gap", "invalid", "dropped", "frame"):
        b = e.body
        if b["source"] != source:
            continue
        if e.kind == "gap":
            rows |= dict.fromkeys(range(b["first"], b["first"] + b["count"]), STATES.index("lost"))
        elif e.kind == "frame":
            rows[b["seq"]] = 0
            frames[b["seq"]] = Times(b["time_ns"], b["duration_ns"], b["clock_sigma_ns"], b["source_seq"])
        else:
            rows[b["seq"]] = STATES.index(e.kind)
    return rows, frames


def _rebuild_segment(
    run: StoredRun, body: dict[str, Any], end: int, rows: dict[int, int], frames: dict[int, Times], disk: Disk
) -> int:
    source, segment, first = body["source"], body["segment"], body["first_seq"]
    folder = run.segment_folder(source, segment)
    run.axes(source, segment)  # raises where a static axis is damaged: it was durable before the first frame
    disk.write_file(folder / "zarr.json", group_metadata(segment_attributes(body)))
    cut = 0
    for name in body["arrays"]:
        where = "source = ? AND segment = ? AND array = ? AND seq BETWEEN ? AND ? ORDER BY shard, offset"
        found = run.query(
            f"SELECT seq, shard, offset, nbytes FROM place WHERE {where}", (source, segment, name, first, end)
        )
        places = (Place(seq - first, shard, offset, nbytes) for seq, shard, offset, nbytes in found)
        cut += rebuild(folder / name, array_spec(body, name), end - first, places, disk)
    for name in ("time", "clock_sigma", "exposure", "source_seq", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    columns = FrameColumns(folder, disk)
    for seq in range(first, end):
        if rows.get(seq):
            columns.state(seq - first, rows[seq])
        elif seq in frames:
            columns.frame(seq - first, *frames[seq])
    columns.publish(end - first, durable=True)
    return cut


def _without_record(run: StoredRun) -> Iterator[tuple[int, str, int]]:
    """(n, source, seq) of stored frames that have neither record nor shed nor skipped entry."""
    yield from run.query(
        "SELECT DISTINCT p.n, p.source, p.seq FROM place p WHERE p.array = 'frames' AND NOT EXISTS "
        "(SELECT 1 FROM log l WHERE l.n = p.n AND l.kind IN ('record', 'shed', 'skipped')) ORDER BY p.n",
        (),
    )
