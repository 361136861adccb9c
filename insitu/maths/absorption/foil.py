"""The energy scale by a reference foil measured with the sample: by how much it is off, and the corrected axis.

Two ways: from E0 of the foil and its known value (absolute), or by laying the foil's scan on a reference scan of the
same foil (relative; finer, because the whole edge is used). Energies in eV. A shift is what has to be *added*.

    chi^2(shift) = sum ((mu(E_i) - a ref(E_i + shift) - b - c E_i)/sigma_i)^2    over E0 - 15 to E0 + 15 eV

The scan stays as it was measured and the smoother of the two is moved: noise that is interpolated is quieter between
points than on them, so that a moved scan prefers certain places on its grid.

By angle: a monochromator that is off by a constant angle is off by dE = E cot(theta) dtheta, so that a shift found at
one edge is another at the next; `d_spacing` given, the axis is corrected so. Source of hc: CODATA 2018.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from insitu.maths.absorption.channels import Channels, mu_of, reference_way
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


NEAR_BY = 5.0
"""How far around the difference of the two E0 a match is looked for first, eV."""
MOST_LEFT = 0.02
"""Part of the variance of a scan that another scan of the same foil may leave beyond noise (thicker, colder)."""
FOIL_MU = re.compile(r"ref(erence)?|(x?mu)_?r(ef(er(ence)?)?)?|foil(_mu)?|mu_?foil|reference_mu")
"""Names of channels that hold the foil's mu itself."""


def foil_mu(values: np.ndarray, names: Sequence[str], found: Channels, *, told: bool = False) -> np.ndarray | None:
    """mu (n,) of the reference foil from `values` (channels, n): a channel that is called so, or ln(itrans / irefer);
    `told`: it is known that the second is the foil. None where there is neither. `NotMeasurable` as of `mu_of`."""
    way = reference_way(found, names)
    if way is None or not told:
        called = (i for i, name in enumerate(names) if FOIL_MU.fullmatch(name) and _could_be_mu(values[i]))
        direct = next(called, None)
        if direct is not None:
            return np.ascontiguousarray(values[direct])
    return None if way is None else mu_of(values, way, names)


def _could_be_mu(values: np.ndarray) -> bool:
    """Whether a channel holds mu rather than what a chamber counts."""
    return bool(np.max(np.abs(values)) < 50.0)


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
    above: float = 15.0,
) -> Estimate:
    """What to add to `energy` so that the spectrum lies on the reference; both normalised (or both raw), `(n,)`.

    Compared over E0 - `below` to E0 + `above` of the one that is moved, by its spline, with scale, offset and slope
    free: the quieter one, as a rule the reference. Standard uncertainty from the noise of both; where the two differ by
    more (foils of another thickness or temperature, a quick scan), from what is left as well, neighbours of which are
    alike. Raises `NotMeasurable`: no edge, no minimum within `largest` eV, or not the same foil.
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
    other, misfit = np.interp(x + centre, moved.energy, moved.sigma), 0.0
    middle = float(np.mean(x))
    ramp = (x - middle) / float(np.ptp(x))

    def fit(shift: float, scale: float) -> tuple[float, float, np.ndarray]:
        """chi^2, scale, and the curve."""
        total = np.hypot(np.hypot(noise, misfit), scale * other * _quieter(moved.energy, x + shift))
        terms = np.stack(
            [read_spline(moved.mu, prepare_spline(moved.energy, x + shift)), np.ones_like(x), ramp], axis=1
        )
        found = np.linalg.lstsq(terms / total[:, None], y / total, rcond=None)[0]
        return float(np.sum(((y - terms @ found) / total) ** 2)), float(found[0]), terms @ found

    ratio = float(np.ptp(fixed.mu)) / float(np.ptp(moved.mu))
    step, near_by = max(0.5 * float(np.median(np.diff(x))), 0.25), near and largest > NEAR_BY
    while True:
        low, high = (centre - NEAR_BY, centre + NEAR_BY) if near_by else (-largest, largest)
        grid = np.linspace(low, high, 2 * max(int(0.5 * (high - low) / step), 8) + 1)
        best = int(np.argmin([fit(float(s), ratio)[0] for s in grid]))
        if best in (0, grid.size - 1):
            if not near_by:
                raise NotMeasurable(f"no match within {largest:g} eV of the reference foil")
            near_by = False
            continue
        shift = lowest(lambda s: fit(s, ratio)[0], float(grid[best - 1]), float(grid[best + 1]))
        least, scale, curve = fit(shift, ratio)
        free = max(x.size - 4, 1)
        excess = least / free
        if misfit > 0.0 or not excess > 1.0 + 2.0 * math.sqrt(2.0 / free):  # by chance
            break
        # what is no noise counts alike wherever points of the two lie on one another: else it draws shifts there
        misfit = math.sqrt((excess - 1.0) * float(np.mean(noise**2 + (ratio * other) ** 2)))
    if not scale > 0.0:
        raise NotMeasurable("the scan falls where the reference foil rises")
    left = misfit**2 / float(np.var(y))
    if left > MOST_LEFT:
        raise NotMeasurable(f"the scan is not that of the reference foil: {100.0 * left:.1f} % of it stay unexplained")
    total = np.hypot(np.hypot(noise, misfit), ratio * other)
    sigma = _uncertainty(moved, x, shift, scale, ramp, total, least)
    return Estimate(shift, sigma * (_smooth(y - curve) if misfit > 0.0 else 1.0))


def _smooth(left: np.ndarray) -> float:
    """By how much the uncertainty rises where neighbours among what is left (n,) are alike, as by another thickness:
    sqrt((1 + r)/(1 - r)), r the correlation of neighbours, if it is more than chance (G. V. Bayley, J. M. Hammersley,
    Suppl. J. R. Stat. Soc. 8 (1946) 184)."""
    r = float(np.sum(left[1:] * left[:-1]) / np.sum(left * left))
    r = min(r, 0.99) if r > 2.0 / math.sqrt(left.size) else 0.0
    return math.sqrt((1.0 + r) / (1.0 - r))


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
