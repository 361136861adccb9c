"""How long to count at each energy of a spectrum whose edge may shift, and how far it has shifted.

The spectrum is a reference that has moved: `mu(E) = o + s R(E - shift) + k (E - E_mean)`, with the offset o, the size s
and the slope k found anew each time. Counting for t seconds gives the variance `v/t`. The exposures are those for which
the variance of the shift is least, the other three being unknown, inside bounds: c-optimal design, found by the
multiplicative algorithm `t <- t |u|`, u what a point says of the shift beside the others (S. D. Silvey et al., Commun.
Stat. A7 (1978) 1379; V. Fedorov, Theory of Optimal Experiments, 1972).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from insitu.errors import UsageError

FREE = 4
MOST = 8.0
"""A point is exposed at most so many times as long as it would be evenly: no single energy decides."""
ROUNDS = 200
PLACES = 41


@dataclass(frozen=True)
class Reference:
    """A spectrum that others are compared with: `energy` increasing, in the motor's unit, and `mu`, shapes (n,)."""

    energy: np.ndarray
    mu: np.ndarray

    def __post_init__(self) -> None:
        energy, mu = np.asarray(self.energy, float), np.asarray(self.mu, float)
        good = energy.ndim == 1 and energy.shape == mu.shape and len(energy) >= 8
        if not good or not np.all(np.isfinite(energy + mu)) or np.any(np.diff(energy) <= 0):
            raise UsageError(
                "the reference is no spectrum",
                where="reference",
                expected="energies in increasing order and as many finite values of mu, 8 or more",
            )

    @cached_property
    def curve(self) -> Any:
        """R(E) and its derivatives; outside, what is at the ends."""
        from scipy.interpolate import CubicSpline

        return CubicSpline(np.asarray(self.energy, float), np.asarray(self.mu, float))

    def at(self, energy: np.ndarray, derivative: int = 0) -> np.ndarray:
        """R or its derivative at energies, shape (m,)."""
        inside = np.clip(energy, self.energy[0], self.energy[-1])
        found = self.curve(inside, derivative)
        return np.where((energy == inside) | (derivative == 0), found, 0.0)


def allocated(
    energy: np.ndarray,
    reference: Reference,
    shift: float,
    noise: np.ndarray,
    budget_s: float,
    even: float = 0.2,
    bounds: tuple[float, float] = (0.0, math.inf),
) -> np.ndarray:
    """Exposures in s at `energy` (n,), together `budget_s`, for the least uncertainty of the shift.

    `shift`: where the edge is by now; `noise`: the variance of mu in one second at each energy (n,). `even`: no
    energy gets less than this part of its even share, so that another shape would be seen, and none more than `MOST`
    times it. `bounds`: the shortest and the longest exposure that is allowed; where they do not let the budget be kept
    or spent, the exposures are all the shortest or the longest.
    """
    moved = energy - shift
    shapes = [-reference.at(moved, 1), reference.at(moved), np.ones_like(energy), energy - energy.mean()]
    told = np.stack([shape / max(float(np.abs(shape).max()), 1e-300) for shape in shapes], 1)
    told = told / np.sqrt(noise)[:, None] * np.sqrt(noise.mean())
    share = budget_s / len(energy)
    low, high = max(bounds[0], even * share), min(bounds[1], MOST * share)
    spent = np.full(len(energy), min(max(share, low), high))
    for _ in range(ROUNDS):
        known = (told * spent[:, None]).T @ told + 1e-12 * np.eye(FREE)
        spent = _inside(spent * np.abs(told @ np.linalg.inv(known)[:, 0]), budget_s, low, high)
    return spent


def _inside(wanted: np.ndarray, budget_s: float, low: float, high: float) -> np.ndarray:
    """In the proportions that are wanted, between bounds, together the budget as far as the bounds allow it."""
    few, many = 0.0, budget_s / max(float(wanted.sum()), 1e-300)
    while np.clip(many * wanted, low, high).sum() < budget_s and many * wanted.min() < high:
        many *= 2.0
    for _ in range(40):
        middle = (few + many) / 2.0
        less = np.clip(middle * wanted, low, high).sum() <= budget_s
        few, many = (middle, many) if less else (few, middle)
    return np.clip(few * wanted, low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far an edge has moved, its standard uncertainty (as the scatter shows it where that is more than was
    claimed), and chi^2 per degree of freedom (None where no point has an uncertainty)."""

    value: float
    sigma: float
    misfit: float | None


def shift_of(
    energy: np.ndarray, mu: np.ndarray, sigma: np.ndarray, reference: Reference, near: float = 0.0, reach: float = 5.0
) -> Shift | None:
    """The shift of a spectrum, by weighted least squares, between `near - reach` and `near + reach`; None where that
    cannot be said: too few points, or the best one lies at an end. `sigma` (n,): 0 where not known."""
    if len(energy) <= FREE + 1:
        return None
    weighed = bool(np.all(sigma > 0))
    weight = 1.0 / sigma if weighed else np.ones_like(mu)
    line = np.stack([np.ones_like(energy), energy - energy.mean()], 1)

    def chi2(shift: float) -> float:
        columns = np.column_stack([line, reference.at(energy - shift)]) * weight[:, None]
        q = np.linalg.qr(columns)[0]
        left = mu * weight - q @ (q.T @ (mu * weight))
        return float(left @ left)

    low, high = near - reach, near + reach
    best = near
    while high - low > 1e-5 * reach:
        tried = np.linspace(low, high, PLACES if high - low > reach else 9)
        values = [chi2(float(x)) for x in tried]
        k = int(np.argmin(values))
        best = float(tried[k])
        low, high = float(tried[max(k - 1, 0)]), float(tried[min(k + 1, len(tried) - 1)])
    if min(best - (near - reach), near + reach - best) < 1e-3 * reach:
        return None
    least = chi2(best)
    free = len(energy) - FREE
    columns = np.column_stack([line, reference.at(energy - best)]) * weight[:, None]
    size = float(np.linalg.lstsq(columns, mu * weight, rcond=None)[0][2])
    steep = -size * reference.at(energy - best, 1) * weight
    q = np.linalg.qr(columns)[0]
    told = float(np.sum((steep - q @ (q.T @ steep)) ** 2))
    if told <= 0.0:
        return None
    scale = least / free
    scale = max(scale, 1.0) if weighed else scale
    return Shift(value=best, sigma=float(np.sqrt(scale / told)), misfit=least / free if weighed else None)
