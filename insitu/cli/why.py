"""`insitu why`: from a decision back to the frame: rule, verdicts, features, digests, and what was done.

Everything is read from the stored run; nothing is computed again (`insitu verify` does that).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Run
from insitu.cli.say import answer
from insitu.cli.silence import silence
from insitu.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from insitu.store.runs import StoredRun

BEFORE = 7
"""How many records before the explained one are shown: enough to see a rule count up."""

NOT_ANALYSED = ("invalid", "dropped", "late", "duplicate", "shed", "skipped", "gap")


def why(
    run: Run = "last",
    frame: Annotated[
        str, typer.Argument(metavar="[FRAME]", help="A frame: SOURCE/SEQ, SEQ, or insitu:UID/SOURCE/SEQ.")
    ] = "",
    n: Annotated[int | None, typer.Option("--n", min=0, help="The frame with this arrival number.")] = None,
    halt: Annotated[bool, typer.Option("--halt", help="The last HALT, whatever came after it.")] = False,
    egress: Annotated[
        bool, typer.Option("--egress", help="What left this run instead, and what was held back.")
    ] = False,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Explain a decision: by default the last one that was not CONTINUE."""
    from insitu.catalog import find_run
    from insitu.cli.story import story
    from insitu.replay import origin
    from insitu.store.runs import StoredRun

    if (frame != "") + (n is not None) + halt + egress > 1:
        raise UsageError("FRAME, --n, --halt and --egress exclude each other", remedy="Give one of them")
    if egress:
        from insitu.cli.egress import lines, told

        body = told(find_run(run, data_root))
        answer(body, "\n".join(lines(body)), as_json=as_json)
        return 0
    with StoredRun(find_run(run, data_root)) as stored, origin(stored) as raw:
        body = explanation(stored, raw, frame=frame, n=n, halt=halt)
    answer(body, story(body), as_json=as_json)
    return 0


def explanation(
    run: StoredRun, raw: StoredRun, *, frame: str = "", n: int | None = None, halt: bool = False
) -> dict[str, Any]:
    """The whole chain as one plain object. `raw`: the run that holds the frames (the same one, unless it is derived).

    Keys: run, explains (decision, verdict, frame or end), frame, decision, spoke, verdicts, features, context, labels,
    references, faults, before (records that led to it), spoken (how often this rule said this), actions, operator,
    silent (what was never measured or judged), timing. Where no rule asked for anything, the newest thing that a model
    noticed is explained ("verdict"); where nothing was noticed either, `explains` is "end" and `frame` is null.
    """
    wanted = address(raw, frame) if frame else None
    record, before, spoken = _find(run, wanted, n, halt)
    if record is None and (wanted or n is not None):
        return _unanalysed(run, raw, wanted, n)
    if record is None and halt:
        raise NotFoundError(
            "no rule asked for HALT in this run", where=run.uid, remedy=f"`insitu why {run.uid}` explains how it ended"
        )
    explains = "end" if record is None else "frame" if wanted or n is not None else "decision"
    if explains == "decision" and record and record["decision"]["action"] == "CONTINUE":
        explains = "verdict"
    record = record or {}
    return {
        "run": about(run),
        "explains": explains,
        "frame": _frame(raw, record) if record else None,
        "decision": record.get("decision"),
        "spoke": record.get("spoke", []),
        "verdicts": record.get("verdicts", {}),
        "features": record.get("features", {}),
        "context": record.get("context", {}),
        "labels": record.get("labels", {}),
        "references": record.get("references", {}),
        "faults": record.get("faults", []),
        "before": [_brief(r) for r in before],
        "spoken": spoken,
        "actions": [{"n": e.n, **e.body} for e in run.entries("action") if record and e.n == record["n"]],
        "operator": [dict(e.body) for e in run.entries("operator")],
        "silent": silence(run),
        "timing": run.timing(record["n"]) if record else None,
    }


def about(run: StoredRun) -> dict[str, Any]:
    """What a person has to know of the run before anything else."""
    opened, sealed = run.open_body(), run.seal_body() or {}
    return {
        "uid": run.uid,
        "path": str(run.path),
        "title": opened.get("title", ""),
        "mode": opened.get("mode", ""),
        "simulated": bool(opened.get("simulated")),
        "derived_from": opened.get("derived_from", ""),
        "sealed": run.sealed,
        "ended": sealed.get("ended"),
        "reason": sealed.get("reason", ""),
    }


def address(run: StoredRun, text: str) -> tuple[str, int]:
    """(source, seq) of `SOURCE/SEQ`, `SEQ` in a run of one source, or a whole `insitu:UID/SOURCE/SEQ`."""
    sources = run.sources()
    rest = text.removeprefix("insitu:").removeprefix(f"{run.uid}/")
    source, _, seq = rest.rpartition("/")
    if not source and len(sources) == 1:
        source = sources[0]
    if source not in sources or not seq.isdecimal():
        raise UsageError(
            f"{text!r} names no frame of run {run.uid}",
            expected=f"SOURCE/SEQ with a source of {', '.join(sources)}, e.g. {sources[0] if sources else 'det'}/17",
        )
    return source, int(seq)


QUIET = frozenset({"normal", "unknown"})
"""Labels that are no reason to look."""


class _Found(NamedTuple):
    """A record, those before it, and how often its rule said the same: `times`, `first_n`, `last_n`."""

    record: dict[str, Any] | None
    before: list[dict[str, Any]]
    spoken: dict[str, int] | None


def _find(run: StoredRun, wanted: tuple[str, int] | None, n: int | None, halt: bool) -> _Found:
    """The record to explain. Where a rule repeats itself frame after frame, the first time is what tells why."""
    window: deque[dict[str, Any]] = deque(maxlen=BEFORE + 1)
    streaks: dict[str, tuple[str, str]] = {}  # by source: what was said of its newest frame
    counts: dict[tuple[str, str], dict[str, int]] = {}
    found = noticed = _Found(None, [], None)
    noticing: dict[str, set[tuple[str, str]]] = {}  # by source: what models noticed in its newest frame
    for record in run.records():
        window.append(record)
        notices = {(name, v["label"]) for name, v in record["verdicts"].items() if v["label"] not in QUIET}
        if notices - noticing.get(record["source"], set()):
            noticed = _Found(record, list(window)[:-1], None)
        noticing[record["source"]] = notices
        decision, source = record["decision"], record["source"]
        said = (decision.get("rule", ""), decision["action"])
        goes_on = streaks.get(source) == said
        streaks[source] = said
        spoken = None
        if decision["action"] != "CONTINUE":
            spoken = counts.setdefault(said, {"times": 0, "first_n": record["n"]})
            spoken["times"] += 1
            spoken["last_n"] = record["n"]
        if wanted is not None or n is not None:
            if (source, record["seq"]) == wanted or record["n"] == n:
                found = _Found(record, list(window)[:-1], spoken)
        elif spoken and not goes_on and (decision["action"] == "HALT" or not halt):
            found = _Found(record, list(window)[:-1], spoken)
    nothing_asked = wanted is None and n is None and not halt
    return noticed if nothing_asked and found.record is None else found


def _frame(run: StoredRun, record: Mapping[str, Any]) -> dict[str, Any]:
    """Where the raw data of a record lies, when it was taken, and its digests."""
    source, seq = record["source"], record["seq"]
    body: dict[str, Any] = next((e.body for e in run.entries("frame") if e.n == record["n"]), {})
    segments = [e.body for e in run.entries("segment") if e.body["source"] == source and e.body["first_seq"] <= seq]
    segment = max(segments, key=lambda s: s["first_seq"], default=None)
    return {
        "address": f"insitu:{run.uid}/{source}/{seq}",
        "n": record["n"],
        "source": source,
        "seq": seq,
        "source_seq": record.get("source_seq"),
        "state": "stored" if body else "provisional",
        "role": record.get("role", "sample"),
        "time_ns": record["time_ns"],
        "duration_ns": body.get("duration_ns"),
        "clock": body.get("clock"),
        "digests": body.get("arrays", {}),
        "array": f"raw.zarr/{source}/{segment['segment']}/frames" if segment else None,
        "row": seq - segment["first_seq"] if segment else None,
    }


def _brief(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": record["n"],
        "source": record["source"],
        "seq": record["seq"],
        "features": record.get("features", {}),
        "verdicts": {name: verdict["label"] for name, verdict in record.get("verdicts", {}).items()},
        "action": record["decision"]["action"],
        "rule": record["decision"].get("rule", ""),
    }


def _unanalysed(run: StoredRun, raw: StoredRun, wanted: tuple[str, int] | None, n: int | None) -> dict[str, Any]:
    """A frame without a record: what became of it instead."""
    for entry in raw.entries(*NOT_ANALYSED):
        body = entry.body
        if n is not None and entry.n != n:
            continue
        if wanted is not None:
            lost = entry.kind == "gap" and body["first"] <= wanted[1] < body["first"] + body["count"]
            if body["source"] != wanted[0] or not (lost or body.get("seq") == wanted[1]):
                continue
        state = "lost" if entry.kind == "gap" else entry.kind
        frame = {
            "state": state,
            "n": entry.n,
            "source": body["source"],
            "seq": wanted[1] if wanted else body.get("seq"),
            "reason": body.get("reason", ""),
            "name": body.get("name", ""),
            "quarantine": body.get("quarantine"),
        }
        return {"run": about(run), "explains": "frame", "frame": frame, "decision": None}
    name = f"{wanted[0]}/{wanted[1]}" if wanted else f"n {n}"
    analysis = run.counts()["analysis"]
    raise NotFoundError(
        f"run {run.uid} has no record of frame {name}",
        expected=f"one of the {analysis['analysed']:,} analysed frames",
        remedy="It never arrived" if raw.sealed else "It never arrived, or it waits to be analysed",
    )
