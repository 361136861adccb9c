"""Lattice parameters of one phase in a 1-D pattern, from the positions of its lines.

The lines of a known cell (a CIF file, or a cell and its crystal system) are looked for, fitted one by one, and the cell
is fitted to them with a zero shift or a sample displacement (`maths.indexing`, `maths.cell`). The uncertainties are
those of the fit: they do not contain that of the wavelength, which scales all lengths alike.

`cell_a`, `cell_b`, `cell_c` in angstrom, angles that symmetry leaves free in deg, `cell_volume` in angstrom^3;
`cell_zero` and `cell_displacement` (2 s / R of a sample s above the axis; positive moves lines to lower angles) in deg,
where they are fitted; `cell_lines` how many lines were used; `cell_residual` their root mean square deviation in deg.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError, MissingExtraError
from insitu.features.beam import BeamOf, usable_points
from insitu.features.candidates import read_candidates
from insitu.maths.diffraction.cell import CellFit, parameters, reciprocal, system_basis, terms
from insitu.maths.diffraction.crystal import Cell as Lattice
from insitu.maths.diffraction.indexing import misplaced, refined
from insitu.maths.diffraction.observed import observe
from insitu.maths.diffraction.phase_fit import Beam
from insitu.maths.diffraction.phase_trace import Candidates
from insitu.maths.diffraction.place import places
from insitu.maths.diffraction.reference_pattern import ReferencePhase
from insitu.types import KEY, Detector, Feature, Frame, Output, References

ANGLES = ("alpha", "beta", "gamma")
WEAKEST = 0.005
"""Lines weaker than this times the strongest are not looked for, where a structure tells."""
MOST_LINES = 400
D_MIN = 0.5
Shift = Literal["zero", "displacement", "both", "none"]


class Cell:
    """Extractor: the cell of one phase.

    `file`: its CIF; or `cell` (a, b, c in angstrom, angles in deg) and `system`, with `space_group` (Hermann-Mauguin)
    so that systematically absent lines are not looked for. `shift`: what else is fitted. `strain`: how far the cell may
    be from where it starts, relative. `wavelength`, `wavelength2` (K-alpha2), `ratio`: else those of frame or detector.
    """

    def __init__(
        self,
        *,
        name: str = "cell",
        file: Path | None = None,
        cell: tuple[float, float, float, float, float, float] | None = None,
        system: Literal[
            "cubic", "tetragonal", "hexagonal", "rhombohedral", "orthorhombic", "monoclinic", "triclinic"
        ] | None = None,
        space_group: str | None = None,
        shift: Shift = "zero",
        strain: float = 0.005,
        low: Annotated[float, "deg"] = 0.0,
        min_significance: float = 5.0,
        wavelength: Annotated[float, "angstrom"] | None = None,
        wavelength2: Annotated[float, "angstrom"] | None = None,
        ratio: float = 0.5,
        saturation: float | None = None,
        detector: Detector | None = None,
    ) -> None:  # fmt: skip
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        if (file is None) == (cell is None):
            raise ConfigError("one of file and cell is needed", where="file", expected="a CIF file, or a cell")
        if not 1e-5 <= strain <= 0.05:
            raise ConfigError(f"a strain of {strain:g} is of no use", where="strain", expected="0.00001 to 0.05")
        self.phase = _of_file(file) if file is not None else _of_cell(cell, system, space_group)
        self.beam = BeamOf(wavelength, wavelength2, ratio, None, detector)
        self.name, self.low, self.strain, self.saturation = name, low, strain, saturation
        self.zero, self.displacement = shift in ("zero", "both"), shift in ("displacement", "both")
        self.min_significance = min_significance
        self.free = _free_angles(self.phase)
        self.alike = _axes_alike(self.phase)
        self.outputs = self._declare()
        self._candidates = lru_cache(maxsize=8)(lambda *key: Candidates((self.phase,), *key))
        _warm()

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            fit = self._fit(frame)
        except ValueError as e:
            return {key: Feature(None, output.unit, why=str(e)) for key, output in self.outputs.items()}
        return self._told(fit)

    def _fit(self, frame: Frame) -> CellFit:
        """The cell; ValueError with a sentence for people where there is none."""
        points, beam = usable_points(frame, self.saturation), self.beam(frame)
        above = points.x >= self.low
        if np.count_nonzero(above) < 50:
            raise ValueError(f"only {np.count_nonzero(above)} points lie above low = {self.low:g} deg")
        x, y = points.x[above], points.y[above]
        sigma = None if points.sigma is None else points.sigma[above]
        poisson = points.poisson and sigma is None
        seen = observe(x, y, sigma, poisson=poisson, min_significance=self.min_significance)
        if isinstance(seen, str):
            raise ValueError(seen)
        candidates = self._candidates(beam, float(x[0]), float(x[-1]))
        lines = candidates.full[0]
        strong = lines.hkl[lines.area >= WEAKEST * float(np.max(lines.area))] if lines.row.size else lines.hkl
        if not len(strong):
            raise ValueError(f"the cell has no line between {x[0]:g} and {x[-1]:g} deg")
        fits: list[CellFit] = []
        whys: list[str] = []
        found = places(seen, candidates, self.strain)
        for place in found:
            assert self.phase.basis is not None
            fit, measured = refined(
                seen, strong[:MOST_LINES], place.g, self.phase.basis, beam, zero_free=self.zero,
                displacement_free=self.displacement, zero=place.zero, poisson=poisson, width=place.width,
                strengths=not self.phase.positions_only, least=self.min_significance,
            )  # fmt: skip
            if why := fit.why or misplaced(fit, measured):
                whys.append(why)
            else:
                fits.append(fit)
                if not self.alike:
                    break
        if not fits:
            raise ValueError(whys[0] if whys else "none of the cell's lines is found")
        return self._checked(self._nearest(fits))

    def _nearest(self, fits: list[CellFit]) -> CellFit:
        """Of fits that use nearly as many lines, the one nearest to the start: axes of nearly one length stay in the
        order in which they were given."""
        most = max(int(np.count_nonzero(fit.used)) for fit in fits)
        assert self.phase.g is not None
        origin = parameters(self.phase.g)[:6]
        able = [fit for fit in fits if np.count_nonzero(fit.used) >= 0.8 * most]
        return min(able, key=lambda fit: float(np.sum((fit.cell / origin - 1.0) ** 2)))

    def _checked(self, fit: CellFit) -> CellFit:
        """The fit, if it is a cell near the one that was looked for."""
        assert self.phase.g is not None
        change = float(np.max(np.abs(fit.cell[:3] / parameters(self.phase.g)[:3] - 1.0)))
        if change > 4.0 * self.strain:
            raise ValueError(
                f"the fitted cell is {100.0 * change:.2g} % off, more than 4 times strain = {self.strain:g}: the lines "
                "found are not those of this cell"
            )
        return fit

    def _declare(self) -> dict[str, Output]:
        """Keys and units; 1e-6 leaves room for another processor's rounding."""
        lengths = {f"{self.name}_{k}": Output(unit="angstrom", rtol=1e-6) for k in "abc"}
        angles = {f"{self.name}_{ANGLES[k]}": Output(unit="deg", rtol=1e-6) for k in self.free}
        shifts = {
            f"{self.name}_{what}": Output(unit="deg", rtol=1e-4, atol=1e-6)
            for what, on in (("zero", self.zero), ("displacement", self.displacement))
            if on
        }
        return {
            **lengths, **angles, f"{self.name}_volume": Output(unit="angstrom^3", rtol=1e-6), **shifts,
            f"{self.name}_lines": Output(unit="", rtol=0.0), f"{self.name}_residual": Output(unit="deg", rtol=1e-4),
        }  # fmt: skip

    def _told(self, fit: CellFit) -> dict[str, Feature]:
        n = self.name
        out = {f"{n}_{k}": Feature(float(fit.cell[i]), "angstrom", sigma=_sigma(fit, i)) for i, k in enumerate("abc")}
        out |= {f"{n}_{ANGLES[k]}": Feature(float(fit.cell[3 + k]), "deg", sigma=_sigma(fit, 3 + k)) for k in self.free}
        out[f"{n}_volume"] = Feature(fit.volume[0], "angstrom^3", sigma=fit.volume[1])
        out[f"{n}_zero"] = Feature(fit.zero[0], "deg", sigma=fit.zero[1])
        out[f"{n}_displacement"] = Feature(fit.displacement[0], "deg", sigma=fit.displacement[1])
        out[f"{n}_lines"] = Feature(int(np.count_nonzero(fit.used)), "")
        out[f"{n}_residual"] = Feature(math.sqrt(float(np.mean(fit.residual[fit.used] ** 2))), "deg")
        return {key: out[key] for key in self.outputs}


def _sigma(fit: CellFit, i: int) -> float:
    return float(fit.cell_sigma[i])


def _of_file(file: Path) -> ReferencePhase:
    """The structure of a CIF file."""
    first, *others = read_candidates(file)
    if others:
        raise ConfigError(
            f"holds {1 + len(others)} structures", where=str(file), expected="one", remedy="Copy the one you mean"
        )
    if first.g is None:
        raise ConfigError("has no cell", where=str(file), expected="a CIF file")
    return first


def _of_cell(
    cell: tuple[float, float, float, float, float, float] | None, system: str | None, space_group: str | None
) -> ReferencePhase:
    """The lines of a cell of which no structure is known: all that its space group allows, strengths not known."""
    assert cell is not None
    if system is None:
        raise ConfigError("a cell needs its crystal system", where="system", expected='such as "tetragonal"')
    a, b, c, alpha, beta, gamma = cell
    metric = Lattice(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)
    if not (min(cell) > 0.0 and max(a, b, c) < 500.0 and float(np.linalg.det(metric.metric())) > 0.0):
        raise ConfigError(f"the cell {cell} is none", where="cell", expected="three lengths in angstrom, three angles")
    g, basis = reciprocal(metric), system_basis(system)
    numbers = np.linalg.lstsq(basis, g, rcond=None)[0]
    if float(np.max(np.abs(basis @ numbers - g))) > 2e-3 * float(np.max(np.abs(g))):
        raise ConfigError(f"the cell {cell} is not {system}", where="system", expected="a system that the cell keeps")
    volume = float(parameters(g)[6])
    d_min = max(D_MIN, (2.1 * volume / 20_000.0) ** (1.0 / 3.0))
    top = [int(edge / d_min) + 1 for edge in (a, b, c)]
    hkl = np.mgrid[0 : top[0] + 1, -top[1] : top[1] + 1, -top[2] : top[2] + 1].reshape(3, -1).T
    hkl = hkl[(terms(hkl) @ g <= d_min**-2) & np.any(hkl != 0, axis=1)]
    if space_group is not None:
        hkl = hkl[_allowed(hkl, space_group)]
    square = terms(hkl) @ g
    order = np.lexsort((-hkl[:, 2], -hkl[:, 1], -hkl[:, 0], np.round(square, 9)))
    hkl, square = hkl[order], square[order]
    first = np.concatenate([[True], np.diff(square) > 1e-8 * square[1:]])
    nothing = np.full(int(np.count_nonzero(first)), np.nan)
    return ReferencePhase(
        name="cell", origin="the recipe", d=square[first] ** -0.5, hkl=hkl[first], strengths=lambda _: nothing, g=g,
        basis=basis,
    )  # fmt: skip


def _allowed(hkl: np.ndarray, space_group: str) -> np.ndarray:
    """True for lines that a space group does not make absent."""
    try:
        import gemmi
    except ImportError as e:
        raise MissingExtraError("gemmi", "xrd", purpose="a space group") from e
    group = gemmi.find_spacegroup_by_name(space_group)
    if group is None:
        raise ConfigError(f"{space_group!r} is no space group", where="space_group", expected='such as "I 41/a m d"')
    operations = group.operations()
    return np.array([not operations.is_systematically_absent([int(i) for i in h]) for h in hkl], dtype=bool)


def _free_angles(phase: ReferencePhase) -> tuple[int, ...]:
    """Which of alpha, beta, gamma symmetry leaves free."""
    assert phase.g is not None
    assert phase.basis is not None
    numbers = np.linalg.lstsq(phase.basis, phase.g, rcond=None)[0]
    here, free = parameters(phase.g)[3:6], set()
    for k in range(numbers.size):
        step = 1e-4 * float(np.max(np.abs(numbers))) * np.eye(numbers.size)[k]
        moved = parameters(phase.basis @ (numbers + step))[3:6]
        free |= {i for i in range(3) if abs(moved[i] - here[i]) > 1e-7}
    return tuple(sorted(free))


def _axes_alike(phase: ReferencePhase) -> bool:
    """Whether two axes that symmetry does not make equal are within a few per cent: a fit could swap them."""
    assert phase.g is not None
    edges = np.sort(parameters(phase.g)[:3])
    return bool(((np.diff(edges) < 0.03 * edges[1:]) & (np.diff(edges) > 1e-6 * edges[1:])).any())


def _warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    from insitu.maths.diffraction.phases import ceria
    from insitu.maths.diffraction.powder import Width, powder_lines, profile
    from insitu.maths.diffraction.reference_pattern import from_structure
    from insitu.maths.peaks.fit_pair import fit_pair

    structure, x = ceria(295.0), np.linspace(20.0, 60.0, 1500)
    lines = powder_lines(structure, 1.5406, 62.0)
    y = 20.0 + 0.1 * profile(x, lines.two_theta, lines.area, Width())
    seen, beam = observe(x, y, np.full(x.size, 1.0), poisson=False), Beam(1.5406)
    phase = from_structure("ceo2", structure)
    if not isinstance(seen, str) and phase.basis is not None:
        for place in places(seen, Candidates((phase,), beam, 20.0, 60.0), 0.003):
            refined(
                seen, lines.hkl, place.g, phase.basis, beam, zero_free=True, displacement_free=False, zero=0.0,
                poisson=False,
            )  # fmt: skip
    fit_pair(x[:60], y[:60], poisson=True)
