"""The energy scale by a reference foil measured with the sample: by how much it is off, and the corrected axis.

Two ways: from E0 of the foil and its known value (absolute), or by laying the foil's scan on a reference scan of the
same foil (relative; finer, because the whole edge is used). Energies in eV. A shift is what has to be *added*.

    chi^2(shift) = sum (a d_norm(E - shift)/dE - d_ref(E)/dE)^2     over E0 - 15 to E0 + 35 eV

By angle: a monochromator that is off by a constant angle is off by dE = E cot(theta) dtheta, so that a shift found at
one edge is another at the next; `d_spacing` given, the axis is corrected so. Source of hc: CODATA 2018.
"""

import math

import numpy as np

from insitu.maths.xafs_edge import EdgeEnergy, find_e0
from insitu.maths.xafs_spectrum import Estimate, NotMeasurable, checked, lowest
from insitu.maths.xafs_spline import prepare_spline, read_spline

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

    >>> from insitu.maths.xafs_edge import EdgeEnergy
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

    Derivatives are compared over E0 - `below` to E0 + `above` of the reference, with a free scale. Standard
    uncertainty from the curvature of chi^2 and the residual. Raises `NotMeasurable`: no edge in the reference, or no
    minimum within `largest` eV.
    """
    energy, norm = checked(energy, norm)
    reference_energy, reference = checked(reference_energy, reference)
    e0 = find_e0(reference_energy, reference).value
    low = max(e0 - below, float(reference_energy[0]), float(energy[0]) + largest)
    high = min(e0 + above, float(reference_energy[-1]), float(energy[-1]) - largest)
    part = (reference_energy > low) & (reference_energy < high)
    if np.count_nonzero(part) < 10:
        raise NotMeasurable(f"fewer than 10 points in common around the edge at {e0:.1f} eV")
    at = reference_energy[part]
    step = 0.5 * float(np.median(np.diff(at)))
    wanted = _slope(reference_energy, reference, at, step)

    def misfit(shift: float) -> float:
        have = _slope(energy, norm, at - shift, step)
        scale = float(np.sum(have * wanted)) / max(float(np.sum(have * have)), 1e-300)
        return float(np.sum((scale * have - wanted) ** 2))

    grid = np.linspace(-largest, largest, 2 * max(int(largest / max(step, 0.25)), 8) + 1)
    values = np.array([misfit(float(s)) for s in grid])
    best = int(np.argmin(values))
    if best in (0, grid.size - 1):
        raise NotMeasurable(f"no match within {largest:g} eV of the reference foil")
    shift = lowest(misfit, float(grid[best - 1]), float(grid[best + 1]))
    least = misfit(shift)
    small = 0.1 * step
    bend = (misfit(shift - small) - 2.0 * least + misfit(shift + small)) / small**2
    sigma = math.sqrt(2.0 * least / max(at.size - 2, 1) / bend) if bend > 0.0 else math.nan
    return Estimate(shift, sigma)


def _slope(energy: np.ndarray, mu: np.ndarray, at: np.ndarray, step: float) -> np.ndarray:
    """Central difference of the spline over `2 step`, `(len(at),)`."""
    both = read_spline(mu, prepare_spline(energy, np.concatenate([at - step, at + step])))
    return (both[at.size :] - both[: at.size]) / (2.0 * step)


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
