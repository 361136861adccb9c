"""The compiled part of `fit_peak`: start values, Levenberg-Marquardt with bounds, covariance.

Six numbers: position, FWHM, eta, area, background in the middle of the window, and what it gains to the window's end.
Plain loops in a fixed order, no BLAS, no fastmath: the same bits whatever the memory layout or the number of threads.
Bounds (position in the window, FWHM between half a point and the window, eta in [0, 1]) are kept by an active set: a
number on its bound whose gradient pushes outwards is held there for the step. Absurd data divide by zero to infinity,
as in numpy, and end without convergence.
"""

import math

import numpy as np
from numba import njit

POSITION, FWHM, ETA, AREA, B0, B1 = range(6)
CONVERGED, NO_PEAK, NOT_CONVERGED, SINGULAR = range(4)

ITERATIONS = 100
LN2 = math.log(2.0)
GAUSS = 2.0 * math.sqrt(LN2 / math.pi)
LORENTZ = 2.0 / math.pi
_SMALL = 1e-10  # chi^2 units: a step that promises less moves nothing by more than 1e-5 sigma


@njit(cache=True, error_model="numpy")
def widths(x):
    """Smallest and largest FWHM allowed: half the mean distance of the points, and the window."""
    span = x[-1] - x[0]
    return 0.5 * span / (x.size - 1), span


@njit(cache=True, error_model="numpy")
def fit(x, y, variance, poisson, least):
    """Parameters (6,), covariance (6, 6), chi^2, chi^2 of the best straight line, status."""
    n = x.size
    p, cov, weight = np.zeros(6), np.zeros((6, 6)), 1.0 / variance
    z = _start(x, y, variance, p)
    if z < 0.6 * least:  # far below: no fit can find what no box finds
        return p, cov, 0.0, 0.0, NO_PEAK
    chi2, status = _marquardt(x, y, weight, p)
    if poisson:
        for _ in range(3):
            if status != CONVERGED:
                break
            _model_weights(x, p, weight)
            chi2, status = _marquardt(x, y, weight, p)
    hess, grad = np.zeros((6, 6)), np.zeros(6)
    chi2 = _normal(x, y, weight, p, hess, grad)
    if status == CONVERGED and not _invert(hess, cov):
        status = SINGULAR
    return p, cov, chi2, _line_chi2(x, y, weight, n), status


@njit(cache=True, error_model="numpy")
def _start(x, y, variance, p):
    """Fill `p` with start values and return the largest signal-to-noise of any box of points above the edges' line."""
    n = x.size
    middle, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    edge = max(2, n // 8)
    left, right, x_left, x_right = 0.0, 0.0, 0.0, 0.0
    for i in range(edge):
        left += y[i] / edge
        right += y[n - 1 - i] / edge
        x_left += x[i] / edge
        x_right += x[n - 1 - i] / edge
    slope = (right - left) / (x_right - x_left)
    excess, noise = np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n):
        excess[i + 1] = excess[i] + y[i] - left - slope * (x[i] - x_left)
        noise[i + 1] = noise[i] + variance[i]
    best, first, last, size = -np.inf, 0, 1, 1
    while size <= max(1, n // 2):
        for i in range(n - size + 1):
            spread = noise[i + size] - noise[i]
            z = (excess[i + size] - excess[i]) / math.sqrt(spread) if spread > 0.0 else -np.inf
            if z > best:
                best, first, last = z, i, i + size
        size = size + max(1, size // 3)
    step = (x[-1] - x[0]) / (n - 1)
    p[POSITION] = 0.5 * (x[first] + x[last - 1])
    p[FWHM] = max(1.5, (last - first) / 1.2) * step
    p[ETA] = 0.5
    p[AREA] = 1.2 * (excess[last] - excess[first]) * step
    p[B0] = left + slope * (middle - x_left)
    p[B1] = slope * half
    return best


@njit(cache=True, error_model="numpy")
def _marquardt(x, y, weight, p):
    """Improve `p` in place with fixed weights; chi^2 and status. Numbers on a bound that push outwards stay there."""
    low, high = np.full(6, -np.inf), np.full(6, np.inf)
    low[POSITION], high[POSITION] = x[0], x[-1]
    low[FWHM], high[FWHM] = widths(x)
    low[ETA], high[ETA] = 0.0, 1.0
    hess, grad = np.zeros((6, 6)), np.zeros(6)
    new_hess, new_grad = np.zeros((6, 6)), np.zeros(6)
    chi2 = _normal(x, y, weight, p, hess, grad)
    damping = 1e-3
    for _ in range(ITERATIONS):
        free = np.empty(6, dtype=np.bool_)
        for i in range(6):
            free[i] = not ((p[i] <= low[i] and grad[i] < 0.0) or (p[i] >= high[i] and grad[i] > 0.0))
        step = np.zeros(6)
        if not _solve(hess, grad, free, damping, step):
            return chi2, SINGULAR
        promise = 0.0
        trial = np.empty(6)
        for i in range(6):
            promise += step[i] * grad[i]
            trial[i] = min(max(p[i] + step[i], low[i]), high[i])
        trial_chi2 = _normal(x, y, weight, trial, new_hess, new_grad)
        if trial_chi2 <= chi2:
            p[:] = trial
            hess, new_hess = new_hess, hess
            grad, new_grad = new_grad, grad
            chi2 = trial_chi2
            damping = max(damping * 0.1, 1e-12)
            if promise < _SMALL:
                return chi2, CONVERGED
        else:
            if promise < _SMALL:  # below rounding of chi^2: there is nothing left to gain
                return chi2, CONVERGED
            damping *= 10.0
            if damping > 1e12:
                return chi2, NOT_CONVERGED
    return chi2, NOT_CONVERGED


@njit(cache=True, error_model="numpy")
def _normal(x, y, weight, p, hess, grad):
    """chi^2 at `p`; fills J^T W J (both triangles) and J^T W r."""
    middle, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    hess[:, :] = 0.0
    grad[:] = 0.0
    row = np.empty(6)
    chi2 = 0.0
    width, eta, area = p[FWHM], p[ETA], p[AREA]
    for i in range(x.size):
        t = (x[i] - p[POSITION]) / width
        square = t * t
        tail = 1.0 / (1.0 + 4.0 * square)
        lorentz = LORENTZ / width * tail
        gauss = GAUSS / width * math.exp(-4.0 * LN2 * square)
        u = (x[i] - middle) / half
        shape = eta * lorentz + (1.0 - eta) * gauss
        pull = eta * lorentz * 8.0 * tail + (1.0 - eta) * gauss * 8.0 * LN2
        row[POSITION] = area * pull * t / width
        row[FWHM] = area * (pull * square - shape) / width
        row[ETA] = area * (lorentz - gauss)
        row[AREA] = shape
        row[B0] = 1.0
        row[B1] = u
        residual = y[i] - (area * shape + p[B0] + p[B1] * u)
        chi2 += weight[i] * residual * residual
        for j in range(6):
            w = weight[i] * row[j]
            grad[j] += w * residual
            for k in range(j + 1):
                hess[j, k] += w * row[k]
    for j in range(6):
        for k in range(j):
            hess[k, j] = hess[j, k]
    return chi2


@njit(cache=True, error_model="numpy")
def _model_weights(x, p, weight):
    """Weights 1 / max(model, 1): Poisson variance of what the model expects, not of what was counted."""
    middle, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    for i in range(x.size):
        t = (x[i] - p[POSITION]) / p[FWHM]
        lorentz = LORENTZ / (1.0 + 4.0 * t * t)
        gauss = GAUSS * math.exp(-4.0 * LN2 * t * t)
        shape = (p[ETA] * lorentz + (1.0 - p[ETA]) * gauss) / p[FWHM]
        weight[i] = 1.0 / max(p[AREA] * shape + p[B0] + p[B1] * (x[i] - middle) / half, 1.0)


@njit(cache=True, error_model="numpy")
def _line_chi2(x, y, weight, n):
    """chi^2 of the weighted straight line: what is left without any peak."""
    s, sx, sy = 0.0, 0.0, 0.0
    for i in range(n):
        s += weight[i]
        sx += weight[i] * x[i]
        sy += weight[i] * y[i]
    mx, my = sx / s, sy / s
    sxx, sxy = 0.0, 0.0
    for i in range(n):
        sxx += weight[i] * (x[i] - mx) ** 2
        sxy += weight[i] * (x[i] - mx) * (y[i] - my)
    chi2 = 0.0
    for i in range(n):
        chi2 += weight[i] * (y[i] - my - sxy / sxx * (x[i] - mx)) ** 2
    return chi2


@njit(cache=True, error_model="numpy")
def _solve(hess, grad, free, damping, step):
    """Step of (H + damping diag H) step = grad over the free numbers, by Cholesky; False where H has none."""
    scale = np.zeros(6)
    for i in range(6):
        if free[i] and hess[i, i] > 0.0:
            scale[i] = 1.0 / math.sqrt(hess[i, i])
    lower = np.zeros((6, 6))
    z = np.zeros(6)
    for i in range(6):
        for j in range(i + 1):
            # numbers that are held, or that nothing depends on, keep a row of the unit matrix
            value = hess[i, j] * scale[i] * scale[j]
            if i == j:
                value = 1.0 if scale[i] == 0.0 else 1.0 + damping
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            if i == j:
                if not value > 1e-15:
                    return False
                lower[i, i] = math.sqrt(value)
            else:
                lower[i, j] = value / lower[j, j]
    for i in range(6):
        value = grad[i] * scale[i]
        for k in range(i):
            value -= lower[i, k] * z[k]
        z[i] = value / lower[i, i]
    for i in range(5, -1, -1):
        value = z[i]
        for k in range(i + 1, 6):
            value -= lower[k, i] * step[k]
        step[i] = value / lower[i, i]
    for i in range(6):
        step[i] *= scale[i]
    return True


@njit(cache=True, error_model="numpy")
def _invert(hess, cov):
    """Covariance: inverse of H plus what is known beforehand, that eta lies in [0, 1] (variance 1/12).

    It changes nothing where the data determine eta, keeps a weak peak from looking unknowable, and counts the doubt
    about eta in full where eta ended on 0 or 1.
    """
    hess[ETA, ETA] += 12.0
    free, unit, column = np.ones(6, dtype=np.bool_), np.zeros(6), np.zeros(6)
    for i in range(6):
        if not hess[i, i] > 0.0:
            return False
        unit[:] = 0.0
        unit[i] = 1.0
        if not _solve(hess, unit, free, 0.0, column):
            return False
        for j in range(6):
            cov[j, i] = column[j]
    return True
