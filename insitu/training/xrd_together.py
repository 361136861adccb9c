"""What the phase network and the fit say together, and each alone, of simulated patterns: figures for the docs.

    python -m insitu.training.xrd_together --bundle pipelines/models/xrd_phases [--patterns 300] [--seed 12345]

Patterns and strangers are of seeds that no training used. Printed: for patterns with a candidate, how often the first
of the ranking is right; how often the verdict is `normal` with a wrong phase first; for what is no candidate, and for
empty patterns, how often it is `unknown`; each with n and Wilson's interval.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from insitu.features.xrd_phases import Phases
from insitu.inference.onnx import Onnx
from insitu.inference.phases_agree import PhasesAgree
from insitu.training import trials
from insitu.training.metrics import wilson
from insitu.training.xrd_patterns import drawn, known, strangers
from insitu.types import Feature, Measurement


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--patterns", type=int, default=300)
    parser.add_argument("--seed", type=int, default=12345)
    chosen = parser.parse_args(arguments)
    candidates, others = known(), strangers(60, chosen.seed)
    network, fit, judge = Onnx(bundle=chosen.bundle), Phases(library=True, strain=0.01), PhasesAgree()
    names = [one.phase.name for one in candidates]
    random, kinds = np.random.default_rng(chosen.seed), {"empty": [], "stranger": [], "candidates": []}
    for _ in range(chosen.patterns):
        one = drawn(candidates, others, random)
        measurement = trials.measurement(one.frame, [], [network, fit])
        verdict = judge(measurement)
        assert verdict is not None
        there = {names[k] for k in np.flatnonzero(one.truth)}
        if one.kind == "candidates" and not there:
            continue
        first = next(iter(verdict.scores), "")
        alone = (_first(measurement, names, f"{network.name}_", ""), _first(measurement, names, "phase_", "_share"))
        kinds[one.kind].append((verdict.label, first in there, alone[0] in there, alone[1] in there))
    some = kinds["candidates"]
    for name, column in (("together", 1), ("network alone", 2), ("fit alone", 3)):
        print(f"first is right, {name}: {wilson(sum(bool(row[column]) for row in some), len(some))}")
    print(f"normal, but a wrong phase first: {wilson(sum(r[0] == 'normal' and not r[1] for r in some), len(some))}")
    print(f"normal: {wilson(sum(r[0] == 'normal' for r in some), len(some))}")
    for kind in ("stranger", "empty"):
        rows = kinds[kind]
        print(f"{kind} is unknown: {wilson(sum(r[0] == 'unknown' for r in rows), max(1, len(rows)))}")


def _first(measurement: Measurement, names: Sequence[str], before: str, after: str) -> str:
    """The candidate with the largest number; "" where all are 0 or none is known."""
    found = {name: measurement.features.get(f"{before}{name}{after}", Feature(0.0)).value or 0.0 for name in names}
    best = max(found, key=lambda name: found[name])
    return best if found[best] > 0.0 else ""


if __name__ == "__main__":
    main()
