"""Lines of a known cell found in a pattern, one by one: predicted, fitted in windows, and given their indices.

A line is used where it can be told from its neighbours: lines of one position (to SAME of a FWHM) are one line if the
cell moves them together, else none of them is used; two lines nearer than CLOSE FWHM are fitted as a pair of one shape
(`fit_pair`), others side by side (`fit_batch`). Angles in deg, arrays `(m,)` over lines.
"""

from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.cell import CellFit, line_angles, no_cell, refine_cell, terms
from insitu.maths.diffraction.observed import LineWidth, Observed
from insitu.maths.diffraction.phase_fit import Beam
from insitu.maths.peaks.fit_batch import Doublet, fit_windows
from insitu.maths.peaks.fit_kernel import CONVERGED
from insitu.maths.peaks.fit_pair import fit_pair

SAME = 0.25
CLOSE = 1.3
JOINED = 4.0
"""Lines nearer than so many FWHM share a window."""
HALF = 3.5
"""Half-width of a window in FWHM."""
MOST_TOGETHER = 4
MISPLACED = 0.2
"""A cell whose lines lie off by more than this, in FWHM, is not that of the sample."""
FLOOR = 0.02
"""Least uncertainty of a position, in FWHM: no line has exactly the shape that is fitted."""


class Indexed(NamedTuple):
    """Lines measured: `hkl` (m, 3), position and its sigma, FWHM and its sigma, area, eta, in order of angle."""

    hkl: np.ndarray
    two_theta: np.ndarray
    sigma: np.ndarray
    fwhm: np.ndarray
    fwhm_sigma: np.ndarray
    area: np.ndarray
    eta: np.ndarray


def index_lines(
    seen: Observed,
    hkl: np.ndarray,
    g: np.ndarray,
    beam: Beam,
    *,
    zero: float,
    poisson: bool,
    displacement: float = 0.0,
    width: LineWidth | None = None,
    near: float = 1.0,
    min_significance: float = 5.0,
) -> Indexed:
    """Measure the lines `hkl` (n, 3) of a cell in a pattern, where they are expected to within `near` FWHM."""
    width = width or seen.width
    two_theta = line_angles(g, hkl, beam.wavelength)
    at = two_theta + zero - displacement * np.cos(np.radians(two_theta / 2.0))
    good = np.isfinite(at) & (at > seen.x[0]) & (at < seen.x[-1])
    order = np.argsort(at[good], kind="stable")
    hkl, at = hkl[good][order], at[good][order]
    clusters = _clusters(hkl, at, width.fwhm(at))
    doublet = Doublet(beam.wavelength2 / beam.wavelength, beam.ratio) if beam.ratio > 0.0 else None
    rows: list[tuple[int, tuple[float, ...]]] = []
    singles: list[list[int]] = []
    for cluster in clusters:
        gaps = np.diff(at[cluster]) / width.fwhm(at[cluster[1:]]) if len(cluster) > 1 else np.zeros(0)
        if len(cluster) == 2 and gaps[0] < CLOSE:
            rows += _pair(seen, cluster, at, width, poisson, min_significance, doublet)
        elif len(cluster) <= MOST_TOGETHER and not (gaps < 0.7).any():
            singles.append(cluster)
    rows += _windows(seen, singles, at, width, poisson, min_significance, doublet)
    rows.sort(key=lambda row: row[0])
    table = np.array([row[1] for row in rows]).reshape(len(rows), 6)
    which = np.array([row[0] for row in rows], dtype=np.int64)
    close = np.abs(table[:, 0] - at[which]) < near * width.fwhm(at[which]) if rows else np.zeros(0, dtype=bool)
    table, which = table[close], which[close]
    table[:, 1] = np.hypot(table[:, 1], FLOOR * table[:, 2])
    return Indexed(hkl[which], *table.T)


def _clusters(hkl: np.ndarray, at: np.ndarray, fwhm: np.ndarray) -> list[list[int]]:
    """Lines that share a window, by number. Lines of one position are one where their Q is the same combination of the
    cell's numbers; where it is not, their places are marked and no line of that cluster is used."""
    clusters: list[list[int]] = []
    spoilt: list[bool] = []
    squares = np.sort(np.abs(terms(hkl)), axis=1)
    last = -1
    for i in range(at.size):
        if last >= 0 and at[i] - at[last] < SAME * fwhm[i]:
            if not np.array_equal(squares[i], squares[last]) and at[i] - at[last] > 1e-6:
                spoilt[-1] = True
            continue
        if last >= 0 and at[i] - at[last] < JOINED * fwhm[i]:
            clusters[-1].append(i)
        else:
            clusters.append([i])
            spoilt.append(False)
        last = i
    return [cluster for cluster, bad in zip(clusters, spoilt, strict=True) if not bad]


def _range(seen: Observed, low: float, high: float) -> tuple[int, int]:
    return int(np.searchsorted(seen.x, low)), int(np.searchsorted(seen.x, high))


def _pair(
    seen: Observed,
    cluster: list[int],
    at: np.ndarray,
    width: LineWidth,
    poisson: bool,
    least: float,
    doublet: Doublet | None,
) -> list[tuple[int, tuple[float, ...]]]:
    """Two lines that overlap, as one shape at two places."""
    reach = HALF * float(width.fwhm(at[cluster[:1]])[0])
    a, b = _range(seen, at[cluster[0]] - reach, at[cluster[1]] + reach)
    pair = fit_pair(
        seen.x[a:b], seen.y[a:b], None if poisson else seen.sigma[a:b], poisson=poisson, min_significance=least,
        doublet=doublet,
    )  # fmt: skip
    if pair.why or pair.unresolved or not pair.evidence > 3.0:
        return []
    found = [(pair.low, pair.share[0]), (pair.high, 1.0 - pair.share[0])]
    return [(i, (*p, *pair.fwhm, share, 0.5)) for i, (p, share) in zip(cluster, found, strict=True)]


def _windows(
    seen: Observed,
    clusters: list[list[int]],
    at: np.ndarray,
    width: LineWidth,
    poisson: bool,
    least: float,
    doublet: Doublet | None,
) -> list[tuple[int, tuple[float, ...]]]:
    """Lines side by side, each in its window, those of a cluster fitted together."""
    first: list[int] = []
    last: list[int] = []
    group: list[int] = []
    which: list[int] = []
    for number, cluster in enumerate(clusters):
        reach = HALF * width.fwhm(at[cluster])
        split = 0.0
        if doublet is not None:
            sine = np.sin(np.radians(at[cluster[-1]] / 2.0)) * doublet.alpha
            split = np.degrees(2.0 * np.arcsin(min(sine, 1.0))) - at[cluster[-1]]
        middle = 0.5 * (at[cluster[1:]] + at[cluster[:-1]])
        low = np.concatenate([[at[cluster[0]] - reach[0]], middle])
        high = np.concatenate([middle, [at[cluster[-1]] + reach[-1] + split]])
        spans = [_range(seen, a, b) for a, b in zip(low, high, strict=True)]
        if any(b - a < 4 for a, b in spans) or spans[-1][1] - spans[0][0] < 8:
            continue
        for i, (a, b) in zip(cluster, spans, strict=True):
            first.append(a)
            last.append(b)
            group.append(number)
            which.append(i)
    fitted = fit_windows(
        seen.x, seen.y, None if poisson else seen.sigma, first, last, group=group, poisson=poisson,
        min_significance=least, doublet=doublet, fewest=4,
    )  # fmt: skip
    rows: list[tuple[int, tuple[float, ...]]] = []
    for i, values, status in zip(which, fitted.values, fitted.status, strict=True):
        if status == CONVERGED:
            rows.append((i, (values[0], values[1], values[4], values[5], values[6], values[8])))
    return rows


def refined(
    seen: Observed,
    hkl: np.ndarray,
    g: np.ndarray,
    basis: np.ndarray,
    beam: Beam,
    *,
    zero_free: bool,
    displacement_free: bool,
    zero: float,
    poisson: bool,
    width: LineWidth | None = None,
    strengths: bool = True,
    least: float = 5.0,
) -> tuple[CellFit, Indexed]:
    """Lines measured and the cell fitted to them, in turn: a better cell puts the windows where the lines are.

    Where strengths are not known (`strengths` False) the lines of low angle, which lie apart, come first.
    """
    displacement, fit, lines = 0.0, no_cell("no line is found"), None
    for part, near in ((1.0, 2.0), (1.0, 0.7)) if strengths else ((0.1, 3.0), (0.3, 1.5), (1.0, 0.7), (1.0, 0.7)):
        order = np.argsort(terms(hkl) @ g, kind="stable")
        chosen = hkl[order[: max(int(part * len(hkl)), 12)]]
        lines = index_lines(
            seen, chosen, g, beam, zero=zero, displacement=displacement, poisson=poisson, width=width, near=near,
            min_significance=least,
        )  # fmt: skip
        # few lines cannot tell a shift from a cell
        full = part == 1.0
        fit = refine_cell(
            lines.hkl, lines.two_theta, lines.sigma, wavelength=beam.wavelength, start=g, basis=basis,
            zero=zero_free and full, displacement=displacement_free and full,
        )  # fmt: skip
        if fit.why:
            break
        g = fit.g
        if full:
            zero, displacement = fit.zero[0], fit.displacement[0]
    assert lines is not None
    return fit, lines


def misplaced(fit: CellFit, lines: Indexed) -> str:
    """Empty, or why the lines found are not those of the cell: they lie too far from it for their width."""
    rms, fwhm = float(np.sqrt(np.mean(fit.residual[fit.used] ** 2))), float(np.median(lines.fwhm[fit.used]))
    if rms > MISPLACED * fwhm:
        return (
            f"the lines found are not those of the cell: they lie {rms:.2g} deg off (root mean square), and are "
            f"{fwhm:.2g} deg wide"
        )
    return ""
