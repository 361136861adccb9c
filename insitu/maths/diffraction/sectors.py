"""Rings in an image cut into sectors of azimuth: where each ring is in each sector, how strong, and what that tells.

The position of a ring over azimuth psi (the middle of a sector, from +x of the poni's image towards +y) is

    two_theta(psi) = p0 + p1 cos psi + p2 sin psi + p3 cos 2 psi + p4 sin 2 psi

p1, p2: the beam centre is off by (p1, p2) L / cos^2 two_theta, L the distance of the detector (B. B. He,
Two-dimensional X-ray Diffraction, 2nd ed. 2018, ch. 6). p3, p4: lattice strain -(p3, p4) / (2 tan theta), with theta
half of two_theta, from d = lambda / (2 sin theta) (the same, ch. 9: the cos 2 psi law); a wrong tilt of the detector
looks alike.

First the sectors are laid over one another by cross-correlation, so that rings are followed however far the centre is
off; then each ring's mean profile is fitted to every sector (`insitu.maths.diffraction.sectors_kernel`).
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.sectors_kernel import (
    AMPLITUDE,
    AMPLITUDE_SIGMA,
    COVERED,
    SHIFT,
    SHIFT_SIGMA,
    fit_sectors,
    template,
)
from insitu.maths.noise import search_sigma
from insitu.maths.peaks.find_peaks import find_peaks, windows_around
from insitu.maths.waves import FEWEST, Fit, fit_waves

SIGNIFICANT = 8.0
"""A ring counts from this many sigma on, in the mean over all sectors."""
ENOUGH = 0.6
"""A sector sees a ring where it has this share of the ring's bins."""
COARSE = 200
"""Points of a pattern are put together until about so many are left for the cross-correlation."""


class Cake(NamedTuple):
    """`intensity`, its `variance`, mean `angle` (deg) of the pixels and `empty`, each `(sectors, bins)`; `signal` and
    `norm` are the sums that intensity is the ratio of; `axis` `(bins,)`: middles of the bins in deg."""

    intensity: np.ndarray
    variance: np.ndarray
    angle: np.ndarray
    empty: np.ndarray
    signal: np.ndarray
    norm: np.ndarray
    axis: np.ndarray


class Ring(NamedTuple):
    """One ring: `height` and `centre` (deg) of its mean profile; per sector `(sectors,)`: `amplitude` over that height
    with `sigma`, `seen` (the detector has it), `found` (its position is known), `position` in deg with
    `position_sigma`; and the `fit` of positions over azimuth."""

    height: float
    centre: float
    amplitude: np.ndarray
    sigma: np.ndarray
    seen: np.ndarray
    found: np.ndarray
    position: np.ndarray
    position_sigma: np.ndarray
    fit: Fit


def azimuths(sectors: int) -> np.ndarray:
    """Middles of the sectors in radian, `(sectors,)`."""
    return (np.arange(sectors) + 0.5) * (2.0 * np.pi / sectors)


def find_rings(cake: Cake, most: int) -> list[Ring]:
    """The `most` prominent rings in order of angle; none where nothing stands out."""
    shift = drift(cake)
    mean, sigma = overlaid(cake, shift)
    known = np.flatnonzero(sigma > 0.0)
    if known.size < 16:
        return []
    inner = slice(known[0], known[-1] + 1)
    y, s = mean[inner], search_sigma(mean[inner], sigma[inner], poisson=False)
    peaks = find_peaks(y, s, min_significance=SIGNIFICANT)
    variance = np.maximum(cake.variance, 1e-12 * np.maximum(mean.max(), 1e-300) ** 2)
    rings = []
    for low, high in windows_around(cake.axis[inner], peaks, most, reach=2.5):
        first, last = (int(i) for i in np.clip(np.searchsorted(cake.axis, (low, high)), 0, cake.axis.size - 1))
        profile, height = template(mean, first, last)
        if last - first >= 6 and height > 0.0:
            rings.append(_ring(cake, variance, profile, height, first, shift))
    return rings


def warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    axis = np.linspace(1.0, 9.0, 80)
    mean = np.tile(1e4 * np.exp(-(((axis - 5.0) / 0.3) ** 2)) + 100.0, (12, 1))
    empty = np.zeros(mean.shape, dtype=bool)
    find_rings(Cake(mean, mean, np.tile(axis, (12, 1)), empty, mean, np.ones(mean.shape), axis), 1)


def drift(cake: Cake) -> np.ndarray:
    """How far each sector's rings lie from the mean ones, in deg, `(sectors,)`: p1 to p4 of all rings together.

    By cross-correlation of square roots of intensity, freed of their slow part, first with the strongest sector, then
    with all laid over one another. Zeros where too few sectors show anything.
    """
    group = max(cake.axis.size // COARSE, 1)
    whole = cake.axis.size // group * group
    norm, signal = (a[:, :whole].reshape(a.shape[0], -1, group).sum(axis=2) for a in (cake.norm, cake.signal))
    mean = np.divide(signal, norm, out=np.zeros_like(signal), where=norm > 0.0)
    sectors, bins = mean.shape
    flat = _sharp(np.sqrt(np.maximum(mean, 0.0)), norm > 0.0, max(bins // 40, 4))
    power = np.einsum("sb,sb->s", flat, flat)
    if not power.max() > 0.0:
        return np.zeros(sectors)
    spectra = np.fft.rfft(flat, 2 * bins, axis=1)
    turn = -2j * np.pi * np.fft.rfftfreq(2 * bins)
    goal, square = spectra[int(np.argmax(power))], float(power.max())
    shift = np.zeros(sectors)
    for _ in range(2):
        together = np.fft.irfft(spectra * np.conj(goal), 2 * bins, axis=1)
        lag, height = _top_lag(together, max(bins // 8, 4))
        quality = np.clip(height / np.sqrt(np.maximum(power * square, 1e-300)), 0.0, 1.0) ** 2
        shift = _smooth(lag, np.where(power > 1e-3 * power.max(), quality, 0.0))
        if np.abs(shift).max() < 0.5:
            break  # less than half a point: a better goal would not be another one
        goal = np.sum(quality[:, None] * spectra * np.exp(-turn * shift[:, None]), axis=0)
        square = float(np.sum(np.fft.irfft(goal, 2 * bins) ** 2))
    return shift * float(cake.axis[1] - cake.axis[0]) * group


def overlaid(cake: Cake, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the sectors, each moved by `shift` `(sectors,)` deg, and its sigma (0: no pixel), `(bins,)`.

    Each point stands where its pixels are in the mean; from there it is brought to the middle of its bin.
    """
    bins = cake.axis.size
    move = np.rint(shift / (cake.axis[1] - cake.axis[0])).astype(np.int64)
    index = np.arange(bins)[None, :] + move[:, None]
    good = (index >= 0) & (index < bins)
    index = np.clip(index, 0, bins - 1)
    norm = np.where(good, np.take_along_axis(cake.norm, index, 1), 0.0)
    total = norm.sum(axis=0)
    signal = np.where(good, np.take_along_axis(cake.signal, index, 1), 0.0).sum(axis=0)
    variance = (np.take_along_axis(cake.variance, index, 1) * norm**2).sum(axis=0)
    at = ((np.take_along_axis(cake.angle, index, 1) - shift[:, None]) * norm).sum(axis=0)
    some = total > 0.0
    mean, sigma = np.zeros(bins), np.zeros(bins)
    if some.any():
        mean[some] = np.interp(cake.axis[some], at[some] / total[some], signal[some] / total[some])
        sigma[some] = np.sqrt(variance[some]) / total[some]
    return mean, sigma


def texture_index(ring: Ring) -> tuple[float, float] | None:
    """Mean of (amplitude / mean amplitude)^2 over the sectors seen, less what noise adds, and its sigma: 1 for a powder
    without preferred orientation (H.-J. Bunge, Texture Analysis in Materials Science, 1982). None where nothing is."""
    a, s = ring.amplitude[ring.seen].tolist(), ring.sigma[ring.seen].tolist()
    mean = sum(a) / max(len(a), 1)
    if len(a) < FEWEST or not mean > 0.0:
        return None
    value = sum((x / mean) ** 2 - (e / mean) ** 2 for x, e in zip(a, s, strict=True)) / len(a)
    square = sum(((x / mean - 1.0) * e / mean) ** 2 + 0.5 * (e / mean) ** 4 for x, e in zip(a, s, strict=True))
    return value, 2.0 * math.sqrt(square) / len(a)


def spottiness(ring: Ring) -> tuple[float, float] | None:
    """Scatter of neighbouring sectors beyond counting statistics, over the mean amplitude, and its sigma: 0 for a
    smooth ring. Slow changes (texture) drop out of the differences. None where fewer than 7 neighbours are seen."""
    a, s, seen = ring.amplitude.tolist(), ring.sigma.tolist(), ring.seen.tolist()
    pairs = [(k - 1, k) for k in range(len(a)) if seen[k - 1] and seen[k]]
    mean = sum(x for x, y in zip(a, seen, strict=True) if y) / max(sum(seen), 1)
    if len(pairs) < FEWEST or not mean > 0.0:
        return None
    noise = [(s[i] ** 2 + s[k] ** 2) / mean**2 for i, k in pairs]
    excess = [((a[k] - a[i]) / mean) ** 2 - n for (i, k), n in zip(pairs, noise, strict=True)]
    square = 0.5 * sum(excess) / len(pairs)
    spread = sum(2.0 * n**2 + 4.0 * n * max(e, 0.0) for n, e in zip(noise, excess, strict=True)) / len(pairs)
    of_square = 0.5 * math.sqrt(spread / len(pairs))
    value = math.sqrt(max(square, 0.0))
    return value, min(math.sqrt(of_square), of_square / (2.0 * value) if value > 0.0 else math.inf)


def nearest(rings: np.ndarray, known: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (ring, known ring) of which each is the other's nearest, by angle.

    >>> nearest(np.array([7.5, 8.0, 12.3]), np.array([7.4, 12.2, 14.3]))
    [(0, 0), (2, 1)]
    """
    if not (rings.size and known.size):
        return []
    apart = np.abs(rings[:, None] - known[None, :])
    to_known, to_ring = np.argmin(apart, axis=1), np.argmin(apart, axis=0)
    return [(i, int(j)) for i, j in enumerate(to_known) if to_ring[j] == i]


def _ring(cake: Cake, variance: np.ndarray, profile: np.ndarray, height: float, first: int, shift: np.ndarray) -> Ring:
    """One ring, its profile fitted to every sector."""
    axis = cake.axis
    out = np.zeros((shift.size, 5))
    cells = (cake.angle, cake.intensity, variance, cake.empty)
    fit_sectors(profile, first, axis[0], axis[1] - axis[0], *cells, shift, out)
    top = np.maximum(profile - 0.3, 0.0)
    centre = float(np.sum(top * axis[first : first + profile.size]) / np.sum(top))
    amplitude, sigma = out[:, AMPLITUDE] / height, out[:, AMPLITUDE_SIGMA] / height
    seen = (out[:, COVERED] >= ENOUGH) & (sigma > 0.0)
    found = seen & (out[:, SHIFT_SIGMA] > 0.0) & (amplitude > 5.0 * sigma)
    position = centre + shift + out[:, SHIFT]
    psi, y, s = azimuths(shift.size)[found], position[found], out[found, SHIFT_SIGMA]
    floor = max(0.1 * float(np.median(s)), 1e-12) if s.size else 1.0
    fit = fit_waves(psi, y, np.maximum(s, floor) ** -2.0, width=3.0, floor=floor)
    return Ring(height, centre, amplitude, sigma, seen, found, position, out[:, SHIFT_SIGMA], fit)


def _sharp(y: np.ndarray, good: np.ndarray, reach: int) -> np.ndarray:
    """Each row less its running mean over `2 reach + 1` points, points that are not good left out and set to 0."""
    weight = good.astype(np.float64)

    def running(a: np.ndarray) -> np.ndarray:
        total = np.cumsum(np.pad(a, ((0, 0), (reach + 1, reach))), axis=1)
        return total[:, 2 * reach + 1 :] - total[:, : -2 * reach - 1]

    return weight * (y - running(y * weight) / np.maximum(running(weight), 1.0))


def _top_lag(together: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Lag of the highest correlation within `limit` bins, to a fraction of a bin, and its height, each `(sectors,)`."""
    near = np.concatenate([together[:, -limit:], together[:, : limit + 1]], axis=1)
    top = np.clip(np.argmax(near, axis=1), 1, 2 * limit - 1)
    rows = np.arange(near.shape[0])
    left, middle, right = near[rows, top - 1], near[rows, top], near[rows, top + 1]
    bend = left - 2.0 * middle + right
    part = np.where(bend < 0.0, 0.5 * (left - right) / np.where(bend < 0.0, bend, -1.0), 0.0)
    return top - limit + np.clip(part, -1.0, 1.0), middle


def _smooth(lag: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """p1 to p4 through the lags, lags far off the others losing their say; zeros where they do not tell."""
    psi, used = azimuths(lag.size), weight > 0.05
    fit = fit_waves(psi[used], lag[used], weight[used], width=2.0, floor=0.5, steps=6)
    if fit.why:
        return np.zeros(lag.size)
    return (
        np.cos(psi) * fit.value[1]
        + np.sin(psi) * fit.value[2]
        + (np.cos(2.0 * psi) * fit.value[3] + np.sin(2.0 * psi) * fit.value[4])
    )
