"""A pattern as a sum of phases: scales, cells, zero, widths and a background fitted together, scales not negative.

    y(x) = sum_p S_p sum_lines area_pl pv(x - two_theta_pl - zero) + sum_j b_j hat_j(x)

Line strengths are those of the reference patterns (no structure is refined); each phase's cell is free as far as its
symmetry lets it, tied to where it started by `strain` (a standard deviation, relative); a table can only be scaled as a
whole. Least squares by Gauss-Newton with halved steps. The variance of a point is that of its noise plus
(DOUBT x net intensity)^2: reference intensities and profiles are never right to a per cent, and without this the
strongest lines alone would decide.
"""

from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.cell import angle_slopes, line_angles
from insitu.maths.diffraction.observed import LineWidth, Observed, companion, hats, tangent_squared
from insitu.maths.diffraction.phase_kernel import add_lines, add_slopes
from insitu.maths.diffraction.reference_pattern import Lines, ReferencePhase

DOUBT = 0.05
ZERO_SIGMA = 0.05
"""How far the zero of an instrument is usually off, in deg."""
STEPS = 6
HATS = 14


class Beam(NamedTuple):
    """Wavelength in angstrom, the second one of a doublet (0: none), its part of the first's intensity, and the
    polarisation K of `powder.lorentz_polarisation`."""

    wavelength: float
    wavelength2: float = 0.0
    ratio: float = 0.0
    polarisation: float = 1.0


class Part(NamedTuple):
    """One phase in a fit: its lines, how they move with its parameters (m, k), and where it is: `shape` (k,) relative
    to the start (metric numbers over their size, or one strain)."""

    phase: ReferencePhase
    lines: Lines
    shape: np.ndarray
    scale: float


class Fit(NamedTuple):
    """`parts` with their scales, `zero` in deg, `width`; `phases` (p, n) the pattern of each at its scale, `background`
    and the sum `model` (n,); covariance of the scales (p, p), chi^2 over points, and `weight` (n,)."""

    parts: tuple[Part, ...]
    zero: float
    width: LineWidth
    phases: np.ndarray
    background: np.ndarray
    model: np.ndarray
    covariance: np.ndarray
    chi2: float
    weight: np.ndarray


def start(phase: ReferencePhase, lines: Lines, strain: float) -> Part:
    """A phase whose lines lie at `d (1 + strain)`."""
    if phase.g is None or phase.basis is None:
        return Part(phase, lines, np.array([strain]), 0.0)
    numbers = np.linalg.lstsq(phase.basis, phase.g, rcond=None)[0]
    return Part(phase, lines, numbers * (1.0 + strain) ** -2, 0.0)


def angles(part: Part, wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    """Two theta (m,) of a part's lines, NaN where unreachable, and slopes (m, k) to its numbers in deg."""
    phase = part.phase
    if phase.g is None or phase.basis is None:
        d = phase.d[part.lines.row] * (1.0 + part.shape[0])
        sine = 0.5 * wavelength / d
        two_theta = np.degrees(2.0 * np.arcsin(np.where(sine < 1.0, sine, np.nan)))
        slope = -2.0 * np.tan(np.radians(two_theta) / 2.0) / (1.0 + part.shape[0])
        return two_theta, np.degrees(slope)[:, None]
    g = phase.basis @ part.shape
    return line_angles(g, part.lines.hkl, wavelength), angle_slopes(g, part.lines.hkl, wavelength, phase.basis)


def pattern(part: Part, x: np.ndarray, width: LineWidth, zero: float, beam: Beam) -> np.ndarray:
    """The pattern (n,) of one unit of a part."""
    total = np.zeros(x.size)
    for wavelength, fraction in _waves(beam):
        two_theta, _ = angles(part, wavelength)
        good = np.isfinite(two_theta)
        at, area = two_theta[good], part.lines.area[good] * fraction
        add_lines(x, at + zero, area, width.fwhm(at), width.eta, total)
    return total


def _waves(beam: Beam) -> list[tuple[float, float]]:
    waves = [(beam.wavelength, 1.0)]
    return [*waves, (beam.wavelength2, beam.ratio)] if beam.wavelength2 > 0.0 and beam.ratio > 0.0 else waves


def fit_phases(
    seen: Observed,
    parts: tuple[Part, ...],
    beam: Beam,
    *,
    zero: float,
    width: LineWidth,
    strain: float,
    steps: int = STEPS,
) -> Fit:
    """Fit all parts together, from where they are. Phases whose scale is not above 0 get the scale 0."""
    net = np.maximum(seen.y - seen.background, 0.0)
    weight = 1.0 / (seen.sigma**2 + (DOUBT * net) ** 2)
    ground = hats(seen.x, HATS)
    anchors = tuple(part.shape.copy() for part in parts)
    fit = _linear(seen, parts, beam, zero, width, weight, ground)
    moved = False
    for _ in range(steps):
        better = _step(seen, fit, anchors, beam, strain)
        if better is None:
            break
        gain, fit, moved = fit.chi2 - better.chi2, better, True
        if gain < 2e-3 * max(fit.chi2, 1.0):
            break
    return _linear(seen, fit.parts, beam, fit.zero, fit.width, weight, ground) if moved else fit


def _linear(
    seen: Observed,
    parts: tuple[Part, ...],
    beam: Beam,
    zero: float,
    width: LineWidth,
    weight: np.ndarray,
    ground: np.ndarray,
    under: np.ndarray | None = None,
) -> Fit:
    """Scales (not negative) and background with everything else fixed; `under`: a background that is fixed, too."""
    count = len(parts)
    rows = np.concatenate([np.empty((count, seen.x.size)), ground])
    for k, part in enumerate(parts):
        rows[k] = pattern(part, seen.x, width, zero, beam)
    weighted = rows * weight
    normal, right = weighted @ rows.T, weighted @ (seen.y if under is None else seen.y - under)
    use = [k for k in range(count) if normal[k, k] > 0.0]
    while True:
        keep = [*use, *range(count, len(rows))]
        inverse = _inverse(normal[np.ix_(keep, keep)])
        values = inverse @ right[keep]
        worst = int(np.argmin(values[: len(use)])) if use else 0
        if not use or values[worst] > 0.0:
            break
        use.pop(worst)
    scales, covariance = np.zeros(count), np.zeros((count, count))
    scales[use] = values[: len(use)]
    covariance[np.ix_(use, use)] = inverse[: len(use), : len(use)]
    phases = rows[:count] * scales[:, None]
    background = values[len(use) :] @ ground if under is None else under
    model = phases.sum(axis=0) + background
    chi2 = float(weight @ (seen.y - model) ** 2) / seen.x.size
    found = tuple(part._replace(scale=float(s)) for part, s in zip(parts, scales, strict=True))
    return Fit(found, zero, width, phases, background, model, covariance, chi2, weight)


def _inverse(normal: np.ndarray) -> np.ndarray:
    """Inverse of normal equations, scaled; directions that nothing determines are left alone."""
    size = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    return np.linalg.pinv(normal / np.outer(size, size), rcond=1e-12, hermitian=True) / np.outer(size, size)


def _step(seen: Observed, fit: Fit, anchors: tuple[np.ndarray, ...], beam: Beam, strain: float) -> Fit | None:
    """One Gauss-Newton step in everything but the background; None where no shorter step is better."""
    used = [k for k, part in enumerate(fit.parts) if part.scale > 0.0]
    if not used:
        return None
    sizes = [fit.parts[k].shape.size for k in used]
    count = sum(sizes)
    # rows: numbers of the phases, zero, three of the width, scales
    rows = np.zeros((count + 4 + len(used), seen.x.size))
    at = 0
    for k, size in zip(used, sizes, strict=True):
        _slopes(seen.x, fit, k, beam, rows[at : at + size], rows[count : count + 4])
        at += size
    rows[count + 4 :] = fit.phases[used]
    weighted = rows * fit.weight
    normal, gradient = weighted @ rows.T, weighted @ (seen.y - fit.model)
    prior, off = _priors(fit, used, anchors, strain)
    scale = max(fit.chi2, 1.0)  # priors count in units of the misfit
    normal[np.diag_indices(count + 4)] += prior * scale
    gradient[: count + 4] -= prior * scale * off
    step = _inverse(normal) @ gradient
    for shorter in (1.0, 0.4):
        parts, zero, width = _moved(fit, used, step * shorter, count)
        trial = _linear(seen, parts, beam, zero, width, fit.weight, np.zeros((0, seen.x.size)), fit.background)
        if trial.chi2 < fit.chi2:
            return trial
    return None


def _priors(fit: Fit, used: list[int], anchors: tuple[np.ndarray, ...], strain: float) -> tuple[np.ndarray, np.ndarray]:
    """1/sigma^2 of what is known beforehand of each number that moves lines, and how far it is from there."""
    spread: list[float] = []
    off: list[float] = []
    for k in used:
        part, anchor = fit.parts[k], anchors[k]
        size = 2.0 * np.maximum(np.abs(anchor), 0.1 * float(np.abs(anchor).max()))
        spread += [strain] if part.phase.g is None else list(strain * size)
        off += list(part.shape - anchor)
    spread += [ZERO_SIGMA, 0.3 * fit.width.w, max(fit.width.u, fit.width.w), 0.3]
    return np.array(spread) ** -2.0, np.array([*off, fit.zero, 0.0, 0.0, 0.0])


def _slopes(x: np.ndarray, fit: Fit, k: int, beam: Beam, own: np.ndarray, common: np.ndarray) -> None:
    """Fill d y / d (numbers of part k), and add to d y / d (zero, w, u, eta)."""
    part = fit.parts[k]
    block, shaped = np.zeros((part.shape.size + 1, x.size)), np.zeros((3, x.size))
    for wavelength, fraction in _waves(beam):
        two_theta, slopes = angles(part, wavelength)
        good = np.isfinite(two_theta)
        at = two_theta[good]
        along = np.concatenate([slopes[good], np.ones((at.size, 1))], axis=1)
        fwhm = fit.width.fwhm(at)
        across = np.stack([0.5 / fwhm, 0.5 * tangent_squared(at) / fwhm], axis=1)
        area = part.lines.area[good] * (fraction * part.scale)
        add_slopes(x, at + fit.zero, area, fwhm, fit.width.eta, along, across, block, shaped)
    own[:] = block[:-1]
    common[0] += block[-1]
    common[1:] += shaped


def _moved(fit: Fit, used: list[int], step: np.ndarray, count: int) -> tuple[tuple[Part, ...], float, LineWidth]:
    """Parts, zero and width after a step, kept possible."""
    parts, at = list(fit.parts), 0
    for k in used:
        size = parts[k].shape.size
        parts[k] = parts[k]._replace(shape=parts[k].shape + step[at : at + size])
        at += size
    w, u, eta = step[count + 1 : count + 4]
    width = LineWidth(
        float(np.clip(fit.width.w + w, 0.25 * fit.width.w, 4.0 * fit.width.w)),
        max(0.0, float(min(fit.width.u + u, 4.0 * (fit.width.u + fit.width.w)))),
        float(np.clip(fit.width.eta + eta, 0.0, 1.0)),
    )
    return tuple(parts), fit.zero + float(step[count]), width


def split_of(two_theta: np.ndarray, beam: Beam) -> np.ndarray:
    """Distance of the companion lines in deg, `(m,)`; 0 for one wavelength."""
    none = np.zeros(two_theta.size)
    return companion(two_theta, beam.wavelength, beam.wavelength2) if beam.wavelength2 > 0.0 else none
