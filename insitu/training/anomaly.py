"""How unlike good frames a frame is: one score for each instrument, its threshold set for a rate of false alarms.

    python -m insitu.training.anomaly --out pipelines/models/line_anomaly --kind line [--key FILE] [--quick]

SIMULATED: good frames are those of the simulators (`KINDS`), with settings drawn for each series; whole series are left
out for the threshold, and others for the figures. Faults are planted one by one. For an instrument of yours the same
script's functions fit the same few numbers on stored runs of it.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from insitu.errors import UsageError
from insitu.models.manifest import Judgement
from insitu.training.anomaly_kinds import KINDS, Kind, Simulator
from insitu.training.measured import measurements, rows
from insitu.training.metrics import threshold_for, wilson
from insitu.training.novelty import cluster, distance_model, distances
from insitu.training.options import options
from insitu.training.publish import data, files_digest, publish, settings_digest
from insitu.types import Measurement

SERIES, QUICK = (12, 12, 6), (2, 2, 1)
"""Series of each simulator for learning, for the threshold, and for the figures."""
RATE = 1e-5
"""False alarms allowed, as a share of good frames."""
LATE = 12
"""Good frames before a planted fault."""


def measured(kind: Kind, of: Simulator, seed: int, frames: int, faults: Sequence[str] = ()) -> Iterator[Measurement]:
    """One series with settings of its own."""
    reader = of.make(np.random.default_rng((seed, 77)), seed, frames, tuple(faults))
    return measurements(reader(), kind.extractors())


def good(kind: Kind, seeds: Sequence[int], frames: int) -> list[np.ndarray]:
    """Features of good frames of each simulator, `(n, k)`; frames that lack a number are not there."""
    params = {"keys": list(kind.keys)}
    return [
        np.concatenate([rows(islice(measured(kind, of, seed, frames), kind.skip, None), params).x for seed in seeds])
        for of in kind.simulators
    ]


def found(kind: Kind, score: "Scorer", level: float, seed: int) -> dict[str, int]:
    """For each planted fault, after how many frames it was found (-1: never). A frame without a number that the score
    needs is found as well: it is `unknown`, with the reason."""
    answer = {}
    for of in kind.simulators:
        for fault, frames in of.faults.items():
            name, _, strength = fault.partition("=")
            text = f"{name}@{LATE}-{LATE + frames - 1}" + (f"={strength}" if strength else "")
            told = list(measured(kind, of, seed, LATE + frames, [text]))[LATE:]
            late = [k for k, m in enumerate(told) if not score(m) <= level]
            answer[f"{of.name} {fault}"] = late[0] if late else -1
    return answer


class Scorer:
    """The score of a measurement; infinite where a number is missing."""

    def __init__(self, kind: Kind, clusters: Sequence) -> None:
        self.params, self.clusters = {"keys": list(kind.keys)}, clusters

    def __call__(self, measurement: Measurement) -> float:
        x = rows([measurement], self.params).x
        return float(distances(self.clusters, x)[0]) if len(x) else math.inf


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, set the threshold, measure, write the bundle."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--kind" not in given[:-1] or (name := given[given.index("--kind") + 1]) not in KINDS:
        raise UsageError("of what?", where="--kind", expected=", ".join(KINDS))
    at = given.index("--kind")
    chosen, kind = options(given[:at] + given[at + 2 :], __doc__ or ""), KINDS[name]
    counts = QUICK if chosen.quick else SERIES
    counts = tuple(kind.more * c for c in counts)
    edges = np.cumsum([0, *counts]) + 1000 * chosen.seed
    seeds = [list(range(a, b)) for a, b in pairwise(edges)]
    learn = good(kind, seeds[0], kind.frames)
    clusters = [cluster(x) for x in learn]
    calm = np.concatenate([distances(clusters, x) for x in good(kind, seeds[1], kind.frames)])
    level = float(np.ceil(1.1 * threshold_for(calm, RATE) * 100.0) / 100.0)
    clean = np.concatenate([distances(clusters, x) for x in good(kind, seeds[2], kind.frames)])
    answer = found(kind, Scorer(kind, clusters), level, int(edges[-1]) + 1)
    caught = sum(late >= 0 for late in answer.values())
    split = "by series: other seeds and settings"
    metrics = [
        wilson(int(np.sum(clean > level)), len(clean)).metric(
            "false_alarms", data="simulated", split=split, note="share of good frames above the threshold"
        ),
        wilson(caught, len(answer)).metric(
            "faults_found", data="simulated", split=split, note="; ".join(f"{k}: frame {v}" for k, v in answer.items())
        ),
    ]
    print(name, "threshold", level, "largest of the clean", float(clean.max()), metrics)
    here = Path(__file__)
    digest = settings_digest({"code": files_digest([here, here.with_name("anomaly_kinds.py")]), "series": counts})
    publish(
        chosen,
        name=f"{name}_anomaly",
        script="insitu.training.anomaly",
        task="anomaly",
        modality=kind.modality,
        description=f"How unlike good frames: {kind.about}. SIMULATED: good on simulated data; fit it to yours.",
        labels=(),
        model=distance_model(clusters),
        preparation=("features", {"keys": list(kind.keys)}),
        golden=np.concatenate([x[:: max(1, len(x) // 4)][:4] for x in learn]).astype(np.float32),
        output_names=("score",),
        trained_on=[
            data(f"simulated {of.name}", digest, "simulated", len(x))
            for of, x in zip(kind.simulators, learn, strict=True)
        ],
        split=split,
        metrics=metrics,
        decision=Judgement(threshold=level, false_alarms=RATE),
    )


if __name__ == "__main__":
    main()
