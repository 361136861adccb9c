"""A phase joined to a fit, also where its cell has changed along one axis more than along another.

Then its lines are found but not met: the pattern is blurred first, so that lines find each other, and sharpened in
steps.
"""

import numpy as np

from insitu.maths.diffraction.observed import LineWidth, Observed
from insitu.maths.diffraction.phase_fit import Beam, Fit, Part, fit_phases
from insitu.maths.diffraction.phase_trace import misfit

POOR = 0.35
"""Relative misfit of a phase's lines from which the cell is looked for with a blurred pattern."""


def joined(seen: Observed, fit: Fit, part: Part, beam: Beam, *, zero: float, strain: float) -> Fit:
    """The fit with one part more. Where its lines are found but not met, the cell has changed along one axis more than
    along another: then the pattern is blurred first, so that lines find each other, and sharpened in steps."""
    new = fit_phases(seen, (*fit.parts, part), beam, zero=zero, width=fit.width, strain=strain)
    if not (misfit(seen, new) > POOR or new.width.w > 2.0 * seen.width.w):
        return new
    moved, shift = part, zero
    for times in (8.0, 3.0):
        soft = blurred(seen, times)
        width = soft.width
        trial = fit_phases(soft, (*fit.parts, moved), beam, zero=shift, width=width, strain=strain)
        moved, shift = trial.parts[-1], trial.zero
    again = fit_phases(seen, (*fit.parts, moved), beam, zero=shift, width=fit.width, strain=strain)
    return again if again.chi2 < new.chi2 else new


def blurred(seen: Observed, times: float) -> Observed:
    """The pattern as an instrument would give it that resolves so many times less, on fewer points."""
    step = (seen.x[-1] - seen.x[0]) / (seen.x.size - 1)
    fwhm = times * float(np.median(seen.width.fwhm(seen.position)))
    half = max(1, round(0.35 * fwhm / step))
    every = slice(half, -half if seen.x.size > 4 * half else None, max(1, half // 2))
    y, background = (_smooth(_smooth(column, half), half)[every] for column in (seen.y, seen.background))
    sigma = np.sqrt(_smooth(seen.sigma**2, half)[every] / (2.0 * half))
    width = LineWidth(seen.width.w * times**2, seen.width.u * times**2, 0.3)
    x = np.ascontiguousarray(seen.x[every])  # as everywhere: kernels are compiled for such arrays
    return seen._replace(x=x, y=y, sigma=sigma, background=background, width=width)


def _smooth(y: np.ndarray, half: int) -> np.ndarray:
    """Running mean over `2 half + 1` points, the ends continued."""
    padded = np.concatenate([np.full(half + 1, y[0]), y, np.full(half, y[-1])])
    total = np.cumsum(padded)
    return (total[2 * half + 1 :] - total[: -2 * half - 1]) / (2.0 * half + 1.0)
