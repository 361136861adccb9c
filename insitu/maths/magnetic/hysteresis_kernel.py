"""Kernel that measures a hysteresis loop whose branches are known: centre, slope, saturation, coercivity, remanence.

With the falling branch D(B) and the rising branch A(B), both in increasing order of the field B in tesla:

    centre (B0, M0)   D(B0 + h) = 2 M0 - A(B0 - h): a loop is its own image under inversion. M0 is half the intercept of
                      the regression of D on the inverted A, and B0 where its R^2 is largest.
    slope, Ms         law of approach to saturation over both ends of both branches (`hysteresis_saturation`)
    Bc, Mr            with m(B) = M(B) - M0 - s (B - B0): half the distance of the two fields where m = 0, and half the
                      distance of the branches at B0, by cubics through the points around
    quality           log10(1/sqrt(1 - R^2)), R of the regression: signal to noise, noise being all that is not its own
    image drift             D - A is even in h but for drift: closure = (D - A)(+h) - (D - A)(-h) at high field. Where
    it is beyond
                      noise, the end of the loop at which the two branches met in time is used for slope and Ms alone.

Source: M. Jackson, P. Solheid, Geochem. Geophys. Geosyst. 11 (2010) Q07Z25; G. A. Paterson et al., ibid. 19 (2018)
1925. Theirs with other means: interpolation on a regular grid is only used for centre, slope and drift, not for Bc and
Mr.
"""

import numpy as np
from numba import njit

from insitu.maths.magnetic.hysteresis_branches import between, local_cubic, solve
from insitu.maths.magnetic.hysteresis_saturation import approach

NAMES = (
    "bc", "bc_sigma", "mr", "mr_sigma", "ms", "ms_sigma", "slope", "slope_sigma", "loss", "loss_sigma", "field_offset",
    "field_offset_sigma", "moment_offset", "moment_offset_sigma", "quality", "quality_ferro", "closure",
    "closure_sigma", "open_height", "open_sigma", "open_area", "missing", "noise", "top", "highest", "fits",
    "crossings", "gain",
)  # fmt: skip
"""What `measure` gives, in its order."""
END = 0.97
"""The part of the field's range that is looked at: the last points before a turning point are not steady."""
HIGH = 0.7
"""From this part of the range on, drift and opening are looked for."""
CLOSED = 0.1
"""The approach to saturation begins where the branches are nearer than this part of their distance at zero field."""
MOST = 200
"""Points of the regular grid on half a branch."""
CENTRING = 8
"""Most steps of the search for the centre."""
SPAN = 0.01
"""Slopes for that search are taken over twice this part of the field's range, and over 5 points at least."""


@njit(cache=True, error_model="numpy")
def _crossing(x: np.ndarray, m: np.ndarray, chi: float, centre: float, level: float) -> tuple[float, int]:
    """Where the moment without slope passes `level`, by straight lines: the middle of the first and the last passage
    (noise makes several), and how many there are."""
    first, last, count = np.nan, np.nan, 0
    before = m[0] - level - chi * (x[0] - centre)
    for i in range(1, x.size):
        value = m[i] - level - chi * (x[i] - centre)
        if (before < 0.0) != (value < 0.0):
            last = x[i - 1] - before * (x[i] - x[i - 1]) / (value - before)
            if count == 0:
                first = last
            count += 1
        before = value
    return 0.5 * (first + last), count


@njit(cache=True, error_model="numpy")
def _refined(
    x: np.ndarray, m: np.ndarray, chi: float, centre: float, level: float, guess: float, reach: float
) -> tuple[float, float, float, float, int]:
    """The passage near `guess` by local cubics: field, slope there, variance of the field for points of variance 1,
    squares of residuals, their degrees of freedom. Where the cubic leaves the neighbourhood (a jump), the straight line
    stands."""
    j = min(max(int(np.searchsorted(x, guess)), 1), x.size - 1)
    room = max(2.0 * (x[j] - x[j - 1]), reach)
    at, value, steep, unit, square, dof = guess, 0.0, np.nan, np.nan, 0.0, 0
    for _ in range(3):
        value, steep, unit, square, dof = local_cubic(x, m, at, reach, 3)
        value -= level + chi * (at - centre)
        steep -= chi
        if not steep > 0.0:
            break
        at -= value / steep
        if not abs(at - guess) <= room:
            break
    if steep > 0.0 and abs(at - guess) <= room:
        return at, steep, unit / steep**2, square, dof
    steep = max((m[j] - m[j - 1]) / (x[j] - x[j - 1]) - chi, 1e-150)
    return guess, steep, 0.5 / steep**2, 0.0, 0


@njit(cache=True, error_model="numpy")
def _area(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """Integral of a branch from `low` to `high`, by trapezoids."""
    total = 0.0
    for i in range(1, x.size):
        a, b = max(x[i - 1], low), min(x[i], high)
        if b > a:
            steep = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
            total += (b - a) * (y[i - 1] + steep * (0.5 * (a + b) - x[i - 1]))
    return total


@njit(cache=True, error_model="numpy")
def centre(
    db: np.ndarray, dm: np.ndarray, ab: np.ndarray, am: np.ndarray, highest: float
) -> tuple[float, float, float, float, float, float, int]:
    """Where a loop is its own image: B0, its variance, intercept 2 M0 and slope of the regression of the falling branch
    on the inverted rising one, 1 - R^2, rms of what is left, points. Gauss-Newton steps on B0, none of which may leave
    a tenth of the range."""
    b0, variance, n = 0.0, np.nan, 0
    x, y, v = np.empty(db.size), np.empty(db.size), np.empty(0)
    a, b = np.zeros((4, 4)), np.zeros(4)
    row = np.empty(3)
    level = 0.5 * (dm.mean() + am.mean())
    scale = max(np.abs(dm - level).max(), 1e-300)
    for turn in range(CENTRING):
        n, width = 0, END * highest - abs(b0)
        for i in range(db.size):
            if abs(db[i] - b0) <= width:
                x[n], y[n] = db[i], dm[i]
                n += 1
        v = -between(ab, am, 2.0 * b0 - x[:n][::-1])[::-1]
        if turn == CENTRING - 1 or n < 8:
            break
        a[:], b[:] = 0.0, 0.0
        for i in range(n):
            low, high = max(i - 2, 0), min(i + 2, n - 1)
            while low > 0 and x[i] - x[low] < SPAN * highest:
                low -= 1
            while high < n - 1 and x[high] - x[i] < SPAN * highest:
                high += 1
            row[0], row[1] = 1.0, (v[i] - level) / scale
            row[2] = (v[high] - v[low]) / (x[high] - x[low]) * highest / scale
            for j in range(3):
                b[j] += row[j] * (y[i] - v[i]) / scale
                for k in range(j + 1):
                    a[j, k] += row[j] * row[k]
        fine, c, diagonal = solve(a, b, 3)
        if not fine:
            break
        step = -0.5 * c[2] * highest
        before, b0 = b0, min(max(b0 + step, -0.1 * highest), 0.1 * highest)
        variance = 0.25 * diagonal[2] * (highest / scale) ** 2
        if abs(b0 - before) < 1e-6 * highest:
            break
    u, v = y[:n], v[:n]
    slope, intercept, rest, rms = _image(u, v)
    return b0, 0.5 * variance * rms * rms, intercept, slope, rest, rms, n


@njit(cache=True, error_model="numpy")
def _image(u: np.ndarray, v: np.ndarray) -> tuple[float, float, float, float]:
    """Regression of one branch on the other one inverted: slope, intercept, 1 - R^2, rms of what is left."""
    n = u.size
    mu, mv = u.mean(), v.mean()
    uu, uv, vv = 0.0, 0.0, 0.0
    for i in range(n):
        uu += (u[i] - mu) ** 2
        vv += (v[i] - mv) ** 2
        uv += (u[i] - mu) * (v[i] - mv)
    if uu <= 0.0 or vv <= 0.0:
        return 1.0, mu - mv, 1.0, 0.0
    slope = uv / vv
    rest = 0.0
    for i in range(n):
        rest += (u[i] - mu - slope * (v[i] - mv)) ** 2
    return slope, mu - slope * mv, rest / uu, np.sqrt(rest / n)


@njit(cache=True, error_model="numpy")
def _mean_of(x: np.ndarray, start: int) -> tuple[float, float]:
    """Mean from `start` on, and its uncertainty with the correlation of neighbours."""
    n = x.size - start
    mean, square, product = 0.0, 0.0, 0.0
    for i in range(start, x.size):
        mean += x[i] / n
    for i in range(start, x.size):
        square += (x[i] - mean) ** 2
        if i > start:
            product += (x[i] - mean) * (x[i - 1] - mean)
    r = min(max(product / square, 0.0), 0.9) if square > 0.0 else 0.0
    return mean, np.sqrt(square / max(n - 1, 1) / n * (1.0 + r) / (1.0 - r))


@njit(cache=True, error_model="numpy")
def measure(db: np.ndarray, dm: np.ndarray, ab: np.ndarray, am: np.ndarray, met: int) -> np.ndarray:
    """All numbers of a loop, in the order of `NAMES`; nan where there is none. `met`: sign of the field at which the
    branches follow each other in time, 0 where they do not."""
    out = np.full(28, np.nan)
    highest = min(db[-1], ab[-1], -db[0], -ab[0])
    n = min(max(min(db.size, ab.size) // 2, 6), MOST)
    h, both = np.empty(n), np.empty(2 * n)
    b0, b0_variance, intercept, gain, rest, rms, points = centre(db, dm, ab, am, highest)
    m0 = 0.5 * intercept
    width, start = END * highest - abs(b0), int(n * HIGH / END)
    for i in range(n):
        h[i] = width * (i + 1.0) / n
        both[n + i], both[n - 1 - i] = b0 + h[i], b0 - h[i]
    falling, rising = between(db, dm, both) - m0, between(ab, am, both) - m0
    q1, q2, q3, q4 = falling[n:], -falling[:n][::-1], -rising[:n][::-1], rising[n:]
    closure, closure_sigma = _mean_of((q1 - q4) - (q3 - q2), start)
    trusted = met if abs(closure) > 4.0 * closure_sigma else 0
    half = 0.5 * (q2 + q3) if trusted < 0 else 0.5 * (q1 + q4) if trusted > 0 else 0.25 * (q1 + q2 + q3 + q4)
    gap = 0.5 * (q3 - q2) if trusted < 0 else 0.5 * (q1 - q4) if trusted > 0 else 0.25 * (q1 - q4 + q3 - q2)
    last = n - 1
    while last > 0 and gap[last] < CLOSED * gap[0]:
        last -= 1
    found = approach(h, half, min(h[last], 0.8 * h[-1]))
    ms, chi = found[0], found[2]
    zero_d, zero_a, crossings = np.nan, np.nan, 0
    if found[6]:
        zero_d, count_d = _crossing(db, dm, chi, b0, m0)
        zero_a, count_a = _crossing(ab, am, chi, b0, m0)
        crossings = max(count_d, count_a)
    out[4], out[5], out[6], out[7] = ms, found[1], chi, found[3]
    out[12], out[13] = m0, rms / np.sqrt(2.0 * points)
    out[10], out[11] = b0, np.sqrt(b0_variance)
    out[14] = -0.5 * np.log10(max(rest, 1e-30))
    out[16], out[17], out[21], out[22] = closure, closure_sigma, found[4], found[5]
    out[23], out[24], out[25], out[26], out[27] = 0.5 * (q1[-1] + q2[-1]), highest, found[6], crossings, gain
    spread = 0.0
    for i in range(n):
        spread += ((q1[i] - chi * h[i]) ** 2 + (q2[i] - chi * h[i]) ** 2) / (2.0 * n)
    out[15] = 0.5 * np.log10(max(spread, 1e-300) / max(rms * rms, 1e-30 * max(spread, 1e-270)))
    opened, opened_sigma = _mean_of(gap, int(n * 0.8 / END))
    out[18], out[19] = opened, max(opened_sigma, rms / np.sqrt(n))
    inner = max(gap.sum(), 1e-300)
    out[20] = max(gap[int(n * 0.8 / END) :].sum(), 0.0) / inner
    low, high = max(db[0], ab[0]), min(db[-1], ab[-1])
    whole = _area(db, dm, low, high) - _area(ab, am, low, high)
    if trusted != 0:
        low, high = (low, b0) if trusted < 0 else (b0, high)
        part = 2.0 * (_area(db, dm, low, high) - _area(ab, am, low, high))
    else:
        part = whole
    out[8] = part
    out[9] = np.sqrt((0.5 * (part - whole)) ** 2 + (rms * 2.0 * highest / np.sqrt(n)) ** 2)
    if not (np.isfinite(zero_d) and np.isfinite(zero_a)):
        return out
    reach = 0.125 * abs(zero_a - zero_d)
    at_d, steep_d, unit_d, square_d, dof_d = _refined(db, dm, chi, b0, m0, zero_d, reach)
    at_a, steep_a, unit_a, square_a, dof_a = _refined(ab, am, chi, b0, m0, zero_a, reach)
    value_d, _, part_d, square_3, dof_3 = local_cubic(db, dm, b0, reach, 3)
    value_a, _, part_a, square_4, dof_4 = local_cubic(ab, am, b0, reach, 3)
    dof = dof_d + dof_a + dof_3 + dof_4
    variance = max((square_d + square_a + square_3 + square_4) / max(dof, 1), found[5] ** 2)
    # drift that adds to the moment and goes on evenly would part the branches at zero field by as much as where they
    # met times 1/(1 - h): what is seen there, or else half the closure, bounds it
    if trusted == 0:
        shift = 0.25 * min(abs(closure), 4.0 * closure_sigma)
    else:
        seen = 0.0
        for i in range(start, n):
            seen += 2.0 * gap[i] * (1.0 - h[i] / h[-1])
        shift = min(0.5 * abs(seen) / max(((1.0 - h[start:] / h[-1]) ** 2).sum(), 1e-300), 0.25 * abs(closure))
    at = np.array([b0])
    straight = 0.5 * (between(db, dm, at)[0] - between(ab, am, at)[0])
    out[2] = 0.5 * (value_d - value_a)
    out[3] = np.sqrt(0.25 * (part_d + part_a) * variance + (shift**2 + (straight - out[2]) ** 2) / 3.0)
    steep = min(steep_d, steep_a)
    out[0] = 0.5 * (at_a - at_d)
    spread = 0.25 * (unit_d + unit_a) * variance
    spread += (0.5 * (zero_a - zero_d) - out[0]) ** 2 / 3.0
    out[1] = np.sqrt(spread + (shift / steep) ** 2 / 3.0 + (out[0] * found[3] / steep) ** 2)
    return out
