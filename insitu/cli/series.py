"""What `insitu plot` draws, read from a stored run: a map of the patterns, traces of features, verdicts, decisions.

The map holds at most `MOST_FRAMES` frames, evenly chosen. Traces keep every record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.cli.waterfall import waterfall
from insitu.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from insitu.store.runs import StoredRun

MOST_FRAMES = 1000
MOST_TRACES = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """One feature along x: shapes `(records,)`; NaN where there is no value or no sigma."""

    key: str
    unit: str
    x: np.ndarray
    value: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A decision that was not CONTINUE, and how long it was repeated record after record: from `x` to `until`."""

    x: float
    until: float
    action: str
    rule: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Everything in the picture. `map` has shape (points, frames); `x` (frames,), increasing: s since the first frame,
    or the values of `against`, or numbers of frames (`numbered`: the times do not tell the order); `axis` (points,)
    along the pattern."""

    uid: str
    title: str
    mode: str
    simulated: bool
    source: str
    start_ns: int
    against: str
    numbered: bool
    x_unit: str
    ended: str
    reason: str
    x: np.ndarray
    axis: np.ndarray
    axis_label: str
    map: np.ndarray
    unit: str
    map_name: str
    traces: tuple[Trace, ...]
    labels: Mapping[str, tuple[tuple[float, str], ...]]
    marks: tuple[Mark, ...]
    counts: Mapping[str, Any]


def collect(
    run: StoredRun,
    raw: StoredRun,
    *,
    source: str = "",
    patterns: Sequence[str] = (),
    against: str = "",
    array: str = "",
) -> Series:
    """Reads what is to be drawn. `raw`: the run that holds the frames (the same one, unless it is derived).
    `patterns`: keys of features, `*` allowed; without any, those that were judged. `against`: a number that was
    recorded with the frames (temperature, ...) to draw against instead of time. `array`: an array feature for the
    map; without it the frames themselves, or, where those are images, the first curve that was made of them."""
    source = _source(raw, source)
    entries = [entry.body for entry in raw.entries("frame") if entry.body["source"] == source]
    if not entries:
        raise NotFoundError("no frame is stored in this run: there is nothing to draw", where=str(run.path))
    start = min(body["time_ns"] for body in entries)
    numbered = not against and _timeless(entries)
    place = _Place(start, against, numbered)
    entries = sorted((body for body in entries if place(body) is not None), key=place)
    if not entries:
        known = ", ".join(sorted({key for e in raw.entries("frame") for key in e.body.get("context", {})})) or "none"
        raise UsageError(f"no frame carries {against!r}", where=str(run.path), expected=f"one of {known}")
    chosen = [entries[i] for i in _thin(len(entries), MOST_FRAMES)]
    drawn = waterfall(run, raw, source, [body["seq"] for body in chosen], key=array)
    records = [r for r in run.records() if r["source"] == source and not r.get("provisional") and place(r) is not None]
    records.sort(key=place)
    opened, sealed = run.open_body(), run.seal_body() or {}
    return Series(
        uid=run.uid,
        title=opened.get("title", ""),
        mode=opened.get("mode", ""),
        simulated=bool(opened.get("simulated")),
        source=source,
        start_ns=start,
        against=against,
        numbered=numbered,
        x_unit=entries[0]["context"][against]["unit"] if against else "" if numbered else "s",
        ended=sealed.get("ended", "not sealed"),
        reason=sealed.get("reason", ""),
        x=np.array([place(body) for body in chosen]),
        axis=drawn.axis,
        axis_label=drawn.label,
        map=drawn.values,
        unit=drawn.unit,
        map_name=drawn.name,
        traces=_traces(records, place, patterns),
        labels=_labels(records, place),
        marks=_marks(records, place),
        counts={**run.counts(), "frames": raw.counts()["frames"]},
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a frame or a record stands on the x axis; None where it does not carry what is drawn against."""

    start_ns: int
    against: str
    numbered: bool

    def __call__(self, body: Mapping[str, Any]) -> Any:
        if self.numbered:
            return float(body["seq"])
        if not self.against:
            return (body["time_ns"] - self.start_ns) / 1e9
        return body.get("context", {}).get(self.against, {}).get("value")


def _timeless(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether times do not tell the order: all the same, or of files that were written in another one."""
    times = [body["time_ns"] for body in entries]
    back = any(later < earlier for earlier, later in pairwise(times))
    written = any(body["clock"] == "arrival" for body in entries)
    return len(times) > 1 and (min(times) == max(times) or (back and written))


def _source(run: StoredRun, wanted: str) -> str:
    sources = run.sources()
    if wanted and wanted not in sources:
        raise UsageError(f"this run has no source {wanted!r}", where=str(run.path), expected=", ".join(sources))
    if not sources:
        raise NotFoundError("this run has no source: there is nothing to draw", where=str(run.path))
    return wanted or sources[0]


def _thin(count: int, most: int) -> list[int]:
    """At most `most` indices, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _traces(records: Sequence[Mapping[str, Any]], place: _Place, patterns: Sequence[str]) -> tuple[Trace, ...]:
    """The features to draw, a temperature first if one was recorded and it changes."""
    keys = {key: None for r in records for key, f in r["features"].items() if f["value"] is not None}
    context = {key: None for r in records for key, f in r.get("context", {}).items() if f["value"] is not None}
    if patterns:
        chosen = [key for key in (*context, *keys) if any(fnmatchcase(key, pattern) for pattern in patterns)]
        if not chosen:
            known = ", ".join(sorted({*keys, *context})) or "none"
            raise UsageError(f"no feature matches {', '.join(patterns)}", expected=f"one of {known}")
        return tuple(_trace(records, place, key) for key in chosen)
    text = " ".join(v["reason"] for r in records[:: max(1, len(records) // 200)] for v in r["verdicts"].values())
    words = set(text.split()) | {w for r in records for w in r["decision"]["reason"].split()}
    judged = [key for key in keys if key in words]
    traces = [_trace(records, place, key) for key in [*judged, *(k for k in keys if k not in judged)][:MOST_TRACES]]
    driven = [_trace(records, place, key) for key in context if key == "temperature" and key != place.against]
    return (*(t for t in driven if np.nanmax(t.value) > np.nanmin(t.value)), *traces)


def _trace(records: Sequence[Mapping[str, Any]], place: _Place, key: str) -> Trace:
    found = [(place(r), r["features"].get(key) or r.get("context", {}).get(key)) for r in records]
    kept = [(x, f) for x, f in found if f is not None]
    return Trace(
        key=key,
        unit=kept[0][1]["unit"],
        x=np.array([x for x, _ in kept]),
        value=np.array([np.nan if f["value"] is None else f["value"] for _, f in kept], dtype=np.float64),
        sigma=np.array([f.get("sigma", np.nan) for _, f in kept], dtype=np.float64),
    )


def _labels(records: Sequence[Mapping[str, Any]], place: _Place) -> dict[str, tuple[tuple[float, str], ...]]:
    """For each model the (x, label) of every record."""
    labels: dict[str, list[tuple[float, str]]] = {}
    for record in records:
        for name, verdict in record["verdicts"].items():
            labels.setdefault(name, []).append((place(record), verdict["label"]))
    return {name: tuple(pairs) for name, pairs in labels.items()}


def _marks(records: Sequence[Mapping[str, Any]], place: _Place) -> tuple[Mark, ...]:
    """Decisions; one that is repeated record after record is one mark, which lasts."""
    marks: list[Mark] = []
    before: tuple[str, str] | None = None
    for record in records:
        decision, x = record["decision"], place(record)
        said = (decision["action"], decision["rule"])
        if decision["action"] != "CONTINUE":
            if said == before:
                marks[-1] = replace(marks[-1], until=x)
            else:
                marks.append(Mark(x=x, until=x, action=said[0], rule=said[1], n=record["n"]))
        before = said
    return tuple(marks)
