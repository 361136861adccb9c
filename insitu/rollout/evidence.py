"""What stored runs tell of a candidate beside the current bundle: counts that add up over runs.

In every run one bundle of a name acts, and its twin (named `<stage>_shadow`) sees the same frames: the shadow where the
current one acts, the current one where a canary does. Both verdicts are in the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from insitu.config.bundles import SHADOW
from insitu.errors import StorageError
from insitu.models.manifest import slug
from insitu.store.runs import StoredRun

MODEL = "models."
UNSURE = frozenset({"unknown", "review"})
OUTSIDE = "outside"
"""Among the scores, and none of a class: how much of the input is unlike the training's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Frames counted. `due`: a verdict of the candidate was due; `missing`: there was none; `both`: both judged;
    `agreed`: with the same label; `blind`: the candidate had no numbers where the current one had some (it failed, or
    cannot see such frames); `unsure_...`: labels `unknown` or `review`; `labelled`: with a label by a person,
    `right_...` of them. `p99_ms`: of the decisions of its runs, the slowest run's; `budget_ms`: the smallest."""

    runs: int = 0
    due: int = 0
    missing: int = 0
    both: int = 0
    agreed: int = 0
    blind: int = 0
    unsure_current: int = 0
    unsure_candidate: int = 0
    labelled: int = 0
    right_current: int = 0
    right_candidate: int = 0
    p99_ms: float | None = None
    budget_ms: float | None = None

    def __add__(self, other: Evidence) -> Evidence:
        total: dict[str, Any] = {}
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if f.name in ("p99_ms", "budget_ms"):
                known = [x for x in (mine, theirs) if x is not None]
                total[f.name] = None if not known else max(known) if f.name == "p99_ms" else min(known)
            else:
                total[f.name] = mine + theirs
        return Evidence(**total)

    def as_dict(self) -> dict[str, Any]:
        """For the log and for `--json`."""
        return asdict(self)


def in_run(
    run: StoredRun, name: str, current: str, candidate: str, labels: Mapping[str, str] | None = None
) -> Evidence:
    """What one run tells of `candidate` beside `current` (digests). `labels`: what a person said of frames, by their
    address; a verdict is right where its label, or its best class, is that."""
    opened = run.open_body()
    bundles: dict[str, Any] = opened.get("bundles") or {}
    stages: dict[str, bool] = {}  # model: whether the candidate acts
    for key, acting in bundles.items():
        if not key.startswith(MODEL) or key + SHADOW not in bundles or acting["name"] != name:
            continue
        if {acting["digest"], bundles[key + SHADOW]["digest"]} == {current, candidate}:
            stages[key.removeprefix(MODEL)] = acting["digest"] == candidate
    if not stages:
        return Evidence()
    counts: dict[str, int] = dict.fromkeys(
        ("due", "missing", "both", "agreed", "blind", "unsure_current", "unsure_candidate", "labelled", "right_current",
         "right_candidate"), 0,
    )  # fmt: skip
    for record in run.records():
        label = (labels or {}).get(f"insitu:{run.uid}/{record['source']}/{record['seq']}")
        for stage, acts in stages.items():
            own, twin = (record["verdicts"].get(name) for name in (stage, stage + SHADOW))
            _count(counts, *((twin, own) if acts else (own, twin)), label)
    budget = opened.get("latency_s")
    return Evidence(
        runs=1,
        p99_ms=_p99(run) if any(stages.values()) else None,
        budget_ms=None if budget is None else budget * 1e3,
        **counts,
    )


def over(
    runs: Iterable[StoredRun], name: str, current: str, candidate: str, labels: Mapping[str, str] | None = None
) -> Evidence:
    """What several runs tell; one that cannot be read tells nothing."""
    total = Evidence()
    for run in runs:
        try:
            total += in_run(run, name, current, candidate, labels)
        except StorageError:
            continue
    return total


def _count(
    counts: dict[str, int], current: Mapping[str, Any] | None, candidate: Mapping[str, Any] | None, label: str | None
) -> None:
    if current is None and candidate is None:
        return  # of another source, or a reference
    counts["due"] += 1
    counts["missing"] += candidate is None
    if current is None or candidate is None:
        return
    counts["both"] += 1
    blind = bool(current.get("scores")) and not candidate.get("scores")
    counts["blind"] += blind
    counts["agreed"] += not blind and _says(current) == _says(candidate)
    counts["unsure_current"] += current["label"] in UNSURE
    counts["unsure_candidate"] += candidate["label"] in UNSURE
    if label is not None:
        counts["labelled"] += 1
        counts["right_current"] += _right(current, label)
        counts["right_candidate"] += _right(candidate, label)


def _right(verdict: Mapping[str, Any], label: str) -> bool:
    """Whether a verdict is what a person has said: its label, its best class (as `insitu model show` writes it, or as
    features do), one of several with + between them, or `none` of those that the network knows."""
    if label == verdict["label"] or (label == "none" and verdict["label"] == "unknown"):
        return True
    return _says(verdict) in {slug(part) for part in label.split("+")}


def _says(verdict: Mapping[str, Any]) -> str:
    """The best class where there is one and the verdict is sure, else the label."""
    scores = {key: score for key, score in (verdict.get("scores") or {}).items() if key != OUTSIDE}
    return verdict["label"] if verdict["label"] in UNSURE or not scores else max(scores, key=scores.__getitem__)


def _p99(run: StoredRun) -> float | None:
    edges = [body["edge_us"] for _, body in run.timings() if "edge_us" in body]
    return float(np.quantile(edges, 0.99)) / 1e3 if edges else None
