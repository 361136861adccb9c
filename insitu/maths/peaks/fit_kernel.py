"""The compiled part of every peak fit: pseudo-Voigt lines on a straight background, Levenberg-Marquardt with bounds.

    y(x) = sum over peaks k, lines l of  area_k r_l S(t; eta_k)/W_k + b0 + b1 u,    W = (left + right)/2
    S(t; eta) = eta (2/pi)/(1 + 4 t^2) + (1 - eta) 2 sqrt(ln 2/pi) exp(-4 ln 2 t^2),    t = (x - c_l)/left or /right

`u` runs from -1 to 1 over the window. A peak has one line at its position (r = 1) or two, K-alpha1 and K-alpha2: the
second at the angle that the same lattice planes have for the second wavelength (`second_line`), with the same widths
and eta and with r the ratio of intensities. The numbers of all peaks and the background are one vector `p`; `layout`
`(peaks, 5)` says where position, left FWHM, right FWHM, eta and area of each peak stand in it. The same place given
twice is a shared number: left and right width alike is the symmetric pseudo-Voigt, one width for two peaks a pair.

Plain loops in a fixed order, no BLAS, no fastmath: the same bits whatever the memory layout or the number of threads.
Bounds are kept by an active set: a number on its bound whose gradient pushes outwards is held there for the step;
`low == high` holds it for good. Absurd data divide by zero to infinity, as in numpy, and end without convergence.

Sources: K. Levenberg, Q. Appl. Math. 2 (1944) 164; D. W. Marquardt, J. SIAM 11 (1963) 431.
"""

import math

import numpy as np
from numba import njit

CONVERGED, NOT_CONVERGED, SINGULAR = range(3)
POSITION, LEFT, RIGHT, ETA, AREA = range(5)

ITERATIONS = 100
LN2 = math.log(2.0)
GAUSS = 2.0 * math.sqrt(LN2 / math.pi)
LORENTZ = 2.0 / math.pi
_SMALL = 1e-10  # reduced chi^2 units: a step that promises less moves nothing by more than 1e-5 sigma
_FAR = 13.0  # t^2 from which the Gaussian is below the rounding of its top


@njit(cache=True, error_model="numpy")
def second_line(position, alpha, angular):
    """Where the second line stands, and how fast it moves with the first; not a number where it cannot be reached.

    `alpha` is the second wavelength over the first. `angular`: positions in deg two theta; else in q (or in d, with
    the inverse `alpha`), where the lines stand in that ratio.
    """
    if not angular:
        return alpha * position, alpha
    half = 0.5 * position * math.pi / 180.0
    sine = alpha * math.sin(half)
    if not abs(sine) < 1.0:
        return np.nan, 0.0
    other = math.asin(sine)
    return 2.0 * other * 180.0 / math.pi, alpha * math.cos(half) / math.cos(other)


@njit(cache=True, error_model="numpy")
def _lines(p, layout, ratio_at, alpha, angular, place, line):
    """Fill, for every line, which places its numbers have (n, 5) and its constants (n, 8); gives the number of lines.

    Constants: centre, its derivative, 1/left, 1/right, eta, r/W, area r/W, 1/(2 W).
    """
    count = 0
    for k in range(layout.shape[0]):
        left, right = p[layout[k, LEFT]], p[layout[k, RIGHT]]
        mean = 0.5 * (left + right)
        centre, move, part = p[layout[k, POSITION]], 1.0, 1.0
        for second in range(1 if ratio_at < 0 else 2):
            if second == 1:
                centre, move = second_line(centre, alpha, angular)
                part = p[ratio_at]
                if centre != centre:  # the angle does not exist for the second wavelength
                    break
            for j in range(5):
                place[count, j] = layout[k, j]
            line[count, 0], line[count, 1] = centre, move
            line[count, 2], line[count, 3] = 1.0 / left, 1.0 / right
            line[count, 4] = p[layout[k, ETA]]
            line[count, 5], line[count, 6] = part / mean, p[layout[k, AREA]] * part / mean
            line[count, 7] = 0.5 / mean
            count += 1
    return count


@njit(cache=True, error_model="numpy")
def normal(x, y, weight, p, layout, ratio_at, alpha, angular, hess, grad):
    """chi^2 at `p`; fills J^T W J (both triangles) and J^T W r. The background is the last two numbers before the
    ratio, which is last where there is one (`ratio_at` -1: single lines)."""
    m = p.size
    background = m - 2 if ratio_at < 0 else m - 3
    middle, scale = 0.5 * (x[0] + x[-1]), 2.0 / (x[-1] - x[0])
    place, line = np.empty((2 * layout.shape[0], 5), dtype=np.int64), np.empty((2 * layout.shape[0], 8))
    count = _lines(p, layout, ratio_at, alpha, angular, place, line)
    n = x.size
    rows, residual, weighted = np.zeros((m, n)), np.empty(n), np.empty(n)
    for i in range(n):
        u = (x[i] - middle) * scale
        rows[background, i], rows[background + 1, i] = 1.0, u
        residual[i] = y[i] - p[background] - p[background + 1] * u
    for k in range(count):
        centre, move, eta, height, spread = line[k, 0], line[k, 1], line[k, 4], line[k, 6], line[k, 7]
        position, by_eta, by_area = rows[place[k, POSITION]], rows[place[k, ETA]], rows[place[k, AREA]]
        left, right = rows[place[k, LEFT]], rows[place[k, RIGHT]]
        second = ratio_at >= 0 and k > 0 and place[k, AREA] == place[k - 1, AREA]
        for i in range(n):
            away = x[i] - centre
            inverse = line[k, 2] if away < 0.0 else line[k, 3]
            t = away * inverse
            square = t * t
            tail = 1.0 / (1.0 + 4.0 * square)
            lorentz = LORENTZ * tail
            gauss = GAUSS * math.exp(-4.0 * LN2 * square) if square < _FAR else 0.0
            shape = eta * lorentz + (1.0 - eta) * gauss
            value = height * shape
            slope = height * (eta * lorentz * 8.0 * tail + (1.0 - eta) * gauss * 8.0 * LN2) * inverse
            residual[i] -= value
            position[i] += slope * t * move
            by_eta[i] += height * (lorentz - gauss)
            by_area[i] += shape * line[k, 5]
            left[i] -= value * spread
            right[i] -= value * spread
            if away < 0.0:
                left[i] += slope * square
            else:
                right[i] += slope * square
            if second:
                rows[ratio_at, i] += p[place[k, AREA]] * shape * 2.0 * spread
    chi2 = 0.0
    for i in range(n):
        chi2 += weight[i] * residual[i] * residual[i]
    for j in range(m):
        for i in range(n):
            weighted[i] = weight[i] * rows[j, i]
        grad[j] = _dot(weighted, residual)
        for k in range(j + 1):
            hess[j, k] = _dot(weighted, rows[k])
            hess[k, j] = hess[j, k]
    return chi2


@njit(cache=True, error_model="numpy")
def _dot(a, b):
    """Sum of products in four strands, added in a fixed order: the processor runs them side by side."""
    n = a.size
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
    for i in range(whole, n):
        s0 += a[i] * b[i]
    return (s0 + s1) + (s2 + s3)


@njit(cache=True, error_model="numpy")
def curve(x, p, layout, ratio_at, alpha, angular):
    """The model at `x` (n,), the background included."""
    background = p.size - 2 if ratio_at < 0 else p.size - 3
    middle, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    place, line = np.empty((2 * layout.shape[0], 5), dtype=np.int64), np.empty((2 * layout.shape[0], 8))
    count = _lines(p, layout, ratio_at, alpha, angular, place, line)
    out = np.empty(x.size)
    for i in range(x.size):
        out[i] = p[background] + p[background + 1] * (x[i] - middle) / half
        for k in range(count):
            away = x[i] - line[k, 0]
            t = away * (line[k, 2] if away < 0.0 else line[k, 3])
            gauss = GAUSS * math.exp(-4.0 * LN2 * t * t)
            out[i] += line[k, 6] * (line[k, 4] * LORENTZ / (1.0 + 4.0 * t * t) + (1.0 - line[k, 4]) * gauss)
    return out


@njit(cache=True, error_model="numpy")
def minimise(x, y, weight, p, low, high, layout, ratio_at, alpha, angular):
    """Improve `p` in place with fixed weights; chi^2, status, and J^T W J at the end."""
    m = p.size
    hess, grad = np.zeros((m, m)), np.zeros(m)
    new_hess, new_grad = np.zeros((m, m)), np.zeros(m)
    lower, scale, free = np.zeros((m, m)), np.zeros(m), np.empty(m, dtype=np.bool_)
    step, trial = np.zeros(m), np.empty(m)
    for i in range(m):
        p[i] = min(max(p[i], low[i]), high[i])
    chi2 = normal(x, y, weight, p, layout, ratio_at, alpha, angular, hess, grad)
    damping = 1e-3
    for _ in range(ITERATIONS):
        least = _SMALL * max(1.0, chi2 / x.size)
        for i in range(m):
            free[i] = not ((p[i] <= low[i] and grad[i] < 0.0) or (p[i] >= high[i] and grad[i] > 0.0))
        if not factor(hess, free, damping, scale, lower):
            return chi2, SINGULAR, hess
        substitute(lower, scale, grad, step)
        promise = 0.0
        for i in range(m):
            promise += step[i] * grad[i]
            trial[i] = min(max(p[i] + step[i], low[i]), high[i])
        trial_chi2 = normal(x, y, weight, trial, layout, ratio_at, alpha, angular, new_hess, new_grad)
        if trial_chi2 <= chi2:
            p[:] = trial
            hess, new_hess = new_hess, hess
            grad, new_grad = new_grad, grad
            chi2 = trial_chi2
            damping = max(damping * 0.1, 1e-12)
            if promise < least:
                return chi2, CONVERGED, hess
        else:
            if promise < least:  # below rounding of chi^2: there is nothing left to gain
                return chi2, CONVERGED, hess
            damping *= 10.0
            if damping > 1e12:
                return chi2, NOT_CONVERGED, hess
    return chi2, NOT_CONVERGED, hess


@njit(cache=True, error_model="numpy")
def factor(hess, free, damping, scale, lower):
    """Cholesky factor of H + damping diag H over the free numbers, scaled to a unit diagonal; False where H has none.

    Fills `scale` (m,), 0 for numbers that are held or that nothing depends on, which keep a row of the unit matrix, and
    `lower` (m, m), with the reciprocals of the factor's diagonal on its own.
    """
    m = scale.size
    for i in range(m):
        scale[i] = 1.0 / math.sqrt(hess[i, i]) if free[i] and hess[i, i] > 0.0 else 0.0
    for i in range(m):
        for j in range(i):
            value = hess[i, j] * scale[i] * scale[j]
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            lower[i, j] = value * lower[j, j]
        value = 1.0 if scale[i] == 0.0 else 1.0 + damping
        for k in range(i):
            value -= lower[i, k] * lower[i, k]
        if not value > 1e-15:
            return False
        lower[i, i] = 1.0 / math.sqrt(value)
    return True


@njit(cache=True, error_model="numpy")
def substitute(lower, scale, right, out):
    """Fill `out` with the solution for the right side `right` (m,), by what `factor` filled."""
    m = scale.size
    for i in range(m):
        value = right[i] * scale[i]
        for k in range(i):
            value -= lower[i, k] * out[k]
        out[i] = value * lower[i, i]
    for i in range(m - 1, -1, -1):
        value = out[i]
        for k in range(i + 1, m):
            value -= lower[k, i] * out[k]
        out[i] = value * lower[i, i]
    for i in range(m):
        out[i] *= scale[i]


@njit(cache=True, error_model="numpy")
def covariance(hess, known, layout, cov):
    """Fill `cov` with the inverse of H over the numbers that are not `known`; False where there is none.

    To H is added, in place, what is known beforehand, that each eta lies in [0, 1] (variance 1/12). It changes nothing
    where the data determine eta, keeps a weak peak from looking unknowable, and counts the doubt about eta in full
    where eta ended on 0 or 1.
    """
    m = known.size
    for k in range(layout.shape[0]):
        shared = False
        for j in range(k):
            shared = shared or layout[j, ETA] == layout[k, ETA]
        if not shared:
            hess[layout[k, ETA], layout[k, ETA]] += 12.0
    for i in range(m):
        if not (known[i] or hess[i, i] > 0.0):
            return False
    scale, lower = np.zeros(m), np.zeros((m, m))
    if not factor(hess, ~known, 0.0, scale, lower):
        return False
    unit, column = np.zeros(m), np.zeros(m)
    for i in range(m):
        unit[:] = 0.0
        if not known[i]:
            unit[i] = 1.0
        substitute(lower, scale, unit, column)
        for j in range(m):
            cov[j, i] = column[j]
    return True
