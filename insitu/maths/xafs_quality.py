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

from insitu.maths.xafs_spectrum import NotMeasurable, checked
from insitu.maths.xafs_spline import prepare_spline, read_spline

MEDIAN_PER_SIGMA = 0.6744897501960817
STEEP = 60.0


class Glitch(NamedTuple):
    """Neighbouring points that do not belong: `first` and `last` index, energy of the worst in eV, how far it lies
    off the smooth curve in units of mu, and in units of the noise there."""

    first: int
    last: int
    energy: float
    size: float
    significance: float


@njit(cache=True, error_model="numpy")
def _residuals(x, y, scaled):
    n = x.size
    out, noise = np.zeros(n), np.ones(n)
    for i in range(2, n - 2):
        at = (i - 2, i - 1, i + 1, i + 2)
        guess, square = 0.0, 1.0
        for a in at:
            share = 1.0
            for b in at:
                if b != a:
                    share *= (x[i] - x[b]) / (x[a] - x[b])
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
    y = np.ascontiguousarray(y, dtype=np.float64)
    out = np.empty(y.size)
    _median_of_five(y, out)
    return out


def residuals(energy: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """What of each point its four neighbours do not explain, in units where white noise keeps its sigma, `(n,)`.

    0 at the two outermost points on either side.
    """
    return _residuals(np.ascontiguousarray(energy, np.float64), np.ascontiguousarray(mu, np.float64), True)


def point_noise(energy: np.ndarray, mu: np.ndarray, e0: float | None = None) -> np.ndarray:
    """Standard deviation of the noise of each point, `(n,)`: one number, or one below and one above the edge `e0`.

    Each is the median over that part (without 20 eV around the edge); parts of fewer than 8 points share the other's.

    >>> energy = np.arange(7000.0, 7800.0, 0.4)
    >>> mu = np.random.default_rng(3).normal(0.0, 0.002, energy.size) + 0.1 * np.sin(energy / 20.0)
    >>> round(float(point_noise(energy, mu)[0]), 4)
    0.002
    """
    off = np.abs(residuals(energy, mu))
    inner = np.zeros(energy.size, dtype=bool)
    inner[2:-2] = True

    def level(part: np.ndarray) -> float | None:
        return float(np.median(off[part])) / MEDIAN_PER_SIGMA if np.count_nonzero(part) >= 8 else None

    if e0 is None:
        one = level(inner)
        return np.full(energy.size, float(np.median(off)) / MEDIAN_PER_SIGMA if one is None else one)
    below, above = level(inner & (energy < e0 - 20.0)), level(inner & (energy > e0 + 20.0))
    everywhere = level(inner)
    fallback = next((v for v in (above, below, everywhere) if v is not None), 0.0)
    return np.where(energy < e0, fallback if below is None else below, fallback if above is None else above)


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
    """
    energy, mu = checked(energy, mu)
    scaled = residuals(energy, mu)
    scatter = _median_around(np.abs(scaled[2:-2])) / MEDIAN_PER_SIGMA
    noise = np.full(energy.size, math.inf)
    noise[2:-2] = np.maximum(scatter, 1e-12 * float(np.ptp(mu)))
    quiet = np.ones(energy.size, dtype=bool)
    if e0 is not None:
        quiet = (energy < e0 - 20.0) | (energy > e0 + STEEP)
    raw = _residuals(energy, mu, False)
    bad = quiet & (np.abs(scaled) > threshold * noise) & (np.abs(raw) > least * float(np.ptp(mu)))
    found = []
    at = np.flatnonzero(bad)
    for group in np.split(at, np.flatnonzero(np.diff(at) > 3) + 1) if at.size else []:
        worst = int(group[np.argmax(np.abs(scaled[group]))])
        found.append(
            Glitch(
                int(group[0]), int(group[-1]), float(energy[worst]), float(raw[worst]),
                float(abs(scaled[worst]) / noise[worst]),
            )
        )  # fmt: skip
    return found


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
