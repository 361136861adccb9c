"""A parametric L3,2 spectrum of a magnet with known moments: two white lines, two steps, and their dichroism.

The sum rules are turned round: from the moments the integrals p (over L3) and q (over L3 and L2) of the difference,

    q = -3/4 (m_orb/n_holes) r,    p = (4 q - (m_spin/n_holes) r)/6,    r = area of the white lines of the sum

and with them the two spectra of opposite helicity, for polarisation P and an angle between beam and moment:

    sum(E)        = r3 g3(E) + r2 g2(E) + rise [2/3 a(E - L3) + 1/3 a(E - L2)],    a(x) = 1/2 + arctan(x)/pi
    difference(E) = p g3(E) + (q - p) g2(E),     mu(+/-) = (sum +/- P cos(angle) difference)/2

g3 and g2 are Gaussians of area 1: their areas lie within any reasonable window. PARAMETRIC, NOT MEASURED. Sources: see
`insitu.maths.absorption.dichroism`. Energies in eV, moments in Bohr magnetons per atom, mu without unit (rise 1 each).
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A magnetic film. `l3`, `l2`: edge energies; `area`: of both white lines of the sum (eV, in units of its rise),
    `share` of it in L3; `fwhm3`, `fwhm2`; moments; holes per atom; `polarisation` and `angle_deg` of the beam."""

    element: str = "Fe"
    l3: float = 707.5
    l2: float = 720.6
    area: float = 9.0
    share: float = 0.70
    fwhm3: float = 2.2
    fwhm2: float = 3.0
    m_orb: float = 0.085
    m_spin: float = 1.98
    n_holes: float = 3.39
    polarisation: float = 0.9
    angle_deg: float = 0.0

    @property
    def factor(self) -> float:
        """P cos(angle): how much of the full dichroism a pair shows."""
        return self.polarisation * math.cos(math.radians(self.angle_deg))


IRON = Film()
"""Moments and holes of bulk iron: C. T. Chen et al., Phys. Rev. Lett. 75 (1995) 152."""


def pair(energy: np.ndarray, film: Film, part: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """mu `(n,)` for the two helicities, +1 and -1, at `energy` (n,); `part` of the moments is left.

    >>> energy = np.arange(680.0, 780.0, 0.1)
    >>> first, second = pair(energy, Film(polarisation=1.0))
    >>> q = float(np.sum(first - second)) * 0.1
    >>> round(-4.0 / 3.0 * q / (2.0 * 9.0) * 3.39, 4)
    0.085
    """
    a3, a2 = (0.5 + np.arctan(energy - at) / math.pi for at in (film.l3, film.l2))
    g3, g2 = _gauss(energy - film.l3, film.fwhm3), _gauss(energy - film.l2, film.fwhm2)
    r = 2.0 * film.area  # the sum of two spectra that rise by 1 each rises by 2
    total = r * (film.share * g3 + (1.0 - film.share) * g2) + 2.0 * (2.0 * a3 + a2) / 3.0
    q = -0.75 * part * film.m_orb / film.n_holes * r
    p = (4.0 * q - part * film.m_spin / film.n_holes * r) / 6.0
    half = 0.5 * film.factor * (p * g3 + (q - p) * g2)
    return 0.5 * total + half, 0.5 * total - half


def _gauss(x: np.ndarray, fwhm: float) -> np.ndarray:
    scale = 4.0 * math.log(2.0) / fwhm**2
    return math.sqrt(scale / math.pi) * np.exp(-scale * x * x)
