"""The model `drift`: false alarms on drawn and on real stationary series, and how soon planted shifts are told.

    PYTHONPATH=. python -m benchmarks drift [--quick]

Real series come from the folder that INSITU_DATA names. Whether a real series with an alarm wanders is told by the
statistic of Kwiatkowski, Phillips, Schmidt and Shin, or by the whole series having fewer than 30 stretches that do not
follow each other. Where every series of a group is short, learning is a quarter of it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from insitu.inference.drift import DECLARED, KNOWN
from insitu.inference.drift_number import Number
from tests import stationary

ONCE_IN = 100_000.0


def main(folder: Path, *, quick: bool) -> None:
    drawn(10 if quick else 60)
    delays(6 if quick else 25)
    if named := os.environ.get("INSITU_DATA"):
        real(Path(named), quick=quick)
    else:
        print("\nNo real series: INSITU_DATA names no folder")


def drawn(series: int) -> None:
    """Series of 10,000 values each."""
    print(f"\nAlarms in {series} drawn series of 10,000 values; allowed: one in {ONCE_IN:,.0f} judged values")
    for kind in stationary.DRAWN:
        found = [stationary.alarms(stationary.drawn(kind, 10_000, seed), once_in=ONCE_IN) for seed in range(series)]
        judged = sum(judged for _, judged, _ in found)
        lengths = [number.length or 0 for _, _, number in found]
        print(f"  {kind:<14} judged {judged:>8,}  blocks of {np.median(lengths):>4.0f} (median)  "
              f"alarms {sum(a for a, _, _ in found)} (allowed {judged / ONCE_IN:.1f})")  # fmt: skip


def delays(series: int) -> None:
    """A shift after `KNOWN` blocks, in sigma of a block."""
    print(f"\nBlocks until a shift is told, after {KNOWN} blocks, {series} series each; declared {DECLARED}")
    for phi in (0.0, 0.5, 0.9):
        for shift, declared in DECLARED.items():
            late = [_late(phi, shift, declared, seed) for seed in range(series)]
            told = sum(x <= declared for x in late)
            print(f"  follows {phi:g}, {shift:g} sigma: median {np.median(late):.0f}, {told} of {series} in time")


def _late(phi: float, shift: float, declared: int, seed: int) -> float:
    wanted = KNOWN + declared + 1
    noise = np.random.default_rng([seed, 11]).normal(size=200_000 if phi else 2 * wanted)
    x = stationary.following(phi, noise)
    number = Number("", 400, None, ONCE_IN)
    for value in x.tolist():
        number.add(value)
        if number.tests is not None:
            break
    length = number.length or 1
    spread = float(x[: len(x) // length * length].reshape(-1, length).mean(axis=1).std())
    at = KNOWN * length
    x[at:] += shift * spread * (-1) ** seed
    number = Number("", 400, None, ONCE_IN)
    for i, value in enumerate(x[: wanted * length].tolist()):
        number.add(value)
        if number.tests is not None and number.tests.alarm:
            return (i + 1 - at) / length if i >= at else np.inf
    return np.inf


def real(data: Path, *, quick: bool) -> None:
    """Every group of real series."""
    print(
        "\nReal series that are stationary by physics (alarms: series with one; of which wander by another statistic)"
    )
    for group in stationary.GROUPS:
        rows: dict[str, list[stationary.Series]] = {}
        for series in group(data):
            rows.setdefault(series.group, []).append(series)
        for name, found in rows.items():
            _group(name, found[:: 4 if quick else 1])


def _group(name: str, found: Iterable[stationary.Series]) -> None:
    lengths, alarmed, wandering, unjudged, judged = [], 0, 0, 0, 0
    for series in found:
        n = len(series.values)
        count, seen, number = stationary.alarms(series.values, learn=400 if n >= 1000 else n // 4, once_in=ONCE_IN)
        lengths.append(n)
        judged += seen
        unjudged += number.tests is None
        alarmed += count > 0
        wandering += count > 0 and stationary.wanders(series.values)
    print(f"  {name:<46} {len(lengths):>3} series of {np.median(lengths):>6.0f}  judged {judged:>8,} "
          f"(allowed {judged / ONCE_IN:4.1f})  alarms {alarmed} (wander {wandering})  "
          f"still learning {unjudged}")  # fmt: skip
