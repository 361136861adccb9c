"""A feature of your own: one class in one file, named in a recipe.

    python examples/own_feature.py

Measures where the middle of the intensity in a window lies (centre of mass above the lowest point), on a simulated
heating ramp: nothing here was measured. In a recipe file the same entry reads

    [[features]]
    use = "own_feature:Centroid"
    name = "line"
    low = "38.6 deg"
    high = "39.2 deg"

and `insitu run my_recipe.toml`, given in the folder of this file, finds it.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from insitu.config import load
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Feature, Frame, Output


class Centroid:
    """Centre of mass of the window from `low` to `high`: sum(w x) / sum(w), w the counts above the lowest point.

    `sigma` is that of counting: sqrt(sum(counts (x - centre)^2)) / sum(w).
    """

    def __init__(self, *, low: Annotated[float, "deg"], high: Annotated[float, "deg"], name: str = "line") -> None:
        self.low, self.high, self.key = low, high, f"{name}_centroid"
        self.outputs = {self.key: Output(unit="deg")}  # said before the first frame

    def __call__(self, frame: Frame, refs: Any, before: Any) -> dict[str, Feature]:
        x = frame.axes["two_theta"].values
        inside = (x >= self.low) & (x <= self.high)
        if not inside.any():
            return {self.key: Feature(None, "deg", why="the pattern does not reach into the window")}
        x, counts = x[inside], frame.data[inside].astype(np.float64)
        weight = counts - counts.min()
        if weight.sum() <= 0:
            return {self.key: Feature(None, "deg", why="all points of the window are alike")}
        centre = float(np.sum(weight * x) / weight.sum())
        sigma = float(np.sqrt(np.sum(counts * (x - centre) ** 2)) / weight.sum())
        return {self.key: Feature(centre, "deg", sigma=sigma)}


RECIPE = {
    "format": 1,
    "title": "A feature of my own on a simulated ramp",
    "detectors": ["bench_xrd"],
    "features": [{"use": "own_feature:Centroid", "name": "line", "low": "38.6 deg", "high": "39.2 deg"}],
    "models": [{"use": "limits", "feature": "line_centroid", "low": "38.8 deg", "high": "39.0 deg"}],
}
SIMULATED = [
    "detector.reader.frames=30",
    "detector.reader.rate=1 kHz",
    "detector.reader.exposure=1 ms",
    "detector.reader.faults=[]",
]


def main() -> None:
    data_root = Path(sys.argv[1] if len(sys.argv) > 1 else "insitu-data")
    summary = run(load(RECIPE, sets=SIMULATED), data_root=data_root)
    print(f"{summary.records} records in {summary.path}")
    with StoredRun(Path(summary.path)) as stored:
        for record in stored.records():
            if record["n"] % 10 == 0:
                f = record["features"]["line_centroid"]
                temperature = record["context"]["temperature"]["value"]
                print(f"{temperature:6.1f} K   centre {f['value']:.4f} +- {f['sigma']:.4f} {f['unit']}")


if __name__ == "__main__":
    main()
