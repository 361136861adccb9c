"""`insitu why --egress`: what left a run, what was held back and why, and what a broker has acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from insitu.cli.say import size

WHY = {
    "rate": "they came before their turn (max_rate)",
    "bytes": "they were too large (max_bytes)",
    "ratio": "too much had left already (max_ratio)",
    "normal": "they were judged normal (triage)",
    "reference": "their frames are references, which are not judged",
    "provisional": "their frames were not complete yet",
    "shape": "shape or dtype is not the one allowed",
    "in_all": "by the policy (the run was killed, and its recipe could not be read to find out why)",
    "unknown": "of something that this version does not know (the run was killed)",
}


def told(path: Path) -> dict[str, Any]:
    """The account in the seal, or that of the outbox so far where the run is not sealed; and what is acknowledged.

    Keys: run, sealed, egress (null where nothing was to leave), acknowledged (the last `oid`).
    """
    from insitu.store.outbox import account, acknowledged
    from insitu.store.runs import StoredRun

    with StoredRun(path) as run:
        seal = run.seal_body()
        if seal is not None:
            manifest = seal.get("egress")
        else:
            egress, _ = account(run.connection)
            manifest = egress.manifest() if egress.documents else None
        body = {"run": {"uid": run.uid, "path": str(path)}, "sealed": run.sealed, "egress": manifest}
    return {**body, "acknowledged": acknowledged(path)}


def lines(body: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    yield f"run {body['run']['uid']}"
    e = body["egress"]
    if e is None:
        yield "  nothing was to leave: the recipe has no [kafka]"
        return
    offered = sum(e["documents"].values()) + body["sealed"]
    yield f"  {offered} documents in the outbox, {body['acknowledged']} of them acknowledged by a broker"
    yield f"  {size(e['bytes']['total'])}, the largest {size(e['largest_bytes'])}" + _ratio(e)
    for name, stream in e["streams"].items():
        rate = "" if stream["rate_hz"] is None else f", {stream['rate_hz']:g} Hz by frame time"
        yield f"  {name}: {stream['events']} events{rate}"
        yield f"    {', '.join(stream['keys'])}"
    for what, held in (("records", e.get("withheld", {})), ("arrays", e.get("arrays_withheld", {}))):
        for why, number in held.items():
            yield f"  {number} {what} stayed: {WHY[why]}"
    if e.get("metadata"):
        yield f"  metadata: {', '.join(e['metadata'])}"
    if e.get("pseudonyms"):
        yield f"  as pseudonyms: {', '.join(e['pseudonyms'])}"
    ceilings = {k: v for k, v in e.get("limits", {}).items() if v}
    if ceilings:
        yield "  ceilings: " + ", ".join(f"{name} {value}" for name, value in ceilings.items())


def _ratio(e: Mapping[str, Any]) -> str:
    return f", {e['ratio']:.2%} of the raw bytes" if e.get("ratio") is not None else ""
