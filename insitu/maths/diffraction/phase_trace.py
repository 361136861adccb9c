"""Candidate phases made ready for one range of angles, and what a pattern has at the places of their lines.

A trace is a matched filter: the area that a line would have, everywhere, over what the phases of a fit leave.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.observed import Observed
from insitu.maths.diffraction.phase_fit import Beam, Fit, angles, split_of, start
from insitu.maths.diffraction.phase_kernel import judge, matched
from insitu.maths.diffraction.reference_pattern import Lines, ReferencePhase, lines_within

STRONGEST = 30
"""Lines of a candidate that are compared with the pattern."""
DOUBTS = (0.3, 1.0)
"""Relative uncertainty of line strengths: where they are known, and where only positions are."""
LEAST_MISFIT = 0.03
"""Part of the fitted pattern that counts as uncertain where the next phase is looked for, at least."""


class Candidates:
    """Lines of all candidates within a range, ready for scanning."""

    __slots__ = ("beam", "d", "doubt", "first", "full", "high", "low", "phases", "strength", "strong")

    def __init__(self, phases: tuple[ReferencePhase, ...], beam: Beam, low: float, high: float) -> None:
        self.phases, self.beam, self.low, self.high = phases, beam, low, high
        self.full = [_lines(p, beam, low, high, weakest=2e-3) for p in phases]
        self.strong = [_strongest(lines) for lines in self.full]
        self.first = np.concatenate([[0], np.cumsum([s.row.size for s in self.strong])]).astype(np.int64)
        self.d = np.concatenate([p.d[s.row] for p, s in zip(phases, self.strong, strict=True)] or [np.zeros(0)])
        self.strength = np.concatenate([s.area for s in self.strong] or [np.zeros(0)])
        self.doubt = np.array([DOUBTS[1] if p.positions_only else DOUBTS[0] for p in phases])


def _lines(phase: ReferencePhase, beam: Beam, low: float, high: float, weakest: float) -> Lines:
    """Lines with known strength, of a few deg more than the range so that a strained lattice has no gap; for a table
    without strengths all are taken to be alike."""
    lines = lines_within(phase, beam.wavelength, low * 0.99, high * 1.01, polarisation=beam.polarisation)
    if phase.positions_only:
        lines = lines._replace(area=np.ones(lines.row.size))
    known = np.isfinite(lines.area) & (lines.area > 0.0)
    if known.any():
        known &= lines.area >= weakest * float(np.max(lines.area[known]))
    return Lines(lines.hkl[known], lines.two_theta[known], lines.area[known], lines.row[known])


def _strongest(lines: Lines) -> Lines:
    """The strongest, in order of angle."""
    chosen = np.sort(np.argsort(-lines.area, kind="stable")[:STRONGEST])
    return Lines(lines.hkl[chosen], lines.two_theta[chosen], lines.area[chosen], lines.row[chosen])


class Trace(NamedTuple):
    """Areas of a line at every centre (t,), their variance, and how many centres make one FWHM."""

    centre: np.ndarray
    area: np.ndarray
    variance: np.ndarray
    joined: int


def trace_of(seen: Observed, fit: Fit, beam: Beam) -> Trace:
    """The matched filter over what `fit` leaves."""
    x = seen.x
    narrow = float(np.median(fit.width.fwhm(seen.position)))
    narrowest = max(float(np.min(fit.width.fwhm(x[[0, -1]]))), 0.3 * narrow)
    count = int(min((x[-1] - x[0]) / (narrowest / 3.0), 60_000)) + 2
    centre = np.linspace(x[0], x[-1], count)
    area, variance = areas_at(seen, fit, centre, beam, fit.phases.sum(axis=0))
    return Trace(centre, area, variance, max(1, round(0.7 * narrow / (centre[1] - centre[0]))))


def areas_at(
    seen: Observed, fit: Fit, centre: np.ndarray, beam: Beam, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Areas of lines at `centre` (m,) over background and `others` (n,), and their variance: noise, and what the misfit
    of the others, which no noise explains, may leave there."""
    net = seen.y - (fit.background if fit.parts else seen.background)
    fwhm, split = fit.width.fwhm(centre), split_of(centre, beam)
    weight = 1.0 / seen.sigma**2
    area, variance = matched(seen.x, net - others, weight, centre, fwhm, split, beam.ratio)
    if fit.parts:
        under, _ = matched(seen.x, others, weight, centre, fwhm, split, beam.ratio)
        variance = variance + (misfit(seen, fit) * under) ** 2
    return area, variance


def misfit(seen: Observed, fit: Fit) -> float:
    """How badly the phases describe their own lines, relative: the residual over the pattern, noise taken out."""
    phases = fit.phases.sum(axis=0)
    where = phases > 3.0 * seen.sigma
    size = float(np.sum(phases[where] ** 2))
    if not size > 0.0:
        return LEAST_MISFIT
    excess = float(np.sum((seen.y - fit.model)[where] ** 2 - seen.sigma[where] ** 2))
    return max(LEAST_MISFIT, math.sqrt(max(excess, 0.0) / size))


def judged_part(seen: Observed, fit: Fit, index: int, candidates: Candidates, k: int) -> np.ndarray:
    """Evidence, coverage, scale and lines found of a part of the fit, over what the others leave, where it lies now."""
    beam, part = candidates.beam, fit.parts[index]
    strong = start(candidates.phases[k], candidates.strong[k], 0.0)._replace(shape=part.shape)
    centre = angles(strong, beam.wavelength)[0] + fit.zero
    inside = np.isfinite(centre) & (centre >= seen.x[0]) & (centre <= seen.x[-1])
    others = fit.phases.sum(axis=0) - fit.phases[index]
    centre, strength = centre[inside], strong.lines.area[inside]
    area, variance = areas_at(seen, fit, centre, beam, others)
    order = np.argsort(centre, kind="stable")
    area, variance, strength = merged(
        centre[order], area[order], variance[order], strength[order], 0.7 * fit.width.fwhm(centre[order])
    )
    known = np.isfinite(variance)
    return np.array(judge(area[known], variance[known], strength[known], float(candidates.doubt[k])))


def merged(
    centre: np.ndarray, area: np.ndarray, variance: np.ndarray, strength: np.ndarray, within: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines nearer than `within` to the one before as one: strengths add up, the larger area and variance stay."""
    groups = np.cumsum(np.concatenate([[False], np.diff(centre) > within[1:]])) if centre.size else np.zeros(0, int)
    first = np.searchsorted(groups, np.arange(groups[-1] + 1 if groups.size else 0))
    if not first.size:
        return area, variance, strength
    return np.maximum.reduceat(area, first), np.maximum.reduceat(variance, first), np.add.reduceat(strength, first)
