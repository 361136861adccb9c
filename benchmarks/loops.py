"""Hysteresis loops against numpy and scipy: all that the feature `loop` tells of a loop (branches, centre, slope,
saturation, coercivity, remanence, loss, quality, faults, uncertainties) against slope, Bc, Mr, Ms by polyfit, interp1d
and brentq, as laboratories do it. Loops of 802 points: the measured ones where INSITU_DATA names their folder,
else simulated ones. Both must find the same coercivity, remanence and saturation, as far as the methods agree.

The peer is the function of the laboratories' script, on the arrays that the script has (columns of a text file). Each
round of it takes 2 ms, less than a slice of time on a busy machine: there the clock on the wall shows the other
programs (the script alone then prints several times its time), so time of the processor is printed beside it.
"""

import os
import statistics
import time
from collections.abc import Callable
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
OURS = ("insitu, everything", "insitu, as a feature")
PEER = "numpy and scipy"


def curves() -> tuple[str, list[Frame]]:
    """The loops, and where they are from."""
    folder = Path(os.environ.get("INSITU_DATA", "../shared/data")) / "magnetic/vsm"
    if folder.is_dir():
        found = [a for a in Loops(str(folder))() if isinstance(a, Arrival) and a.labels["curve"] == "loop"]
        return "measured", [_frame(a, i) for i, a in enumerate(found)]
    return "simulated", [_frame(a, i) for i, a in enumerate(LoopSeries(frames=6)()) if isinstance(a, Arrival)]


def _frame(a: Arrival, n: int) -> Frame:
    return Frame(source=a.source, seq=n, n=n, time_ns=a.time_ns, data=a.data, dims=a.dims, unit=a.unit, labels=a.labels)


def peer(b: np.ndarray, m: np.ndarray) -> tuple[float, float, float, float]:
    """Bc, Mr, Ms, slope of a loop (n,), (n,) that begins at its largest field."""
    from scipy.interpolate import interp1d
    from scipy.optimize import brentq

    far = np.abs(b) > 0.7 * np.abs(b).max()
    up, down = far & (b > 0), far & (b < 0)
    slope = (np.polyfit(b[up], m[up], 1)[0] + np.polyfit(b[down], m[down], 1)[0]) / 2
    free, turn = m - slope * b, b.argmin()
    falling, rising = interp1d(b[: turn + 1], free[: turn + 1]), interp1d(b[turn:], free[turn:])
    most = 0.95 * min(b.max(), -b.min())
    bc = (brentq(rising, -most, most) - brentq(falling, -most, most)) / 2  # pyright: ignore[reportOperatorIssue]
    return bc, (falling(0) - rising(0)) / 2, np.abs(free[np.abs(b) > 0.9 * b.max()]).mean(), slope


def main(folder: Path, *, quick: bool) -> None:
    """All ways, interleaved; figures in loops/s."""
    del folder
    where, frames = curves()
    loops = [(np.ascontiguousarray(f.data[0]), np.ascontiguousarray(f.data[1])) for f in frames]
    columns = [np.column_stack(pair).T for pair in loops]  # not contiguous, as loadtxt(...).T gives them to the script
    extract = Loop()
    worst = _agreement(loops, frames, extract)
    spent: dict[str, list[float]] = {}

    def rate(name: str, job: Callable[[], object]) -> float:
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(REPEATS):
            job()
        spent.setdefault(name, []).append(REPEATS * len(loops) / (time.process_time() - cpu))
        return REPEATS * len(loops) / (time.perf_counter() - began)

    jobs = {
        OURS[0]: lambda: rate(OURS[0], lambda: [hysteresis(b, m) for b, m in loops]),
        OURS[1]: lambda: rate(OURS[1], lambda: [extract(f, {}, ()) for f in frames]),
        PEER: lambda: rate(PEER, lambda: [peer(b, m) for b, m in columns]),
    }
    wall = interleave(jobs, 5 if quick else 25)
    cpu = {name: values[1:] for name, values in spent.items()}  # without the first round, as in `wall`
    for ours in OURS:
        for clock, figures in (("time of the processor", cpu), ("time on the wall", wall)):
            table(
                f"Hysteresis loops, {len(loops)} {where} of {loops[0][0].size} points, {clock}",
                {k: figures[k] for k in (ours, PEER)}, "loops/s", ours, {PEER: GOAL},
            )  # fmt: skip
            took = 1e3 / statistics.median(figures[ours])
            print(
                f"  {took:.3f} ms a loop (goal {LIMIT_MS:g}{'' if took <= LIMIT_MS else ', NOT reached'}),"
                f" peer {1e3 / statistics.median(figures[PEER]):.3f} ms"
            )
    print("  both methods agree within " + ", ".join(f"{100 * v:.1f} % in {k}" for k, v in worst.items()))


def _agreement(loops: list[tuple[np.ndarray, np.ndarray]], frames: list[Frame], extract: Loop) -> dict[str, float]:
    """How far the methods are apart at most; that the feature tells what the measurement found."""
    worst = dict.fromkeys(SAME, 0.0)
    for (b, m), frame in zip(loops, frames, strict=True):
        found, told, other = hysteresis(b, m), extract(frame, {}, ()), dict(zip(SAME, peer(b, m), strict=False))
        for key in SAME:
            ours = getattr(found, key).value
            assert ours is not None, found.problems
            assert told[key].value == ours, key
            worst[key] = max(worst[key], abs(ours / other[key] - 1.0))
            assert worst[key] < SAME[key], (key, ours, other[key])
    return worst
