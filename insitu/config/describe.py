"""What a setup would run, for `insitu check`: every stage with all its parameters and units, and what may leave."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from insitu.config import leaving
from insitu.config.settings import Setup, Source
from insitu.config.stages import KINDS


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
        "bundles": {entry: dict(body) for entry, body in setup.bundles.items()},
        "references": recipe.get("references", []),
        "budget": recipe["budget"],
        "acquire": recipe["acquire"],
        "leaves": leaving.leaves(setup),
        "safe_state": recipe.get("safe_state", {}),
        "modes": _modes(setup),
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
    for entry, b in d["bundles"].items():
        signed = "signed" if b["signed_by"] else "NOT SIGNED"
        yield f"bundle      {entry}: {b['name']} {b['version']} (serial {b['serial']}), {b['digest'][:19]}, {signed}"
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
    yield from leaving.lines(d["leaves"])
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
