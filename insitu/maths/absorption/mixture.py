"""Linear combination fit: which mixture of standards a spectrum is, how well it fits, and whether they span it at all.

    norm(E) = sum_i share_i standard_i(E - shift) + rest,    share_i >= 0, optionally sum share_i = 1

The best shares come from an active-set solution of the quadratic problem, exact for the handful of standards that one
has. Their uncertainties are those of the standards that take part, from the noise or from the residual, whichever is
larger. "Not spanned": the rest is larger than noise and `tolerance` together and runs on from point to point
(neighbours correlated), as no noise does: a component is missing, or a standard is distorted.

Sources: C. L. Lawson, R. J. Hanson, Solving Least Squares Problems (1974), chapter 23; S. Calvin, XAFS for Everyone
(2013), chapter 10. Everything `(n,)` over one energy window; energies in eV, shares without unit.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, checked, lowest
from insitu.maths.absorption.spline import prepare_spline, read_spline

FEWEST = 15


class Mixture(NamedTuple):
    """`shares` in the order of the standards, and their `total`; `shift` eV that the standards were moved up by;
    `r_factor` = sum rest^2 / sum norm^2; `rms` of the rest; `ratio` rms over the noise; `correlation` of
    neighbouring points of the rest; `worst` energy of the largest one; `spanned`, else `why` not."""

    shares: tuple[Estimate, ...]
    total: Estimate
    shift: Estimate
    r_factor: float
    rms: float
    ratio: float
    correlation: float
    worst: float
    spanned: bool
    why: str


def combine(
    energy: np.ndarray,
    norm: np.ndarray,
    standards: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    low: float,
    high: float,
    sigma: float | None = None,
    sum_to_one: bool = False,
    largest_shift: float = 0.0,
    tolerance: float = 0.01,
) -> Mixture:
    """Fit between `low` and `high` eV. `standards`: (energy, norm) each, on any grid that covers the window.

    `sigma`: noise per point of norm (None: read off the spectrum); `largest_shift`: how far the standards may be
    moved together, eV (0: not at all); `tolerance`: rms of the rest that passes for imperfect standards.
    Raises `NotMeasurable`: fewer than 15 points, a standard that does not cover the window, standards that are alike.

    >>> e = np.arange(7080.0, 7180.0, 0.5)
    >>> first, second = (1.0 / (1.0 + np.exp(-(e - at) / 1.5)) for at in (7118.0, 7123.0))
    >>> found = combine(e, 0.3 * first + 0.7 * second, [(e, first), (e, second)], low=7090.0, high=7170.0)
    >>> [round(s.value, 6) for s in found.shares], found.spanned
    ([0.3, 0.7], True)
    """
    energy, norm = checked(energy, norm)
    part = (energy >= low) & (energy <= high)
    x, y = energy[part], norm[part]
    if x.size < FEWEST:
        raise NotMeasurable(f"only {x.size} points between {low:.1f} and {high:.1f} eV (needed: {FEWEST})")
    if not standards:
        raise NotMeasurable("no standards to combine")
    checked_standards = [checked(*one) for one in standards]
    for number, (grid, _) in enumerate(checked_standards, start=1):
        if grid[0] > x[0] - largest_shift or grid[-1] < x[-1] + largest_shift:
            raise NotMeasurable(
                f"standard {number} covers {grid[0]:.1f} to {grid[-1]:.1f} eV, not {x[0]:.1f} to {x[-1]:.1f} eV"
            )

    def at(shift: float) -> np.ndarray:
        return np.stack([read_spline(mu, prepare_spline(grid, x - shift)) for grid, mu in checked_standards], axis=1)

    def misfit(shift: float) -> float:
        table = at(shift)
        return float(np.sum((y - table @ _best(table, y, sum_to_one)) ** 2))

    shift = Estimate(0.0, 0.0) if largest_shift <= 0.0 else _shift(misfit, largest_shift, x.size)
    table = at(shift.value)
    if np.linalg.cond(table) > 1e6:
        raise NotMeasurable("two of the standards are the same, or a mixture of the others: leave one out")
    shares = _best(table, y, sum_to_one)
    noise = float(np.median(point_noise(energy, norm)[part])) if sigma is None else sigma
    return _judged(x, y, table, shares, shift, noise, sum_to_one, tolerance)


def _best(table: np.ndarray, y: np.ndarray, sum_to_one: bool) -> np.ndarray:
    """Non-negative shares of least squares, `(s,)`, adding to 1 if asked: Lawson and Hanson's active set."""
    count = table.shape[1]
    square, right = table.T @ table, table.T @ y
    shares, taking = np.zeros(count), np.zeros(count, dtype=bool)
    if sum_to_one:
        first = int(np.argmin(np.diag(square) - 2.0 * right))
        shares[first], taking[first] = 1.0, True
    small = 1e-10 * max(float(np.max(np.abs(right))), 1e-300)
    for _ in range(10 * count):
        gain = right - square @ shares
        if sum_to_one:
            gain = gain - float(np.mean(gain[taking]))
        gain[taking] = -math.inf
        if taking.all() or not np.max(gain) > small:
            break
        taking[int(np.argmax(gain))] = True
        new = shares
        for _ in range(count + 1):
            new = _free(square, right, taking, sum_to_one)
            if np.min(new[taking]) > 0.0:
                break
            falls = taking & (new <= 0.0)
            reach = shares[falls] / np.maximum(shares[falls] - new[falls], 1e-300)
            shares = shares + float(np.min(reach)) * (new - shares)
            taking &= shares > 1e-14
            shares[~taking] = 0.0
            if not taking.any():
                new = shares
                break
        shares = np.where(taking, new, 0.0)
    return shares


def _free(square: np.ndarray, right: np.ndarray, taking: np.ndarray, sum_to_one: bool) -> np.ndarray:
    """Least squares with only some standards, without bounds, `(s,)`."""
    inside = np.flatnonzero(taking)
    matrix, wanted = square[np.ix_(inside, inside)], right[inside]
    out = np.zeros(taking.size)
    if sum_to_one:
        one = np.ones((inside.size, 1))
        matrix = np.block([[matrix, one], [one.T, np.zeros((1, 1))]])
        wanted = np.append(wanted, 1.0)
    out[inside] = np.linalg.lstsq(matrix, wanted, rcond=None)[0][: inside.size]
    return out


def _shift(misfit: Callable[[float], float], largest: float, points: int) -> Estimate:
    """The shift of least misfit; at the largest allowed one it has no uncertainty (nan)."""
    grid = np.linspace(-largest, largest, 9)
    best = int(np.argmin([misfit(float(s)) for s in grid]))
    if best in (0, 8):
        return Estimate(float(grid[best]))
    value = lowest(misfit, float(grid[best - 1]), float(grid[best + 1]))
    least, small = misfit(value), 0.02 * largest
    bend = (misfit(value - small) - 2.0 * least + misfit(value + small)) / small**2
    return Estimate(value, math.sqrt(2.0 * least / max(points - 2, 1) / bend) if bend > 0.0 else math.nan)


def _judged(
    x: np.ndarray, y: np.ndarray, table: np.ndarray, shares: np.ndarray, shift: Estimate,
    noise: float, sum_to_one: bool, tolerance: float,
) -> Mixture:  # fmt: skip
    """Uncertainties, quality, and whether the rest looks like noise."""
    rest = y - table @ shares
    square = float(np.sum(rest * rest))
    rms = math.sqrt(square / x.size)
    spread = math.sqrt(max(square / max(x.size - table.shape[1], 1), noise * noise))
    taking = np.flatnonzero(shares > 0.0)
    covariance = np.zeros((shares.size, shares.size))
    if taking.size:
        inverse = np.linalg.pinv(table[:, taking].T @ table[:, taking])
        if sum_to_one:
            ones = inverse @ np.ones(taking.size)
            inverse = inverse - np.outer(ones, ones) / float(np.sum(ones))
        covariance[np.ix_(taking, taking)] = inverse * spread**2
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    idle = spread / np.sqrt(np.sum(table**2, axis=0))
    deviations = np.where(shares > 0.0, deviations, idle)
    centred = rest - float(np.mean(rest))
    spread_of = float(np.sum(centred * centred))
    correlation = float(np.sum(centred[1:] * centred[:-1])) / spread_of if spread_of > 0.0 else 0.0
    worst = float(x[int(np.argmax(np.abs(rest)))])
    spanned = not (rms > math.hypot(2.0 * noise, tolerance) and correlation > 0.4)
    why = "" if spanned else (
        f"the standards leave {rms:.3g} of the step (noise {noise:.2g}), most at {worst:.1f} eV: a component is missing"
    )  # fmt: skip
    return Mixture(
        tuple(Estimate(float(v), float(s)) for v, s in zip(shares, deviations, strict=True)),
        Estimate(float(np.sum(shares)), math.sqrt(max(float(np.sum(covariance)), 0.0))),
        shift, square / max(float(np.sum(y * y)), 1e-300), rms, rms / noise if noise > 0.0 else math.inf,
        correlation, worst, spanned, why,
    )  # fmt: skip
