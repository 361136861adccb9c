"""Many peaks of one pattern fitted in one call: each window by itself, overlapping windows as one group.

Peaks of a group share the straight background and are fitted together; each position stays inside its own window, each
FWHM between half the mean distance of the points and its own window, eta in [0, 1], areas not below 0.
A peak is one pseudo-Voigt, or a K-alpha1/K-alpha2 doublet (`Doublet`) whose numbers are those of K-alpha1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.peaks.fit_kernel import (
    AREA,
    CONVERGED,
    GAUSS,
    LEFT,
    LORENTZ,
    POSITION,
    SINGULAR,
    covariance,
    curve,
    minimise,
)
from insitu.maths.peaks.fit_kernel import ETA as ETA_AT
from insitu.maths.peaks.fit_start import KNOWN, POISSON, RESIDUALS, box, edges, line_chi2, refine, window_variance

NO_PEAK, TOO_FEW, NO_SIGMA, AT_EDGE, TOO_WIDE, TOO_NARROW, NOT_FINITE = range(SINGULAR + 1, SINGULAR + 8)
"""Why a peak has no numbers, beside NOT_CONVERGED and SINGULAR."""
X0, X0_SIGMA, HEIGHT, HEIGHT_SIGMA, FWHM, FWHM_SIGMA, PEAK_AREA, AREA_SIGMA, ETA, ETA_SIGMA, Z, CHI2 = range(12)
"""Columns of what a batch gives: values and standard uncertainties, significance, reduced chi^2."""
FEWEST_SHARED = 4
"""Least points in the window of a peak that is fitted together with others."""
REWEIGHTED = 3
"""How often Poisson counts are fitted again with the variances of the model."""


class Doublet(NamedTuple):
    """K-alpha2 beside K-alpha1: `alpha` its wavelength over the first one's, `ratio` of the intensities, fitted where
    `fit_ratio`. `angular`: positions in deg two theta; else in q, or in d with the inverse `alpha`."""

    alpha: float
    ratio: float = 0.5
    fit_ratio: bool = False
    angular: bool = True


class Batch(NamedTuple):
    """`values` (k, 12) by the columns above, and `status` (k,): CONVERGED, or why there are none; `points` (k,) of the
    fit, `together` (k,) peaks fitted at a time."""

    values: np.ndarray
    status: np.ndarray
    points: np.ndarray
    together: np.ndarray


@njit(cache=True, error_model="numpy")
def _batch(x, y, sigma, kind, first, last, group, start, least, fewest, ratio, fit_ratio, alpha, angular):
    """All groups, one after the other (see `fit_windows`); `group` (k,) numbers in ascending order."""
    total = first.size
    values, status = np.zeros((total, 12)), np.zeros(total, dtype=np.int64)
    points, together = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    a = 0
    while a < total:
        b = a + 1
        low, high = first[a], last[a]
        while b < total and group[b] == group[a]:
            low, high = min(low, first[b]), max(high, last[b])
            b += 1
        points[a:b], together[a:b] = high - low, b - a
        _group(
            x[low:high], y[low:high], sigma[low:high] if kind == KNOWN else sigma, kind, first[a:b] - low,
            last[a:b] - low, start[a:b], least, fewest, ratio, fit_ratio, alpha, angular, values[a:b], status[a:b],
        )  # fmt: skip
        a = b
    return values, status, points, together


@njit(cache=True, error_model="numpy")
def _group(
    x, y, sigma, kind, first, last, start, least, fewest, ratio, fit_ratio, alpha, angular, values, status
):  # fmt: skip
    """One group: fills `values` (k, 12) and `status` (k,)."""
    peaks, n = first.size, x.size
    lines = ratio > 0.0
    m = 4 * peaks + (3 if lines else 2)
    ratio_at = m - 1 if lines else -1
    for k in range(peaks):
        if last[k] - first[k] < (fewest if peaks == 1 else FEWEST_SHARED) or n < 4 * peaks + 4:
            status[:] = TOO_FEW
            return
    variance = np.empty(n)
    if not window_variance(y, sigma, kind, variance):
        status[:] = NO_SIGMA
        return
    weight = 1.0 / variance
    p, low, high = np.zeros(m), np.full(m, -np.inf), np.full(m, np.inf)
    layout = np.empty((peaks, 5), dtype=np.int64)
    for k in range(peaks):
        layout[k, :] = 4 * k + np.array([0, 1, 1, 2, 3])
        low[4 * k], high[4 * k] = x[first[k]], x[last[k] - 1]
        low[4 * k + 1] = 0.5 * (x[-1] - x[0]) / (n - 1)
        high[4 * k + 1] = x[last[k] - 1] - x[first[k]]
        low[4 * k + 2], high[4 * k + 2] = 0.0, 1.0
        low[4 * k + 3] = 0.0
    if lines:
        p[ratio_at], low[ratio_at], high[ratio_at] = ratio, ratio, ratio
        if fit_ratio:
            low[ratio_at], high[ratio_at] = 0.0, 1.0
    seen = _begin(x, y, variance, first, last, start, p, low, high, status, 0.6 * least, ratio, alpha, angular)
    if seen == 0:
        return
    chi2, outcome, hess = minimise(x, y, weight, p, low, high, layout, ratio_at, alpha, angular)
    if kind == POISSON:
        for _ in range(REWEIGHTED):
            if outcome != CONVERGED:
                break
            weight = 1.0 / np.maximum(curve(x, p, layout, ratio_at, alpha, angular), 1.0)
            chi2, outcome, hess = minimise(x, y, weight, p, low, high, layout, ratio_at, alpha, angular)
    _judge(x, y, weight, kind, p, low, high, layout, chi2, hess, outcome, least, values, status)


@njit(cache=True, error_model="numpy")
def _begin(x, y, variance, first, last, start, p, low, high, status, least, ratio, alpha, angular):
    """Fill `p` with start values, given or from the data; a peak that no box of points shows is held at area 0 and
    marked. Gives the number of the others."""
    peaks, n = first.size, x.size
    background = 4 * peaks
    p[background], p[background + 1] = edges(x, y)
    if start[0, 4] == start[0, 4]:
        p[background], p[background + 1] = start[0, 4], start[0, 5]
    middle, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    excess = np.empty(n)
    for i in range(n):
        excess[i] = y[i] - p[background] - p[background + 1] * (x[i] - middle) / half
    seen = 0
    for k in range(peaks):
        # windows that overlap are searched up to the middle of what they share
        begin = first[k] if k == 0 else max(first[k], (first[k] + last[k - 1]) // 2)
        end = last[k] if k + 1 == peaks else min(last[k], (first[k + 1] + last[k] + 1) // 2)
        p[4 * k + 2] = 0.5
        if start[k, 0] == start[k, 0]:
            for j in range(4):
                p[4 * k + j] = start[k, j]
            seen += 1
            continue
        position, fwhm, z = box(x, excess, variance, begin, max(end, begin + 1))
        if not z >= least:  # far below: no fit can find what no box finds
            status[k] = NO_PEAK
            p[4 * k], p[4 * k + 1] = position, fwhm
            p[4 * k + 3], low[4 * k + 3], high[4 * k + 3] = 0.0, 0.0, 0.0
            continue
        position, fwhm, area = refine(
            x[begin:end], excess[begin:end], variance[begin:end], position, fwhm, ratio, alpha, angular
        )
        p[4 * k], p[4 * k + 1], p[4 * k + 3] = position, fwhm, area
        seen += 1
    return seen


@njit(cache=True, error_model="numpy")
def _judge(x, y, weight, kind, p, low, high, layout, chi2, hess, outcome, least, values, status):
    """Numbers and uncertainties of every peak of a fitted group, or why they must not be used."""
    peaks, m = layout.shape[0], p.size
    cov = np.zeros((m, m))
    held = low == high
    fitted = 0
    for k in range(peaks):
        if p[layout[k, AREA]] <= 0.0:  # nothing depends on its other numbers
            held[4 * k : 4 * k + 4] = True
    for i in range(m):
        fitted += 0 if held[i] else 1
    used = 0
    for i in range(x.size):
        used += 1 if weight[i] > 0.0 else 0
    if outcome == CONVERGED and (used <= fitted or not covariance(hess, held, layout, cov)):
        outcome = SINGULAR
    reduced = chi2 / max(used - fitted, 1)
    # is there a peak? asked of the noise, not of the misfit
    noise = max(reduced, 1e-300) if kind == RESIDUALS else 1.0
    scale = reduced if kind == RESIDUALS else max(1.0, reduced)  # Birge
    nothing = (line_chi2(x, y, weight) - chi2) / noise < least * least
    for k in range(peaks):
        if status[k] == NO_PEAK:
            continue
        status[k] = outcome
        if nothing:
            status[k] = NO_PEAK
        if status[k] == CONVERGED:
            status[k] = _one(p, cov, scale, noise, reduced, layout[k], low, high, least, values[k])
        if status[k] != CONVERGED:
            values[k, :] = 0.0


@njit(cache=True, error_model="numpy")
def _one(p, cov, scale, noise, reduced, at, low, high, least, out):
    """Fill `out` (12,) for the peak whose numbers stand `at` (5,); its status."""
    position, width, eta, area = p[at[POSITION]], p[at[LEFT]], p[at[ETA_AT]], p[at[AREA]]
    significance = area / np.sqrt(max(cov[at[AREA], at[AREA]] * noise, 1e-300))
    alone = p.size <= 7
    if not alone and not significance >= least:  # what is left of a peak that went stands anywhere
        return NO_PEAK
    if position <= low[at[POSITION]] or position >= high[at[POSITION]]:
        return AT_EDGE
    if width >= high[at[LEFT]]:
        return TOO_WIDE
    if width <= low[at[LEFT]]:
        return TOO_NARROW
    if not significance >= least:
        return NO_PEAK
    shape = eta * LORENTZ + (1.0 - eta) * GAUSS
    by_width, by_eta, by_area = -area * shape / width**2, area * (LORENTZ - GAUSS) / width, shape / width
    w, e, a = at[LEFT], at[ETA_AT], at[AREA]
    height = by_width**2 * cov[w, w] + by_eta**2 * cov[e, e] + by_area**2 * cov[a, a]
    height += 2.0 * (by_width * by_eta * cov[w, e] + by_width * by_area * cov[w, a] + by_eta * by_area * cov[e, a])
    out[X0], out[X0_SIGMA] = position, np.sqrt(max(cov[at[POSITION], at[POSITION]] * scale, 0.0))
    out[HEIGHT], out[HEIGHT_SIGMA] = area * shape / width, np.sqrt(max(height * scale, 0.0))
    out[FWHM], out[FWHM_SIGMA] = width, np.sqrt(max(cov[w, w] * scale, 0.0))
    out[PEAK_AREA], out[AREA_SIGMA] = area, np.sqrt(max(cov[a, a] * scale, 0.0))
    out[ETA], out[ETA_SIGMA] = eta, np.sqrt(max(cov[e, e] * scale, 0.0))
    out[Z], out[CHI2] = significance, reduced
    for i in range(12):
        if not abs(out[i]) < np.inf:
            return NOT_FINITE
    return CONVERGED


def fit_windows(
    x: np.ndarray,
    y: np.ndarray,
    sigma: np.ndarray | None,
    first: Sequence[int],
    last: Sequence[int],
    *,
    group: Sequence[int] | None = None,
    poisson: bool = False,
    min_significance: float = 5.0,
    doublet: Doublet | None = None,
    start: np.ndarray | None = None,
    fewest: int = 8,
) -> Batch:
    """Fit the peaks in the windows `x[first[k]:last[k]]` of a pattern: `x` increasing, `y`, and `sigma`, all `(n,)`.

    Windows of one number in `group` (ascending; None: each its own) are fitted together over all that they cover, in
    order of position. `start` (k, 6): position, FWHM, eta, area, background in the middle of the window (of the group)
    and what it gains to the end; NaN: from the data. `fewest`: least points of a window. Data must be finite.
    """
    count = len(first)
    if count == 0:
        return Batch(np.zeros((0, 12)), *(np.zeros(0, dtype=np.int64) for _ in range(3)))
    low, high = min(first), max(last)
    kind = KNOWN if sigma is not None else POISSON if poisson else RESIDUALS
    begin = np.full((count, 6), np.nan) if start is None else np.array(start, dtype=np.float64)
    one = doublet or Doublet(1.0, 0.0)
    return Batch(
        *_batch(
            part(x, low, high), part(y, low, high), np.empty(0) if sigma is None else part(sigma, low, high), kind,
            np.array(first, dtype=np.int64) - low, np.array(last, dtype=np.int64) - low,
            np.arange(count) if group is None else np.array(group, dtype=np.int64), begin, float(min_significance),
            int(fewest), float(one.ratio), bool(one.fit_ratio), float(one.alpha), bool(one.angular),
        )
    )  # fmt: skip


def part(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Points `first:last` as a copy, float64 `(last - first,)`: one memory layout, one compiled kernel."""
    return np.array(values[first:last], dtype=np.float64)
