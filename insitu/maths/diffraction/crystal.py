"""Crystal structures: cells, d-spacings, form factors and structure factors, summed over every atom of the cell.

A structure holds all atoms of its conventional cell, so that centring and glide extinctions follow from the sum and
no table of extinction rules is needed. Lengths in angstrom, angles in deg; `hkl` has shape `(n, 3)`, results `(n,)`.

    1/d^2 = h^T G* h,    F(hkl) = sum_j (f0_j(s) + f'_j + i f''_j) exp(-B_j s^2) exp(2 pi i h.r_j),    s = 1/(2d)

Sources: C. Giacovazzo et al., Fundamentals of Crystallography (2011), chapters 2 and 3; f0 of D. Waasmaier, A. Kirfel,
Acta Cryst. A51 (1995) 416 (five Gaussians and a constant); f', f'' at Cu K-alpha (8.048 keV) of C. T. Chantler,
J. Phys. Chem. Ref. Data 29 (2000) 597.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CU_K_ALPHA1 = 1.5405929
"""Wavelength of Cu K-alpha1 in angstrom: G. Hoelzer et al., Phys. Rev. A 56 (1997) 4554."""
ABSENT = 1e-9
"""A reflection weaker than this times the strongest is absent: rounding of a sum that is zero."""


class Ion(NamedTuple):
    """f0(s) = c + sum a_i exp(-b_i s^2) for s up to 6 per angstrom; f', f'' in electrons at Cu K-alpha."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    c: float
    f_prime: float
    f_second: float


IONS: dict[str, Ion] = {
    "O2-": Ion(
        (3.990247, 2.300563, 0.6072, 1.907882, 1.16708),
        (16.639956, 5.636819, 0.108493, 47.299709, 0.379984),
        0.025429,
        0.0455,
        0.0320,
    ),
    "Al3+": Ion(
        (4.132015, 0.912049, 1.102425, 0.614876, 3.219136),
        (3.528641, 7.378344, 0.133708, 0.039065, 1.644728),
        0.019397,
        0.2069,
        0.2450,
    ),
    "Si": Ion(
        (5.275329, 3.191038, 1.511514, 1.356849, 2.519114),
        (2.631338, 33.730728, 0.081119, 86.288643, 1.170087),
        0.145073,
        0.2467,
        0.3299,
    ),
    "Ti4+": Ion(
        (45.355537, 7.0929, 7.483858, -43.498817, 1.678915),
        (9.252186, 0.523046, 13.082852, 10.193876, 0.023064),
        -0.110628,
        0.1630,
        1.8008,
    ),
    "Ba2+": Ion(
        (19.7502, 17.513683, 10.884892, 0.321585, 65.149834),
        (3.430748, 0.36159, 21.358307, 70.309402, 0.001418),
        -59.618172,
        -1.2360,
        8.4279,
    ),
    "Ce4+": Ion(
        (17.457533, 25.659941, 11.691037, 19.695251, -16.994749),
        (0.311812, -0.003793, 16.568687, 2.886395, -0.008931),
        -3.515096,
        -2.0341,
        9.6251,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Lattice parameters: lengths in angstrom, angles in deg."""

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0

    def metric(self) -> np.ndarray:
        """The metric tensor G, shape `(3, 3)`, angstrom^2: scalar products of the cell's edges."""
        edges = np.array([self.a, self.b, self.c])
        # cos of exactly 90 deg is 6e-17 in floating point: keep right angles exact
        cos = [0.0 if angle == 90.0 else math.cos(math.radians(angle)) for angle in (self.alpha, self.beta, self.gamma)]
        angles = np.array([[1.0, cos[2], cos[1]], [cos[2], 1.0, cos[0]], [cos[1], cos[0], 1.0]])
        return edges[:, None] * edges[None, :] * angles

    def volume(self) -> float:
        """Volume in angstrom^3: the root of det G."""
        return math.sqrt(float(np.linalg.det(self.metric())))


def cubic(a: float) -> Cell:
    """A cubic cell."""
    return Cell(a=a, b=a, c=a)


def tetragonal(a: float, c: float) -> Cell:
    """A tetragonal cell."""
    return Cell(a=a, b=a, c=c)


def hexagonal(a: float, c: float) -> Cell:
    """A hexagonal cell (gamma 120 deg)."""
    return Cell(a=a, b=a, c=c, gamma=120.0)


class Atom(NamedTuple):
    """One atom of the cell: ion (a key of `IONS`), fractional coordinates, isotropic B in angstrom^2."""

    ion: str
    x: float
    y: float
    z: float
    b_iso: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """A published structure: every atom of the conventional cell, and where it is from."""

    name: str
    space_group: str
    cell: Cell
    atoms: tuple[Atom, ...]
    citation: str


def spread(sites: Iterable[Atom], centring: Iterable[tuple[float, float, float]]) -> tuple[Atom, ...]:
    """Repeat sites at every centring translation, coordinates folded into [0, 1)."""
    return tuple(
        Atom(s.ion, (s.x + t[0]) % 1.0, (s.y + t[1]) % 1.0, (s.z + t[2]) % 1.0, s.b_iso)
        for s in sites
        for t in tuple(centring)
    )


def d_spacing(cell: Cell, hkl: np.ndarray) -> np.ndarray:
    """Distance of lattice planes in angstrom, `d = (h^T G^-1 h)^(-1/2)`; `hkl` `(n, 3)`, result `(n,)`.

    >>> float(d_spacing(cubic(5.411651), np.array([[1, 1, 1]]))[0].round(8))
    3.12441816
    """
    h = np.asarray(hkl, dtype=np.float64)
    return 1.0 / np.sqrt(np.einsum("ni,ij,nj->n", h, np.linalg.inv(cell.metric()), h))


def bragg_angle(d: np.ndarray, wavelength: float) -> np.ndarray:
    """Two theta in deg of planes `d` apart: `2 asin(lambda/(2d))`; both in angstrom, d must be over lambda/2."""
    return np.degrees(2.0 * np.arcsin(wavelength / (2.0 * np.asarray(d))))


def form_factor(ion: str, s: np.ndarray) -> np.ndarray:
    """Electrons that ion scatters with at `s = sin(theta)/lambda` in 1/angstrom, without dispersion.

    >>> float(form_factor("Ce4+", np.array([0.0]))[0].round(2))
    53.99
    """
    k = IONS[ion]
    s2 = np.asarray(s, dtype=np.float64)[:, None] ** 2
    return k.c + (np.array(k.a) * np.exp(-np.array(k.b) * s2)).sum(axis=1)


def structure_factor(structure: Structure, hkl: np.ndarray, wavelength: float | None = None) -> np.ndarray:
    """Complex F(hkl) in electrons per cell, shape `(n,)`.

    Dispersion is included where `wavelength` (angstrom) is within 1 % of Cu K-alpha, the only one tabulated here.
    """
    h = np.asarray(hkl, dtype=np.float64)
    s = 0.5 / d_spacing(structure.cell, h)
    dispersion = wavelength is not None and abs(wavelength / CU_K_ALPHA1 - 1.0) < 0.01
    f = {}
    for ion in {atom.ion for atom in structure.atoms}:
        f[ion] = form_factor(ion, s) + (complex(IONS[ion].f_prime, IONS[ion].f_second) if dispersion else 0.0)
    total = np.zeros(len(h), dtype=np.complex128)
    for atom in structure.atoms:
        phase = np.exp(2j * np.pi * (h @ np.array([atom.x, atom.y, atom.z])))
        total += f[atom.ion] * np.exp(-atom.b_iso * s * s) * phase
    return total


class Reflections(NamedTuple):
    """Powder lines in order of falling d: one index triple each, and what all planes of that d add up to."""

    hkl: np.ndarray
    """One index triple of the line, `(n, 3)`."""
    d: np.ndarray
    """Distance of planes in angstrom, `(n,)`."""
    multiplicity: np.ndarray
    """How many planes (with Friedel mates) share it, `(n,)`."""
    square: np.ndarray
    """Sum of |F|^2 over these planes, electrons^2, `(n,)`."""


def reflections(structure: Structure, d_min: float, wavelength: float | None = None) -> Reflections:
    """All powder lines with d of at least `d_min` angstrom, systematically absent ones left out."""
    hkl = _indices(structure.cell, d_min)
    d = d_spacing(structure.cell, hkl)
    inside = d >= d_min
    hkl, d = hkl[inside], d[inside]
    square = np.abs(structure_factor(structure, hkl, wavelength)) ** 2
    present = square > ABSENT * square.max()
    hkl, d, square = hkl[present], d[present], square[present]
    # the last indices first: of equal d the triple with the largest h, k, l comes first and names the line
    order = np.lexsort((-hkl[:, 2], -hkl[:, 1], -hkl[:, 0], -np.round(d, 9)))
    hkl, d, square = hkl[order], d[order], square[order]
    starts = np.flatnonzero(np.r_[True, -np.diff(d) > 1e-8 * d[1:]])
    counts = np.diff(np.r_[starts, len(d)])
    return Reflections(hkl[starts], d[starts], counts, np.add.reduceat(square, starts))


def _indices(cell: Cell, d_min: float) -> np.ndarray:
    """Every hkl but 000 that can have d >= d_min: |h| <= a/d_min and so on holds for any cell."""
    top = [int(edge / d_min) for edge in (cell.a, cell.b, cell.c)]
    grid = np.mgrid[-top[0] : top[0] + 1, -top[1] : top[1] + 1, -top[2] : top[2] + 1].reshape(3, -1).T
    return grid[np.any(grid != 0, axis=1)]
