"""E0, the energy of an absorption edge: where mu rises fastest on the flank that carries the step.

1. The step is found coarsely: largest difference of the mean of mu over up to 20 eV above and below.
2. The flank is the rise that leaves 35 % of the step for good. A strong pre-edge peak (Cr(VI), V(V)) falls back to the
   pre-edge level and so lies before the flank; EXAFS and glitches above lie behind its crest.
3. E0 is the maximum of d(mu)/dE on the flank: the derivative of the parabola through each point and its neighbours,
   averaged over three points (not on grids coarser than 1 eV); where noise exceeds a tenth of it, averaged over a
   Gaussian of 0.5 to 4 eV instead. A parabola through three of these values refines the place, or a fit to more of them
   where noise decides which one is the largest (`xafs_vertex`).

Glitches of one or two points and jumps of mu between scan regions are taken out first. The standard uncertainty is
that of the refined place from the noise of mu and from the grid: which of two equally steep parts of one flank is taken
is not in it. Largest first derivative is the common definition (S. Calvin, XAFS for Everyone (2013), 7.2).
Energies in eV, `energy` and `mu` `(n,)`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.quality import median_of_five, point_noise
from insitu.maths.absorption.spectrum import NotMeasurable, checked
from insitu.maths.absorption.vertex import vertex

REACH = 20.0
LEFT_FOR_GOOD = 0.35
CLEAR, JUST = 10.0, 4.0
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
    noise = float(np.median(point_noise(energy, mu)))
    smooth = median_of_five(mu)
    coarse, reach = _coarse(energy, smooth, near)
    net, level = _net(energy, smooth, coarse, reach, noise)
    clean = _without_jumps(energy, np.where(np.abs(mu - smooth) > max(6.0 * noise, 0.1 * level), smooth, mu), noise)
    low, high = _flank(energy, net, level, coarse, reach, noise)
    return _steepest(energy, clean, low, high, noise, level)


def _coarse(energy: np.ndarray, mu: np.ndarray, near: tuple[float, float] | None) -> tuple[float, float]:
    """Energy of the largest step, and how far up and down it was looked for."""
    steps = np.diff(energy)
    reach = max(min(REACH, float(energy[-1] - energy[0]) / 6.0), 3.0 * float(np.median(steps)))
    total = np.concatenate([[0.0], np.cumsum(0.5 * (mu[1:] + mu[:-1]) * steps)])
    below, above = np.maximum(energy - reach, energy[0]), np.minimum(energy + reach, energy[-1])
    wanted = (energy - below >= 0.25 * reach) & (above - energy >= 0.25 * reach)
    if near is not None:
        wanted &= (energy >= near[0]) & (energy <= near[1])
    at = np.flatnonzero(wanted)
    if at.size < 3:
        raise NotMeasurable(
            f"the spectrum, {energy[0]:.1f} to {energy[-1]:.1f} eV, does not hold "
            + ("an edge" if near is None else f"the edge looked for between {near[0]:.0f} and {near[1]:.0f} eV")
        )
    up = (np.interp(above[at], energy, total) - total[at]) / (above[at] - energy[at])
    down = (total[at] - np.interp(below[at], energy, total)) / (energy[at] - below[at])
    step = up - down
    best = int(np.argmax(step))
    if not step[best] > 0.0 or -float(np.min(step)) > 2.0 * float(step[best]):
        where = energy[at[int(np.argmin(step))]]
        raise NotMeasurable(f"mu falls at {where:.1f} eV and rises nowhere as much: no edge, or the wrong sign")
    return float(energy[at[best]]), reach


def _net(energy: np.ndarray, mu: np.ndarray, coarse: float, reach: float, noise: float) -> tuple[np.ndarray, float]:
    """mu above the pre-edge line, and the level of the step some way above the edge."""
    pre = (energy < coarse - reach) & (energy > coarse - 250.0)
    if np.count_nonzero(pre) >= 5 and np.ptp(energy[pre]) >= reach:
        x, y = energy[pre] - coarse, mu[pre]
        middle = float(np.mean(x))
        slope = float(np.sum((x - middle) * y) / np.sum((x - middle) ** 2))
        net = mu - (float(np.mean(y)) + slope * (energy - coarse - middle))
    else:
        lowest = energy <= max(energy[0] + 0.5 * (coarse - energy[0]), energy[2])
        net = mu - float(np.median(mu[lowest]))
    post = (energy > coarse + reach) & (energy < coarse + 100.0)
    if np.count_nonzero(post) < 3:
        post = energy > coarse + 0.5 * reach
    if np.count_nonzero(post) < 3:
        raise NotMeasurable(f"the spectrum ends at {energy[-1]:.1f} eV, too close above the rise at {coarse:.1f} eV")
    level = float(np.median(net[post]))
    if not level > max(JUST * noise, 1e-9 * float(np.ptp(mu))):
        raise NotMeasurable(f"no edge: mu above {coarse:.1f} eV does not stay above its trend below")
    return net, level


def _flank(
    energy: np.ndarray, net: np.ndarray, level: float, coarse: float, reach: float, noise: float
) -> tuple[int, int]:
    """From the valley before the rise that leaves 35 % of the step for good, to the first crest behind it."""
    last = int(np.searchsorted(energy, coarse + reach, side="right")) - 1
    low, last, high = _walk(energy, net, level, last, coarse - 2.0 * reach, JUST * noise)
    if last < 2:
        raise NotMeasurable(f"no pre-edge: mu is above a third of the step from {energy[0]:.1f} eV on")
    return low, high


@njit(cache=True, error_model="numpy")
def _walk(energy, net, level, start, lowest, shake):
    """Down from `start` to the last point below 35 % of the step; from there down to the valley (not below energy
    `lowest`) and up to the crest."""
    last = start
    while last >= 0 and net[last] >= LEFT_FOR_GOOD * level:
        last -= 1
    if last < 2:
        return 0, last, 0
    low, floor = last, net[last]
    for i in range(last, -1, -1):
        if net[i] < floor:
            low, floor = i, net[i]
        elif net[i] > floor + max(0.12 * level, shake) or energy[i] < lowest:
            break
    high = min(last + 1, net.size - 1)
    top = net[high]
    for i in range(last + 1, net.size):
        if net[i] > top:
            high, top = i, net[i]
        elif top > 0.6 * level and net[i] < top - max(0.1 * level, shake):
            break
        if energy[i] > energy[last] + 2.5 * REACH:
            break
    return low, last, high


def _without_jumps(energy: np.ndarray, mu: np.ndarray, noise: float) -> np.ndarray:
    """Steps within one short interval, as between scan regions, levelled out."""
    h = np.diff(energy)
    slope = np.diff(mu) / h
    beside = np.maximum(np.abs(slope[:-2]), np.abs(slope[2:]))
    jump = np.abs(slope[1:-1]) * h[1:-1]
    single = (h[1:-1] < 1.5) & (np.abs(slope[1:-1]) > 4.0 * beside) & (jump > 8.0 * noise)
    if not single.any():
        return mu
    slope[1:-1][single] = 0.5 * (slope[:-2] + slope[2:])[single]
    return mu[0] + np.concatenate([[0.0], np.cumsum(slope * h)])


def _steepest(energy: np.ndarray, mu: np.ndarray, low: int, high: int, noise: float, level: float) -> EdgeEnergy:
    """The largest derivative between two indices, averaged over as little as the noise allows."""
    first, last = max(low, 2), min(high, energy.size - 3)
    if last - first < 1:
        raise NotMeasurable(f"fewer than two points on the rise at {energy[low]:.1f} eV")
    three = float(np.median(np.diff(energy[first - 2 : last + 3]))) <= COARSE
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

    def rows(first: int, last: int) -> np.ndarray:
        weights = np.zeros((last - first, energy.size))
        for k in range(last - first):
            _weigh(energy, first + k, width, three, weights[k])
        return weights

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
