"""`reanalyse`: the raw frames of a run through another recipe, into a derived run beside the old one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from insitu.config import Setup
from insitu.maths.latency import Latency
from insitu.replay.fold import origin
from insitu.replay.kept import kept
from insitu.replay.spread import judged
from insitu.run import folder as folders
from insitu.run.egress import derived_outbox
from insitu.run.summary import Summary
from insitu.store.canonical import canonical, record_body
from insitu.store.files import Disk
from insitu.store.lock import Lock
from insitu.store.runs import StoredRun
from insitu.store.seal import finish
from insitu.store.writer import Pending, RunWriter

COMMIT_RECORDS = 1000


def reanalyse(
    path: Path,
    setup: Setup,
    *,
    data_root: Path,
    observer: Callable[[dict[str, Any]], None] | None = None,
    disk: Disk | None = None,
    afresh: bool = False,
    processes: int | None = None,
) -> Summary:
    """Fold the raw frames of a run through another recipe, into a derived run beside the old one. Decisions are
    recorded; nothing is moved. Features that would come out the same are taken from the run's records, unless `afresh`.
    `processes`: at most so many measure frames (None: as many as processors are idle, where that pays)."""
    disk, uid = disk or Disk(), folders.new_uid()
    edge = Latency()
    with StoredRun(path) as given, origin(given) as source:
        total = sum(1 for _ in source.entries("frame"))
        folder = folders.create(setup, data_root, uid, disk)
        lock = Lock(folder)
        try:
            digests = folders.write_settings(setup, folder, disk)
            body = folders.open_body(setup, uid, digests, mode="advise", operator="", derived_from=source.uid)
            body["sources"] = source.sources()
            body |= {"derived_head": source.head()} if source.sealed else {}
            body["simulated"] = source.open_body().get("simulated", False)
            pipeline = setup.pipeline()
            known = None if afresh else kept(given, setup, pipeline)
            documents, notes = derived_outbox(setup, body, source)
            notes = [*setup.remarks, *notes]
            if known is not None and known.names:
                body["kept"] = {"run": given.uid, "features": list(known.names)}
                notes.append(f"features of {', '.join(known.names)}: those of run {given.uid}, which would be the same")
            writer = RunWriter(folder, body, {}, disk, documents)
            last = began = time.monotonic()
            again = judged(source, setup, folder, known=known, pipeline=pipeline, processes=processes)
            for done, (nbytes, record) in enumerate(again, 1):
                packed, measurement = record_body(record), record.measurement
                arrays = measurement.arrays
                writer.add_record(Pending(measurement.n, "record", packed, canonical(packed), b"", arrays, nbytes))
                now = time.monotonic()
                edge.add(now - last)
                last = now
                if done % COMMIT_RECORDS == 0 or done == total:
                    writer.commit()
                    if observer:
                        observer({"uid": uid, "done": done, "total": total, "rate_hz": done / max(1e-9, now - began)})
            counts = writer.tally.as_dict()
            reason = f"all frames of run {source.uid} were judged again"
            writer.seal({"ended": "complete", "reason": reason, "counts": counts}, time.time())
            writer.close()
            writer.ledger.close()
            head = finish(folder, disk)
            if documents is not None:
                waiting = sum(documents.egress.documents.values()) + 1
                notes.append(f"{waiting} documents wait in the outbox; `insitu outbox drain {uid}` sends them")
        finally:
            lock.release()
    return Summary(
        run_uid=uid,
        path=str(folder),
        ended="complete",
        reason=reason,
        frames=counts["frames"],
        analysis={k: v for k, v in counts["analysis"].items() if k != "pending"},
        records=writer.tally.analysed,
        decisions=counts["decisions"],
        bytes={"raw": 0, "sent": 0, "ratio": None},
        latency_ms={"sense": None, "edge": edge.as_dict(), "net": None, "act": None, "total": None},
        head=head,
        notes=tuple(notes),
    )
