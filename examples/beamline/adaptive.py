"""A scan on the bench beamline that looks for a phase transition: temperatures are refined where the pattern changes.

    python examples/beamline/adaptive.py [DATA_ROOT]

The plan asks the session at every point; where the sample changes (`--transition` of `insitu sim beamline`) it does not
know.
"""

import sys
from typing import Any

from bench import RECIPE, beamline, devices
from bluesky import RunEngine

from insitu.bluesky import Session
from insitu.bluesky.plans import refine_scan

HIDDEN_K = 393.0
FIRST, MOST, SMALLEST_K = 9, 24, 0.5


def main() -> int:
    """0 if the transition was found."""
    root = sys.argv[1] if len(sys.argv) > 1 else "insitu-data"
    with beamline(ramp_K_s=200.0, lag_s=0.02, transition_K=HIDDEN_K):
        furnace, detector = devices()
        engine: Any = RunEngine({}, call_returns_result=True)
        with Session(engine, RECIPE, data_root=root, mode="act") as insitu:
            plan = refine_scan(
                insitu, [detector], furnace, 360, 424, FIRST, "pair1_width", most=MOST, smallest=SMALLEST_K, within_s=20
            )
            outcome = engine(plan).plan_result
    at = outcome.value
    print(f"SIMULATED: the pair became one line at {at.value:.2f} +- {at.sigma:.2f} K (hidden at {HIDDEN_K} K)")
    print(f"{len(outcome.points)} points; it ended because {outcome.why}; {outcome.unanswered} had no answer")
    print(insitu.summaries[-1].path)
    return 0 if abs(at.value - HIDDEN_K) < 2.0 else 1


if __name__ == "__main__":
    sys.exit(main())
