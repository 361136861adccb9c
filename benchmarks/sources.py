"""Readers for the benchmarks: frames made beforehand, so that only ours is measured."""

import time
from collections.abc import Iterator

from insitu.readers.simulated import Diffractometer
from insitu.types import Arrival

DISTINCT = 64


class Prepared:
    """`frames` patterns of the simulated diffractometer, made before the first is given; at `rate` Hz, or as fast as
    they are taken."""

    def __init__(self, *, frames: int = 1000, rate: float | None = None) -> None:
        self.frames, self.rate = frames, rate
        simulator = Diffractometer(frames=DISTINCT, exposure=0.001)
        self._made = [simulator.arrival(k) for k in range(DISTINCT)]

    def __call__(self) -> Iterator[Arrival]:
        began = time.monotonic()
        for k in range(self.frames):
            made = self._made[k % DISTINCT]
            if self.rate:
                time.sleep(max(0.0, began + k / self.rate - time.monotonic()))
            yield Arrival(
                source=made.source, data=made.data, dims=made.dims, unit=made.unit, axes=made.axes,
                context=made.context, labels=made.labels, source_seq=k, time_ns=time.time_ns(), clock="ioc",
            )  # fmt: skip


def bench_setup(**reader: object):
    """The recipe of the demo (a window with linear background and one peak, limits, halt) on prepared frames."""
    from insitu.config import load

    live = bool(reader.pop("live", False))
    detector = {
        "format": 1, "source": "det", "live": live, "shape": [4096], "dtype": "uint32", "unit": "counts",
        "dims": ["two_theta"], "reader": {"use": "benchmarks.sources:Prepared", **reader},
        "calibration": {"wavelength": "1.5406 angstrom"},
    }  # fmt: skip
    recipe = {
        "format": 1, "title": "benchmark", "detectors": ["bench"],
        "features": [{"use": "xrd.peaks", "windows": [["31.0 deg", "32.0 deg"]]}],
        "models": [{"use": "limits", "feature": "peak1_position", "low": "31.45 deg", "high": "31.60 deg"}],
        "rules": [{"use": "halt_after", "model": "limits", "count": 3}],
    }  # fmt: skip
    return load(recipe, detectors={"bench": detector})


def rss_mb() -> float:
    """Resident memory of this process in MB."""
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096 / 1e6
