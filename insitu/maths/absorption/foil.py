"""The energy scale by a reference foil measured with the sample: by how much it is off, and the corrected axis.

Two ways: from E0 of the foil and its known value (absolute), or by laying the foil's scan on a reference scan of the
same foil (relative; finer, because the whole edge is used). Energies in eV. A shift is what has to be *added*.

    chi^2(shift) = sum ((mu(E_i) - a ref(E_i + shift) - b - c E_i)/sigma_i)^2    over E0 - 15 to E0 + 35 eV

The scan stays as it was measured and the smoother of the two is moved: noise that is interpolated is quieter between
points than on them, so that a moved scan prefers certain places on its grid.

By angle: a monochromator that is off by a constant angle is off by dE = E cot(theta) dtheta, so that a shift found at
one edge is another at the next; `d_spacing` given, the axis is corrected so. Source of hc: CODATA 2018.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.absorption.edge import EdgeEnergy, find_e0
from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, checked, lowest
from insitu.maths.absorption.spline import prepare_spline, read_spline

HC = 12398.419843320026
"""Planck's constant times the speed of light, eV angstrom."""
FOILS = {
    "Ti": 4966.4, "V": 5465.1, "Cr": 5989.2, "Mn": 6539.0, "Fe": 7112.0, "Co": 7708.9, "Ni": 8332.8, "Cu": 8978.9,
    "Zn": 9658.6, "Se": 12657.8, "Zr": 17997.6, "Nb": 18985.6, "Mo": 19999.5, "Ru": 22117.2, "Rh": 23219.9,
    "Pd": 24350.3, "Ag": 25514.0, "Sn": 29200.1, "Sb": 30491.2, "Ta": 9881.1, "Pt": 11563.7, "Au": 11918.7,
    "Pb": 13035.2,
}  # fmt: skip
"""E0 of metal foils (K edges; Ta, Pt, Au and Pb L3) in eV, after J. A. Bearden, A. F. Burr, Rev. Mod. Phys. 39 (1967)
125, the convention of most beamlines. Absolute measurements (S. Kraft et al., Rev. Sci. Instrum. 67 (1996) 681) lie up
to 2 eV away: a shift means something only together with the value that it was made for."""


def foil_shift(found: EdgeEnergy, known: float) -> Estimate:
    """What to add to the energies so that the foil's E0 becomes `known`.

    >>> from insitu.maths.absorption.edge import EdgeEnergy
    >>> foil_shift(EdgeEnergy(7110.8, 0.02, 5, 7110.75, 2, 9, 0.2, 0.0, 1e-4), 7112.0).value.__round__(2)
    1.2
    """
    return Estimate(known - found.value, found.sigma)


def align(
    energy: np.ndarray,
    norm: np.ndarray,
    reference_energy: np.ndarray,
    reference: np.ndarray,
    *,
    largest: float = 10.0,
    below: float = 15.0,
    above: float = 35.0,
) -> Estimate:
    """What to add to `energy` so that the spectrum lies on the reference; both normalised (or both raw), `(n,)`.

    Compared over E0 - `below` to E0 + `above` of the one that is moved, by its spline, with scale, offset and slope
    free: the quieter one, as a rule the reference. Standard uncertainty from the noise of both, times the root of the
    reduced chi^2 where that is above 1 (foils of another thickness or temperature). Raises `NotMeasurable`: no edge,
    or no minimum within `largest` eV.
    """
    energy, norm = checked(energy, norm)
    reference_energy, reference = checked(reference_energy, reference)
    scan, smooth = (_side(*pair) for pair in ((energy, norm), (reference_energy, reference)))
    if smooth.relative > scan.relative:
        back = _laid_on(smooth, scan, largest, below, above)
        return Estimate(-back.value, back.sigma)
    return _laid_on(scan, smooth, largest, below, above)


class _Side(NamedTuple):
    """A scan: `energy`, `mu`, its noise `sigma` (n,), E0, and `relative`: noise over how much mu varies."""

    energy: np.ndarray
    mu: np.ndarray
    sigma: np.ndarray
    e0: float
    relative: float


def _side(energy: np.ndarray, mu: np.ndarray) -> _Side:
    """A scan with what laying it on another needs."""
    e0 = find_e0(energy, mu).value
    sigma = point_noise(energy, mu, e0)
    return _Side(energy, mu, sigma, e0, float(np.median(sigma)) / float(np.ptp(mu)))


def _laid_on(fixed: _Side, moved: _Side, largest: float, below: float, above: float) -> Estimate:
    """What to add to the energies of `fixed`, so that it lies on `moved`."""
    low = max(moved.e0 - below, float(moved.energy[0]))
    high = min(moved.e0 + above, float(moved.energy[-1]))
    near = abs(fixed.e0 - moved.e0) <= largest
    centre = moved.e0 - fixed.e0 if near else 0.0
    part = (fixed.energy > low - centre) & (fixed.energy < high - centre)
    if np.count_nonzero(part) < 10:
        raise NotMeasurable(f"fewer than 10 points in common around the edge at {moved.e0:.1f} eV")
    x, y, noise = fixed.energy[part], fixed.mu[part], np.maximum(fixed.sigma[part], 1e-9 * float(np.ptp(fixed.mu)))
    other = np.interp(x + centre, moved.energy, moved.sigma)
    middle = float(np.mean(x))
    ramp = (x - middle) / float(np.ptp(x))

    def fit(shift: float, scale: float) -> tuple[float, float, np.ndarray]:
        """chi^2, scale, and the curve."""
        total = np.hypot(noise, scale * other * _quieter(moved.energy, x + shift))
        terms = np.stack(
            [read_spline(moved.mu, prepare_spline(moved.energy, x + shift)), np.ones_like(x), ramp], axis=1
        )
        found = np.linalg.lstsq(terms / total[:, None], y / total, rcond=None)[0]
        return float(np.sum(((y - terms @ found) / total) ** 2)), float(found[0]), terms @ found

    ratio = float(np.ptp(fixed.mu)) / float(np.ptp(moved.mu))
    step = max(0.5 * float(np.median(np.diff(x))), 0.25)
    grid = np.linspace(-largest, largest, 2 * max(int(largest / step), 8) + 1)
    values = np.array([fit(float(s), ratio)[0] for s in grid])
    best = int(np.argmin(values))
    if best in (0, grid.size - 1):
        raise NotMeasurable(f"no match within {largest:g} eV of the reference foil")
    shift = lowest(lambda s: fit(s, ratio)[0], float(grid[best - 1]), float(grid[best + 1]))
    least, scale, _ = fit(shift, ratio)
    if not scale > 0.0:
        raise NotMeasurable("the scan falls where the reference foil rises")
    return Estimate(shift, _uncertainty(moved, x, shift, scale, ramp, np.hypot(noise, ratio * other), least))


def _quieter(energy: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Noise of an interpolating cubic spline over that of its points, `(len(at),)`: sqrt(1 - 0.93 t (1 - t)), t: where
    between two points (0.88 in the middle, from the weights of the cardinal spline)."""
    i = np.clip(np.searchsorted(energy, at) - 1, 0, energy.size - 2)
    t = np.clip((at - energy[i]) / (energy[i + 1] - energy[i]), 0.0, 1.0)
    return np.sqrt(1.0 - 0.93 * t * (1.0 - t))


def _uncertainty(
    moved: _Side, x: np.ndarray, shift: float, scale: float, ramp: np.ndarray, total: np.ndarray, least: float
) -> float:
    """Root of the first element of the inverse of J^T J, J: chi's derivatives for shift, scale, offset and slope."""
    h = 0.05
    at = np.concatenate([x + shift - h, x + shift, x + shift + h])
    left, here, right = read_spline(moved.mu, prepare_spline(moved.energy, at)).reshape(3, -1)
    turn = np.stack([scale * (right - left) / (2.0 * h), here, np.ones_like(x), ramp], axis=1) / total[:, None]
    variance = float(np.linalg.pinv(turn.T @ turn)[0, 0])
    return math.sqrt(variance * max(least / max(x.size - 4, 1), 1.0))


def corrected(
    energy: np.ndarray, shift: float, *, d_spacing: float | None = None, at: float | None = None
) -> np.ndarray:
    """The energy axis `(n,)` with the shift added; with `d_spacing` (angstrom) and the energy `at` which the shift was
    found, by the constant angle that explains it.

    >>> axis = corrected(np.array([8979.0, 10000.0]), 2.0, d_spacing=3.1356, at=8979.0)
    >>> [round(float(e), 2) for e in axis]
    [8981.0, 10002.49]
    """
    energy = np.asarray(energy, dtype=np.float64)
    if d_spacing is None or at is None:
        return energy + shift
    smallest = HC / (2.0 * d_spacing)
    if not min(float(np.min(energy)), at, at + shift) > smallest:
        raise NotMeasurable(f"a crystal of d = {d_spacing:g} angstrom does not reach below {smallest:.1f} eV")
    turn = math.asin(smallest / (at + shift)) - math.asin(smallest / at)
    return smallest / np.sin(np.arcsin(smallest / energy) + turn)
