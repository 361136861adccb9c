"""A bluesky scan that looks for a phase transition: a coarse grid of temperatures, refined where the pattern changes.

    python examples/adaptive_scan.py

Everything is simulated: a furnace, and barium titanate whose lines near 45 deg (200 and 002) become one at a
temperature that the plan does not know. The same plan runs at a beamline: take your own detector, motor and recipe.
"""

import logging
import sys
from typing import Any

import numpy as np
from bluesky import RunEngine
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky import Session
from insitu.bluesky.plans import refine_scan
from insitu.maths.diffraction.powder import Width
from insitu.readers.heated_sample import Geometry, HeatedSample
from insitu.types import Feature, Frame, Output

ANGLES = np.linspace(44.4, 46.0, 400)
HIDDEN_K = 391.3


class Spread:
    """How far the intensity is spread: s = sqrt(sum(c (x - mean)^2) / sum(c)), c the counts above the lowest.

    `sigma`: of counting, sqrt(sum(counts ((x - mean)^2 - s^2)^2)) / (2 s sum(c)).
    """

    def __init__(self, *, name: str = "pair") -> None:
        self.key = f"{name}_spread"
        self.outputs = {self.key: Output(unit="deg")}

    def __call__(self, frame: Frame, refs: Any, before: Any) -> dict[str, Feature]:
        counts = frame.data.astype(np.float64)
        above = counts - np.percentile(counts, 10)
        if above.sum() <= 0:
            return {self.key: Feature(None, "deg", why="there is no line in the window")}
        mean = float(np.sum(above * ANGLES) / above.sum())
        square = (ANGLES - mean) ** 2
        s = float(np.sqrt(max(np.sum(above * square) / above.sum(), 1e-12)))
        sigma = float(np.sqrt(np.sum(counts * (square - s**2) ** 2)) / (2 * s * above.sum()))
        return {self.key: Feature(s, "deg", sigma=sigma)}


RECIPE = {
    "format": 1,
    "title": "A simulated furnace whose scan follows the sample",
    "detectors": ["bench"],
    "features": [{"use": "adaptive_scan:Spread", "name": "pair"}],
}
BENCH = {
    "format": 1,
    "source": "det",
    "dims": ["two_theta"],
    "unit": "counts",
    "reader": {"use": "documents", "data": "pattern"},
    "limits": {"furnace": {"min": 280, "max": 500, "unit": "K"}},  # what the beamline allows
}


def main() -> int:
    """Find the transition; 0 if it lies where it was hidden."""
    logging.basicConfig(level=logging.WARNING)
    sample = HeatedSample("batio3", ANGLES, 1.5406, HIDDEN_K, Width())
    scale = 10000.0 / float(sample.curve(320.0, Geometry()).max())
    chance = np.random.default_rng(0)
    furnace = SynAxis(name="furnace", value=320, egu="K")

    def pattern() -> np.ndarray:
        return chance.poisson(20.0 + scale * sample.curve(float(furnace.position), Geometry())).astype("u4")

    detector: Any = SynSignal(func=pattern, name="pattern")
    engine: Any = RunEngine({}, call_returns_result=True)
    with Session(engine, RECIPE, detectors={"bench": BENCH}, mode="act") as insitu:
        plan = refine_scan(
            insitu, [detector], furnace, 320, 450, 11, "pair_spread", most=40, smallest=0.25, backlash=2.0, within_s=10
        )
        outcome = engine(plan).plan_result
    at = outcome.value
    print(f"SIMULATED: the pair became one line at {at.value:.2f} +- {at.sigma:.2f} K (hidden at {HIDDEN_K} K)")
    nearest = min(abs(a - b) for a, _ in outcome.points for b, _ in outcome.points if a != b)
    even = 130 / nearest + 1
    print(f"{len(outcome.points)} points, the nearest {nearest:.2f} K apart; an even scan as fine: {even:.0f} points")
    print(f"it ended because {outcome.why}; {outcome.unanswered} points had no answer")
    return 0 if abs(at.value - HIDDEN_K) < 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
