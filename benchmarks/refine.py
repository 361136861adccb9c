"""Scans that adapt beside even ones that reach the same error: points for a hidden transition, exposure for an edge.

A transition of 0.1 deg (tanh, width w) between 345 and 405 K on a sloping line of 150 K, with noise: `refine_scan`'s
grid of 13 points, then at most 40 or until the uncertainty is 0.125 K. The same estimator (`located`) for both. An even
scan's number of points is found by halving between 13 and 400: the least of which the rms error is no larger. Rms
errors of 20 seeds are known to 16 %, so ratios to about a third.

The edge of an iron foil, measured (INSITU_DATA; else left out), with counting noise: exposure for the same rms error
and for the same uncertainty of the shift, where it is spent where it tells the shift.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from insitu.bluesky.exposing import Reference, allocated, shift_of
from insitu.bluesky.refining import By, Grid, located
from insitu.types import Feature

WIDTHS = (0.3, 1.0, 3.0, 5.0, 10.0)
NOISES = (0.002, 0.005)
GOAL = 0.4
MOST = 400
Scan = Callable[[Callable[[float], Feature]], dict[float, Feature]]


def main(disk: Path, *, quick: bool) -> None:
    """The table."""
    seeds = 8 if quick else 20
    print(f"\nPoints for a hidden transition of 0.1 deg, {seeds} seeds (goal: {GOAL:g} of an even scan's or less)")
    print("  by      width  noise   points  rms error   within 0.5 K   an even scan needs   part")
    for by in ("place", "change"):
        for width in (1.0, 10.0) if quick else WIDTHS:
            for noise in (0.002,) if quick else NOISES:
                _row(by, width, noise, seeds)
    _edge(seeds)


def _row(by: By, width: float, noise: float, seeds: int) -> None:
    grid = Grid(start=300, stop=450, num=13, most=40, smallest=0.25, by=by)
    errors, points = _errors(lambda measure: _refined(measure, grid), width, noise, seeds)
    rms, found = _rms(errors), MOST
    low, high = 13, MOST
    while high > 1.08 * low + 1:
        tried = round(math.sqrt(low * high))
        worse = _rms(_errors(lambda measure, n=tried: _even(measure, n), width, noise, seeds)[0]) > rms
        low, high = (tried, high) if worse else (low, tried)
        found = high
    part = points / found
    told = "" if part <= GOAL else "  NOT reached"
    inside = int(np.sum(np.abs(errors) < 0.5))
    print(
        f"  {by:<7} {width:>4g} K  {noise:g}  {points:>6.1f}  {rms:>8.3f} K   "
        f"{inside:>2} of {seeds}  {found:>16}   {part:>11.2f}{told}",
        flush=True,
    )


def _errors(scan: Scan, width: float, noise: float, seeds: int) -> tuple[np.ndarray, float]:
    """Errors in K (infinite where nothing was located), and the mean number of points."""
    errors, points = [], 0
    for seed in range(seeds):
        hidden, rng = np.random.default_rng(seed).uniform(345, 405), np.random.default_rng((seed, 1))

        def measure(x: float, rng: np.random.Generator = rng, hidden: float = hidden) -> Feature:
            truth = 2.0 + 0.001 * (x - 300) + 0.05 * math.tanh((x - hidden) / width)
            return Feature(truth + rng.normal(0, noise), "deg", sigma=noise)

        known = scan(measure)
        at = located(known, "K").value
        errors.append(math.inf if at is None else at - hidden)
        points += len(known)
    return np.array(errors), points / seeds


def _refined(measure: Callable[[float], Feature], grid: Grid) -> dict[float, Feature]:
    known = {x: measure(x) for x in grid.first()}
    while places := grid.next(known, known)[: grid.most - len(known)]:
        known |= {x: measure(x) for x in places}
    return known


def _even(measure: Callable[[float], Feature], points: int) -> dict[float, Feature]:
    return {float(x): measure(float(x)) for x in np.linspace(300, 450, points)}


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
