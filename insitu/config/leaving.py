"""What may leave, before anything does: `insitu check` tells it, and a policy that cannot be meant is refused.

Keys and sizes come from the code that makes the documents, so that what is told here is what leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from insitu.config.document import At, Problems
from insitu.config.roles import find
from insitu.config.schema import Table
from insitu.config.settings import Policy, Setup
from insitu.errors import ConfigError
from insitu.sinks.documents import EVENT_KEYS, START_KEYS, STOP_KEYS, About, Documents, labels_of
from insitu.sinks.policy import RUN_NAMES, matching
from insitu.sinks.streams import Columns, array_keys, array_rules, columns
from insitu.types import Detector, Output
from insitu.units import did_you_mean

ALWAYS_LEAVES = ("run uid", "source names", "frame number and time", "counts", "decisions (action and rule)")
NO_RUN = "00000000-0000-0000-0000-000000000000"
WIDTH = 100
COMMON_LABELS = ("file", "sample", "title")
"""A recipe may name them whichever reader it is used with."""


class Known(NamedTuple):
    """What is known of a run before it begins. `readers`: the `use` of every source; `rules`: their names; `security`:
    the file of the broker's secrets."""

    detectors: Sequence[Detector]
    readers: Sequence[str]
    outputs: Mapping[str, Mapping[str, Output]]
    models: Sequence[str]
    rules: Sequence[str]
    metadata: Mapping[str, str]
    security: Path | None


def with_secrets(parts: Table) -> dict[str, Any]:
    """A resolved table whose files are not copied: they are told by their whole path, which is good from anywhere."""
    paths = {key: str(value.absolute()) for key, value in parts.values.items() if isinstance(value, Path)}
    return {**parts.resolved, **paths}


def check(policy: Policy, known: Known, recipe: At, problems: Problems) -> None:
    """Refuse names that nothing has, a ceiling of bytes under which nothing could leave, and secrets that are not
    there."""
    at = recipe / "policy"
    if known.security is not None and not known.security.is_file():
        remedy = "A relative name is looked up beside the recipe"
        place = recipe / "kafka" / "security"
        problems.add(place.wrong(f"there is no file {known.security}", expected="a file with secrets", remedy=remedy))
    calibrations = {d.source: d.calibration for d in known.detectors}
    numbers = {name for found in calibrations.values() for name in found}
    texts = {**dict.fromkeys(RUN_NAMES, ""), **known.metadata}
    labels = _labels(known.readers, at)
    names = sorted({*texts, *numbers, *(labels or ())})
    for field in ("metadata", "pseudonyms") if labels is not None else ():
        for i, name in enumerate(getattr(policy, field)):
            if name not in names:
                problems.add(_unknown(name, names, at / field / i))
    for i, name in enumerate(policy.pseudonyms):
        if name in numbers:
            what = f'"{name}" is a calibration: a number has no pseudonym'
            problems.add((at / "pseudonyms" / i).wrong(what, expected="a text of the run or of its frames"))
    told = About(
        uid=NO_RUN,
        started_ns=0,
        metadata=texts,
        outputs=known.outputs,
        models=tuple(known.models),
        calibrations=calibrations,
    )
    documents, longest = Documents(policy, told), max(known.rules, key=len, default="")
    least = max((documents.least(source, longest) for source in known.outputs), default=0)
    if least > policy.max_bytes:
        what = f"{policy.max_bytes} bytes are too few: start document, descriptor or smallest event has {least}"
        problems.add((at / "max_bytes").wrong(what, expected=f'"{least} byte" or more'))


def _unknown(name: str, known: Sequence[str], at: At) -> ConfigError:
    return at.wrong(
        f'nothing is named "{name}"',
        expected=f"one of {', '.join(known)}",
        remedy=did_you_mean(name, known) or f'Say it under [metadata]: {name} = "..."',
    )


def _labels(readers: Sequence[str], at: At) -> set[str] | None:
    """What the texts of the frames are called; None where a reader does not say (`labels` of its factory)."""
    found: set[str] = {*COMMON_LABELS}
    for use in readers:
        labels = getattr(find(use, "reader", at), "labels", None)
        if labels is None:
            return None
        found |= set(labels)
    return found


def leaves(setup: Setup) -> dict[str, Any]:
    """What may leave the edge by the policy: every key of every document."""
    policy, kafka = setup.policy, setup.kafka
    detectors = [s.detector for s in setup.sources]
    start = {name: setup.metadata.get(name) for name in (*RUN_NAMES, *setup.metadata)}
    calibrations = sorted({k for d in detectors for k in d.calibration})
    streams: dict[str, dict[str, Any]] = {}
    shown: dict[str, dict[str, str]] = {}
    arrays: list[dict[str, Any]] = []
    for d in detectors:
        outputs = setup.outputs[d.source]
        streams[d.source] = keys = _columns(setup, d).data_keys()
        shown[d.source] = {key: k.get("units", k["dtype"]) for key, k in keys.items()}
        for rule in array_rules(policy, outputs):
            unit = outputs[rule.feature].unit
            stream = f"{d.source}-{rule.feature}"
            streams[stream] = array_keys(d.source, rule, unit)
            what = f"{list(rule.shape)} {rule.dtype}, at most {rule.max_rate_hz:g} Hz"
            shown[stream] = {"frame_seq": "integer", rule.feature: what}
            shape = {"shape": list(rule.shape), "dtype": rule.dtype, "max_rate_hz": rule.max_rate_hz}
            arrays.append({"stream": stream, "source": d.source, "feature": rule.feature, "unit": unit, **shape})
    named = {name: start[name] for name in policy.metadata if name in start}
    return {
        "sent": bool(kafka),
        "to": kafka.get("bootstrap", ""),
        "topic": f"{kafka['beamline']}.bluesky.insitu.documents" if kafka else "",
        "always": list(ALWAYS_LEAVES),
        "features": {name: matching(policy.features, keys) for name, keys in setup.outputs.items()},
        "context": list(policy.context),
        "verdicts": matching(policy.verdicts, setup.models),
        "streams": shown,
        "data_keys": streams,
        "segments": "a new segment of a source is a stream of the same keys: SOURCE-1, SOURCE-2, ...",
        "arrays": arrays,
        "documents": {
            "start": [*START_KEYS, *named, *policy.pseudonyms],
            "descriptor": {d.source: [c for c in policy.metadata if c in d.calibration] for d in detectors},
            "event": list(EVENT_KEYS),
            "stop": list(STOP_KEYS),
        },
        "start": named,
        "pseudonyms": {name: start.get(name) for name in policy.pseudonyms},
        "calibration": [name for name in calibrations if name in policy.metadata],
        "labels": list(labels_of(policy, list(start), calibrations)),
        "metadata": list(policy.metadata),
        "reasons": policy.reasons,
        "triage": policy.triage,
        "max_rate": "" if policy.max_rate_hz is None else f"{policy.max_rate_hz:g} Hz",
        "max_bytes": policy.max_bytes,
        "max_ratio": policy.max_ratio,
        "limits": policy.limits,
    }


def _columns(setup: Setup, d: Detector) -> Columns:
    labels = labels_of(setup.policy, (*RUN_NAMES, *setup.metadata), list(d.calibration))
    context = {name: f.unit for name, f in d.calibration.items()}
    return columns(setup.policy, d.source, setup.outputs[d.source], setup.models, labels, context)


def lines(leaving: Mapping[str, Any]) -> Iterator[str]:
    """For people: grouped by source; without `[kafka]` only how much it would be."""
    where = f"to {leaving['to']}, topic {leaving['topic']}" if leaving["to"] else "into the outbox of the run"
    yield f"may leave  {where}" if leaving["sent"] else "may leave  nothing: the recipe has no [kafka]. With it:"
    yield f"  always   {', '.join(leaving['always'])}"
    for name, value in leaving["start"].items():
        yield f"  start    {name}{'' if value is None else f' = {value}'}"
    for name in leaving["pseudonyms"]:
        yield f"  hashed   {name}, in the start document or as a label"
    for name in leaving["calibration"]:
        yield f"  start    {name}, a calibration, in each descriptor"
    for source in leaving["features"]:
        yield from _source(source, leaving)
    for array in leaving["arrays"]:
        yield f"  array    {array['stream']}: {leaving['streams'][array['stream']][array['feature']]}"
    if leaving["reasons"]:
        yield "  reasons  the sentences of rules, models and features, without paths, errors and texts not named here"
    if leaving["triage"]:
        yield "  triage   of records that are judged normal only their number"
    rate = f"{leaving['max_rate']} by frame time, " if leaving["max_rate"] else ""
    ratio = "" if leaving["max_ratio"] is None else f", {leaving['max_ratio']:g} of the raw bytes"
    yield f"  at most  {rate}{leaving['max_bytes']} bytes a document{ratio}"


def _source(source: str, leaving: Mapping[str, Any]) -> Iterator[str]:
    keys = leaving["streams"][source]
    groups = _groups(source, leaving)
    counts = ", ".join(f"{len(of)} {name}" for name, of in groups.items())
    yield f"  events   of {source}: {len(keys)} keys ({counts})"
    if leaving["sent"]:
        for name, of in groups.items():
            yield from _wrapped(f"    {name:<9} ", [f"{key} ({keys[key] or 'number'})" for key in of])
    elif named := leaving["features"][source]:
        yield from _wrapped("    features  ", [f"{key} ({keys[key] or 'number'})" for key in named])


def _groups(source: str, leaving: Mapping[str, Any]) -> dict[str, list[str]]:
    """{what the policy calls it: keys}."""
    ends = {
        "context": [n + end for n in leaving["context"] for end in ("", "_status")],
        "features": [n + end for n in leaving["features"][source] for end in ("", "_sigma", "_status")],
        "verdicts": [n + end for n in leaving["verdicts"] for end in ("_label", "_score", "_reason")],
        "labels": [f"label_{n}" for n in leaving["labels"]],
    }
    keys = leaving["streams"][source]
    groups = {name: [k for k in of if k in keys] for name, of in ends.items()}
    taken = {k for of in groups.values() for k in of}
    return {"always": [k for k in keys if k not in taken], **{name: of for name, of in groups.items() if of}}


def _wrapped(head: str, items: Iterable[str]) -> Iterator[str]:
    """Items with commas, over as many lines as they need, none of them broken."""
    line, empty = head, True
    for item in items:
        if not empty and len(line) + len(item) + 2 > WIDTH:
            yield line + ","
            line, empty = " " * len(head), True
        line, empty = line + ("" if empty else ", ") + item, False
    yield line
