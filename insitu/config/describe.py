"""What a setup would run, for `insitu check`: every stage with all its parameters and units, and what may leave."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from insitu.config.settings import Setup, Source
from insitu.config.stages import KINDS
from insitu.sinks.documents import labels_of
from insitu.sinks.policy import RUN_NAMES, matching
from insitu.sinks.streams import array_rules, columns

ALWAYS_LEAVES = ("run uid", "source names", "frame number and time", "counts", "decisions (action and rule)")


def describe(setup: Setup) -> dict[str, Any]:
    """The resolved setup as plain data (JSON)."""
    recipe = tomllib.loads(setup.recipe_toml)
    detectors = tomllib.loads(setup.detectors_toml)
    pipeline = setup.pipeline()
    judges = {stage.name: stage.digest for stage in (*pipeline.models, *pipeline.rules)}
    return {
        "recipe": setup.name,
        "title": setup.title,
        "simulated": setup.simulated,
        "sources": [_source(source, detectors[source.detector.name]) for source in setup.sources],
        **{kind: [_stage(row, judges) for row in recipe.get(kind, [])] for kind in KINDS},
        "outputs": {
            source: {key: {"unit": o.unit, "array": o.array, "rtol": o.rtol, "atol": o.atol} for key, o in keys.items()}
            for source, keys in setup.outputs.items()
        },
        "references": recipe.get("references", []),
        "budget": recipe["budget"],
        "acquire": recipe["acquire"],
        "leaves": leaves(setup),
        "safe_state": recipe.get("safe_state", {}),
        "modes": _modes(setup),
    }


def leaves(setup: Setup) -> dict[str, Any]:
    """What may leave the edge by the policy: every key of every document, from the code that makes the documents."""
    policy, kafka = setup.policy, setup.kafka
    start = {name: setup.metadata.get(name) for name in (*RUN_NAMES, *setup.metadata)}
    streams: dict[str, dict[str, str]] = {}
    for source in setup.sources:
        d = source.detector
        outputs, labels = setup.outputs[d.source], labels_of(policy, list(start), list(d.calibration))
        context = {name: f.unit for name, f in d.calibration.items()}
        keys = columns(policy, d.source, outputs, setup.models, labels, context).data_keys()
        streams[d.source] = {key: described.get("units", described["dtype"]) for key, described in keys.items()}
        for rule in array_rules(policy, outputs):
            shape = f"{list(rule.shape)} {rule.dtype}, at most {rule.max_rate_hz:g} Hz"
            streams[f"{d.source}-{rule.feature}"] = {"frame_seq": "integer", rule.feature: shape}
    return {
        "sent": bool(kafka),
        "to": kafka.get("bootstrap", ""),
        "topic": f"{kafka['beamline']}.bluesky.insitu.documents" if kafka else "",
        "always": list(ALWAYS_LEAVES),
        "features": {name: matching(policy.features, keys) for name, keys in setup.outputs.items()},
        "streams": streams,
        "start": {name: start[name] for name in policy.metadata if name in start},
        "pseudonyms": {name: start.get(name) for name in policy.pseudonyms},
        "calibration": sorted({k for s in setup.sources for k in s.detector.calibration if k in policy.metadata}),
        "metadata": list(policy.metadata),
        "reasons": policy.reasons,
        "triage": policy.triage,
        "max_rate": "" if policy.max_rate_hz is None else f"{policy.max_rate_hz:g} Hz",
        "max_bytes": policy.max_bytes,
        "max_ratio": policy.max_ratio,
    }


def _source(source: Source, table: Mapping[str, Any]) -> dict[str, Any]:
    d = source.detector
    return {
        "source": d.source,
        "detector": d.name,
        "live": d.live,
        "shape": None if d.shape is None else list(d.shape),
        "dtype": d.dtype,
        "dims": list(d.dims),
        "unit": d.unit,
        "reader": table["reader"],
        "calibration": table.get("calibration", {}),
        "limits": table.get("limits", {}),
        "rate": table["reader"].get("rate"),
    }


def _stage(row: Mapping[str, Any], judges: Mapping[str, str]) -> dict[str, Any]:
    parameters = {k: v for k, v in row.items() if k not in ("use", "name", "source")}
    stage = {"use": row["use"], "name": row.get("name", ""), "source": row.get("source"), "parameters": parameters}
    digest = judges.get(row.get("name", row["use"]))
    return stage if digest is None else {**stage, "digest": digest}


def _modes(setup: Setup) -> dict[str, str]:
    live = any(s.detector.live for s in setup.sources)
    act = "decisions are also carried out, within the limits of the detector files" if live else "HALT ends the run"
    return {"advise": "decisions are recorded and shown (the default)", "act": act}


def render(description: Mapping[str, Any]) -> str:
    """The description as text for people."""
    return "\n".join(_lines(description)) + "\n"


def _lines(d: Mapping[str, Any]) -> Iterator[str]:
    yield f"{d['recipe']}: {d['title']}" if d["title"] else d["recipe"]
    if d["simulated"]:
        yield "SIMULATED: no instrument is behind these numbers"
    for source in d["sources"]:
        yield ""
        yield f"source {source['source']} (detector {source['detector']}, {'live' if source['live'] else 'not live'})"
        shape = "found from the first frame" if source["shape"] is None else f"{source['shape']} {source['dtype']}"
        yield f"  frames      {shape}, in {source['unit']}, {', '.join(source['dims']) or 'dimensions from the reader'}"
        yield from _table("reader", source["reader"])
        yield from _table("calibration", source["calibration"])
        for signal, limit in source["limits"].items():
            yield f"  may set     {signal}: {_values(limit)}"
    for kind in KINDS:
        yield from _stages(kind, d[kind])
    yield ""
    yield "outputs"
    for source, keys in d["outputs"].items():
        for key, output in keys.items():
            yield f"  {source:<8} {key:<28} {output['unit'] or '(number)'}{'  array' if output['array'] else ''}"
    for reference in d["references"]:
        yield f"reference   {_values(reference)}"
    yield ""
    yield from _table("budget", d["budget"], "")
    yield from _table("acquire", d["acquire"], "")
    yield from _table("safe", d["safe_state"], "")
    yield ""
    yield from _leaving(d["leaves"])
    yield from (f"mode {mode:<6} {what}" for mode, what in d["modes"].items())


def _stages(kind: str, stages: list[Mapping[str, Any]]) -> Iterator[str]:
    if stages:
        yield ""
        yield kind
    for stage in stages:
        name = f' "{stage["name"]}"' if stage["name"] and stage["name"] != stage["use"] else ""
        only = f" (source {stage['source']})" if stage["source"] else ""
        yield f"  {stage['use']}{name}{only}"
        for key, value in stage["parameters"].items():
            yield f"    {key} = {_value(value)}"


def _leaving(leaving: Mapping[str, Any]) -> Iterator[str]:
    where = f"to {leaving['to']}, topic {leaving['topic']}" if leaving["to"] else "into the outbox of the run"
    yield f"may leave  {where}" if leaving["sent"] else "may leave  nothing: the recipe has no [kafka]. With it:"
    yield f"  always   {', '.join(leaving['always'])}"
    for name, value in leaving["start"].items():
        yield f"  start    {name}{'' if value is None else f' = {_value(value)}'}"
    for name in leaving["pseudonyms"]:
        yield f"  start or label  {name}, as a keyed hash"
    for name in leaving["calibration"]:
        yield f"  calibration  {name}"
    for stream, keys in leaving["streams"].items():
        yield f"  events of {stream}: " + ", ".join(f"{key} ({unit or 'number'})" for key, unit in keys.items())
    if leaving["reasons"]:
        yield "  reasons  the sentences of rules, models and features"
    if leaving["triage"]:
        yield "  triage   of records that are judged normal only their number"
    rate = f"{leaving['max_rate']} by frame time, " if leaving["max_rate"] else ""
    ratio = "" if leaving["max_ratio"] is None else f", {leaving['max_ratio']:g} of the raw bytes"
    yield f"  at most  {rate}{leaving['max_bytes']} bytes a document{ratio}"


def _table(title: str, table: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    if table:
        yield f"{indent}{title:<11} {_values(table)}"


def _values(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in table.items() if value not in ("", []))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + _values(value) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
