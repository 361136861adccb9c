"""A score for anomalies of an instrument of yours, learnt from its own stored runs in which nothing was wrong.

Of recorded features a distance from the good ones (`insitu.training.novelty`), of diffraction patterns what principal
components leave over (`insitu.training.whitening`): linear algebra, in seconds. The threshold is that of a declared
rate of false alarms, from frames that were left out with their whole run (`insitu.training.own_runs`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from insitu.errors import UsageError
from insitu.models.bundle import Bundle, write_bundle
from insitu.models.manifest import Judgement, Manifest, Metric, Preparation, Ranges, Tensor, Training, TrainingData
from insitu.models.preparing import digest
from insitu.replay.good_runs import GoodRun
from insitu.training import own_runs, whitening
from insitu.training.latency import outputs
from insitu.training.metrics import wilson
from insitu.training.novelty import cluster, distance_model, distances
from insitu.training.publish import LICENCE, YEARS, ranges_of

SCRIPT = "insitu model fit"
SPLIT = "by run"
EACH = 10
"""Frames for every number that a frame is, at least."""
MOST = 1500
"""Patterns that components are found from, evenly chosen: more tell no more and take minutes."""
GOLDEN = 12


class Learnt(NamedTuple):
    """Scores of inputs `(n, ...)` to `(n,)`, and the same as ONNX."""

    score: Callable[[np.ndarray], np.ndarray]
    graph: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Own:
    """What was learnt: `level` of the threshold, false alarms in each run by a threshold of the others, the frames with
    the largest scores."""

    learnt: Learnt
    level: own_runs.Level
    rate: float
    alarms: tuple[int, ...]
    largest: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the manifest says beside the figures. `preparation` and `params` are those of the inputs."""

    name: str
    modality: str
    preparation: str
    params: Mapping[str, Any]
    serial: int = 1
    parent: str = ""


def fit(runs: Sequence[GoodRun], preparation: str, rate: float) -> Own:
    """Learn from good runs. Raises `UsageError` where they are too few for the rate, or for so many numbers."""
    if not 0.0 < rate <= 0.5:
        raise UsageError(f"a rate of {rate:g}", where="--false-alarms", expected="a share of the good frames, to 0.5")
    used = usable(runs)
    if len(used) < own_runs.FEWEST:
        raise UsageError(
            f"{len(used)} runs with frames that can be used", where="RUN", expected=f"{own_runs.FEWEST} or more",
            remedy="How runs differ cannot be told from fewer; a long run counts once",
        )  # fmt: skip
    learn = _patterns if preparation == "pattern" else _features
    _enough(used, preparation)
    values, kinds = [run.values.astype(np.float64) for run in used], [np.array(run.labels) for run in used]

    def learnt(which: Sequence[int]) -> Learnt:
        return learn(np.concatenate([values[i] for i in which]), np.concatenate([kinds[i] for i in which]))

    scores = own_runs.left_out(values, lambda which: learnt(which).score)
    found = own_runs.level(scores, rate)
    at = [(address, float(s)) for run, each in zip(used, scores, strict=True)
          for address, s in zip(run.addresses, each, strict=True)]  # fmt: skip
    return Own(
        learnt=learnt(range(len(used))), level=found, rate=rate, alarms=tuple(own_runs.of_new_runs(scores, rate)),
        largest=tuple(sorted(at, key=lambda one: -one[1])[:5]),
    )  # fmt: skip


def usable(runs: Sequence[GoodRun]) -> list[GoodRun]:
    """Runs with frames that can be used, each once: the same frames measured again tell nothing new."""
    found: dict[bytes, GoodRun] = {}
    for run in runs:
        if len(run.values):
            found.setdefault(run.values.tobytes(), run)
    return list(found.values())


def write(own: Own, runs: Sequence[GoodRun], about: About, out: Path, key: Path | None) -> Bundle:
    """The bundle of it, signed with the private key in the file `key` (None: unsigned), read back."""
    runs = usable(runs)
    known = np.concatenate([run.values for run in runs])
    golden = known[:: max(1, len(known) // GOLDEN)][:GOLDEN].astype(np.float32)
    model = own.learnt.graph()
    manifest = _manifest(own, runs, about, known)
    return write_bundle(out, manifest, model=model, golden=(golden, *outputs(model, golden)), licence=LICENCE, key=key)


def _features(x: np.ndarray, kind: np.ndarray) -> Learnt:
    """Distances from good features `(n, k)`, apart by kind."""
    clusters = [cluster(x[kind == k]) for k in np.unique(kind)]
    return Learnt(lambda y: distances(clusters, y), lambda: distance_model(clusters))


def _patterns(x: np.ndarray, kind: np.ndarray) -> Learnt:
    """What components leave of good patterns `(n, 1, points)`, apart by kind."""
    groups = [x[kind == k] for k in np.unique(kind)]
    made = whitening.patterns([g[:: -(-len(g) // MOST)] for g in groups])
    return Learnt(made, made.graph)


def _enough(runs: Sequence[GoodRun], preparation: str) -> None:
    """Raises `UsageError` where a frame is more numbers than so few frames can tell of."""
    wide = 1 if preparation == "pattern" else runs[0].values.shape[1]
    of: dict[str, int] = {}
    for run in runs:
        for label in run.labels:
            of[label] = of.get(label, 0) + 1
    kind, frames = min(of.items(), key=lambda pair: pair[1])
    if frames < EACH * (wide + 1):
        raise UsageError(
            f"{frames} frames that can be used" + (f" with the label {kind!r}" if kind else ""), where="RUN",
            expected=f"{EACH * (wide + 1)} or more for {wide} numbers of each frame",
            remedy="Measure more good runs, or name fewer features",
        )  # fmt: skip


def _manifest(own: Own, runs: Sequence[GoodRun], about: About, known: np.ndarray) -> Manifest:
    today, found = datetime.now(UTC).date(), own.level
    kind: Literal["real", "simulated"] = "simulated" if any(run.simulated for run in runs) else "real"
    used = len(runs)
    heads = "\n".join(sorted(f"{run.uid} {run.head}" for run in runs))
    lost, frames = sum(run.lost for run in runs), found.frames
    share = wilson(sum(own.alarms), frames)
    note = f"{used} runs, each by learning and threshold of the others; the frames count for {found.independent:.0f} "
    note += "independent ones, and the interval is as if all were"
    metrics = (
        Metric(**share.metric("false_alarms", data=kind, split=SPLIT, note=note)),
        Metric(**wilson(lost, frames + lost).metric("unknown", data=kind, split="all", note="a number is missing")),
    )
    width = (None, *known.shape[1:])
    numbers = f"{known.shape[1]} features" if about.preparation == "features" else "patterns"
    return Manifest(
        name=about.name, version="1.0.0", serial=about.serial, created=today.isoformat(),
        expires=today.replace(year=today.year + YEARS, day=min(today.day, 28)).isoformat(), task="anomaly",
        modality=about.modality, inputs=Tensor(name="input", shape=width),
        description=f"How unlike good frames of one instrument, in {numbers}; fitted to {used} runs of it, no other.",
        outputs=(Tensor(name="score", shape=(None, 1)),),
        preparation=Preparation(
            name=about.preparation, params=about.params, digest=digest(about.preparation, about.params)
        ),
        ranges=ranges_of(known, share=1.0) if about.preparation == "pattern" else Ranges(),
        decision=Judgement(threshold=float(f"{found.threshold:.6g}"), false_alarms=own.rate),
        training=Training(
            script=SCRIPT, split=SPLIT,
            data=(TrainingData(name=f"{used} good runs", kind=kind, n=frames,
                               digest="sha256:" + hashlib.sha256(heads.encode()).hexdigest()),),
        ),
        metrics=metrics, parent=about.parent,
    )  # fmt: skip
