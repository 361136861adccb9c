"""Which stored frames are most worth a person's label, and the labels that came back.

A label tells most where the network is undecided (small margin between its two best labels), and where it is unlike
those chosen already. So frames are taken one after the other: always the one whose indecision times distance to the
nearest chosen one is largest. Labels lie in `<data root>/labels/`, one table for each time that some were given; runs
are sealed and stay as they are.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import NotFoundError, StorageError, UsageError
from insitu.rollout.checking import check_frames
from insitu.rollout.labels import COLUMNS, Given, labels_of, read_given
from insitu.store.runs import StoredRun

FOLDER = "labels"
STAMP = "%Y%m%dT%H%M%S%f"
POOL = 4000
"""Frames that are compared, the most undecided ones: distances between more would take minutes."""
OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A frame that might be labelled: its address, what the network says with which score, how far the best label is
    above the next, when it was taken."""

    address: str
    says: str
    score: float
    margin: float
    time_ns: int


def choose(
    runs: Iterable[StoredRun], model: str, count: int, known: Mapping[str, str] | None = None
) -> list[Candidate]:
    """At most `count` frames of runs in which the model `model` judged, the most worthwhile first. `known`: frames with
    a label already: not chosen again, and others like them are worth less. Raises `NotFoundError` where no frame was
    judged by that model."""
    pool: list[Candidate] = []
    rows: list[list[float]] = []
    names: set[str] = set()
    keys: list[str] | None = None
    for run in runs:
        for record in run.records():
            names |= record["verdicts"].keys()
            verdict = record["verdicts"].get(model)
            if verdict is None or not verdict.get("scores"):
                continue
            scores = {k: float(v) for k, v in verdict["scores"].items() if k != OUTSIDE}
            keys = sorted(record["features"]) if keys is None else keys
            pool.append(_candidate(run, record, verdict, scores))
            rows.append([*scores.values(), *(_number(record["features"].get(k)) for k in keys)])
    if not pool:
        raise NotFoundError(
            f"no frame was judged by a model named {model!r} with scores",
            expected=f"one of {', '.join(sorted(names)) or 'none'}",
            remedy="--model names the entry of [[models]] that runs the network",
        )
    width = max(len(row) for row in rows)
    kept = [i for i, row in enumerate(rows) if len(row) == width]
    return worthwhile([pool[i] for i in kept], np.array([rows[i] for i in kept]), count, known or {})


def _candidate(
    run: StoredRun, record: Mapping[str, Any], verdict: Mapping[str, Any], scores: dict[str, float]
) -> Candidate:
    ranked = sorted(scores.values(), reverse=True)
    return Candidate(
        address=f"insitu:{run.uid}/{record['source']}/{record['seq']}",
        says=max(scores, key=scores.__getitem__),
        score=ranked[0],
        margin=ranked[0] - ranked[1] if len(ranked) > 1 else abs(2.0 * ranked[0] - 1.0),
        time_ns=record["time_ns"],
    )


def _number(feature: Mapping[str, Any] | None) -> float:
    return np.nan if feature is None or feature["value"] is None else float(feature["value"])


def worthwhile(pool: list[Candidate], x: np.ndarray, count: int, known: Mapping[str, str]) -> list[Candidate]:
    """At most `count` of the candidates, one after the other; `x` `(n, columns)` says what each is like (a missing
    number is its column's middle), `known` which have a label."""
    undecided = np.array([1.0 - min(max(c.margin, 0.0), 1.0) for c in pool])
    labelled = np.array([c.address in known for c in pool])
    order = np.argsort(-undecided, kind="stable")
    order = order[labelled[order] | (np.cumsum(~labelled[order]) <= POOL)]
    x = x[order]
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isnan(x).all(axis=0), 0.0, _quiet(np.nanmedian, x))
    x = np.where(np.isnan(x), middle, x)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0) / np.sqrt(x.shape[1])
    worth = undecided[order] + 1e-3
    nearest = np.full(len(x), np.inf)
    for i in np.flatnonzero(labelled[order]):
        nearest = np.minimum(nearest, np.linalg.norm(x - x[i], axis=1))
    chosen: list[Candidate] = []
    free = ~labelled[order]
    for _ in range(min(count, int(free.sum()))):
        value = np.where(free, worth * np.minimum(nearest, 1e6), -1.0)
        best = int(value.argmax())
        chosen.append(pool[order[best]])
        free[best] = False
        nearest = np.minimum(nearest, np.linalg.norm(x - x[best], axis=1))
    return chosen


def _quiet(function: Any, x: np.ndarray) -> np.ndarray:
    """Medians of columns, without the warning about empty ones."""
    empty = np.isnan(x).all(axis=0)
    out = np.zeros(x.shape[1])
    out[~empty] = function(x[:, ~empty], axis=0)
    return out


def write_table(chosen: Sequence[Candidate], path: Path) -> None:
    """The table in which a person fills the column `label`. A file that is there is not overwritten."""
    try:
        with open(path, "x", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([*COLUMNS, "says", "score", "margin", "time"])
            for c in chosen:
                time = datetime.fromtimestamp(c.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
                table.writerow([c.address, "", c.says, f"{c.score:.4f}", f"{c.margin:.4f}", time])
    except FileExistsError as e:
        raise UsageError("this file is there already", where=str(path), remedy="Choose another name with -o") from e
    except OSError as e:
        raise StorageError(f"cannot write the table: {e.strerror}", where=str(path)) from e


def take(table: Path, data_root: Path, operator: str) -> dict[str, str]:
    """Keep the labels of a table beside the runs. Gives them. Raises `UsageError` where a frame is of no stored run."""
    given = read_given(table)
    labels = labels_of(given)
    if not labels:
        raise UsageError("no row has a label", where=str(table), remedy="Fill the column `label` and save it as CSV")
    check_frames(given, data_root)
    folder = data_root / FOLDER
    now = datetime.now(UTC)
    path = folder / f"{_after(folder, now):{STAMP}}-{os.getpid()}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        with open(beside, "x", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([*COLUMNS, "operator", "given"])
            rows.writerows([address, label, operator, now.isoformat()] for address, label in labels.items())
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except OSError as e:
        raise StorageError(f"cannot keep the labels: {e.strerror}", where=str(path)) from e
    return labels


def _after(folder: Path, now: datetime) -> datetime:
    """The time in the name of the next table: later than that of all others, also where the clock was set back."""
    names = [path.name.partition("-")[0] for path in folder.glob("[0-9]*T*-*.csv")]
    try:
        last = datetime.strptime(max(names, default=""), STAMP).replace(tzinfo=UTC)
    except ValueError:  # none is there, or a person has named it
        return now
    return max(now, last + timedelta(microseconds=1))


def kept(data_root: Path) -> dict[str, str]:
    """All labels that were taken; of one frame the last one counts."""
    return labels_of(kept_given(data_root))


def kept_given(data_root: Path) -> dict[str, Given]:
    """The same, with the file and line that each stands in."""
    found: dict[str, Given] = {}
    for path in sorted((data_root / FOLDER).glob("*.csv")):
        found |= read_given(path)
    return found
