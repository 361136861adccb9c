"""What every XAFS function agrees on: a usable spectrum, a number with its uncertainty, or a reason why not.

A spectrum is `energy` in eV, strictly increasing, and `mu` without unit, both `(n,)` float64. Stages that need one
another's arrays (normalisation, background, Fourier transform) raise `NotMeasurable` with a sentence; single numbers
are an `Estimate`, which carries the sentence in `why`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

KTOE = 3.8099819442818976
"""hbar^2 / 2 m_e in eV angstrom^2: E - E0 = KTOE k^2 (CODATA 2018)."""
FEWEST_POINTS = 10


class NotMeasurable(ValueError):
    """This spectrum does not hold what was asked for; the text says why, for a person."""


class Estimate(NamedTuple):
    """A number and its standard uncertainty (nan: not known), or nan and why there is none."""

    value: float
    sigma: float = math.nan
    why: str = ""


def nothing(why: str) -> Estimate:
    """No value, and the reason."""
    return Estimate(math.nan, math.nan, why)


def checked(energy: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as `plain` arrays; `mu` may be one spectrum `(n,)` or a series `(m, n)` on one grid.

    Raises `NotMeasurable` for fewer than 10 points, lengths that differ, values that are not finite, an energy that
    does not strictly increase, and a spectrum that is one constant.
    """
    energy, mu = plain(energy), plain(mu)
    if energy.ndim != 1 or mu.ndim not in (1, 2) or mu.shape[-1] != energy.size:
        raise NotMeasurable(f"energy has shape {energy.shape}, mu {mu.shape}: a spectrum needs one mu per energy")
    if energy.size < FEWEST_POINTS:
        raise NotMeasurable(f"only {energy.size} points (a spectrum needs {FEWEST_POINTS})")
    if mu.ndim == 1 and _sound(energy, mu):
        return energy, mu
    grid_of(energy)
    finite = np.isfinite(mu)
    if not finite.all():
        bad = np.argwhere(~finite)
        raise NotMeasurable(
            f"{len(bad)} of {mu.size} values of mu are not finite (the first at {energy[bad[0][-1]]:.2f} eV)"
        )
    if mu.size and np.any(np.max(mu, axis=-1) == np.min(mu, axis=-1)):
        raise NotMeasurable("mu is the same at every energy: no absorption edge")
    return energy, mu


@njit(cache=True, error_model="numpy")
def _sound(energy, mu):
    """Whether one spectrum is as `checked` wants it."""
    low = high = mu[0]
    for i in range(mu.size):
        if not (np.isfinite(energy[i]) and np.isfinite(mu[i])) or (i > 0 and not energy[i] > energy[i - 1]):
            return False
        low, high = min(low, mu[i]), max(high, mu[i])
    return high > low


def plain(values: np.ndarray) -> np.ndarray:
    """Contiguous float64 that may be written to, a copy where it must be one: kernels are compiled for one type."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    return values if values.flags.writeable else values.copy()


def grid_of(energy: np.ndarray) -> None:
    """Refuse an energy axis that is not finite or does not strictly increase, with the place."""
    if not np.isfinite(energy).all():
        where = int(np.argmin(np.isfinite(energy)))
        raise NotMeasurable(f"energy is not finite at point {where}")
    steps = np.diff(energy)
    if not (steps > 0.0).all():
        if (steps < 0.0).all():
            raise NotMeasurable("energy decreases: sort the spectrum first")
        where = int(np.argmin(steps > 0.0))
        raise NotMeasurable(f"energy does not increase after point {where} ({energy[where]:.3f} eV)")


def at_or_below(energy: np.ndarray, value: float) -> int:
    """Index of the last energy at or below a value; 0 where all lie above."""
    return max(int(np.searchsorted(energy, value, side="right")) - 1, 0)


def nearest(energy: np.ndarray, value: float) -> int:
    """Index of the energy nearest to a value; the lower of two that are equally near."""
    above = int(np.searchsorted(energy, value, side="left"))
    if above == 0:
        return 0
    if above == energy.size or value - energy[above - 1] <= energy[above] - value:
        return above - 1
    return above


def spread(gradient: np.ndarray, sigma: np.ndarray) -> float:
    """Standard uncertainty of a number whose derivatives with respect to the points are `gradient`, `(n,)`.

    `sqrt(sum (gradient sigma)^2)`: points independent of one another (JCGM 100:2008, 5.1.2).
    """
    return math.sqrt(float(np.sum((gradient * sigma) ** 2)))


def lowest(function: Callable[[float], float], low: float, high: float, steps: int = 40) -> float:
    """Where a function with one minimum between two numbers is lowest: golden section (J. Kiefer, Proc. Am. Math. Soc.
    4 (1953) 502).

    >>> round(lowest(lambda x: (x - 1.25) ** 2, 0.0, 4.0), 5)
    1.25
    """
    part = (math.sqrt(5.0) - 1.0) / 2.0
    inner, outer = high - part * (high - low), low + part * (high - low)
    at_inner, at_outer = function(inner), function(outer)
    for _ in range(steps):
        if at_inner < at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - part * (high - low)
            at_inner = function(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + part * (high - low)
            at_outer = function(outer)
        if high - low < 1e-7 * max(1.0, abs(low)):
            break
    return inner if at_inner < at_outer else outer
