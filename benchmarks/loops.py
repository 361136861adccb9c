"""Hysteresis loops against numpy and scipy: all that the feature `loop` tells of a loop (branches, centre, slope,
saturation, coercivity, remanence, loss, quality, faults, uncertainties) against slope, Bc, Mr, Ms by polyfit, interp1d
and brentq, as laboratories do it. Loops of 802 points: the measured ones where INSITU_DATA names their folder,
else simulated ones. Both must find the same coercivity, remanence and saturation, as far as the methods agree.
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import interleave, table
from insitu.features.loop import Loop
from insitu.maths.magnetic.hysteresis import hysteresis
from insitu.readers.loops import Loops
from insitu.readers.simulated_loops import LoopSeries
from insitu.types import Arrival, Frame

GOAL, LIMIT_MS, REPEATS = 4.0, 0.2, 40
SAME = {"bc": 0.05, "mr": 0.05, "ms": 0.08}
"""How far the two methods may be apart: a line through the last third against the approach to saturation."""


def curves() -> tuple[str, list[Frame]]:
    """The loops, and where they are from."""
    folder = Path(os.environ.get("INSITU_DATA", "../shared/data")) / "magnetic/vsm"
    if folder.is_dir():
        found = [a for a in Loops(str(folder))() if isinstance(a, Arrival) and a.labels["curve"] == "loop"]
        return "measured", [_frame(a, i) for i, a in enumerate(found)]
    return "simulated", [_frame(a, i) for i, a in enumerate(LoopSeries(frames=6)()) if isinstance(a, Arrival)]


def _frame(a: Arrival, n: int) -> Frame:
    return Frame(source=a.source, seq=n, n=n, time_ns=a.time_ns, data=a.data, dims=a.dims, unit=a.unit, labels=a.labels)


def peer(b: np.ndarray, m: np.ndarray) -> tuple[float, float, float]:
    """Bc, Mr, Ms of a loop (n,), (n,) that begins at its largest field."""
    from scipy.interpolate import interp1d
    from scipy.optimize import brentq

    far = np.abs(b) > 0.7 * np.abs(b).max()
    slope = np.mean([np.polyfit(b[side], m[side], 1)[0] for side in (far & (b > 0), far & (b < 0))])
    free, turn = m - slope * b, int(b.argmin())
    down, up = interp1d(b[: turn + 1], free[: turn + 1]), interp1d(b[turn:], free[turn:])
    most = 0.95 * min(b.max(), -b.min())
    bc = (float(brentq(up, -most, most)) - float(brentq(down, -most, most))) / 2.0  # pyright: ignore[reportArgumentType]
    return bc, float(down(0.0) - up(0.0)) / 2.0, float(np.abs(free[np.abs(b) > 0.9 * b.max()]).mean())


def main(folder: Path, *, quick: bool) -> None:
    """All ways, interleaved; figures in loops/s."""
    del folder
    where, frames = curves()
    loops = [(np.ascontiguousarray(f.data[0]), np.ascontiguousarray(f.data[1])) for f in frames]
    extract = Loop()
    worst = dict.fromkeys(SAME, 0.0)
    for b, m in loops:
        found, other = hysteresis(b, m), peer(b, m)
        for key, theirs in zip(SAME, other, strict=True):
            ours = getattr(found, key).value
            assert ours is not None, found.problems
            worst[key] = max(worst[key], abs(ours / theirs - 1.0))
            assert worst[key] < SAME[key], (key, ours, theirs)

    def rate(job) -> float:
        began = time.perf_counter()
        for _ in range(REPEATS):
            job()
        return REPEATS * len(loops) / (time.perf_counter() - began)

    jobs = {
        "insitu, everything": lambda: rate(lambda: [hysteresis(b, m) for b, m in loops]),
        "insitu, as a feature": lambda: rate(lambda: [extract(f, {}, ()) for f in frames]),
        "numpy and scipy": lambda: rate(lambda: [peer(b, m) for b, m in loops]),
    }
    figures = interleave(jobs, 5 if quick else 25)
    for ours in ("insitu, everything", "insitu, as a feature"):
        table(
            f"Hysteresis loops, {len(loops)} {where} of {loops[0][0].size} points",
            {k: figures[k] for k in (ours, "numpy and scipy")}, "loops/s", ours, {"numpy and scipy": GOAL},
        )  # fmt: skip
        took = 1e3 / statistics.median(figures[ours])
        print(f"  {took:.3f} ms a loop (goal {LIMIT_MS:g}{'' if took <= LIMIT_MS else ', NOT reached'})")
    print("  both methods agree within " + ", ".join(f"{100 * v:.1f} % in {k}" for k, v in worst.items()))
