"""Which of the candidate phases a pattern holds, and how much of each.

Candidates are structures (CIF) and tables of d-spacings (.D). Found is a candidate whose lines, with their relative
intensities, are there, where its cell may be scaled a little, and which a non-negative fit to the whole pattern cannot
do without (`maths.phase_search`). For every candidate, under the name of its file:

- `score`, 0 to 1: the part of its expected lines that is there (for one that was not found: in what is left over);
- `share`: its part of the intensity of all phases found;
- `fraction` (structures only): its part of their weight, `W_p = S_p rho_p / sum S rho` with S the scale of a unit of
  volume and rho the X-ray density. This is the formula of R. J. Hill, C. J. Howard, J. Appl. Cryst. 20 (1987) 467,
  where the scale of a unit of cell stands with Z M V. Amorphous parts, texture and absorption within grains are not
  corrected for. The uncertainty is that of the fit: noise, and 5 % for the shape of lines.

Numbers below 0 are no counts any more (a background was taken off), nor are parts of one where counting statistics
see no peak (the pattern was scaled): the noise is then read off the pattern.

A candidate that is not there has share and fraction 0, with what it could hide below as the uncertainty; one that
cannot be told from a phase found has none. `n_phases` are found, `phase_best` is the highest score among them;
`phase_unexplained` is the part of the peaks' area that they do not explain: near 1 the sample is something else.
`phase_strain`: how much larger the lattice is than that of the file, relative, of that phase with at least a tenth of
the intensity whose lattice is furthest off. Another substance of the same structure may look so: what is hot, cold or
alloyed does, too.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.beam import BeamOf, usable_points
from insitu.features.candidates import read_candidates
from insitu.maths.diffraction.observed import observe
from insitu.maths.diffraction.phase_fit import Beam
from insitu.maths.diffraction.phase_hold import lattice_strain
from insitu.maths.diffraction.phase_search import Found, Limits, search
from insitu.maths.diffraction.phase_trace import Candidates
from insitu.types import KEY, Detector, Feature, Frame, Output, References

MUCH = 0.1


class Phases:
    """Extractor: phases of a 1-D pattern over two_theta.

    `files`: CIF files, .D tables, or folders of them. `standards`: our own CeO2, Si, Al2O3 and TiO2 as well;
    `library`: 70 published structures, those that the shipped phase network knows. `strain`: how far a lattice may be
    off from its file, relative. `most`: phases to be found at most. `coverage`: least part of a phase's expected lines,
    `evidence` and `gain` least significance (sigma) of these and of the fit's improvement. `low`: angle from which the
    pattern is looked at. Wavelengths win over those of frame and detector.
    """

    def __init__(
        self,
        *,
        name: str = "phase",
        files: Path | list[Path] | None = None,
        standards: bool = False,
        library: bool = False,
        strain: float = 0.005,
        most: int = 6,
        coverage: float = 0.6,
        evidence: float = 5.0,
        gain: float = 6.0,
        low: Annotated[float, "deg"] = 0.0,
        wavelength: Annotated[float, "angstrom"] | None = None,
        wavelength2: Annotated[float, "angstrom"] | None = None,
        ratio: float = 0.5,
        polarisation: float | None = None,
        saturation: float | None = None,
        detector: Detector | None = None,
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        for key, value, low_end, high_end in (
            ("strain", strain, 1e-5, 0.05), ("coverage", coverage, 0.2, 1.0), ("most", most, 1, 20),
            ("evidence", evidence, 2.0, 100.0), ("gain", gain, 2.0, 1000.0), ("low", low, 0.0, 179.0),
        ):  # fmt: skip
            if not low_end <= value <= high_end:
                raise ConfigError(f"{key} = {value:g} is of no use", where=key, expected=f"{low_end:g} to {high_end:g}")
        self.beam = BeamOf(wavelength, wavelength2, ratio, polarisation, detector)
        self.limits = Limits(evidence=evidence, coverage=coverage, gain=gain, strain=strain, most=most)
        self.name, self.low, self.saturation = name, low, saturation
        self.phases = read_candidates(files, standards, library)
        self.outputs = self._declare()
        self._candidates = lru_cache(maxsize=8)(self._ready)
        _warm()

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            points, beam = usable_points(frame, self.saturation), self.beam(frame)
            above = points.x >= self.low
            if np.count_nonzero(above) < 50:
                raise ValueError(f"only {np.count_nonzero(above)} points lie above low = {self.low:g} deg")
            x, y = points.x[above], points.y[above]
            sigma = None if points.sigma is None else points.sigma[above]
            seen = observe(x, y, sigma, poisson=points.poisson and float(y.min()) >= 0.0)
            if isinstance(seen, str) and points.poisson and np.any(y % 1.0):
                seen = observe(x, y, sigma, poisson=False)
            if isinstance(seen, str):
                raise ValueError(seen)
        except ValueError as e:
            return self._without(str(e))
        candidates = self._candidates(beam, float(x[0]), float(x[-1]))
        if not candidates.d.size:
            return self._without(f"no candidate has a line between {x[0]:g} and {x[-1]:g} deg")
        return self._told(search(seen, candidates, self.limits), candidates)

    def _ready(self, beam: Beam, low: float, high: float) -> Candidates:
        return Candidates(self.phases, beam, low, high)

    def _declare(self) -> dict[str, Output]:
        """Keys. A fit repeats to rounding errors; 1e-4 leaves room for another processor's linear algebra."""
        near = Output(unit="", rtol=1e-4, atol=1e-5)
        outputs = {f"n_{self.name}s": Output(unit="", rtol=0.0)}
        outputs |= {f"{self.name}_{what}": near for what in ("best", "unexplained", "misfit")}
        outputs[f"{self.name}_zero"] = Output(unit="deg", rtol=1e-4, atol=1e-6)
        outputs[f"{self.name}_strain"] = Output(unit="", rtol=1e-4, atol=1e-6)
        for phase in self.phases:
            kinds = ("score", "share") if phase.density is None else ("score", "share", "fraction")
            outputs |= {f"{self.name}_{phase.name}_{kind}": near for kind in kinds}
        return outputs

    def _without(self, why: str) -> dict[str, Feature]:
        """No numbers at all, and why."""
        return {key: Feature(None, output.unit, why=why) for key, output in self.outputs.items()}

    def _told(self, found: Found, candidates: Candidates) -> dict[str, Feature]:
        """The features of what was found."""
        n, fit = self.name, found.fit
        out = {f"n_{n}s": Feature(len(found.order), "")}
        unknown = "none of the candidates is found"
        out[f"{n}_unexplained"] = Feature(found.unexplained, "")
        if found.order:
            out[f"{n}_best"] = Feature(max(float(found.score[k]) for k in found.order), "")
            out[f"{n}_misfit"] = Feature(math.sqrt(fit.chi2), "")
            out[f"{n}_zero"] = Feature(fit.zero, "deg")
        else:
            units = {"best": "", "misfit": "", "zero": "deg", "strain": ""}
            out |= {f"{n}_{w}": Feature(None, u, why=unknown) for w, u in units.items()}
        shares = _parts(found, [1.0] * len(self.phases), np.array([float(np.sum(p)) for p in fit.phases]))
        if found.order:
            strains = [lattice_strain(p) for k, p in zip(found.order, fit.parts, strict=True) if _much(shares, k)]
            out[f"{n}_strain"] = Feature(max(strains, key=abs, default=0.0), "")
        tables = [self.phases[k].name for k in found.order if self.phases[k].density is None]
        density = [p.density or 0.0 for p in self.phases]
        weights = _parts(found, density, np.array([p.scale for p in fit.parts]))
        areas = np.array([float(np.sum(lines.area)) for lines in candidates.full])
        for k, phase in enumerate(self.phases):
            key = f"{n}_{phase.name}"
            out[f"{key}_score"] = Feature(float(np.clip(found.score[k], 0.0, 1.0)), "")
            why = unknown if not found.order else ""
            if k in found.alike:
                why = f"its lines cannot be told from those of {self.phases[found.alike[k]].name}"
            elif k not in found.order and not math.isfinite(found.sigma[k]):
                why = "it has no line where the pattern can be used"
            total = float(np.sum([np.sum(p) for p in fit.phases]))
            step = (candidates.high - candidates.low) / max(1, fit.model.size - 1)
            hidden = float(found.sigma[k]) * float(areas[k]) / step / total if total > 0.0 and not why else 0.0
            out[f"{key}_share"] = _one(shares, k, why, hidden)
            if phase.density is None:
                continue
            if tables and not why:
                why = f"{tables[0]} is known as a table of relative intensities only: no weights can be formed"
            sum_weight = sum(p.scale * density[i] for i, p in zip(found.order, fit.parts, strict=True))
            hidden = float(found.sigma[k]) * phase.density / sum_weight if sum_weight > 0.0 and not why else 0.0
            out[f"{key}_fraction"] = _one(weights, k, why, hidden)
        return {key: out[key] for key in self.outputs}


def _one(parts: dict[int, tuple[float, float]], k: int, why: str, hidden: float) -> Feature:
    """The part of one candidate: found, absent (0 within what it could hide below), or not known."""
    if why:
        return Feature(None, "", why=why)
    if k in parts:
        return Feature(parts[k][0], "", sigma=parts[k][1])
    return Feature(0.0, "", sigma=min(hidden, 1.0))


def _much(parts: dict[int, tuple[float, float]], k: int) -> bool:
    """Whether a phase has at least a tenth of the intensity: the lattice of a trace is hardly known."""
    return parts.get(k, (0.0, 0.0))[0] >= MUCH


def _parts(found: Found, factors: list[float], amounts: np.ndarray) -> dict[int, tuple[float, float]]:
    """Part of the whole and its sigma for each phase found: amount x factor over the sum; errors of the scales are
    carried through the sum, so that a single phase is 1 without any."""
    fit, order = found.fit, found.order
    if not order:
        return {}
    amount = amounts * np.array([factors[k] for k in order])
    total = float(amount.sum())
    if not total > 0.0:
        return {}
    part = amount / total
    scales = np.array([p.scale for p in fit.parts])
    there = scales > 0.0  # what came first may be left with nothing by what came later: it has no relative error
    known = np.where(there, scales, 1.0)
    relative = fit.covariance * max(1.0, fit.chi2) / np.outer(known, known) * np.outer(there, there)
    slopes = np.diag(part) - np.outer(part, part)
    variance = np.diag(slopes @ relative @ slopes.T)
    return {k: (float(p), math.sqrt(max(float(v), 0.0))) for k, p, v in zip(order, part, variance, strict=True)}


def _warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    from insitu.maths.diffraction.phases import ceria, silicon
    from insitu.maths.diffraction.powder import Width, powder_lines, profile
    from insitu.maths.diffraction.reference_pattern import from_structure

    x = np.linspace(20.0, 60.0, 1500)
    pair = [f(295.0) for f in (ceria, silicon)]
    y = np.full(x.size, 20.0)
    for lines in (powder_lines(structure, 1.5406, 62.0) for structure in pair):
        y += 0.1 * profile(x, lines.two_theta, lines.area, Width())
    seen = observe(x, y, np.full(x.size, 1.0), poisson=False)
    if not isinstance(seen, str):
        phases = tuple(from_structure(name, s) for name, s in zip(("ceo2", "si"), pair, strict=True))
        search(seen, Candidates(phases, Beam(1.5406), 20.0, 60.0), Limits())
