"""A plain bluesky scan on the bench beamline, with a session beside it: every point is stored, measured and judged.

    python examples/beamline/plain.py [DATA_ROOT]

Everything is simulated, but the IOC, the devices, the RunEngine and the plan are the stock ones. At a beamline, take
your own devices and recipe.
"""

import sys
from typing import Any

from bench import RECIPE, beamline, devices
from bluesky import RunEngine
from bluesky.plans import scan

from insitu.bluesky import Session

POINTS = 20


def main() -> int:
    """0 if every point came through."""
    root = sys.argv[1] if len(sys.argv) > 1 else "insitu-data"
    with beamline(ramp_K_s=200.0, lag_s=0.02):
        furnace, detector = devices()
        engine: Any = RunEngine()
        with Session(engine, RECIPE, data_root=root) as insitu:
            engine(scan([detector, insitu.device], furnace, 330, 349, POINTS))
    summary = insitu.summaries[-1]
    print(f"SIMULATED: {summary.frames['stored']} of {POINTS} points stored, {summary.records} records")
    print(f"decisions: {dict(summary.decisions)}")
    print(summary.path)
    return 0 if summary.records == POINTS else 1


if __name__ == "__main__":
    sys.exit(main())
