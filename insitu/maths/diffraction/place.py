"""Where the lines of one known cell may lie in a pattern, before they are measured one by one (`maths.indexing`).

With a structure: the place of a fit to the whole pattern (`phase_fit`). With a cell alone: the cell scaled as a whole
so that as many of the strongest peaks as possible have a line.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.cell import line_angles
from insitu.maths.diffraction.observed import LineWidth, Observed
from insitu.maths.diffraction.phase_fit import Beam, start
from insitu.maths.diffraction.phase_join import joined
from insitu.maths.diffraction.phase_kernel import scan
from insitu.maths.diffraction.phase_search import nothing_found, shifts_of, strains_of
from insitu.maths.diffraction.phase_trace import Candidates, trace_of
from insitu.maths.diffraction.reference_pattern import ReferencePhase

STRONG = 25
"""Peaks that the lines of a cell are compared with."""
HIT = 0.6
"""A peak has a line within so many FWHM."""


class Place(NamedTuple):
    """Reciprocal metric, zero in deg, and width of lines."""

    g: np.ndarray
    zero: float
    width: LineWidth


def places(seen: Observed, candidates: Candidates, strain: float) -> list[Place]:
    """Where to look for the lines of the only candidate; empty where nothing of it is there. A structure has two
    places: of the fit, and of its cell scaled as a whole."""
    beam, phase = candidates.beam, candidates.phases[0]
    if phase.g is None or phase.basis is None:
        return []
    fit = nothing_found(seen)
    strains, shifts = strains_of(seen, seen.width, strain), shifts_of(seen)
    if phase.density is None:
        return _by_peaks(seen, phase, beam, strains, shifts)
    trace = trace_of(seen, fit, beam)
    best = scan(
        trace.centre, trace.area, trace.variance, candidates.d, candidates.strength, candidates.first, beam.wavelength,
        strains, shifts, candidates.doubt, trace.joined,
    )[0]  # fmt: skip
    if not best[0] * best[1] > 0.0:
        return []
    scaled = Place(phase.g * (1.0 + best[3]) ** -2, float(best[4]), seen.width)
    part = start(phase, candidates.full[0], float(best[3]))
    new = joined(seen, fit, part, beam, zero=float(best[4]), strain=strain)
    if not new.parts[0].scale > 0.0:
        return [scaled]
    return [Place(phase.basis @ new.parts[0].shape, new.zero, new.width), scaled._replace(width=new.width)]


def _by_peaks(
    seen: Observed, phase: ReferencePhase, beam: Beam, strains: np.ndarray, shifts: np.ndarray
) -> list[Place]:
    """The scaled cell that has a line for most of the strongest peaks (each counts with the root of its area)."""
    assert phase.g is not None
    strong = np.argsort(-seen.area, kind="stable")[:STRONG]
    at, weight = seen.position[strong], np.sqrt(seen.area[strong])
    within = HIT * seen.width.fwhm(at)
    best, found = 0.0, None
    for strain in strains:
        g = phase.g * (1.0 + strain) ** -2
        lines = line_angles(g, phase.hkl, beam.wavelength)
        lines = np.sort(lines[np.isfinite(lines)])
        if lines.size < 2:
            continue
        for shift in shifts:
            right = np.clip(np.searchsorted(lines, at - shift), 1, lines.size - 1)
            off = np.minimum(np.abs(lines[right] - at + shift), np.abs(lines[right - 1] - at + shift))
            value = float(np.sum(weight * np.maximum(0.0, 1.0 - (off / within) ** 2)))
            if value > best * (1.0 + 1e-6):
                best, found = value, Place(g, float(shift), seen.width)
    return [] if found is None or not math.isfinite(best) else [found]
