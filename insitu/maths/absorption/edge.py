"""E0, the energy of an absorption edge: where mu rises fastest on the flank that carries the step.

1. The step is found coarsely: largest difference of the mean of mu over up to 20 eV above and below.
2. The flank is the rise that leaves 35 % of the step for good. A strong pre-edge peak (Cr(VI), V(V)) falls back to the
   pre-edge level and so lies before the flank; EXAFS and glitches above lie behind its crest.
3. E0 is the maximum of d(mu)/dE on the flank: the derivative of the parabola through each point and its neighbours,
   averaged over three points (not on grids coarser than 1 eV); where noise exceeds a tenth of it, averaged over a
   Gaussian of 0.5 to 4 eV instead. A parabola through three of these values refines the place, or a fit to more of them
   where noise decides which one is the largest (`vertex`).

Glitches of one or two points and jumps of mu between scan regions are taken out first. The standard uncertainty is
that of the refined place from the noise of mu and from the grid: which of two equally steep parts of one flank is taken
is not in it. Largest first derivative is the common definition (S. Calvin, XAFS for Everyone (2013), 7.2).
Energies in eV, `energy` and `mu` `(n,)`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.flank import JUST, find_flank
from insitu.maths.absorption.medians import median
from insitu.maths.absorption.spectrum import NotMeasurable, checked
from insitu.maths.absorption.vertex import vertex

CLEAR = 10.0
COARSE = 1.0
CALM, STILL_TOP = 2.0, 0.7
WIDTHS = (0.5, 1.0, 2.0, 4.0)


class EdgeEnergy(NamedTuple):
    """`value` eV and its standard uncertainty `sigma`; `point`: index of the measured point that is steepest, and its
    energy, `at`; `valley` and `crest`: indices of where the flank begins and of its first crest; `slope`: d(mu)/dE at
    E0, 1/eV; `width`: of the Gaussian that the derivative was averaged over, eV (0: three points); `noise` of mu per
    point."""

    value: float
    sigma: float
    point: int
    at: float
    valley: int
    crest: int
    slope: float
    width: float
    noise: float


def find_e0(energy: np.ndarray, mu: np.ndarray, near: tuple[float, float] | None = None) -> EdgeEnergy:
    """E0 of the largest edge in the spectrum, or of the one between the two energies `near`.

    Raises `NotMeasurable`: no edge, edge within the noise, wrong sign, nothing below or above the edge, or one of
    `checked`.

    >>> energy = np.arange(7000.0, 7300.0, 0.5)
    >>> mu = 0.2 + 1.0 / (1.0 + np.exp(-(energy - 7121.3) / 1.5))
    >>> round(find_e0(energy, mu).value, 1)
    7121.3
    """
    energy, mu = checked(energy, mu)
    flank = find_flank(energy, mu, near)
    return _steepest(energy, flank.mu, flank.low, flank.high, flank.noise, flank.level)


def _steepest(energy: np.ndarray, mu: np.ndarray, low: int, high: int, noise: float, level: float) -> EdgeEnergy:
    """The largest derivative between two indices, averaged over as little as the noise allows."""
    first, last = max(low, 2), min(high, energy.size - 3)
    if last - first < 1:
        raise NotMeasurable(f"fewer than two points on the rise at {energy[low]:.1f} eV")
    three = median(np.diff(energy[first - 2 : last + 3])) <= COARSE
    width, (at, steepest, shake) = 0.0, _largest(energy, mu, first, last, 0.0, three)
    for wider in WIDTHS:
        if steepest >= CLEAR * noise * shake:
            break
        width, (at, steepest, shake) = wider, _largest(energy, mu, first, last, wider, three)
    return _checked(energy, mu, (low, at, high), (steepest, noise * shake), (width, three, noise), level)


def _checked(
    energy: np.ndarray, mu: np.ndarray, place: tuple[int, int, int], slope: tuple[float, float],
    how: tuple[float, bool, float], level: float,
) -> EdgeEnergy:  # fmt: skip
    """The steepest point, if it is one of an edge, with its place refined."""
    (low, at, high), (steepest, shake), (width, three, noise) = place, slope, how
    if at <= 3:
        raise NotMeasurable(f"no pre-edge: mu rises fastest at its first points, {energy[0]:.1f} eV")
    if not steepest > JUST * shake:
        raise NotMeasurable(f"the edge near {energy[at]:.1f} eV is within the noise")
    if steepest * 80.0 < level:
        raise NotMeasurable(f"mu rises slowly around {energy[at]:.1f} eV: no edge")

    def rows(first: int, last: int) -> tuple[int, np.ndarray]:
        weights = np.zeros((last - first, energy.size))
        ends = [_weigh(energy, first + k, width, three, weights[k]) for k in range(last - first)]
        start, stop = min(low for low, _ in ends), max(high for _, high in ends) + 1
        return start, weights[:, start:stop]

    def top() -> tuple[int, int]:
        calm = CALM * max(width, WIDTHS[0])
        return _top(energy, mu, at, max(low, 2), min(high, energy.size - 3), calm, noise)

    value, sigma, at = vertex(energy, mu, noise, rows, at, top)
    return EdgeEnergy(value, sigma, at, float(energy[at]), low, high, float(steepest), width, noise)


@njit(cache=True, error_model="numpy")
def _weigh(energy, at, width, three, row):
    """The averaged derivative at one point as weights of mu, added to `row` (n,); gives the first and last it uses."""
    n = energy.size
    low = high = at
    if width > 0.0:
        while low > 1 and energy[at] - energy[low - 1] <= 4.0 * width:
            low -= 1
        while high < n - 2 and energy[high + 1] - energy[at] <= 4.0 * width:
            high += 1
    elif three:
        low, high = at - 1, at + 1
    low, high = max(low, 1), min(high, n - 2)
    total = 0.0
    for turn in range(2):
        for j in range(low, high + 1):
            left, right = energy[j] - energy[j - 1], energy[j + 1] - energy[j]
            share = 1.0
            if width > 0.0:
                share = np.exp(-0.5 * ((energy[j] - energy[at]) / width) ** 2) * (left + right)
            if turn == 0:
                total += share
                continue
            share /= total * left * right * (left + right)
            row[j - 1] -= share * right * right
            row[j] += share * (right * right - left * left)
            row[j + 1] += share * left * left
    return low - 1, high + 1


@njit(cache=True, error_model="numpy")
def _largest(energy, mu, first, last, width, three):
    """Where between two indices the averaged derivative is largest, how large, and the root of its squared weights."""
    row = np.zeros(energy.size)
    best, found, weight = first, -np.inf, 0.0
    for at in range(first, last + 1):
        low, high = _weigh(energy, at, width, three, row)
        slope = square = 0.0
        for i in range(low, high + 1):
            slope += row[i] * mu[i]
            square += row[i] * row[i]
            row[i] = 0.0
        if slope > found:
            best, found, weight = at, slope, square
    return best, found, np.sqrt(weight)


@njit(cache=True, error_model="numpy")
def _top(energy, mu, at, first, last, width, noise):
    """First and last point around `at` of one maximum of the averaged derivative: down to `STILL_TOP` of it there, and
    not across a valley that is more than noise."""
    row, slope, square = np.zeros(energy.size), np.zeros(last - first + 1), 0.0
    for j in range(first, last + 1):
        low, high = _weigh(energy, j, width, False, row)
        for i in range(low, high + 1):
            slope[j - first] += row[i] * mu[i]
            if j == at:
                square += row[i] * row[i]
            row[i] = 0.0
    shake, ends = JUST * noise * np.sqrt(square), np.array([at, at])
    for side in range(2):
        move, j = 2 * side - 1, at - first
        lowest, turn = slope[j], j
        while 0 <= j + move < slope.size and slope[j + move] >= STILL_TOP * slope[at - first]:
            j += move
            if slope[j] < lowest:
                lowest, turn = slope[j], j
            if slope[j] > lowest + shake and lowest < slope[at - first] - shake:
                j = turn
                break
        ends[side] = first + j
    return ends[0], ends[1]
