"""`insitu status`: where a run stands, from its folder alone, so it works beside a running process and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from insitu.cli.live import said
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Run
from insitu.cli.say import answer, clock, quantity, span, table, trouble
from insitu.cli.why import about

if TYPE_CHECKING:
    from insitu.store.runs import StoredRun

ADVICE = {
    "running": "It is running. `insitu hold` stops decisions from being carried out; Ctrl-C in its terminal ends it.",
    "held": "An operator holds it: no decision is carried out until `insitu release`.",
    "crashed": "Its process died. What was acknowledged is safe; bring it into order with: insitu recover {path}",
}


def status(run: Run = "last", data_root: DataRoot = DATA_ROOT, as_json: AsJson = False) -> int:
    """Show where a run stands: counts, last frame, last decision."""
    from insitu.catalog import find_run
    from insitu.store.runs import StoredRun

    with StoredRun(find_run(run, data_root)) as stored:
        body = standing(stored)
    answer(body, _text(body), as_json=as_json)
    return 0


def state(run: StoredRun) -> str:
    """running, held or crashed; for a sealed run how it ended."""
    from insitu.store.lock import is_locked

    if run.sealed:
        return (run.seal_body() or {}).get("ended") or "sealed"
    if not is_locked(run.path):
        return "crashed"
    taken = [entry.body["command"] for entry in run.entries("operator") if not entry.body.get("refused")]
    commands = [command for command in taken if command in ("hold", "release")]
    return "held" if commands and commands[-1] == "hold" else "running"


def standing(run: StoredRun) -> dict[str, Any]:
    """Keys: run, state, frames, analysis, decisions, latency_ms {net}, outbox {waiting, problem} (None without one),
    last (newest record), last_action (last that was not CONTINUE)."""
    from insitu.sinks.sent import Outbox, read_sent, waiting

    last: dict[str, Any] | None = None
    action: dict[str, Any] | None = None
    for record in run.records():
        last = record
        if record["decision"]["action"] != "CONTINUE":
            action = {**record["decision"], "n": record["n"], "source": record["source"], "seq": record["seq"]}
    counts, sent, offered = run.counts(), read_sent(run.path), Outbox(run.path).last()[0]
    return {
        "run": about(run),
        "state": state(run),
        "frames": counts["frames"],
        "analysis": counts["analysis"],
        "decisions": counts["decisions"],
        "latency_ms": {"net": sent.latency_ms()},
        "outbox": {"waiting": waiting(sent, offered), "problem": sent.problem} if offered else None,
        "last": last,
        "last_action": action,
    }


def _derived(run: Mapping[str, Any]) -> str:
    """A derived run has no frames of its own."""
    return f"; its frames are those of run {run['derived_from']}" if run["derived_from"] else ""


def _sending(body: Mapping[str, Any]) -> str:
    """What the broker has not acknowledged, why, and how long an acknowledgement took."""
    outbox, net = body["outbox"], body["latency_ms"]["net"]
    problem = f": {outbox['problem']}" if outbox["problem"] else ""
    took = f"; decision to broker: median {span(net['p50'] / 1e3)}, longest {span(net['max'] / 1e3)}" if net else ""
    return f"{outbox['waiting']:,} documents waiting{problem}{took}"


def _text(body: Mapping[str, Any]) -> str:
    run, frames, analysis, last = body["run"], body["frames"], body["analysis"], body["last"]
    lines = [f"{run['title'] or 'run'}: {body['state']}" + (f", {run['reason']}" if run["reason"] else "")]
    if run["simulated"]:
        lines.append("SIMULATED: computed patterns, no measured data.")
    rows = [
        ("run", run["uid"]),
        ("stored in", run["path"]),
        ("mode", run["mode"]),
        ("frames", f"{frames['stored']:,} stored of {frames['expected']:,} expected{_derived(run)}"),
        ("analysis", f"{analysis['analysed']:,} analysed, {analysis['pending']:,} waiting"),
        ("trouble", trouble(frames, analysis) or "none"),
        ("decisions", ", ".join(f"{n:,} {name}" for name, n in body["decisions"].items()) or "none"),
    ]
    if body["outbox"]:
        rows.append(("outbox", _sending(body)))
    if body["last_action"]:
        rows.append(("last action", said(body["last_action"])))
    if last:
        rows.append(("last frame", f"{last['source']}/{last['seq']} (n {last['n']}), {clock(last['time_ns'])}"))
        rows += [("", f"{key} {quantity(f)}") for key, f in list(last["features"].items())[:12]]
        rows += [("", f"{name}: {v['label']}, {v['reason']}") for name, v in last["verdicts"].items()]
    lines.append(table(rows))
    if body["state"] in ADVICE:
        lines.append(ADVICE[body["state"]].format(path=run["path"]))
    return "\n".join(lines)
