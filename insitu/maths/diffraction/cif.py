"""Structures from CIF files, read by gemmi (extra `xrd`), as reference patterns; built once and kept by digest.

Every atom of the cell comes from the symmetry operations that the file lists (else from its space group), so that any
setting is served. Form factors: International Tables C (1992), table 6.1.1.4, of neutral atoms; dispersion of
D. T. Cromer, D. A. Liberman, Acta Cryst. A37 (1981) 267; both as gemmi has them. B = 8 pi^2 U, isotropic; where a file
gives no or a negative U, U_MISSING or 0 is taken. Shared and partly occupied sites count with their occupancies.

The table of a structure (about 100 kB) lies in the user's cache folder; deleting it costs only the time to build it.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import ConfigError, MissingExtraError
from insitu.maths.diffraction.cell import parameters, reciprocal, symmetry_basis, terms
from insitu.maths.diffraction.cif_cache import cached, keep
from insitu.maths.diffraction.crystal import Cell
from insitu.maths.diffraction.reference_pattern import DALTON_PER_CUBIC_ANGSTROM, ReferencePhase, from_parts

MOST_LINES = 1500
"""Lines of the largest d that are kept of a structure: a large cell has more than any pattern resolves."""
D_MIN = 0.5
U_MISSING = 0.0063
"""Displacement in angstrom^2 where a file gives none: B = 0.5 angstrom^2, usual at room temperature."""
SAME_PLACE = 0.1
"""Images of a site nearer than this, in angstrom, are one atom on a special position."""
CODE_TOP = 5000
"""Indices stay below this: a cell of 500 angstrom, 0.5 angstrom resolved, and a turn of its axes."""
HC = 12398.41984
"""Planck's constant times the speed of light in eV angstrom (CODATA 2018)."""


class Site(NamedTuple):
    """Atomic number, fractional coordinates, occupancy and isotropic U (angstrom^2) of one listed atom."""

    z: int
    at: tuple[float, float, float]
    occupancy: float
    u: float


def read_cif(path: Path, name: str) -> list[ReferencePhase]:
    """All structures of a CIF file (one for each data block with atoms), named `name`, `name_2`, ...

    `ConfigError` with file, block and atom where the file cannot be read or says no structure.
    """
    try:
        content = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(path)) from e
    return cif_phases(content, name, path)


def cif_phases(content: bytes, name: str, path: Path) -> list[ReferencePhase]:
    """All structures of a CIF file's content; `path` is what errors name."""
    digest = hashlib.blake2b(content, digest_size=20).hexdigest()
    tables = cached(digest)
    if tables is None:
        tables = [_table(block, f"{path} data_{block.name}") for block in _blocks(content, path)]
        if tables:
            keep(digest, tables)
    if not tables:
        raise ConfigError(
            "holds no crystal structure", where=str(path), expected="a data block with a cell and _atom_site_fract_x"
        )
    names = [name, *(f"{name}_{i}" for i in range(2, len(tables) + 1))]
    return [_phase(table, key, path.name) for table, key in zip(tables, names, strict=True)]


def _gemmi() -> Any:
    try:
        import gemmi
    except ImportError as e:
        raise MissingExtraError("gemmi", "xrd", purpose="reading CIF files") from e
    return gemmi


def _blocks(content: bytes, path: Path) -> list[Any]:
    """The data blocks that have atoms."""
    gemmi = _gemmi()
    try:
        document = gemmi.cif.read_string(content.decode("utf-8", errors="replace"))
    except (ValueError, RuntimeError) as e:
        raise ConfigError(f"is no CIF: {e}", where=str(path), expected="a file as the IUCr defines it") from e
    return [b for b in document if b.find_loop("_atom_site_fract_x") or b.find_value("_atom_site_fract_x")]


def _table(block: Any, where: str) -> dict[str, np.ndarray]:
    """The arrays that `from_parts` needs, from one data block."""
    gemmi = _gemmi()
    small = gemmi.make_small_structure_from_block(block)
    cell = _cell(block, small, where)
    operations = _operations(small, where)
    rotations, shifts = operations
    sites = _sites(small, where)
    g = reciprocal(cell)
    _check_symmetry(g, rotations, cell, where)
    metric = cell.metric()
    zs = sorted({site.z for site in sites})
    atoms = [(site, _images(site, rotations, shifts, metric)) for site in sites]
    hkl, multiplicity = _unique_lines(g, cell, rotations)
    s2 = terms(hkl) @ g / 4.0
    sums = np.zeros((len(hkl), len(zs)), dtype=np.complex128)
    mass = 0.0
    for site, places in atoms:
        mass += site.occupancy * len(places) * gemmi.Element(site.z).weight
        waves = np.exp(2j * np.pi * (hkl @ places.T)).sum(axis=1)
        sums[:, zs.index(site.z)] += site.occupancy * np.exp(-8.0 * np.pi**2 * site.u * s2) * waves
    f0 = np.empty((len(hkl), len(zs)))
    for e, z in enumerate(zs):
        it = gemmi.Element(z).it92
        f0[:, e] = it.c + np.sum(np.array(it.a) * np.exp(-np.array(it.b) * s2[:, None]), axis=1)
    square = multiplicity * np.abs(np.sum(f0 * sums, axis=1)) ** 2
    keep = square > 1e-7 * square.max()
    volume = float(parameters(g)[6])
    return {
        "g": g,
        "rotations": rotations,
        "hkl": hkl[keep],
        "multiplicity": multiplicity[keep],
        "sums": sums[keep],
        "f0": f0[keep],
        "z": np.array(zs),
        "density": np.array(mass / volume * DALTON_PER_CUBIC_ANGSTROM),
    }


def _cell(block: Any, small: Any, where: str) -> Cell:
    """The cell; every length and angle must be given and give a volume."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    if missing := [n for n in names[:3] if not block.find_value(f"_cell_{n}")]:
        raise ConfigError(f"_cell_{missing[0]} is missing", where=where, expected="six numbers of the cell")
    c = small.cell
    numbers = (c.a, c.b, c.c, c.alpha, c.beta, c.gamma)
    good = all(np.isfinite(numbers)) and min(numbers[:3]) > 0.5 and max(numbers[:3]) < 500.0
    made = Cell(a=c.a, b=c.b, c=c.c, alpha=c.alpha, beta=c.beta, gamma=c.gamma) if good else None
    if made is None or not np.linalg.det(made.metric()) > 0.0 or not np.isfinite(parameters(reciprocal(made))).all():
        raise ConfigError(
            f"the cell {', '.join(f'{n:g}' for n in numbers)} is none",
            where=where,
            expected="lengths from 0.5 to 500 angstrom, and angles that can meet",
        )
    return made


def _check_symmetry(g: np.ndarray, rotations: np.ndarray, cell: Cell, where: str) -> None:
    """Refuse a cell that the file's own symmetry operations do not map onto itself."""
    basis = symmetry_basis(list(rotations))
    off = basis @ np.linalg.lstsq(basis, g, rcond=None)[0] - g
    if float(np.max(np.abs(off))) > 0.01 * float(np.max(np.abs(g))):
        raise ConfigError(
            f"the cell {cell.a:g} {cell.b:g} {cell.c:g} {cell.alpha:g} {cell.beta:g} {cell.gamma:g} does not have the "
            "symmetry of the file",
            where=where,
            expected="a cell that its symmetry operations leave as it is",
        )


def _operations(small: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotations `(m, 3, 3)` and shifts `(m, 3)`: as listed, else of the space group that the file names."""
    gemmi = _gemmi()
    if small.symops:
        try:
            found = [gemmi.Op(text) for text in small.symops]
        except (ValueError, RuntimeError) as e:
            raise ConfigError(
                f"a symmetry operation cannot be read: {e}", where=where, expected="such as -x,y,1/2-z"
            ) from e
    else:
        group = gemmi.find_spacegroup_by_name(small.spacegroup_hm) if small.spacegroup_hm else small.spacegroup
        if small.spacegroup_hall:
            found = list(gemmi.symops_from_hall(small.spacegroup_hall))
        elif group is not None:
            found = list(group.operations())
        else:
            raise ConfigError(
                f"no symmetry is given (space group {small.spacegroup_hm!r})",
                where=where,
                expected="_space_group_symop_operation_xyz, or the name of a space group",
            )
    den = float(gemmi.Op.DEN)
    return np.array([op.rot for op in found], dtype=np.float64) / den, np.array([op.tran for op in found]) / den


def _sites(small: Any, where: str) -> list[Site]:
    """Listed atoms. Hydrogen without a place is left out; any other atom without one is refused."""
    sites: list[Site] = []
    for site in small.sites:
        at = (site.fract.x, site.fract.y, site.fract.z)
        z = site.element.atomic_number
        if z == 0:
            raise ConfigError(
                f"the atom {site.label!r} has the unknown type {site.type_symbol!r}",
                where=where,
                expected="a chemical element in _atom_site_type_symbol",
            )
        if not np.isfinite(at).all():
            if z == 1:
                continue
            raise ConfigError(f"the atom {site.label!r} has no place", where=where, expected="three coordinates")
        occupancy = float(site.occ)
        if not 0.0 <= occupancy <= 1.05:
            raise ConfigError(
                f"the atom {site.label!r} has the occupancy {occupancy:g}", where=where, expected="0 to 1"
            )
        u = float(site.u_iso)
        if site.aniso.nonzero():
            u = (site.aniso.u11 + site.aniso.u22 + site.aniso.u33) / 3.0 if not u > 0.0 else u
        sites.append(Site(z, at, occupancy, U_MISSING if not np.isfinite(u) or u == 0.0 else max(u, 0.0)))
    if not any(site.occupancy > 0.0 for site in sites):
        raise ConfigError("no atom is left", where=where, expected="atoms with coordinates and an occupancy above 0")
    return sites


def _images(site: Site, rotations: np.ndarray, shifts: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """All places `(m, 3)` of one site in the cell."""
    places = (rotations @ np.array(site.at) + shifts) % 1.0
    kept: list[np.ndarray] = []
    for place in places:
        difference = np.array(kept) - place if kept else np.empty((0, 3))
        difference -= np.round(difference)
        if not (np.einsum("ni,ij,nj->n", difference, metric, difference) < SAME_PLACE**2).any():
            kept.append(place)
    return np.array(kept)


def _unique_lines(g: np.ndarray, cell: Cell, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One index triple of each set of equivalent ones, in order of falling d, and how many they are."""
    volume = float(parameters(g)[6])
    # the number of lines with d above d_min is about 4 pi V / (3 d_min^3), here before symmetry joins them
    d_min = max(D_MIN, (4.19 * volume / (MOST_LINES * max(2, len(np.unique(rotations, axis=0))))) ** (1.0 / 3.0))
    top = [int(edge / d_min) + 1 for edge in (cell.a, cell.b, cell.c)]
    grid = np.mgrid[0 : top[0] + 1, -top[1] : top[1] + 1, -top[2] : top[2] + 1].reshape(3, -1).T
    grid = grid[(terms(grid) @ g <= 1.0 / d_min**2) & np.any(grid != 0, axis=1)]
    best = own = _codes(grid)
    turns = np.unique(np.round(rotations).astype(np.int64), axis=0)
    for turn in turns:
        turned = grid @ turn
        best = np.maximum(best, np.maximum(_codes(turned), _codes(-turned)))
    hkl = grid[own == best]
    every = np.concatenate([(hkl @ turn)[:, None, :] * sign for turn in turns for sign in (1, -1)], axis=1)
    codes = np.sort(_codes(every), axis=1)
    multiplicity = 1.0 + np.count_nonzero(np.diff(codes, axis=1), axis=1)
    order = np.lexsort((-own[own == best], np.round(terms(hkl) @ g, 12)))
    return hkl[order], multiplicity[order]


def _codes(hkl: np.ndarray) -> np.ndarray:
    """One whole number for each index triple `(..., 3)`, growing with h, then k, then l."""
    base = 2 * CODE_TOP + 1
    h = hkl + CODE_TOP
    return (h[..., 0] * base + h[..., 1]) * base + h[..., 2]


def _phase(table: dict[str, np.ndarray], name: str, origin: str) -> ReferencePhase:
    """The phase of a table."""
    numbers, gemmi = [int(z) for z in table["z"]], _gemmi()

    def dispersion(wavelength: float) -> np.ndarray:
        return np.array([complex(*gemmi.cromer_liberman(z, HC / wavelength)) for z in numbers])

    return from_parts(
        name,
        origin,
        g=table["g"],
        rotations=table["rotations"],
        hkl=table["hkl"],
        multiplicity=table["multiplicity"],
        sums=table["sums"],
        f0=table["f0"],
        dispersion=dispersion,
        density=float(table["density"]),
    )
