"""Interleaved runs and their medians."""

import statistics
import sys
from collections.abc import Callable, Mapping


def interleave(jobs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run every job once, then all again, `repeats` times: what drifts on the machine drifts for all. A first round is
    not counted: a disk may be slower where nothing was ever written. A job gives its figure (frames/s, ...)."""
    for job in jobs.values():
        job()
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for k in range(repeats):
        for name, job in jobs.items():
            found[name].append(job())
            print(f"  round {k + 1} {name}: {found[name][-1]:.4g}", file=sys.stderr)
    return found


def table(title: str, figures: Mapping[str, list[float]], unit: str, ours: str, goals: Mapping[str, float]) -> None:
    """Median, spread and the ratio of ours to each peer, taken round by round; `goals`: the ratio aimed at."""
    print(f"\n{title}")
    width = max(len(name) for name in figures)
    for name, values in figures.items():
        line = f"  {name:<{width}}  {statistics.median(values):>10.4g} {unit}  ({min(values):.4g} to {max(values):.4g})"
        if name != ours:
            ratio = statistics.median(a / b for a, b in zip(figures[ours], values, strict=True))
            line += f"   ours / this = {ratio:.2f}"
            if name in goals:
                line += f" (goal {goals[name]:g}{'' if ratio >= goals[name] else ', NOT reached'})"
        print(line)
