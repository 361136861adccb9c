"""Pre-edge line, post-edge curve, edge step, normalised and flattened mu(E), as weights of the measured points.

    pre(E)  = (a + b E) E^-nvict         fitted to mu E^nvict between E0 + pre1 and E0 + pre2
    post(E) = pre(E) + polynomial        of degree nnorm, fitted to mu - pre between E0 + norm1 and E0 + norm2
    step    = |post(E0) - pre(E0)|,      norm = (mu - pre)/step
    flat    = norm, above E0 with the curvature of post taken out, so that it runs around 1

Every one of them is linear in mu, so the step comes with its exact uncertainty from the noise. What depends on the
energies alone is prepared once. Definitions and the choice of ranges where none is given are those of `pre_edge` of
xraylarch 2026.3.1. Energies in eV (ranges relative to E0), `(n,)`; step and curves in the unit of mu.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, at_or_below, grid_of, nearest, plain, spread

MOST_TERMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """What normalisation was done with, relative to E0 in eV; `npre` 0: a constant pre-edge (too few points)."""

    pre1: float
    pre2: float
    norm1: float
    norm2: float
    nnorm: int
    nvict: int
    npre: int


class NormPlan(NamedTuple):
    """Normalisation prepared for one grid and E0.

    `point`: index of the one nearest to E0; `pre` and `post`: slices that are fitted; `pre_weights` (npre + 1, len
    pre) and `post_weights` (nnorm + 1, len post): data to coefficients; `pre_terms` (npre + 1, n) and `post_terms`
    (nnorm + 1, n): coefficients to curves; `step_weights` (n,): data to edge step; `given`: mu is normalised already,
    and kept so.
    """

    e0: float
    point: int
    ranges: Ranges
    pre: slice
    post: slice
    pre_weights: np.ndarray
    post_weights: np.ndarray
    pre_terms: np.ndarray
    post_terms: np.ndarray
    step_weights: np.ndarray
    given: bool = False


class Normalised(NamedTuple):
    """`norm`, `flat`, `pre_edge`, `post_edge` `(n,)` and the edge step with its uncertainty."""

    norm: np.ndarray
    flat: np.ndarray
    pre_edge: np.ndarray
    post_edge: np.ndarray
    step: Estimate


def prepare_normalisation(
    energy: np.ndarray,
    e0: float,
    *,
    pre1: float | None = None,
    pre2: float | None = None,
    norm1: float | None = None,
    norm2: float | None = None,
    nnorm: int | None = None,
    nvict: int = 0,
) -> NormPlan:
    """Prepare for spectra at `energy` (n,) with the edge at `e0`, eV.

    Not given: pre1, from the second point on; pre2, half of pre1; norm2, to the end; norm1, a fifteenth of norm2, at
    most 25 eV; nnorm, 2, from ranges below 300 eV 1, below 30 eV 0. Raises `NotMeasurable` where there are no points
    below or above the edge to fit.
    """
    energy = np.ascontiguousarray(energy, dtype=np.float64)
    grid_of(energy)
    if energy.size < 5 or not energy[1] < e0 < energy[-2]:
        raise NotMeasurable(f"E0 {e0:.2f} eV is not inside the spectrum")
    index = nearest(energy, e0)
    ranges = _ranges(energy, e0, index, pre1, pre2, norm1, norm2, nnorm, nvict)
    first, last = at_or_below(energy, ranges.pre1 + e0), nearest(energy, ranges.pre2 + e0)
    if energy[first] >= e0:
        raise NotMeasurable(f"no points below the edge at {e0:.1f} eV to fit a pre-edge to")
    last = max(last, first + 1 if ranges.npre == 0 else min(energy.size, first + 2))
    post_first, post_last = at_or_below(energy, ranges.norm1 + e0), nearest(energy, ranges.norm2 + e0)
    post_first = min(post_first, energy.size - 3)
    degree = ranges.nnorm
    if post_last - post_first < 2:
        post_first, degree = post_first - 2, 0
    elif post_last - post_first < 5:
        degree = min(1, degree)
    if post_first <= index or post_last <= post_first:
        raise NotMeasurable(f"no points above the edge at {e0:.1f} eV to fit a post-edge to")
    pre, post = slice(first, last), slice(post_first, post_last)
    pre_weights, pre_terms = _fit(energy, pre, ranges.npre, e0)
    if ranges.nvict:
        power = (energy / e0) ** ranges.nvict
        pre_weights, pre_terms = pre_weights * power[pre], pre_terms / power
    post_weights, post_terms = _fit(energy, post, degree, e0)
    at_edge = post_terms[:, index] @ post_weights
    step_weights = np.zeros(energy.size)
    step_weights[post] = at_edge
    step_weights[pre] -= (pre_terms[:, post] @ at_edge) @ pre_weights
    ranges = Ranges(
        pre1=ranges.pre1, pre2=ranges.pre2, norm1=ranges.norm1, norm2=ranges.norm2,
        nnorm=degree, nvict=nvict, npre=ranges.npre,
    )  # fmt: skip
    return NormPlan(e0, index, ranges, pre, post, pre_weights, post_weights, pre_terms, post_terms, step_weights)


def keep_normalised(energy: np.ndarray, e0: float) -> NormPlan:
    """A plan that leaves mu as it is: pre-edge 0, post-edge and step 1 without uncertainty. For spectra of a file that
    holds them normalised: doing it again with other ranges would move every number that depends on the step."""
    energy = np.ascontiguousarray(energy, dtype=np.float64)
    grid_of(energy)
    index, nowhere, n = nearest(energy, e0), slice(0, 0), energy.size
    ranges = Ranges(pre1=0.0, pre2=0.0, norm1=0.0, norm2=0.0, nnorm=0, nvict=0, npre=0)
    empty, zero = np.zeros((1, 0)), np.zeros((1, n))
    return NormPlan(e0, index, ranges, nowhere, nowhere, empty, empty, zero, zero, np.zeros(n), given=True)


def is_normalised(energy: np.ndarray, mu: np.ndarray, e0: float) -> bool:
    """Whether mu runs around 0 (within 0.02) more than 30 eV below E0 and around 1 (0.02) more than 100 eV above it.

    That is what a normalised and flattened spectrum does, and what a measured one does by rare chance only.
    """
    below = mu[: np.searchsorted(energy, e0 - 30.0, side="left")]
    above = mu[np.searchsorted(energy, e0 + 100.0, side="right") :]
    if below.size < 5 or above.size < 20:
        return False
    half = above.size // 2
    around = [np.mean(below), np.mean(above[:half]) - 1.0, np.mean(above[half:]) - 1.0]
    return bool(np.max(np.abs(around)) < 0.02 and np.max(np.abs(below)) < 0.1)


def _ranges(
    energy: np.ndarray, e0: float, index: int,
    pre1: float | None, pre2: float | None, norm1: float | None, norm2: float | None, nnorm: int | None, nvict: int,
) -> Ranges:  # fmt: skip
    """The ranges as given, and those of larch where not."""
    low, high = float(energy[0]) - e0, float(energy[-1]) - e0
    if pre1 is None:
        unit = 5.0 if index > 20 else 2.0
        pre1 = unit * round((float(energy[1]) - e0) / unit)
    pre1 = max(pre1, low)
    pre2 = 0.5 * pre1 if pre2 is None else pre2
    pre1, pre2 = min(pre1, pre2), max(pre1, pre2)
    few = at_or_below(energy, e0 + pre2) - at_or_below(energy, e0 + pre1) < 3
    norm2 = 5.0 * round(high / 5.0) if norm2 is None else norm2
    norm2 = min(high - norm2 if norm2 < 0.0 else norm2, high)
    norm1 = min(25.0, 5.0 * round(norm2 / 15.0)) if norm1 is None else norm1
    norm1, norm2 = min(norm1, norm2), max(norm1, norm2)
    norm1 = min(norm1, norm2 - 2.0)
    if nnorm is None:
        nnorm = 0 if norm2 - norm1 < 30.0 else 1 if norm2 - norm1 < 300.0 else 2
    return Ranges(
        pre1=pre1, pre2=pre2, norm1=norm1, norm2=norm2,
        nnorm=max(min(nnorm, MOST_TERMS), 0), nvict=0 if few else nvict, npre=0 if few else 1,
    )  # fmt: skip


def _fit(energy: np.ndarray, part: slice, degree: int, e0: float) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of one part as a matrix, `(degree + 1, len)`, and the terms that it weighs, `(degree + 1, n)`."""
    scale = max(float(np.max(np.abs(energy[part] - e0))), 1.0)
    terms = np.vander((energy - e0) / scale, degree + 1, increasing=True).T
    q, r = np.linalg.qr(terms[:, part].T)
    if not np.min(np.abs(np.diag(r))) > 1e-12:
        raise NotMeasurable(f"{energy[part].size} points do not determine {degree + 1} coefficients")
    return np.linalg.solve(r, q.T), np.ascontiguousarray(terms)


def normalise(mu: np.ndarray, plan: NormPlan, sigma: np.ndarray | None = None) -> Normalised:
    """Normalise one spectrum `mu` (n,); `sigma` (n,): noise per point, for the uncertainty of the step.

    Raises `NotMeasurable` where the step is not above 0.

    >>> energy = np.arange(7000.0, 7600.0, 1.0)
    >>> mu = 0.5 - 1e-4 * (energy - 7112.0) + 1.3 / (1.0 + np.exp(-(energy - 7112.0)))
    >>> found = normalise(mu, prepare_normalisation(energy, 7112.0), np.full(600, 0.001))
    >>> round(found.step.value, 4), round(found.step.sigma, 5)
    (1.3, 0.00074)
    """
    mu = plain(mu)
    if plan.given:
        return Normalised(mu, mu, np.zeros_like(mu), np.ones_like(mu), Estimate(1.0, 0.0))
    pre_edge = _weigh(plan.pre_terms, plan.pre_weights, mu[plan.pre])
    post_edge = pre_edge + _weigh(plan.post_terms, plan.post_weights, (mu - pre_edge)[plan.post])
    at = plan.point
    step = float(post_edge[at] - pre_edge[at])
    if not step > 1e-12 * float(np.max(np.abs(mu))):
        raise NotMeasurable(f"the edge step is {step:.3g}: the post-edge does not lie above the pre-edge")
    norm = (mu - pre_edge) / step
    bent = (post_edge - pre_edge) / step
    flat = norm.copy()
    flat[at:] += bent[at] - bent[at:]
    found = Estimate(step) if sigma is None else Estimate(step, spread(plan.step_weights, sigma))
    return Normalised(norm, flat, pre_edge, post_edge, found)


@njit(cache=True, error_model="numpy")
def _weigh(terms, weights, data):
    """`terms` weighed by the coefficients of `data`: sums in one fixed order, whatever BLAS does elsewhere."""
    out = np.zeros(terms.shape[1])
    for t in range(terms.shape[0]):
        total = 0.0
        for i in range(data.size):
            total += weights[t, i] * data[i]
        for i in range(out.size):
            out[i] += terms[t, i] * total
    return out
