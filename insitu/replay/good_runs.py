"""Stored runs in which nothing was wrong, as a score for anomalies learns from them: every frame of each, prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.config import load_stored
from insitu.errors import NotFoundError
from insitu.models.preparing import Prepared, preparation
from insitu.models.preparing_features import CONTEXT
from insitu.replay.fold import origin, reference_fold, with_neighbours
from insitu.store.canonical import feature_from
from insitu.store.runs import StoredRun
from insitu.types import Frame, Measurement

MOSTLY = 0.8
"""A number that fewer frames have is not taken where keys are given by patterns."""


class GoodRun(NamedTuple):
    """One run: `values` `(n, ...)` of the frames that can be prepared, their addresses, and the label `by` of each.
    `refused`: {why: so many frames that cannot}. `said`: {model: so many frames that it called an anomaly}. `head`: of
    its ledger. `simulated`: no instrument was behind it."""

    uid: str
    head: str
    values: np.ndarray
    addresses: tuple[str, ...]
    labels: tuple[str, ...]
    refused: dict[str, int]
    said: dict[str, int]
    simulated: bool

    @property
    def lost(self) -> int:
        """Frames that cannot be prepared."""
        return sum(self.refused.values())


def good_run(path: Path, name: str, params: Mapping[str, Any], *, by: str = "", source: str | None = None) -> GoodRun:
    """A run by the preparation `name` with `params`: of recorded features, or of the frames as extractors see them.
    `by`: a label of the frames that they are told apart by; `source`: the only one that is looked at. Raises
    `NotFoundError` where no record has any of the features."""
    with StoredRun(path) as run:
        found = _recorded(run, params["keys"], source) if name == "features" else _frames(run, source)
        prepare = preparation(name, params)
        values: list[np.ndarray] = []
        addresses: list[str] = []
        labels: list[str] = []
        refused: dict[str, int] = {}
        for address, frame_labels, thing in found:
            made = thing if isinstance(thing, Prepared) else prepare(thing)
            if made.input is None:
                refused[made.why] = refused.get(made.why, 0) + 1
                continue
            values.append(made.input)
            addresses.append(address)
            labels.append(frame_labels.get(by, "") if by else "")
        if name == "features" and not values and not refused:
            raise _nothing(run, params["keys"])
        body = run.open_body()
        return GoodRun(
            run.uid, run.head(), np.array(values), tuple(addresses), tuple(labels), refused, _said(run, source),
            bool(body.get("simulated", False)),
        )  # fmt: skip


def keys_like(paths: list[Path], patterns: list[str], *, source: str | None = None) -> tuple[str, ...]:
    """Keys of recorded features that are like one of the patterns (`video_*`), and that most frames of all runs
    have; in order of their names. Raises `NotFoundError` where a pattern finds none."""
    had: dict[str, int] = {}
    frames = 0
    for path in paths:
        with StoredRun(path) as run:
            for record in _records(run, source):
                rows = {**record["features"], **{CONTEXT + k: f for k, f in record.get("context", {}).items()}}
                frames += any(fnmatchcase(key, p) for key in rows for p in patterns)
                for key, body in rows.items():
                    had[key] = had.get(key, 0) + (body.get("value") is not None)
    chosen: set[str] = set()
    for pattern in patterns:
        like = {
            key for key in had if fnmatchcase(key, pattern) and key.startswith(CONTEXT) == pattern.startswith(CONTEXT)
        }
        usable = {key for key in like if had[key] >= MOSTLY * frames}
        if not usable:
            known = ", ".join(sorted(key for key in had if had[key])[:12])
            worst = ", ".join(f"{key} in {had[key]} of {frames} frames" for key in sorted(like)[:4])
            raise NotFoundError(
                f"no feature like {pattern!r} has a value in most frames" + (f" ({worst})" if worst else ""),
                where="--features", expected=f"some of {known}" if known else "runs with features",
            )  # fmt: skip
        chosen |= usable
    return tuple(sorted(chosen))


def ends(path: Path, *, source: str | None = None) -> Iterator[Frame]:
    """The first and the last frame of a run as extractors see them: what they cover."""
    first: Frame | None = None
    last: Frame | None = None
    with StoredRun(path) as run:
        for _, _, thing in _frames(run, source, only_ends=True):
            if isinstance(thing, Frame):
                first, last = first or thing, thing
    yield from (f for f in (first, last) if f is not None)


def _records(run: StoredRun, source: str | None) -> Iterator[dict[str, Any]]:
    """Whole frames of a sample."""
    for record in run.records(source):
        if record.get("role", "sample") == "sample" and record.get("complete", True):
            yield record


def _recorded(
    run: StoredRun, keys: list[str], source: str | None
) -> Iterator[tuple[str, Mapping[str, str], Measurement]]:
    """The features that the run recorded, of sources that have any of them."""
    for record in _records(run, source):
        context = record.get("context", {})
        if not any(key in record["features"] or key.removeprefix(CONTEXT) in context for key in keys):
            continue
        measured = Measurement(
            source=record["source"], seq=record["seq"], n=record["n"], time_ns=record["time_ns"],
            features={key: feature_from(body) for key, body in record["features"].items()},
            context={key: feature_from(body) for key, body in context.items()},
        )  # fmt: skip
        yield f"insitu:{run.uid}/{record['source']}/{record['seq']}", record.get("labels", {}), measured


def _frames(
    given: StoredRun, source: str | None, *, only_ends: bool = False
) -> Iterator[tuple[str, Mapping[str, str], Frame | Prepared]]:
    """The frames as extractors see them; `only_ends`: the first and the last one."""
    setup = load_stored(given.path)
    pipeline, references = setup.pipeline(), reference_fold(setup)
    with origin(given) as run:
        whole = [
            e.n
            for e in run.entries("frame")
            if e.body["role"] == "sample" and e.body.get("complete", True) and source in (None, e.body["source"])
        ]
        asked = set(whole[:1] + whole[-1:] if only_ends else whole)
        for frame, refs, _ in with_neighbours(run, pipeline, references, wanted=lambda n, _, __: n in asked):
            if frame.n not in asked:
                continue
            try:
                thing: Frame | Prepared = pipeline.prepared(frame, refs)
            except (ValueError, ArithmeticError) as e:
                thing = Prepared(None, str(e) or type(e).__name__)
            yield frame.address(run.uid), frame.labels, thing


def _said(run: StoredRun, source: str | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in _records(run, source):
        for model, verdict in record["verdicts"].items():
            if verdict["label"] == "anomaly":
                found[model] = found.get(model, 0) + 1
    return found


def _nothing(run: StoredRun, keys: list[str]) -> NotFoundError:
    recorded = sorted({key for record in run.records() for key in record["features"]})
    return NotFoundError(
        f"run {run.uid} recorded none of {', '.join(keys[:6])}", where=str(run.path),
        expected=f"features of this bundle; the run has {', '.join(recorded[:8]) or 'none'}",
        remedy=f"Measure its frames with a recipe that gives them (`insitu reanalyse {run.uid} --recipe RECIPE`), or "
        "name the run's own with --features",
    )  # fmt: skip
