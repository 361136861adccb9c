"""Scans that adapt beside even ones that reach the same error: points for a hidden transition, exposure for an edge.

A transition of 0.1 deg (tanh, width w) between 345 and 405 K on a sloping line of 150 K, with noise: `refine_scan`'s
grid of 13 points, then at most 100 or until the uncertainty is half of the smallest step, 0.25 K or 0.1 K. The same
estimator (`located`) for both. An even scan's number of points is found by halving between 13 and 1000: the least of
which the rms error is no larger. Rms errors of 20 seeds are known to 16 %, so ratios to about a third. Beside them the
part that is possible at all for so many points (`benchmarks.refine_bound`).

CuCr2O4 as it was measured at 17 temperatures (INSITU_DATA; else left out), played back: the nearest pattern's width, or
the mixture of two, and where the points of `refine_scan` fall.

The edge of an iron foil, measured (INSITU_DATA; else left out), with counting noise: exposure for the same rms error
and for the same uncertainty of the shift, where it is spent where it tells the shift.
"""

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.refine_bound import best_part
from insitu.bluesky.exposing import Reference, allocated, shift_of
from insitu.bluesky.refining import By, Grid, located
from insitu.types import Axis, Feature, Frame

WIDTHS = (0.3, 1.0, 3.0, 5.0, 10.0)
NOISES = (0.002, 0.005)
GOAL = 0.4
FIRST, BUDGET, MOST = 13, 100, 1000
LOW, HIGH = 300.0, 450.0
Scan = Callable[[Callable[[float], Feature]], dict[float, Feature]]


def main(disk: Path, *, quick: bool) -> None:
    """The tables."""
    seeds = 8 if quick else 20
    print(f"\nPoints for a hidden transition of 0.1 deg, {seeds} seeds (goal: {GOAL:g} of an even scan's or less)")
    print("In brackets: by the uncertainty that is told, which hangs less on the seeds")
    print("  by      steps  width  noise   points  rms error            within 0.5 K   an even scan   part   possible")
    modes: tuple[By, ...] = ("auto",) if quick else ("auto", "place", "change")
    finer: list[tuple[By, float]] = [] if quick else [("auto", 0.1)]
    for by, smallest in [*((by, 0.25) for by in modes), *finer]:
        for width in (1.0, 10.0) if quick else WIDTHS:
            for noise in (0.002,) if quick else NOISES:
                _row(by, smallest, width, noise, seeds)
    _played(modes)
    _edge(seeds)


def _row(by: By, smallest: float, width: float, noise: float, seeds: int) -> None:
    grid = Grid(start=LOW, stop=HIGH, num=FIRST, most=BUDGET, smallest=smallest, by=by)
    found = _scans(lambda measure: _refined(measure, grid), width, noise, seeds)
    needed = [_needed(k, found, width, noise, seeds) for k in (0, 1)]
    parts = [found.points / n for n in needed]
    print(
        f"  {by:<7} {smallest:>4g} K {width:>4g} K  {noise:g}  {found.points:>6.1f}  {found.rms[0]:>8.3f} K "
        f"({found.rms[1]:.3f})   {found.inside:>2} of {seeds}  {needed[0]:>10} ({needed[1]})   {parts[0]:>6.2f} "
        f"({parts[1]:.2f})   "
        f"{best_part(width, noise, FIRST, round(found.points), LOW, HIGH):.2f}"
        f"{'' if parts[0] <= GOAL else '  NOT reached'}",
        flush=True,
    )


def _needed(k: int, found: "Scans", width: float, noise: float, seeds: int) -> int:
    """Points of an even scan whose rms error (k = 0), or uncertainty told (1), is as small."""
    low, high = FIRST, MOST
    while high > 1.08 * low + 1:
        tried = round(math.sqrt(low * high))
        worse = _evenly(tried, width, noise, seeds).rms[k] > found.rms[k]
        low, high = (tried, high) if worse else (low, tried)
    return high


@cache
def _evenly(points: int, width: float, noise: float, seeds: int) -> "Scans":
    return _scans(lambda measure: _even(measure, points), width, noise, seeds)


def _played(modes: tuple[By, ...]) -> None:
    folder = Path(os.environ.get("INSITU_DATA", "../shared/data")) / "xrd/series_cucr2o4_7-289K"
    if not folder.is_dir():
        print("\nCuCr2O4: left out, INSITU_DATA has no xrd/series_cucr2o4_7-289K")
        return
    t, width, sigma = np.array(_widths(folder)).T
    plays: dict[str, Callable[[float], Feature]] = {
        "nearest": lambda x: Feature(float(width[k := int(np.argmin(np.abs(t - x)))]), "deg", sigma=float(sigma[k])),
        "mixed": lambda x: Feature(float(np.interp(x, t, width)), "deg", sigma=float(np.interp(x, t, sigma))),
    }
    print("\nCuCr2O4 played back, 7 to 289 K: points that are added, and those not between 90 and 140 K")
    print("  by      between  num  most  smallest   added   outside                        where it changes")
    for by in modes:
        for name, play in plays.items():
            for num, most, smallest in ((7, 16, 5.0), (7, 21, 2.9), (9, 27, 2.2), (9, 30, 5.0), (13, 30, 2.0)):
                grid = Grid(start=7, stop=289, num=num, most=most, smallest=smallest, by=by)
                known = _refined(play, grid)
                added, at = list(known)[num:], located(known, "K")
                outside = ", ".join(f"{x:.0f}" for x in added if not 90 <= x <= 140) or "none"
                place = at.why if at.value is None else f"{at.value:.1f} +- {at.sigma:.1f} K"
                print(
                    f"  {by:<7} {name:<7} {num:>4} {most:>5} {smallest:>9g}   {len(added):>5}   {outside:<30} {place}"
                )


def _widths(folder: Path) -> list[tuple[float, float, float]]:
    """Temperature, width of the pair near 11.1 deg, and its uncertainty."""
    from insitu.features.xrd import Peaks
    from insitu.readers.gsas import decode

    found, pair = [], Peaks(name="pair", windows=[(11.07, 11.16)])
    for path in sorted(folder.glob("OH_*.fxye")):
        pattern = decode(path.read_bytes())
        kept = (pattern.two_theta >= 10.8) & (pattern.two_theta <= 11.4)
        axes = {"two_theta": Axis(pattern.two_theta[kept], "deg")}
        data = np.ascontiguousarray(pattern.intensity[kept])
        frame = Frame(source="det", seq=0, n=0, time_ns=0, data=data, dims=("two_theta",), unit="counts", axes=axes)
        width = pair(frame, {}, ())["pair1_width"]
        assert isinstance(width, Feature)
        found.append((pattern.context["temperature"].value, width.value, width.sigma))
    return found


class Scans(NamedTuple):
    """Root mean squares of the errors and of the uncertainties told, in K (infinite where nothing was located), how
    many are within 0.5 K, and the mean number of points."""

    rms: tuple[float, float]
    inside: int
    points: float


def _scans(scan: Scan, width: float, noise: float, seeds: int) -> Scans:
    errors, told, points = [], [], 0
    for seed in range(seeds):
        hidden, rng = np.random.default_rng(seed).uniform(345, 405), np.random.default_rng((seed, 1))

        def measure(x: float, rng: np.random.Generator = rng, hidden: float = hidden) -> Feature:
            truth = 2.0 + 0.001 * (x - 300) + 0.05 * math.tanh((x - hidden) / width)
            return Feature(truth + rng.normal(0, noise), "deg", sigma=noise)

        known = scan(measure)
        at = located(known, "K")
        errors.append(math.inf if at.value is None else at.value - hidden)
        told.append(at.sigma or math.inf)
        points += len(known)
    inside = int(np.sum(np.abs(errors) < 0.5))
    return Scans((_rms(np.array(errors)), _rms(np.array(told))), inside, points / seeds)


def _refined(measure: Callable[[float], Feature], grid: Grid) -> dict[float, Feature]:
    known = {x: measure(x) for x in grid.first()}
    while places := grid.next(known, known)[: grid.most - len(known)]:
        known |= {x: measure(x) for x in places}
    return known


def _even(measure: Callable[[float], Feature], points: int) -> dict[float, Feature]:
    return {float(x): measure(float(x)) for x in np.linspace(LOW, HIGH, points)}


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _edge(seeds: int) -> None:
    path = Path(os.environ.get("INSITU_DATA", "../shared/data")) / "xafs/xaslib/Fe/Fe_metal_rt_01.xdi"
    if not path.is_file():
        print("\nThe edge of iron: left out, INSITU_DATA has no xafs/xaslib")
        return
    column = np.loadtxt(path)
    kept = (column[:, 0] > 7060) & (column[:, 0] < 7260)
    iron = Reference(column[kept, 0], np.log(column[kept, 1] / column[kept, 2]))
    energy = np.concatenate([np.arange(7082, 7102, 2.0), np.arange(7102, 7132, 0.5), np.arange(7132, 7212, 2.0)])
    print(
        f"\nExposure for the shift of an edge (iron foil, {len(energy)} energies, {2 * seeds} seeds, goal 0.5 or less)"
    )
    even, spent = np.ones(len(energy)), allocated(energy, iron, 0.0, np.ones(len(energy)), len(energy) / 2)
    for photons in (2e3, 2e4, 2e5, 2e6):
        found = [_shifts(energy, iron, seconds, photons, 2 * seeds) for seconds in (even, spent)]
        (rms, sigma), (half_rms, half_sigma) = found
        print(
            f"  {photons:g} counts/s: even {rms:.4f} eV (told {sigma:.4f}), half of it {half_rms:.4f} "
            f"({half_sigma:.4f}): "
            f"{0.5 * (half_sigma / sigma) ** 2:.2f} of the exposure for the same uncertainty told, "
            f"{0.5 * (half_rms / rms) ** 2:.2f} for the same rms error"
        )


def _shifts(
    energy: np.ndarray, iron: Reference, seconds: np.ndarray, photons: float, seeds: int
) -> tuple[float, float]:
    """Rms error and rms of the uncertainties told, in eV."""
    errors, told = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        shift = rng.uniform(-1, 1)
        i0 = np.maximum(rng.poisson(photons * seconds), 1)
        i1 = np.maximum(rng.poisson(photons * seconds * np.exp(-iron.at(energy - shift))), 1)
        found = shift_of(energy, np.log(i0 / i1), np.sqrt(1 / i0 + 1 / i1), iron)
        errors.append(math.inf if found is None else found.value - shift)
        told.append(math.inf if found is None else found.sigma)
    return _rms(np.array(errors)), _rms(np.array(told))
