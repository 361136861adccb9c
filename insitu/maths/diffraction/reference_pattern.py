"""Reference patterns of phases: which lines a phase has, how strong they are, and how its cell may change.

Two kinds. A phase with a structure has an absolute scale: the area of a line for one unit of volume of the phase is
`m |F|^2 LP / V^2` (`maths.powder`), so that the scales of several phases are volumes and, with densities, weights.
A table of d-spacings has intensities relative to each other, or none at all (NaN).

Strengths are without LP, at a wavelength in angstrom. Lines are in order of falling d; all arrays `(n,)`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.diffraction.cell import parameters, reciprocal, symmetry_basis, system_basis, terms
from insitu.maths.diffraction.crystal import CU_K_ALPHA1, Structure, bragg_angle, reflections
from insitu.maths.diffraction.powder import lorentz_polarisation

DALTON_PER_CUBIC_ANGSTROM = 1.66053906660
"""Density of 1 u/angstrom^3 in g/cm^3 (CODATA 2018)."""
MASSES = {"O2-": 15.999, "Al3+": 26.982, "Si": 28.085, "Ti4+": 47.867, "Ba2+": 137.327, "Ce4+": 140.116}
"""Standard atomic weights of the ions in `maths.crystal` (IUPAC 2021, abridged)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferencePhase:
    """Lines of one phase: `hkl` `(n, 3)` (zeros where not known), `d` in angstrom, and `strengths(wavelength)` `(n,)`.

    `g` (6,) and `basis` (6, k) are its reciprocal metric and what symmetry leaves free of it (`maths.cell`); None for
    a table, which can only be scaled as a whole. `density` in g/cm^3, None where strengths are relative.
    """

    name: str
    origin: str
    d: np.ndarray
    hkl: np.ndarray
    strengths: Callable[[float], np.ndarray]
    g: np.ndarray | None = None
    basis: np.ndarray | None = None
    density: float | None = None

    @property
    def positions_only(self) -> bool:
        """Whether nothing is known of the strengths."""
        return self.density is None and not np.isfinite(self.strengths(CU_K_ALPHA1)).any()


class Lines(NamedTuple):
    """Lines of a phase within a range: indices `(n, 3)`, two theta in deg, area (NaN: not known), row in the
    phase."""

    hkl: np.ndarray
    two_theta: np.ndarray
    area: np.ndarray
    row: np.ndarray


def lines_within(
    phase: ReferencePhase,
    wavelength: float,
    low: float,
    high: float,
    *,
    polarisation: float = 1.0,
    weakest: float = 0.0,
) -> Lines:
    """Lines from `low` to `high` deg; those weaker than `weakest` times the strongest of the range are left out.

    >>> from insitu.maths.diffraction.phases import ceria
    >>> lines = lines_within(from_structure("ceo2", ceria(295.65)), 1.5405929, 20.0, 50.0)
    >>> lines.two_theta.round(2).tolist()
    [28.55, 33.08, 47.48]
    """
    reached = np.flatnonzero(phase.d > 0.5 * wavelength * (1.0 + 1e-9))
    two_theta = bragg_angle(phase.d[reached], wavelength)
    inside = (two_theta >= low) & (two_theta <= high)
    rows, two_theta = reached[inside], two_theta[inside]
    area = phase.strengths(wavelength)[rows] * lorentz_polarisation(two_theta, polarisation)
    if weakest > 0.0 and np.isfinite(area).any():
        keep = np.isnan(area) | (area >= weakest * np.nanmax(area))
        rows, two_theta, area = rows[keep], two_theta[keep], area[keep]
    return Lines(phase.hkl[rows], two_theta, area, rows)


def from_structure(name: str, structure: Structure, d_min: float = 0.6) -> ReferencePhase:
    """The phase of one of our own structures (`maths.phases`), whose form factors are known here."""
    rows = reflections(structure, d_min)
    mass = sum(MASSES[atom.ion] for atom in structure.atoms)
    volume = structure.cell.volume()
    g = reciprocal(structure.cell)

    def strengths(wavelength: float) -> np.ndarray:
        found = reflections(structure, d_min, wavelength)
        square = np.zeros(len(rows.d))
        at = np.searchsorted(-rows.d, -found.d * (1.0 + 1e-9))  # dispersion can make a line present that was absent
        known = at < len(rows.d)
        known[known] = np.abs(rows.d[at[known]] / found.d[known] - 1.0) < 1e-8
        square[at[known]] = found.square[known]
        return square / volume**2

    return ReferencePhase(
        name=name,
        origin=structure.citation,
        d=rows.d,
        hkl=rows.hkl,
        strengths=_remembered(strengths),
        g=g,
        basis=_basis_of(structure),
        density=mass / volume * DALTON_PER_CUBIC_ANGSTROM,
    )


def _basis_of(structure: Structure) -> np.ndarray:
    """What is free of the metric, read off equal edges and right angles (our own structures stand in standard axes)."""
    cell = structure.cell
    if cell.gamma == 120.0:
        return system_basis("hexagonal")
    if cell.a == cell.b == cell.c:
        return system_basis("cubic")
    return system_basis("tetragonal" if cell.a == cell.b else "orthorhombic")


def from_parts(
    name: str,
    origin: str,
    *,
    g: np.ndarray,
    rotations: np.ndarray,
    hkl: np.ndarray,
    multiplicity: np.ndarray,
    sums: np.ndarray,
    f0: np.ndarray,
    dispersion: Callable[[float], np.ndarray],
    density: float,
) -> ReferencePhase:
    """A phase from geometric sums per element, `sums` `(n, e)` complex, and form factors `f0` `(n, e)`.

    `F = sum_e (f0_e + f'_e + i f''_e) G_e`; |F|^2 is the mean over a reflection and its Friedel mate.
    `dispersion(wavelength)` gives f' + i f'' of each element, `(e,)`.
    """
    d = 1.0 / np.sqrt(terms(hkl) @ g)
    volume = float(parameters(g)[6])

    def strengths(wavelength: float) -> np.ndarray:
        f = f0 + dispersion(wavelength)[None, :]
        square = 0.5 * (np.abs(np.sum(f * sums, axis=1)) ** 2 + np.abs(np.sum(f * sums.conj(), axis=1)) ** 2)
        return multiplicity * square / volume**2

    return ReferencePhase(
        name=name,
        origin=origin,
        d=d,
        hkl=hkl,
        strengths=_remembered(strengths),
        g=g,
        basis=symmetry_basis(list(rotations)),
        density=density,
    )


def _remembered(function: Callable[[float], np.ndarray]) -> Callable[[float], np.ndarray]:
    """The same, the last wavelengths kept: a run has one or two of them."""
    from functools import lru_cache

    return lru_cache(maxsize=4)(function)


def read_d_table(path: Path, name: str) -> ReferencePhase:
    """A table of d-spacings: lines of `d` in angstrom, then, after `#`, perhaps (h k l), multiplicity and intensity.

    Intensities are taken as measured with Cu K-alpha, unpolarised. Lines without one, in a table where others have one,
    get an estimate (`_fill`) where their multiplicity is given. `ConfigError` with file and line.
    """
    d: list[float] = []
    hkl: list[tuple[int, ...]] = []
    relative: list[float] = []
    multiplicity: list[float] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        value, _, remark = line.partition("#")
        if not value.strip():
            continue
        spacing = _number(value.split()[0])
        if not (math.isfinite(spacing) and spacing > 0.0):
            raise ConfigError(
                f"{value.strip()[:40]!r} is no d-spacing",
                where=f"{path}:{number}",
                expected="a length in angstrom above 0, then perhaps # (h k l) multiplicity intensity",
            )
        indices, _, rest = remark.partition(")")
        found = [int(i) for i in indices.replace("(", " ").split() if i.lstrip("+-").isdigit()]
        numbers = [_number(word) for word in rest.split()]
        d.append(spacing)
        hkl.append(tuple(found) if len(found) == 3 else (0, 0, 0))
        multiplicity.append(numbers[0] if numbers else math.nan)
        relative.append(numbers[1] if len(numbers) > 1 and numbers[1] > 0.0 else math.nan)
    if not d:
        raise ConfigError("the table has no line", where=str(path), expected="one d-spacing in angstrom a line")
    order = np.argsort(-np.array(d), kind="stable")
    spacings, intensity = np.array(d)[order], np.array(relative)[order]
    reached = spacings > 0.5 * CU_K_ALPHA1 * (1.0 + 1e-6)
    strength = np.full(len(d), np.nan)
    strength[reached] = intensity[reached] / lorentz_polarisation(bragg_angle(spacings[reached], CU_K_ALPHA1))
    _fill(strength, spacings, np.array(multiplicity)[order])
    return ReferencePhase(
        name=name,
        origin=path.name,
        d=spacings,
        hkl=np.array(hkl, dtype=np.int64)[order],
        strengths=lambda wavelength: strength,
    )


def _fill(strength: np.ndarray, d: np.ndarray, multiplicity: np.ndarray, nearest: int = 4) -> None:
    """Estimate missing strengths in place: multiplicity times the median strength per plane of the nearest known
    lines. Right to a factor of two or so; absent lines of a table are not in it, and tables list strong lines first."""
    per_plane = strength / multiplicity
    known = np.flatnonzero(np.isfinite(per_plane))
    for i in np.flatnonzero(np.isnan(strength) & np.isfinite(multiplicity)) if known.size else ():
        close = known[np.argsort(np.abs(1.0 / d[known] - 1.0 / d[i]), kind="stable")[:nearest]]
        strength[i] = multiplicity[i] * float(np.median(per_plane[close]))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
