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
from scipy.special import chdtri

from insitu.inference.drift import DECLARED, KNOWN, Drift
from insitu.inference.drift_number import Number
from insitu.types import Feature, Measurement
from tests import stationary

ONCE_IN = 100_000.0


def main(folder: Path, *, quick: bool) -> None:
    drawn(4 if quick else 40)
    together(quick=quick)
    delays(6 if quick else 25)
    if named := os.environ.get("INSITU_DATA"):
        real(Path(named), quick=quick)
    else:
        print("\nNo real series: INSITU_DATA names no folder")


def rate(alarms: int, allowed: float) -> str:
    """Found over declared with the 95 % interval of a count (Garwood, Biometrika 28, 437 (1936)); alarms of one series
    are not independent, so it is rather wider."""
    low = float(chdtri(2 * alarms, 0.975)) / 2.0 if alarms else 0.0
    high = float(chdtri(2 * alarms + 2, 0.025)) / 2.0
    return f"{alarms / allowed:4.2f} ({low / allowed:.2f} to {high / allowed:.2f})"


def drawn(series: int) -> None:
    """Series of 20,000 values each."""
    print(f"\nAlarms in {series} drawn series of 20,000 values; allowed: one in {ONCE_IN:,.0f} judged values")
    for kind in stationary.DRAWN:
        found = [stationary.alarms(stationary.drawn(kind, 20_000, seed), once_in=ONCE_IN) for seed in range(series)]
        judged, alarms = sum(one[1] for one in found), sum(one[0] for one in found)
        lengths = [number.length or 0 for _, _, number in found]
        allowed = max(judged / ONCE_IN, 1e-9)
        print(f"  {kind:<14} judged {judged:>8,}  blocks of {np.median(lengths):>4.0f} (median)  alarms {alarms:>2} in "
              f"{sum(one[0] > 0 for one in found)} series, found over declared {rate(alarms, allowed)}  long memory "
              f"seen in {sum(number.memory > 0 for _, _, number in found)}", flush=True)  # fmt: skip


def together(*, quick: bool) -> None:
    """Many numbers in one model: an alarm of any of them counts. One in 2,000 frames is allowed, so that some come."""
    once_in, frames = 2_000.0, 2_000 if quick else 10_000
    print(f"\nSeveral numbers watched together, {frames:,} frames; allowed: one in {once_in:,.0f} frames over all")
    for count, repeats in ((1, 40), (10, 10), (50, 3), (200, 1)):
        began = judged = 0
        for repeat in range(1 if quick else repeats):
            x = np.stack([stationary.drawn("follows 0.5", frames, 7_000 + 300 * repeat + k) for k in range(count)], 1)
            model, on = Drift(features=["*"], once_in=once_in), False
            for n, row in enumerate(x.tolist()):
                features = {f"x{k}": Feature(value, "") for k, value in enumerate(row)}
                verdict = model(Measurement(source="a", seq=n, n=n, time_ns=n, features=features))
                now = verdict is not None and verdict.label == "anomaly"
                began += now and not on
                judged += verdict is not None and verdict.label != "unknown"
                on = now
        print(f"  {count:>3} numbers: judged {judged:>7,}, alarms {began}, found over declared "
              f"{rate(began, judged / once_in)}", flush=True)  # fmt: skip


def delays(series: int) -> None:
    """A shift after `KNOWN` blocks, in sigma of a block; series in which an alarm was false before it are counted."""
    print(f"\nBlocks until a shift is told, after {KNOWN} blocks, {series} series each; declared {DECLARED}")
    for phi in (0.0, 0.5, 0.9):
        for shift, declared in DECLARED.items():
            found = [_late(phi, shift, declared, seed) for seed in range(series)]
            late = [x for x in found if x >= 0.0]
            told = sum(x <= declared for x in late)
            print(f"  follows {phi:g}, {shift:g} sigma: median {np.median(late):.0f}, {told} of {len(late)} in time; "
                  f"an alarm before it in {series - len(late)}", flush=True)  # fmt: skip


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
            return (i + 1 - at) / length if i >= at else -1.0
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
