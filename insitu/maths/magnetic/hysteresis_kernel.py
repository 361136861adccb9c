"""Kernel that measures a hysteresis loop in one call: branches, centre, slope, Ms, coercivity, remanence, faults.

With the falling branch D(B) and the rising branch A(B), both in increasing order of the field B in tesla:

    centre (B0, M0)   D(B0 + h) = 2 M0 - A(B0 - h): a loop is its own image under inversion. M0 is half the intercept of
                      the regression of D on the inverted A, and B0 where its R^2 is largest.
    slope, Ms         law of approach to saturation over both ends of both branches (`hysteresis_saturation`)
    Bc, Mr            with m(B) = M(B) - M0 - s (B - B0): half the distance of the two fields where m = 0, and half the
                      distance of the branches at B0, by cubics through the points around
    quality           log10(1/sqrt(1 - R^2)), R of the regression: signal to noise, noise being all that is not its own
                      image
    drift             D - A is even in h but for drift: closure = (D - A)(+h) - (D - A)(-h) at high field. Where it is
                      beyond noise, the end of the loop at which its branches met in time alone gives slope and Ms.

Source: M. Jackson, P. Solheid, Geochem. Geophys. Geosyst. 11 (2010) Q07Z25; G. A. Paterson et al., ibid. 19 (2018)
1925. Theirs with other means: interpolation on a regular grid is only used for centre, slope and drift, not for Bc and
Mr.
"""

import numpy as np
from numba import njit

from insitu.maths.magnetic.hysteresis_branches import between, branches
from insitu.maths.magnetic.hysteresis_centre import END, centre
from insitu.maths.magnetic.hysteresis_faults import SPIKE, clipped, spikes
from insitu.maths.magnetic.hysteresis_fit import local_cubic
from insitu.maths.magnetic.hysteresis_saturation import approach

NAMES = (
    "bc", "bc_sigma", "mr", "mr_sigma", "ms", "ms_sigma", "slope", "slope_sigma", "loss", "loss_sigma", "field_offset",
    "field_offset_sigma", "moment_offset", "moment_offset_sigma", "quality", "quality_ferro", "closure",
    "closure_sigma", "open_height", "open_sigma", "missing", "noise", "top", "highest", "fits", "gain", "state", "bad",
    "low", "high", "sweeps", "covering", "fewest", "met", "clipped", "spikes", "spike_height", "spike_field",
    "field_gap", "moment_gap", "moment_step",
)  # fmt: skip
"""What `measure` gives, in its order."""
HIGH = 0.7
"""From this part of the range on, drift and opening are looked for."""
CLOSED = 0.1
"""The approach to saturation begins where the branches are nearer than this part of their distance at zero field."""
MOST = 200
"""Points of the regular grid on half a branch."""
LEAST_POINTS = 10
"""Points that a branch needs."""
LIMIT = 1e100
"""Numbers beyond this are no measurement."""


@njit(cache=True, error_model="numpy")
def _crossing(x: np.ndarray, m: np.ndarray, chi: float, centre: float, level: float) -> float:
    """Where the moment without slope passes `level`, by straight lines: the middle of the first and the last passage
    (noise makes several)."""
    first, last = np.nan, np.nan
    before = m[0] - level - chi * (x[0] - centre)
    for i in range(1, x.size):
        value = m[i] - level - chi * (x[i] - centre)
        if (before < 0.0) != (value < 0.0):
            last = x[i - 1] - before * (x[i] - x[i - 1]) / (value - before)
            if np.isnan(first):
                first = last
        before = value
    return 0.5 * (first + last)


@njit(cache=True, error_model="numpy")
def _refined(
    x: np.ndarray,
    m: np.ndarray,
    chi: float,
    centre: float,
    level: float,
    guess: float,
    reach: float,
    work: np.ndarray,
) -> tuple[float, float, float, float, int]:
    """The passage near `guess` by local cubics: field, slope there, variance of the field for points of variance 1,
    squares of residuals, their degrees of freedom. Where the cubic leaves the neighbourhood (a jump), the straight line
    stands."""
    j = min(max(int(np.searchsorted(x, guess)), 1), x.size - 1)
    room = max(2.0 * (x[j] - x[j - 1]), reach)
    at, value, steep, unit, square, dof = guess, 0.0, np.nan, np.nan, 0.0, 0
    for _ in range(3):
        value, steep, unit, square, dof = local_cubic(x, m, at, reach, 3, work)
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
        a, b = x[i - 1], x[i]
        if low <= a and b <= high:
            total += 0.5 * (b - a) * (y[i - 1] + y[i])
            continue
        a, b = max(a, low), min(b, high)
        if b > a:
            steep = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
            total += (b - a) * (y[i - 1] + steep * (0.5 * (a + b) - x[i - 1]))
    return total


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
def measure(b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """All that is known of a loop, fields and moments `(n,)` in the order of measurement, in the order of `NAMES`; nan
    where there is nothing. `state`: 0 measured; 1 too few points, 2 some are no numbers, 3 beyond `LIMIT`, 4 the field
    and 5 the moment never changes, 6 fewer than two branches, 7 too few points in one, 8 not to both signs alike."""
    out = np.full(len(NAMES), np.nan)
    out[26] = 1.0
    if b.size < 2 * LEAST_POINTS:
        return out
    low, high, least, most, bad = b[0], b[0], m[0], m[0], 0
    for i in range(b.size):
        low, high = min(low, b[i]), max(high, b[i])
        least, most = min(least, m[i]), max(most, m[i])
        bad += 0 if np.isfinite(b[i]) and np.isfinite(m[i]) else 1
    out[27], out[28], out[29], out[30] = bad, low, high, 0.0
    beyond = max(high, -low, most, -least) > LIMIT
    out[26] = 2.0 if bad else 3.0 if beyond else 4.0 if not high > low else 5.0 if not most > least else 0.0
    if out[26] > 0.0:
        return out
    covering, db, dm, ab, am, met, sweeps, start, end = branches(b, m, high - low)
    fewest = min(db.size, ab.size)
    out[30], out[31], out[32], out[33] = sweeps, covering, fewest, met
    if covering < 2 or fewest < LEAST_POINTS:
        out[26] = 6.0 if covering < 2 else 7.0
        return out
    out[23] = min(db[-1], ab[-1], -db[0], -ab[0])
    if out[23] < 0.5 * max(abs(low), abs(high)):
        out[26] = 8.0
        return out
    _measured(db, dm, ab, am, met, out)
    out[34] = clipped(b[start:end], m[start:end])
    height = abs(out[4] if out[4] > 0.0 else out[22])
    slope = out[6] if np.isfinite(out[6]) else 0.0
    one, height_1, at_1 = spikes(db, dm, slope, SPIKE * height)
    two, height_2, at_2 = spikes(ab, am, slope, SPIKE * height)
    out[35] = one + two
    out[36], out[37] = (height_1, at_1) if height_1 >= height_2 else (height_2, at_2)
    out[38], out[39] = abs(b[end - 1] - b[start]), abs(m[end - 1] - m[start])
    out[40] = abs(m[end - 1] - m[end - 2]) + abs(m[start + 1] - m[start])
    return out


@njit(cache=True, error_model="numpy")
def _quarters(
    db: np.ndarray, dm: np.ndarray, ab: np.ndarray, am: np.ndarray, b0: float, m0: float, h: np.ndarray
) -> np.ndarray:
    """The four quarters of a loop `(4, n)` on the grid `h` of distances from the centre, all turned to where field and
    moment are positive: falling +h, falling -h, rising -h, rising +h."""
    n = h.size
    both, found = np.empty(2 * n), np.empty((4, n))
    for i in range(n):
        both[n + i], both[n - 1 - i] = b0 + h[i], b0 - h[i]
    falling, rising = between(db, dm, both), between(ab, am, both)
    for i in range(n):
        found[0, i], found[1, i] = falling[n + i] - m0, m0 - falling[n - 1 - i]
        found[2, i], found[3, i] = m0 - rising[n - 1 - i], rising[n + i] - m0
    return found


@njit(cache=True, error_model="numpy")
def _measured(db: np.ndarray, dm: np.ndarray, ab: np.ndarray, am: np.ndarray, met: int, out: np.ndarray) -> None:
    """Write the first 26 of `NAMES` into `out`. `met`: sign of the field at which the branches follow each other in
    time, 0 where they do not."""
    highest, work = out[23], np.empty((6, 4, 4))
    n = min(max(min(db.size, ab.size) // 2, 6), MOST)
    b0, b0_variance, intercept, gain, rest, rms, points = centre(db, dm, ab, am, highest, work)
    m0 = 0.5 * intercept
    width, start = END * highest - abs(b0), int(n * HIGH / END)
    h, drift, half, gap = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        h[i] = width * (i + 1.0) / n
    q1, q2, q3, q4 = _quarters(db, dm, ab, am, b0, m0, h)
    for i in range(n):
        drift[i] = (q1[i] - q4[i]) - (q3[i] - q2[i])
    closure, closure_sigma = _mean_of(drift, start)
    trusted = met if abs(closure) > 4.0 * closure_sigma else 0
    for i in range(n):
        if trusted < 0:
            half[i], gap[i] = 0.5 * (q2[i] + q3[i]), 0.5 * (q3[i] - q2[i])
        elif trusted > 0:
            half[i], gap[i] = 0.5 * (q1[i] + q4[i]), 0.5 * (q1[i] - q4[i])
        else:
            half[i] = 0.25 * (q1[i] + q2[i] + q3[i] + q4[i])
            gap[i] = 0.25 * (q1[i] - q4[i] + q3[i] - q2[i])
    last = n - 1
    while last > 0 and gap[last] < CLOSED * gap[0]:
        last -= 1
    ms, ms_sigma, chi, chi_sigma, missing, noise, fits = approach(h, half, min(h[last], 0.8 * h[-1]), work)
    out[4], out[5], out[6], out[7] = ms, ms_sigma, chi, chi_sigma
    out[10], out[11], out[12], out[13] = b0, np.sqrt(b0_variance), m0, rms / np.sqrt(2.0 * points)
    out[14] = -0.5 * np.log10(max(rest, 1e-30))
    out[16], out[17], out[20], out[21] = closure, closure_sigma, missing, noise
    out[22], out[24], out[25] = 0.5 * (q1[-1] + q2[-1]), fits, gain
    spread = 0.0
    for i in range(n):
        spread += (q1[i] - chi * h[i]) ** 2 + (q2[i] - chi * h[i]) ** 2
    spread /= 2.0 * n
    out[15] = 0.5 * np.log10(max(spread, 1e-300) / max(rms * rms, 1e-30 * max(spread, 1e-270)))
    opened, opened_sigma = _mean_of(gap, int(n * 0.8 / END))
    out[18], out[19] = opened, max(opened_sigma, rms / np.sqrt(n))
    low, high = max(db[0], ab[0]), min(db[-1], ab[-1])
    part = whole = _area(db, dm, low, high) - _area(ab, am, low, high)
    if trusted != 0:
        low, high = (low, b0) if trusted < 0 else (b0, high)
        part = 2.0 * (_area(db, dm, low, high) - _area(ab, am, low, high))
    out[8] = part
    out[9] = np.sqrt((0.5 * (part - whole)) ** 2 + (rms * 2.0 * highest / np.sqrt(n)) ** 2)
    if fits == 0:
        return
    # drift that adds to the moment and goes on evenly would part the branches at zero field by as much as where they
    # met times 1/(1 - h): what is seen there, or else half the closure, bounds it
    shift = 0.25 * min(abs(closure), 4.0 * closure_sigma)
    if trusted != 0:
        seen, squares = 0.0, 0.0
        for i in range(start, n):
            below = 1.0 - h[i] / h[-1]
            seen += 2.0 * gap[i] * below
            squares += below * below
        shift = min(0.5 * abs(seen) / max(squares, 1e-300), 0.25 * abs(closure))
    _at_zero(db, dm, ab, am, shift, work, out)


@njit(cache=True, error_model="numpy")
def _at_zero(
    db: np.ndarray, dm: np.ndarray, ab: np.ndarray, am: np.ndarray, shift: float, work: np.ndarray, out: np.ndarray
) -> None:
    """Write coercivity and remanence with their uncertainties into `out`, where the moment comes to zero; `shift`: how
    far drift may have moved the branches."""
    chi, b0, m0 = out[6], out[10], out[12]
    zero_d, zero_a = _crossing(db, dm, chi, b0, m0), _crossing(ab, am, chi, b0, m0)
    if not (np.isfinite(zero_d) and np.isfinite(zero_a)):
        return
    reach = 0.125 * abs(zero_a - zero_d)
    at_d, steep_d, unit_d, square_d, dof_d = _refined(db, dm, chi, b0, m0, zero_d, reach, work)
    at_a, steep_a, unit_a, square_a, dof_a = _refined(ab, am, chi, b0, m0, zero_a, reach, work)
    value_d, _, part_d, square_3, dof_3 = local_cubic(db, dm, b0, reach, 3, work)
    value_a, _, part_a, square_4, dof_4 = local_cubic(ab, am, b0, reach, 3, work)
    dof = dof_d + dof_a + dof_3 + dof_4
    variance = max((square_d + square_a + square_3 + square_4) / max(dof, 1), out[21] ** 2)
    straight = 0.5 * (_line(db, dm, b0) - _line(ab, am, b0))
    out[2] = 0.5 * (value_d - value_a)
    out[3] = np.sqrt(0.25 * (part_d + part_a) * variance + (shift**2 + (straight - out[2]) ** 2) / 3.0)
    steep = min(steep_d, steep_a)
    out[0] = 0.5 * (at_a - at_d)
    spread = 0.25 * (unit_d + unit_a) * variance
    spread += (0.5 * (zero_a - zero_d) - out[0]) ** 2 / 3.0
    out[1] = np.sqrt(spread + (shift / steep) ** 2 / 3.0 + (out[0] * out[7] / steep) ** 2)


@njit(cache=True, error_model="numpy")
def _line(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """`y` at `at` on the straight line between the points beside it."""
    j = min(max(int(np.searchsorted(x, at)), 1), x.size - 1)
    return y[j - 1] + (at - x[j - 1]) * (y[j] - y[j - 1]) / (x[j] - x[j - 1])
