"""How good a spectrum is: noise per point, glitches of the monochromator, and whether repeats agree.

Noise is read off the residual against the cubic through the two neighbours on either side, which follows smooth
structure on any grid:

    r_i = y_i - sum_j l_ij y_j  (j = i-2, i-1, i+1, i+2),   sigma = 1.4826 median(|r_i| / sqrt(1 + sum_j l_ij^2))

Points that were interpolated or averaged over neighbours look quieter than they are. `energy` in eV and `mu`, `(n,)`.
Source: the idea of J. Immerkaer, Comput. Vis. Image Underst. 64 (1996) 300, on uneven grids and with a median.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.medians import median, middle_of
from insitu.maths.absorption.spectrum import NotMeasurable, checked, plain
from insitu.maths.absorption.spline import prepare_spline, read_spline

MEDIAN_PER_SIGMA = 0.6744897501960817
STEEP = 60.0
FLANK = 20.0
WIDEST = 10.0
"""How far apart, in eV, points may lie that tell of one in the middle: further apart they differ by EXAFS."""
FEWEST = 8
"""Parts with fewer points share the noise of another."""
MOST_SHARE = 2.0
"""How high a white line may stand, in steps, for its noise to follow it."""


class Glitch(NamedTuple):
    """Neighbouring points that do not belong: `first` and `last` index, energy of the worst in eV, how far it lies
    off the smooth curve in units of mu, and in units of the noise there."""

    first: int
    last: int
    energy: float
    size: float
    significance: float


@njit(cache=True, error_model="numpy")
def _residuals(x, y, scaled, stride=1):
    n = x.size
    out, noise = np.zeros(n), np.ones(n)
    for i in range(2 * stride, n - 2 * stride):
        at = (i - 2 * stride, i - stride, i + stride, i + 2 * stride)
        guess, square = 0.0, 1.0
        for a in at:
            over, under = 1.0, 1.0
            for b in at:
                if b != a:
                    over *= x[i] - x[b]
                    under *= x[a] - x[b]
            share = over / under
            guess += share * y[a]
            square += share * share
        out[i] = y[i] - guess
        noise[i] = np.sqrt(square)
    if scaled:
        out /= noise
    return out


@njit(cache=True, error_model="numpy")
def _median_of_five(y, out):
    n = y.size
    five = np.empty(5)
    for i in range(n):
        low, high = max(i - 2, 0), min(i + 3, n)
        count = high - low
        for j in range(count):
            value, at = y[low + j], j
            while at > 0 and five[at - 1] > value:
                five[at] = five[at - 1]
                at -= 1
            five[at] = value
        out[i] = five[count // 2] if count % 2 == 1 else 0.5 * (five[count // 2 - 1] + five[count // 2])


def median_of_five(y: np.ndarray) -> np.ndarray:
    """Running median of five points, fewer at the ends, `(n,)`: leaves flanks, drops glitches of one or two points.

    >>> median_of_five(np.array([0.0, 1.0, 9.0, 3.0, 4.0, 5.0])).tolist()
    [1.0, 2.0, 3.0, 4.0, 4.5, 4.0]
    """
    y = plain(y)
    out = np.empty(y.size)
    _median_of_five(y, out)
    return out


def residuals(energy: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """What of each point its four neighbours do not explain, in units where white noise keeps its sigma, `(n,)`.

    0 at the two outermost points on either side.
    """
    return _residuals(plain(energy), plain(mu), True)


def point_noise(energy: np.ndarray, mu: np.ndarray, e0: float | None = None) -> np.ndarray:
    """Standard deviation of the noise of each point, `(n,)`: one number, or one below and one above the edge `e0`.

    Each is the median over that part (without 20 eV around the edge); parts of fewer than 8 points share the other's.
    Within 20 eV of the edge the variance follows mu from one to the other, as the counts behind it do.

    >>> energy = np.arange(7000.0, 7800.0, 0.4)
    >>> mu = np.random.default_rng(3).normal(0.0, 0.002, energy.size) + 0.1 * np.sin(energy / 20.0)
    >>> round(float(point_noise(energy, mu)[0]), 4)
    0.002
    """
    energy, mu = plain(energy), plain(mu)
    if e0 is None:
        return np.full(energy.size, noise_of(energy, mu))
    return _point_noise(energy, mu, float(e0))


def noise_of(energy: np.ndarray, mu: np.ndarray) -> float:
    """Standard deviation of the noise of a point: one number for all, the median over the spectrum `(n,)`."""
    off = np.abs(residuals(energy, mu))
    return median(off[2:-2] if off.size >= FEWEST + 4 else off) / MEDIAN_PER_SIGMA


@njit(cache=True, error_model="numpy")
def _gathered(values, x, low, high, room):
    """Copies to `room` the values whose x lies above `low` and below `high`, without the two outermost points on
    either side; gives their number."""
    count = 0
    for i in range(2, x.size - 2):
        if low < x[i] < high:
            room[count] = values[i]
            count += 1
    return count


@njit(cache=True, error_model="numpy")
def _beside(values, x, centre, e0, room):
    """Median of values within `FLANK` of `centre` and not of `e0`; nan for fewer than 3."""
    count = 0
    for i in range(x.size):
        if np.abs(x[i] - centre) <= FLANK and not np.abs(x[i] - e0) <= FLANK:
            room[count] = values[i]
            count += 1
    return middle_of(room[:count]) if count >= 3 else np.nan


@njit(cache=True, error_model="numpy")
def _point_noise(energy, mu, e0):
    n = energy.size
    off, room, sigma = np.abs(_residuals(energy, mu, True, 1)), np.empty(n), np.empty(n)
    levels = np.full(3, np.nan)  # below the edge, above it, everywhere
    ends = ((-np.inf, e0 - FLANK), (e0 + FLANK, np.inf), (-np.inf, np.inf))
    for part in range(3):
        if part == 2 and not (np.isnan(levels[0]) and np.isnan(levels[1])):
            break
        count = _gathered(off, energy, ends[part][0], ends[part][1], room)
        if count >= FEWEST:
            levels[part] = middle_of(room[:count]) / MEDIAN_PER_SIGMA
    spare = 0.0
    for part in (2, 0, 1):
        if not np.isnan(levels[part]):
            spare = levels[part]
    low = spare if np.isnan(levels[0]) else levels[0]
    high = spare if np.isnan(levels[1]) else levels[1]
    for i in range(n):
        sigma[i] = low if energy[i] < e0 else high
    if low == high:
        return sigma
    floor = _beside(mu, energy, e0 - 2.0 * FLANK, e0, room)
    top = _beside(mu, energy, e0 + 2.0 * FLANK, e0, room)
    if not top - floor > 4.0 * max(low, high):  # nan where one of them has too few points
        return sigma
    smooth = np.empty(n)
    _median_of_five(mu, smooth)
    for i in range(n):
        if np.abs(energy[i] - e0) <= FLANK:
            share = min(max((smooth[i] - floor) / (top - floor), 0.0), MOST_SHARE)
            sigma[i] = np.sqrt(max(low**2 + share * (high**2 - low**2), min(low, high) ** 2))
    return sigma


def _median_around(values: np.ndarray, reach: int = 20) -> np.ndarray:
    """Median over up to 41 points around each, mirrored at the ends, the same shape."""
    reach = min(reach, values.size - 1)
    padded = np.pad(values, reach, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)


def find_glitches(
    energy: np.ndarray, mu: np.ndarray, e0: float | None = None, *, threshold: float = 15.0, least: float = 0.003
) -> list[Glitch]:
    """Glitches: points that lie off the curve of their neighbours by more than `threshold` times the scatter around.

    The scatter is the running median of |residual| over 41 points, so that structure which repeats (EXAFS on a coarse
    grid) is not taken for a glitch; `least`: smallest size, as a share of the range of mu. From 20 eV below to 60 eV
    above `e0` nothing is looked for: an edge is no smoother than a glitch.

    A glitch of many points looks smooth from each to the next: it is looked for with every 2nd, 4th, ... point as
    neighbours too, as far as these lie within `WIDEST` eV, after what was found before is bridged. What ends on another
    level than it began is an edge and no glitch.
    """
    energy, mu = checked(energy, mu)
    quiet = np.ones(energy.size, dtype=bool) if e0 is None else (energy < e0 - 20.0) | (energy > e0 + STEEP)
    smallest = least * float(np.ptp(mu))
    bridged, found, stride = mu.copy(), [], 1
    while 4 * stride < energy.size and (stride == 1 or _span(energy, stride).min() <= WIDEST):
        new = _found(energy, bridged, quiet, stride, threshold, smallest)
        for glitch in new:
            low, high = max(glitch.first - 1, 0), min(glitch.last + 1, energy.size - 1)
            part = slice(low, high + 1)
            bridged[part] = np.interp(energy[part], energy[[low, high]], bridged[[low, high]])
        if stride == 1:
            found = new
        for glitch in new if stride > 1 else []:
            found = _with(found, glitch, stride, energy, mu - bridged)
        stride *= 2
    return sorted(found)


def _span(energy: np.ndarray, stride: int) -> np.ndarray:
    """How far the outer neighbours of each point lie apart, eV, `(n - 4 stride,)`."""
    return energy[4 * stride :] - energy[: -4 * stride]


def _found(
    energy: np.ndarray, mu: np.ndarray, quiet: np.ndarray, stride: int, threshold: float, smallest: float
) -> list[Glitch]:
    """Glitches by neighbours `stride` points apart."""
    inner = slice(2 * stride, energy.size - 2 * stride)
    raw = _residuals(energy, mu, False, stride)
    off = quiet & (np.abs(raw) > smallest)
    if stride > 1:
        off[inner] &= _span(energy, stride) <= WIDEST
    if not off.any():
        return []
    scaled = _residuals(energy, mu, True, stride)
    scatter = _median_around(np.abs(scaled[inner][::stride])) / MEDIAN_PER_SIGMA
    noise = np.full(energy.size, math.inf)
    noise[inner] = np.maximum(np.repeat(scatter, stride)[: energy.size - 4 * stride], 1e-12 * float(np.ptp(mu)))
    at = np.flatnonzero(off & (np.abs(scaled) > threshold * noise))
    found = []
    for group in np.split(at, np.flatnonzero(np.diff(at) > 3 * stride) + 1) if at.size else []:
        worst = int(group[np.argmax(np.abs(scaled[group]))])
        first, last, size = int(group[0]), int(group[-1]), float(raw[worst])
        if stride > 1 and _is_step(mu, max(first, worst - 2 * stride), min(last, worst + 2 * stride), stride, size):
            continue
        significance = float(abs(scaled[worst]) / noise[worst])
        found.append(Glitch(first, last, float(energy[worst]), size, significance))
    return found


def _is_step(mu: np.ndarray, first: int, last: int, stride: int, size: float) -> bool:
    """Whether mu lies on another level behind than before, by half of the size or more."""
    before, behind = mu[max(first - 2 * stride, 0) : first], mu[last + 1 : last + 1 + 2 * stride]
    return abs(float(np.median(behind)) - float(np.median(before))) > 0.5 * abs(size)


def _with(found: list[Glitch], wide: Glitch, stride: int, energy: np.ndarray, off: np.ndarray) -> list[Glitch]:
    """`found` and a wide glitch, which takes in what was found of it before; its size: the largest of `off` in it."""
    near = [g for g in found if g.first - wide.last <= stride and wide.first - g.last <= stride]
    first, last = min(g.first for g in [*near, wide]), max(g.last for g in [*near, wide])
    worst = first + int(np.argmax(np.abs(off[first : last + 1])))
    clear = max(g.significance for g in [*near, wide])
    return [*(g for g in found if g not in near), Glitch(first, last, float(energy[worst]), float(off[worst]), clear)]


class Repeat(NamedTuple):
    """How far two spectra differ: `rms` and `largest` difference (its energy: `where`, eV) in the unit of mu, and
    `ratio`, the rms in units of what their noise alone would give (1: they agree; 3: something changed)."""

    rms: float
    largest: float
    where: float
    ratio: float


def repeatability(
    energy: np.ndarray, mu: np.ndarray, other_energy: np.ndarray, other: np.ndarray, low: float, high: float
) -> Repeat:
    """Compare two (normalised) spectra between two energies; the second is read off by its spline at the points of
    the first. Raises `NotMeasurable` where they share fewer than 10 points.
    """
    energy, mu = checked(energy, mu)
    other_energy, other = checked(other_energy, other)
    low, high = max(low, float(other_energy[0])), min(high, float(other_energy[-1]))
    part = (energy >= low) & (energy <= high)
    if np.count_nonzero(part) < 10:
        raise NotMeasurable(f"the spectra share {np.count_nonzero(part)} points between {low:.1f} and {high:.1f} eV")
    off = mu[part] - read_spline(other, prepare_spline(other_energy, energy[part]))
    rms = math.sqrt(float(np.mean(off * off)))
    noise = math.hypot(float(np.median(point_noise(energy, mu))), float(np.median(point_noise(other_energy, other))))
    worst = int(np.argmax(np.abs(off)))
    return Repeat(rms, float(off[worst]), float(energy[part][worst]), rms / noise if noise > 0.0 else math.inf)
