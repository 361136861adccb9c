"""The explanation of `insitu why` as text: what was decided, because of what, on which data, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insitu.cli.say import clock, quantity, span, table

MANY = 16
"""How many features are listed in full."""

STATES = {
    "invalid": "could not be read as a frame; its bytes are kept in quarantine",
    "dropped": "was not stored: memory in flight was exhausted (see [budget] in_flight)",
    "lost": "never arrived: the instrument's numbers skip it",
    "late": "came too late to take its row; its data is kept in quarantine",
    "duplicate": "came twice; the second copy is kept in quarantine",
    "shed": "is stored but was not analysed in time (see [budget] lag); `insitu reanalyse` measures it",
    "skipped": "is stored but was not analysed, because the run ended; `insitu reanalyse` measures it",
}


def story(body: Mapping[str, Any]) -> str:
    """The explanation as text."""
    run, frame = body["run"], body["frame"]
    parts = [_head(run)]
    if frame is None:
        parts.append(_end(run) + "\nNo rule asked for anything but to go on.")
        parts.append(_section("not seen", _silent(body)))
        return "\n\n".join(part for part in parts if part)
    if frame["state"] not in ("stored", "provisional"):
        parts.append(_lost(frame))
        return "\n\n".join(parts)
    parts += [
        _decision(body),
        _section("verdicts", _verdicts(body["verdicts"])),
        _section("features", _features(body)),
        _section("before it", _before(body)),
        _section("the frame", _frame(body)),
        _section("done", _done(body)),
        _section("not seen", _silent(body)),
        _end(run),
        f"To prove it: insitu verify {run['path']}",
    ]
    return "\n\n".join(part for part in parts if part)


def watched(body: Mapping[str, Any]) -> list[str]:
    """Keys of the features that a verdict or a decision speaks of, in the order of the record."""
    spoken = [v.get("reason") or "" for v in body["verdicts"].values()]
    spoken += [d.get("reason") or "" for d in (body["decision"], *body["spoke"]) if d]
    words = set(" ".join(spoken).replace(",", " ").replace(":", " ").replace("(", " ").replace(")", " ").split())
    return [key for key in body["features"] if key in words]


def _head(run: Mapping[str, Any]) -> str:
    simulated = "\nSIMULATED: computed patterns, no measured data." if run["simulated"] else ""
    derived = f", derived from run {run['derived_from']}" if run["derived_from"] else ""
    return f"{run['title'] or 'run'}\nrun {run['uid']}, mode {run['mode']}{derived}{simulated}"


def _end(run: Mapping[str, Any]) -> str:
    if not run["sealed"]:
        return "The run is not sealed: it is still going on, or it crashed (`insitu status` tells which)."
    return f"The run ended {run['ended']}: {run['reason'] or 'the input came to its end'}."


def _lost(frame: Mapping[str, Any]) -> str:
    name = f"{frame['source']}/{frame['seq']}" if frame["seq"] is not None else f"n {frame['n']}"
    lines = [f"Frame {name} {STATES[frame['state']]}."]
    if frame["reason"]:
        lines.append(f"  reason      {frame['reason']}")
    if frame["name"]:
        lines.append(f"  came from   {frame['name']}")
    if frame["quarantine"]:
        lines.append(f"  quarantine  {frame['quarantine']}")
    return "\n".join(lines)


def _decision(body: Mapping[str, Any]) -> str:
    decision, frame = body["decision"], body["frame"]
    at = f"at frame {frame['source']}/{frame['seq']} (n {frame['n']})"
    if body["explains"] == "verdict":
        seen = [
            f"{name}: {v['label']}" for name, v in body["verdicts"].items() if v["label"] not in ("normal", "unknown")
        ]
        return f"Noticed {at}: {', '.join(seen)}. No rule asked for anything but to go on."
    if decision["action"] == "CONTINUE":
        return f"CONTINUE {at}: {decision.get('reason') or 'no rule asked for anything else'}."
    lines = [f"{decision['action']} {at}, by rule {decision['rule']!r}", f"  {decision['reason']}"]
    lines += [f"  {key} = {quantity(value)}" for key, value in (decision.get("params") or {}).items()]
    spoken = body["spoken"] or {}
    if spoken.get("times", 0) > 1:
        first, last = spoken["first_n"], spoken["last_n"]
        lines.append(f"  This rule said so {spoken['times']:,} times in this run, from n {first} to n {last}.")
    others = [d for d in body["spoke"] if d["rule"] != decision["rule"]]
    lines += [f"  also spoke: {d['action']} by {d['rule']!r}: {d['reason']}" for d in others]
    return "\n".join(lines)


def _verdicts(verdicts: Mapping[str, Any]) -> str:
    return table((name, v["label"], v.get("reason") or "") for name, v in verdicts.items())


def _features(body: Mapping[str, Any]) -> str:
    first = watched(body)
    keys = first + [key for key in body["features"] if key not in first]
    rows = [(key, quantity(body["features"][key]), "<- judged" if key in first else "") for key in keys[:MANY]]
    if len(keys) > MANY:
        rows.append((f"and {len(keys) - MANY} more", "", "(--json shows all)"))
    rows += [(key, quantity(value), "(context)") for key, value in body["context"].items()]
    return table(rows)


def _before(body: Mapping[str, Any]) -> str:
    """The records that led to this one, this one last: how the judged features and the verdicts went."""
    keys = watched(body)[:3]
    rows = [("n", "frame", *keys, "verdicts", "decision")]
    this = {**body["frame"], "features": body["features"], "action": body["decision"]["action"]}
    this["verdicts"] = {name: verdict["label"] for name, verdict in body["verdicts"].items()}
    for record in (*body["before"], this):
        values = (_short(record["features"].get(key)) for key in keys)
        labels = ", ".join(f"{name} {label}" for name, label in record["verdicts"].items())
        rows.append((str(record["n"]), f"{record['source']}/{record['seq']}", *values, labels, record["action"]))
    return table(rows) if body["before"] else ""


def _short(feature: Mapping[str, Any] | None) -> str:
    """A feature for a column: why there is no value stands further up."""
    return "" if feature is None else "no value" if feature["value"] is None else quantity(feature)


def _frame(body: Mapping[str, Any]) -> str:
    frame = body["frame"]
    rows = [("address", frame["address"]), ("measured", clock(frame["time_ns"]) + _clock(frame))]
    if frame["array"]:
        rows.append(("stored", f"{frame['array']}, row {frame['row']}"))
    rows += [(f"digest of {name}", digest) for name, digest in frame["digests"].items()]
    rows += [(f"reference {name}", digest) for name, digest in body["references"].items()]
    rows += [(name, text) for name, text in body["labels"].items()]
    rows += [("fault of ours", text) for text in body["faults"]]
    return table(rows)


def _clock(frame: Mapping[str, Any]) -> str:
    duration = f", exposure {span(frame['duration_ns'] / 1e9)}" if frame["duration_ns"] else ""
    return duration + (f", clock: {frame['clock']}" if frame["clock"] else "")


def _done(body: Mapping[str, Any]) -> str:
    """What was offered, to whom, and what came of it; and what the operator did."""
    lines = [_sentence(action) for action in body["actions"]]
    for order in body["operator"]:
        who = f" by {order['operator']}" if order.get("operator") else ""
        lines.append(f"operator: {order.get('command', '')}{who} {order.get('reason') or ''}".rstrip())
    if not lines and body["decision"]["action"] != "CONTINUE" and body["run"]["mode"] == "advise":
        lines.append("nothing: in mode advise decisions are recorded and shown, not carried out")
    return "\n".join("  " + text for text in lines)


def _silent(body: Mapping[str, Any]) -> str:
    """What was never measured or judged in this run."""
    return "\n".join("  " + text for text in body["silent"])


def _sentence(action: Mapping[str, Any]) -> str:
    """One offered action: to whom, and whether it was taken."""
    name = action.get("decision", {}).get("action", "action")
    if action.get("acknowledged"):
        return f"{name} offered to {action['to']}: carried out"
    return f"{name} offered to {action['to']}: refused, {action.get('refused') or 'no reason given'}"


def _section(title: str, text: str) -> str:
    return f"{title}\n{text}" if text else ""
