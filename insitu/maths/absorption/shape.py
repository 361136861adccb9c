"""What the shape of a normalised edge tells of valence and symmetry: energy at half height, white line, pre-edge peak.

All numbers are (nearly) linear in mu, so each standard uncertainty is propagated exactly from the noise per point,
through edge step and pre-edge line where they enter. Heights are shares of the edge step, energies in eV, areas in eV.

    energy_at      where norm first rises through a level on the flank, by linear interpolation
    white_line     vertex of the parabola through the top of the first maximum above the edge; area of flat above 1
    pre_edge_peak  what stands above a smooth baseline before the flank: net = norm - baseline,
                   area = sum net dE, centroid = sum E net dE / area

The baseline of a pre-edge peak is a straight line plus tails of the main edge: Lorentzians of half width 2 and 5 eV and
an arctangent of 2 eV at the energy of half height, with shares that are not negative, fitted to what lies beside the
peak. M. Wilke et al., Am. Mineral. 86 (2001) 714 for centroids and their meaning.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.absorption.edge import EdgeEnergy
from insitu.maths.absorption.medians import median
from insitu.maths.absorption.normalise import Normalised, NormPlan
from insitu.maths.absorption.spectrum import Estimate, nothing, spread

TAILS = (2.0, 5.0)
WIDTHS = tuple(0.6 * 4.0 ** (i / 11.0) for i in range(12))
_OF_WIDTH = -0.5 / np.array(WIDTHS)[:, None, None] ** 2
LEAST = 0.005
BEFORE = 25.0
TOP = 0.05


class WhiteLine(NamedTuple):
    """`position` eV, `height` (share of the step) and `area` above 1 in eV."""

    position: Estimate
    height: Estimate
    area: Estimate


class PreEdge(NamedTuple):
    """`centroid` eV, `area` eV, `height` (share of the step) above the baseline."""

    centroid: Estimate
    area: Estimate
    height: Estimate


def energy_at(
    energy: np.ndarray, found: Normalised, plan: NormPlan, edge: EdgeEnergy, sigma: np.ndarray, level: float = 0.5
) -> Estimate:
    """Energy where the normalised spectrum first rises through `level` between the valley and the crest of the flank.

    `sigma` (n,): noise of mu per point.
    """
    norm = found.norm
    first, last = edge.valley, edge.crest
    above = np.flatnonzero(norm[first : last + 1] >= level)
    if above.size == 0:
        return nothing(f"the normalised spectrum does not reach {level:g} on its flank")
    if above[0] == 0:
        return nothing(f"the normalised spectrum is above {level:g} where its flank begins, {energy[first]:.1f} eV")
    i = first + int(above[0]) - 1
    share = float((level - norm[i]) / (norm[i + 1] - norm[i]))
    slope = float((norm[i + 1] - norm[i]) / (energy[i + 1] - energy[i]))
    row = _share(plan, {i: 1.0 - share, i + 1: share}, level, energy.size)
    where = float(energy[i] + share * (energy[i + 1] - energy[i]))
    return Estimate(where, spread(row, sigma) / (found.step.value * slope))


def _share(plan: NormPlan, at: dict[int, float], value: float, n: int) -> np.ndarray:
    """Derivative of `step * (a value of norm)` with respect to mu: `at` weighs points, `value` is what they give."""
    row = -value * plan.step_weights
    pre = np.zeros(plan.pre_terms.shape[0])
    for i, weight in at.items():
        row[i] += weight
        pre += weight * plan.pre_terms[:, i]
    row[plan.pre] -= pre @ plan.pre_weights
    return row


def white_line(
    energy: np.ndarray, found: Normalised, plan: NormPlan, edge: EdgeEnergy, sigma: np.ndarray, reach: float = 30.0
) -> WhiteLine:
    """The highest maximum of norm between E0 and `reach` eV above it, or the first one if mu still rises there.

    The area is that of `flat` above 1 around the maximum (0 where it does not get there).
    """
    norm, n = found.norm, energy.size
    last = min(int(np.searchsorted(energy, edge.value + reach)), n - 1)
    first = edge.point
    inner = np.arange(max(first, 1), last)
    tops = inner[(norm[inner] > norm[inner - 1]) & (norm[inner] >= norm[inner + 1])] if inner.size else inner
    if tops.size == 0:
        none = nothing(f"no maximum within {reach:g} eV above E0")
        return WhiteLine(none, none, none)
    noise = median(sigma) / found.step.value
    top = int(tops[np.argmax(norm[tops])])
    if np.max(norm[first : last + 1]) > norm[top] + max(0.02, 4.0 * noise):
        top = int(tops[norm[tops] >= 0.6][0]) if np.any(norm[tops] >= 0.6) else top
    low, high = top - 1, top + 1
    drop = max(TOP, 4.0 * noise)
    while low > first and norm[low - 1] > norm[top] - drop and norm[low - 1] < norm[top]:
        low -= 1
    while high < last and norm[high + 1] > norm[top] - drop and norm[high + 1] < norm[top]:
        high += 1
    points = slice(low, high + 1)
    x = energy[points] - energy[top]
    terms = np.stack([np.ones_like(x), x, x * x], axis=1)
    weights = np.linalg.pinv(terms)
    constant, tilt, bend = (float(v) for v in weights @ norm[points])
    area = _area_above(energy, found, plan, top, sigma)
    off = -0.5 * tilt / bend if bend < 0.0 else math.inf
    if not x[0] < off < x[-1]:
        point = _share(plan, {top: 1.0}, float(norm[top]), n)
        height = Estimate(float(norm[top]), spread(point, sigma) / found.step.value)
        return WhiteLine(Estimate(float(energy[top]), 0.5 * float(energy[high] - energy[low])), height, area)
    height = constant + 0.5 * tilt * off
    at_top = weights[0] + off * weights[1] + off * off * weights[2]
    rows = dict(zip(range(low, high + 1), at_top.tolist(), strict=True))
    moves = -(weights[1] + 2.0 * off * weights[2]) / (2.0 * bend)
    return WhiteLine(
        Estimate(float(energy[top]) + off, spread(moves, sigma[points]) / found.step.value),
        Estimate(height, spread(_share(plan, rows, height, n), sigma) / found.step.value),
        area,
    )


def _area_above(energy: np.ndarray, found: Normalised, plan: NormPlan, top: int, sigma: np.ndarray) -> Estimate:
    """Area of flat above 1 around index `top`, trapezoids between the points that lie above."""
    over = found.flat - 1.0
    low = high = top
    while low > plan.point and over[low - 1] > 0.0:
        low -= 1
    while high < energy.size - 1 and over[high + 1] > 0.0:
        high += 1
    if not over[top] > 0.0:
        return Estimate(0.0, float(sigma[top]) / found.step.value)
    width = _trapezoids(energy[low : high + 1])
    area = float(np.sum(width * np.maximum(over[low : high + 1], 0.0)))
    row = -area * plan.step_weights
    part = slice(low, high + 1)
    row[part] += width
    of_post = (plan.post_terms[:, part] @ width) @ plan.post_weights
    row[plan.post] -= of_post
    row[plan.pre] -= (plan.pre_terms[:, part] @ width - plan.pre_terms[:, plan.post] @ of_post) @ plan.pre_weights
    return Estimate(area, spread(row, sigma) / found.step.value)


def _trapezoids(x: np.ndarray) -> np.ndarray:
    """Weights of the trapezoid rule, half steps at the ends, `(n,)`."""
    width = np.zeros_like(x)
    steps = 0.5 * np.diff(x)
    width[:-1] += steps
    width[1:] += steps
    return width


def pre_edge_peak(
    energy: np.ndarray, found: Normalised, plan: NormPlan, edge: EdgeEnergy, sigma: np.ndarray, most: float = 0.15
) -> PreEdge:
    """The pre-edge peak, between 25 eV below half height and where the flank reaches `most` of the step.

    Where a peak stands is asked first, with Gaussians of 12 widths from 0.6 to 2.4 eV at every energy; 2.5 of its
    standard deviations on either side are the peak (as far as net stays above 0), the rest the baseline. No value
    where it is not 4 sigma above the baseline, sigma being noise and misfit of the baseline together, or below 0.005
    of the step. The shoulder of a metal's edge counts as a peak. `sigma` (n,): noise of mu per point.
    """
    half = energy_at(energy, found, plan, edge, sigma)
    centre = edge.value if half.why else half.value
    above = np.flatnonzero(found.norm[edge.valley : edge.crest + 1] >= most)
    stop = edge.valley + (int(above[0]) if above.size else 0)
    start = max(int(np.searchsorted(energy, centre - BEFORE)), 1)
    if stop - start < 12:
        return _no_peak(f"only {max(stop - start, 0)} points before the flank (a pre-edge peak needs 12)")
    part = slice(start, stop)
    x, y = energy[part], found.norm[part]
    basis = _tails(x, centre)
    inside = _where_a_peak_stands(x, y, basis)
    if inside is None:
        return _no_peak("nothing stands above the baseline before the edge")
    fit = _baseline(basis, y, ~inside)
    remove = np.eye(x.size)
    remove[:, ~inside] -= fit
    net = remove @ y
    misfit = math.sqrt(float(np.mean(net[~inside] ** 2)))
    total = np.hypot(sigma[part] / found.step.value, misfit)
    at = np.flatnonzero(inside)
    top = int(at[np.argmax(net[at])])
    height = math.hypot(spread(remove[top], total), float(net[top]) * found.step.sigma / found.step.value)
    if not net[top] > max(4.0 * height, LEAST):
        return _no_peak("nothing stands 4 sigma above the baseline before the edge")
    low = high = top
    while low > at[0] and net[low - 1] > 0.0:
        low -= 1
    while high < at[-1] and net[high + 1] > 0.0:
        high += 1
    width = np.zeros_like(x)
    width[low : high + 1] = _trapezoids(x[low : high + 1])
    area = float(np.sum(width * net))
    if high - low < 2:
        return _no_peak("what stands above the baseline before the edge is one or two points")
    centroid = float(np.sum(width * x * net)) / area
    of_centroid = (width * (x - centroid) / area) @ remove
    area_sigma = math.hypot(spread(width @ remove, total), area * found.step.sigma / found.step.value)
    return PreEdge(
        Estimate(centroid, spread(of_centroid, total)),
        Estimate(area, area_sigma),
        Estimate(float(net[top]), height),
    )


def _no_peak(why: str) -> PreEdge:
    return PreEdge(nothing(why), nothing(why), nothing(why))


def _tails(x: np.ndarray, centre: float) -> np.ndarray:
    """The terms of the baseline, `(n, 5)`: a line, and the tails of an edge at `centre`."""
    off = x - centre
    terms = [np.ones_like(x), off / (x[-1] - x[0])]
    terms += [1.0 / (1.0 + (off / width) ** 2) for width in TAILS]
    terms.append(0.5 + np.arctan(off / TAILS[0]) / math.pi)
    return np.stack(terms, axis=1)


def _where_a_peak_stands(x: np.ndarray, y: np.ndarray, basis: np.ndarray) -> np.ndarray | None:
    """The points of the Gaussian that explains most of what the baseline alone does not; None: none stands up."""
    q, _ = np.linalg.qr(basis)
    rest = y - q @ (q.T @ y)
    centres = x[(x > x[0] + 2.0) & (x < x[-1] - 2.0)]
    if centres.size == 0:
        return None
    square = (x[:, None] - centres) ** 2
    peaks = np.exp(square * _OF_WIDTH)
    alone = np.einsum("wxc,wxc->wc", peaks, peaks) - np.sum((q.T @ peaks) ** 2, axis=1)
    gain = (rest @ peaks) / np.sqrt(np.maximum(alone, 1e-12))
    at = np.argmax(gain, axis=1)
    highest = gain[np.arange(at.size), at]
    for w in np.argsort(-highest, kind="stable"):
        inside = np.abs(x - centres[at[w]]) <= 2.5 * WIDTHS[w]
        if highest[w] > 0.0 and 3 <= np.count_nonzero(inside) <= x.size - basis.shape[1] - 2:
            return inside
    return None


def _baseline(basis: np.ndarray, y: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Matrix from the points beside the peak to the baseline everywhere; tails that would be negative are dropped."""
    while True:
        fit = np.linalg.pinv(basis[beside])
        tails = (fit @ y[beside])[2:]
        if tails.size == 0 or np.min(tails) >= 0.0:
            return basis @ fit
        basis = np.delete(basis, 2 + int(np.argmin(tails)), axis=1)
