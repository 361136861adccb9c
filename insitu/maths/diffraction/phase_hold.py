"""Phases that hold up when all are fitted together: with evidence of their own, and a lattice near that of their file.

What was taken for a phase early may be left with nothing by what came later, and what fits the flanks of the main
phase's lines, where their profile is not quite right, has lines but no evidence of its own in the end. Both are taken
out again, the weakest first, and what is left is fitted anew.
"""

from collections.abc import Callable

import numpy as np

from insitu.maths.diffraction.observed import Observed
from insitu.maths.diffraction.phase_fit import Beam, Fit, Part, fit_phases

BEYOND = 1.1
"""A lattice that is off by so many times what is allowed is that of something else."""


def lattice_strain(part: Part) -> float:
    """How much larger the lattice of a part is than that of its file, relative: of a structure the cube root of the
    ratio of the cells' volumes."""
    phase = part.phase
    if phase.g is None or phase.basis is None:
        return float(part.shape[0])
    ratio = _volume(phase.basis @ part.shape) / _volume(phase.g)
    return float(ratio ** (-1.0 / 3.0)) - 1.0 if ratio > 0.0 else np.inf


def _volume(g: np.ndarray) -> float:
    """Volume of the reciprocal cell with the metric `g` (6,), 1/angstrom^3."""
    a, b, c, bc, ac, ab = g[0], g[1], g[2], g[3] / 2.0, g[4] / 2.0, g[5] / 2.0
    return float(np.sqrt(max(a * b * c + 2.0 * ab * bc * ac - a * bc**2 - b * ac**2 - c * ab**2, 0.0)))


def near(part: Part, strain: float) -> bool:
    """Whether the lattice of a part is off by no more than is allowed."""
    return abs(lattice_strain(part)) <= BEYOND * strain


def holding(
    seen: Observed, fit: Fit, order: list[int], beam: Beam, strain: float, worth: Callable[[Fit, int, int], float]
) -> tuple[Fit, list[int]]:
    """The fit with the phases that hold up, and these in order. `worth(fit, place, candidate)`: what speaks for one of
    them in a fit; 0: nothing that is enough. A fit without any comes back without parts."""
    while order:
        worths = [worth(fit, i, k) if near(fit.parts[i], strain) else 0.0 for i, k in enumerate(order)]
        if min(worths) > 0.0:
            break
        weakest = min(
            (i for i, w in enumerate(worths) if not w > 0.0), key=lambda i: float(np.sum(fit.phases[i]))
        )  # what is strong may hold up once the weak are gone
        order = [k for i, k in enumerate(order) if i != weakest]
        left = tuple(part for i, part in enumerate(fit.parts) if i != weakest)
        fit = fit_phases(seen, left, beam, zero=fit.zero, width=fit.width, strain=strain)
    return fit, order
