"""The flank that carries the step of a spectrum: steps 1 and 2 of finding E0 (`edge`), and mu without what would
be taken for a flank.

Energies in eV, `energy` and `mu` `(n,)`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.medians import median, middle_of
from insitu.maths.absorption.quality import median_of_five, noise_of
from insitu.maths.absorption.spectrum import NotMeasurable

REACH = 20.0
LEFT_FOR_GOOD = 0.35
JUST = 4.0


class Flank(NamedTuple):
    """`low` and `high`: indices of the valley before the rise and of the first crest behind it; `level`: of the step;
    `mu` (n,) without glitches and jumps; `noise` of mu per point."""

    low: int
    high: int
    level: float
    mu: np.ndarray
    noise: float


def find_flank(energy: np.ndarray, mu: np.ndarray, near: tuple[float, float] | None) -> Flank:
    """The flank of the largest edge, or of the one between two energies. Raises `NotMeasurable` where there is none."""
    noise = noise_of(energy, mu)
    smooth = median_of_five(mu)
    coarse, reach = _coarse(energy, smooth, near)
    net, level = _net(energy, smooth, coarse, reach, noise)
    low, high = _flank(energy, net, level, coarse, reach, noise)
    return Flank(low, high, level, _clean(energy, mu, smooth, noise, level), noise)


def _coarse(energy: np.ndarray, mu: np.ndarray, near: tuple[float, float] | None) -> tuple[float, float]:
    """Energy of the largest step, and how far up and down it was looked for."""
    reach = max(min(REACH, float(energy[-1] - energy[0]) / 6.0), 3.0 * median(np.diff(energy)))
    least, most = (-np.inf, np.inf) if near is None else near
    count, best, rise, fall, lowest = _steps(energy, mu, reach, least, most)
    if count < 3:
        raise NotMeasurable(
            f"the spectrum, {energy[0]:.1f} to {energy[-1]:.1f} eV, does not hold "
            + ("an edge" if near is None else f"the edge looked for between {near[0]:.0f} and {near[1]:.0f} eV")
        )
    if not rise > 0.0 or -fall > 2.0 * rise:
        raise NotMeasurable(
            f"mu falls at {energy[lowest]:.1f} eV and rises nowhere as much: no edge, or the wrong sign"
        )
    return float(energy[best]), reach


@njit(cache=True, error_model="numpy")
def _steps(energy, mu, reach, least, most):
    """The means of mu over `reach` above and below each point between two energies: how many points, where these means
    differ most upwards, by how much, by how much downwards, and where."""
    n = energy.size
    total = np.zeros(n)
    for i in range(1, n):
        total[i] = total[i - 1] + 0.5 * (mu[i] + mu[i - 1]) * (energy[i] - energy[i - 1])
    count, best, lowest, rise, fall = 0, 0, 0, -np.inf, np.inf
    left = right = 0
    for i in range(n):
        below, above = max(energy[i] - reach, energy[0]), min(energy[i] + reach, energy[n - 1])
        while left < n - 2 and energy[left + 1] <= below:
            left += 1
        while right < n - 2 and energy[right + 1] <= above:
            right += 1
        if energy[i] - below < 0.25 * reach or above - energy[i] < 0.25 * reach or not least <= energy[i] <= most:
            continue
        share = (above - energy[right]) / (energy[right + 1] - energy[right])
        up = total[right] + share * (total[right + 1] - total[right]) - total[i]
        share = (below - energy[left]) / (energy[left + 1] - energy[left])
        down = total[i] - (total[left] + share * (total[left + 1] - total[left]))
        step = up / (above - energy[i]) - down / (energy[i] - below)
        count += 1
        if step > rise:
            best, rise = i, step
        if step < fall:
            lowest, fall = i, step
    return count, best, rise, fall, lowest


def _net(energy: np.ndarray, mu: np.ndarray, coarse: float, reach: float, noise: float) -> tuple[np.ndarray, float]:
    """mu above the pre-edge line, and the level of the step some way above the edge."""
    net, level = _above_line(energy, mu, coarse, reach)
    if np.isnan(level):
        raise NotMeasurable(f"the spectrum ends at {energy[-1]:.1f} eV, too close above the rise at {coarse:.1f} eV")
    if not level > max(JUST * noise, 1e-9 * float(np.ptp(mu))):
        raise NotMeasurable(f"no edge: mu above {coarse:.1f} eV does not stay above its trend below")
    return net, level


@njit(cache=True, error_model="numpy")
def _above_line(energy, mu, coarse, reach):
    """mu above the line through what lies more than `reach` below the edge (or above the median of the lower half of
    what is there), and the median of that above the edge; nan for fewer than 3 points there."""
    n = energy.size
    room = np.empty(n)
    first = np.searchsorted(energy, coarse - 250.0, side="right")
    stop = np.searchsorted(energy, coarse - reach, side="left")
    if stop - first >= 5 and energy[stop - 1] - energy[first] >= reach:
        middle, base = np.mean(energy[first:stop] - coarse), np.mean(mu[first:stop])
        above = below = 0.0
        for i in range(first, stop):
            off = energy[i] - coarse - middle
            above += off * mu[i]
            below += off * off
        slope = above / below
        net = mu - (base + slope * (energy - coarse - middle))
    else:
        lowest = max(energy[0] + 0.5 * (coarse - energy[0]), energy[2])
        net = mu - middle_of(mu[: np.searchsorted(energy, lowest, side="right")].copy())
    count = 0
    for part in range(2):
        for i in range(n):
            near = energy[i] > coarse + reach and energy[i] < coarse + 100.0
            if near if part == 0 else energy[i] > coarse + 0.5 * reach:
                room[count] = net[i]
                count += 1
        if count >= 3:
            return net, middle_of(room[:count])
        count = 0
    return net, np.nan


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


@njit(cache=True, error_model="numpy")
def _clean(energy, mu, smooth, noise, level):
    """mu without glitches (points far off `smooth`), and with steps within one short interval, as between scan
    regions, levelled out."""
    n, jumps = energy.size, False
    out, slope = np.empty(n), np.empty(n - 1)
    for i in range(n):
        out[i] = smooth[i] if np.abs(mu[i] - smooth[i]) > max(6.0 * noise, 0.1 * level) else mu[i]
    for i in range(n - 1):
        slope[i] = (out[i + 1] - out[i]) / (energy[i + 1] - energy[i])
    even = slope.copy()
    for i in range(1, n - 2):
        h = energy[i + 1] - energy[i]
        beside = max(np.abs(slope[i - 1]), np.abs(slope[i + 1]))
        if h < 1.5 and np.abs(slope[i]) > 4.0 * beside and np.abs(slope[i]) * h > 8.0 * noise:
            even[i], jumps = 0.5 * (slope[i - 1] + slope[i + 1]), True
    if jumps:
        for i in range(1, n):
            out[i] = out[i - 1] + even[i - 1] * (energy[i] - energy[i - 1])
    return out
