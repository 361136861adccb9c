"""How unlike good frames a frame is: one score for each instrument, its threshold set for a rate of false alarms.

    python -m insitu.training.anomaly --out pipelines/models/line_anomaly --kind line [--key FILE] [--quick]

`--clean N`: so many clean frames of each reader for the figures (30,000).

SIMULATED: good frames are those of the simulators (`KINDS`), with settings drawn for each series. Whole series are left
out for the threshold (an exponential tail beyond the largest of them), others for the figures, after the threshold is
set. Faults are planted one by one. For an instrument of yours the same script's functions fit the same few numbers on
stored runs of it.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.models.manifest import Judgement
from insitu.training.anomaly_kinds import KINDS, Kind, Simulator
from insitu.training.measured import measurements, rows
from insitu.training.metrics import threshold_for, wilson
from insitu.training.novelty import Cluster, cluster, distance_model, distances
from insitu.training.options import Options, options
from insitu.training.publish import data, files_digest, publish, settings_digest
from insitu.types import Measurement


class Sizes(NamedTuple):
    """Series of each simulator for learning and for the threshold (times `Kind.more`); clean frames of each reader for
    the figures; series for each fault."""

    learn: int
    tune: int
    clean: int
    faulty: int


FULL, QUICK = Sizes(12, 24, 30_000, 5), Sizes(2, 2, 60, 1)
RATE = 2e-6
"""False alarms allowed, as a share of good frames."""
ROOM = 1.1
"""The threshold is higher than the tail says by this factor: settings of other series are not all drawn."""
LATE = 12
"""Good frames before a planted fault."""
SPLIT = "by series: other seeds and settings"


def measured(kind: Kind, of: Simulator, seed: int, frames: int, faults: Sequence[str] = ()) -> Iterator[Measurement]:
    """One series with settings of its own."""
    reader = of.make(np.random.default_rng((seed, 77)), seed, frames, tuple(faults))
    return measurements(reader(), kind.extractors(), kind.prepare())


def good(kind: Kind, of: Simulator, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Features of good frames of a simulator, `(n, k)`, by the label `kind.by`; frames that lack a number are left
    out."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        some = list(islice(measured(kind, of, seed, kind.frames), kind.skip, None))
        each = rows(some, params_of(kind))
        for x, k in zip(each.x, each.of, strict=True):
            found.setdefault(some[k].labels.get(kind.by, ""), []).append(x)
    return {label: np.array(x) for label, x in found.items()}


def params_of(kind: Kind) -> dict[str, Any]:
    """Of the preparation `features`."""
    return {"keys": list(kind.keys)} | ({"log": list(kind.log)} if kind.log else {})


class Scorer:
    """The score of a measurement; infinite where a number is missing."""

    def __init__(self, kind: Kind, clusters: Sequence[Cluster]) -> None:
        self.params, self.clusters = params_of(kind), clusters

    def __call__(self, measurement: Measurement) -> float:
        x = rows([measurement], self.params).x
        return float(distances(self.clusters, x)[0]) if len(x) else math.inf


def clean(kind: Kind, of: Simulator, score: Scorer, first_seed: int, frames: int) -> np.ndarray:
    """Scores of so many good frames; infinite where one is not normal because a number is missing."""
    told = (m for seed in count(first_seed) for m in islice(measured(kind, of, seed, kind.frames), kind.skip, None))
    return np.array([score(m) for m in islice(told, frames)])


def found(kind: Kind, of: Simulator, fault: str, score: Scorer, level: float, seed: int) -> int:
    """After how many frames a planted fault was found (-1: never). A frame without a number that the score needs is
    found as well: it is `unknown`, with the reason."""
    name, _, strength = fault.partition("=")
    first = max(LATE, kind.skip) + seed % 2
    last = first + of.faults[fault] - 1
    text = f"{name}@{first}-{last}" + (f"={strength}" if strength else "")
    told = list(measured(kind, of, seed, last + 1, [text]))[first:]
    return next((k for k, m in enumerate(told) if not score(m) <= level), -1)


def figures(kind: Kind, score: Scorer, level: float, sizes: Sizes, seed: int, chosen: Options) -> list[dict[str, Any]]:
    """False alarms in clean frames, and what was found of each fault, with seeds from `seed` on."""
    late = {
        f"{of.name} {fault}": [
            found(kind, of, fault, score, level, seed + 100_000 + k + 1000 * i) for k in range(sizes.faulty)
        ]
        for of in kind.simulators
        for i, fault in enumerate(of.faults)
    }
    print({k: (f"{sum(x >= 0 for x in each)} of {len(each)}", max(each)) for k, each in late.items()}, flush=True)
    scores = {
        of.name: clean(kind, of, score, seed, sizes.clean * kind.readers // len(kind.simulators))
        for of in kind.simulators
    }
    every = np.concatenate(list(scores.values()))
    note = "; ".join(f"{k}: {np.sum(~(x <= level))} of {len(x):,}, largest {x.max():.3g}" for k, x in scores.items())
    alarms = wilson(int(np.sum(~(every <= level))), len(every))
    metrics = [alarms.metric("false_alarms", data="simulated", split=SPLIT, note=f"not called normal; {note}")]
    right = sum(k >= 0 for each in late.values() for k in each)
    note = "; ".join(
        f"{name}: {sum(k >= 0 for k in each)} of {len(each)}, after {max(each)} frames" for name, each in late.items()
    )
    share = wilson(right, sum(map(len, late.values())))
    metrics.append(share.metric("faults_found", data="simulated", split=SPLIT, note=note))
    if kind.real is not None:
        told = [score(m) for m in measurements(kind.real(chosen.data), kind.extractors(), kind.prepare())]
        if told:
            note = "good ones, not learnt from; scores " + ", ".join(f"{x:.3g}" for x in told)
            share = wilson(sum(not x <= level for x in told), len(told))
            metrics.append(share.metric("false_alarms_measured", data="real", split="not learnt from", note=note))
    return metrics


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, set the threshold, measure, write the bundle."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--kind", choices=list(KINDS), required=True)
    parser.add_argument("--clean", type=int, default=None)
    own, rest = parser.parse_known_args(arguments)
    chosen, name, kind = options(rest, __doc__ or ""), own.kind, KINDS[own.kind]
    sizes = QUICK if chosen.quick else FULL
    sizes = sizes if own.clean is None else sizes._replace(clean=own.clean)
    first, middle = 1000 * chosen.seed, 1000 * chosen.seed + kind.more * sizes.learn
    last = middle + kind.more * sizes.tune
    learnt = {of.name: good(kind, of, range(first, middle)) for of in kind.simulators}
    clusters = [cluster(x) for each in learnt.values() for x in each.values()]
    held = [x for of in kind.simulators for x in good(kind, of, range(middle, last)).values()]
    calm = distances(clusters, np.concatenate(held))
    level = float(np.ceil(ROOM * threshold_for(calm, RATE) * 100.0) / 100.0)
    print(name, f"threshold {level} from {len(calm)} frames, the largest {calm.max():.3g}", flush=True)
    metrics = figures(kind, Scorer(kind, clusters), level, sizes, 10_000 + last, chosen)
    for metric in metrics:
        print(metric, flush=True)
    here = Path(__file__)
    files = [here, here.with_name("anomaly_kinds.py"), here.with_name("anomaly_beams.py")]
    digest = settings_digest({"code": files_digest(files), "sizes": list(sizes), "more": kind.more})
    golden = [x[:: max(1, len(x) // 4)][:4] for each in learnt.values() for x in each.values()]
    publish(
        chosen,
        name=f"{name}_anomaly",
        script="insitu.training.anomaly",
        task="anomaly",
        modality=kind.modality,
        description=f"How unlike good frames: {kind.about}. SIMULATED: good on simulated data; fit it to yours.",
        labels=(),
        model=distance_model(clusters),
        preparation=("features", params_of(kind)),
        golden=np.concatenate(golden).astype(np.float32),
        output_names=("score",),
        trained_on=[
            data(f"simulated {of}", digest, "simulated", sum(map(len, each.values()))) for of, each in learnt.items()
        ],
        split=SPLIT,
        metrics=metrics,
        decision=Judgement(threshold=level, false_alarms=RATE),
    )


if __name__ == "__main__":
    main()
