"""Barkhausen noise: the passes over a window of samples, compiled. Shapes `(n,)` float64; nothing is remembered.

Each equals what scipy gives for it (named at each); `insitu.maths.magnetic.barkhausen` says what they are for.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True)
def scan(x: np.ndarray) -> tuple[float, float, float]:
    """Smallest, largest and sum; the sum is not finite where a sample is not."""
    a = b = c = d = 0.0
    low, high = x[0], x[0]
    whole = x.size - x.size % 4
    for i in range(0, whole, 4):
        p, q, r, s = x[i], x[i + 1], x[i + 2], x[i + 3]
        a += p
        b += q
        c += r
        d += s
        low = min(low, p, q, r, s)
        high = max(high, p, q, r, s)
    for i in range(whole, x.size):
        a += x[i]
        low, high = min(low, x[i]), max(high, x[i])
    return low, high, (a + b) + (c + d)


@njit(cache=True)
def moments(x: np.ndarray, mean: float) -> tuple[float, float, float]:
    """Means of the square, of (x - mean)^2 and of (x - mean)^4 (`scipy.stats.moment`)."""
    s0 = s1 = s2 = s3 = 0.0
    f0 = f1 = f2 = f3 = 0.0
    whole = x.size - x.size % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i] - mean, x[i + 1] - mean, x[i + 2] - mean, x[i + 3] - mean
        a, b, c, d = a * a, b * b, c * c, d * d
        s0 += a
        s1 += b
        s2 += c
        s3 += d
        f0 += a * a
        f1 += b * b
        f2 += c * c
        f3 += d * d
    for i in range(whole, x.size):
        a = (x[i] - mean) * (x[i] - mean)
        s0 += a
        f0 += a * a
    n = x.size
    second = ((s0 + s1) + (s2 + s3)) / n
    return second + mean * mean, second, ((f0 + f1) + (f2 + f3)) / n


@njit(cache=True)
def crowd(x: np.ndarray, low: float, high: float, width: float) -> tuple[int, int, int, int]:
    """How many samples lie within `width` of the lowest and in the next `width`; the same for the highest."""
    below, below_next, above, above_next = 0, 0, 0, 0
    first, second, third, fourth = low + width, low + 2.0 * width, high - width, high - 2.0 * width
    for i in range(x.size):
        v = x[i]
        if v < second:
            if v < first:
                below += 1
            else:
                below_next += 1
        elif v > fourth:
            if v > third:
                above += 1
            else:
                above_next += 1
    return below, below_next, above, above_next


@njit(cache=True)
def next_to_ends(x: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The second lowest and the second highest of all different values; the ends themselves where there is no other."""
    second, fourth = high, low
    for i in range(x.size):
        v = x[i]
        if low < v < second:
            second = v
        if fourth < v < high:
            fourth = v
    return second, fourth


@njit(cache=True)
def slow_part(x: np.ndarray, block: int) -> float:
    """Standard deviation of the means of whole blocks of samples; 0 for fewer than two blocks."""
    n = x.size // block
    if n < 2:
        return 0.0
    total, square = 0.0, 0.0
    first = 0.0
    for k in range(n):
        mean = 0.0
        for i in range(k * block, (k + 1) * block):
            mean += x[i]
        mean /= block
        if k == 0:
            first = mean
        total += mean - first
        square += (mean - first) ** 2
    return math.sqrt(max(square / n - (total / n) ** 2, 0.0))


@njit(cache=True)
def _mirrored(i: int, n: int) -> int:
    """Index i beyond the ends, as in a mirror that repeats the last sample (d c b a | a b c d | d c b a)."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


@njit(cache=True)
def moving_rms(x: np.ndarray, window: int, out: np.ndarray) -> None:
    """Fill `out` with the RMS in a window around each sample: `sqrt(scipy.ndimage.uniform_filter1d(x * x, window))`."""
    n, left = x.size, window // 2
    right = window - left - 1
    total = 0.0
    for i in range(-left, right + 1):
        v = x[_mirrored(i, n)]
        total += v * v
    begin, end = min(left + 1, n), max(min(n - right, n), 0)
    scale = 1.0 / window
    out[0] = total
    for i in range(1, begin):
        new, old = x[_mirrored(i + right, n)], x[_mirrored(i - left - 1, n)]
        total += new * new - old * old
        out[i] = total
    for i in range(begin, end):
        new, old = x[i + right], x[i - left - 1]
        total += new * new - old * old
        out[i] = total
    for i in range(max(begin, end), n):
        new, old = x[_mirrored(i + right, n)], x[_mirrored(i - left - 1, n)]
        total += new * new - old * old
        out[i] = total
    for i in range(n):
        out[i] = math.sqrt(max(out[i], 0.0) * scale)


@njit(cache=True)
def find_pulses(x: np.ndarray, threshold: float, dead: int) -> tuple[np.ndarray, np.ndarray]:
    """Areas (sum of |x|) and lengths in samples of the pulses: runs of |x| > threshold, joined across gaps of up to
    `dead - 1` samples below it (the next hit belongs to the same pulse up to `dead` samples after the last one)."""
    most = x.size // (dead + 1) + 1
    areas, lengths = np.empty(most), np.empty(most, np.int64)
    count, last, first = 0, -1, 0
    area, between = 0.0, 0.0
    for i in range(x.size):
        a = abs(x[i])
        if a > threshold:
            if last < 0:
                first, area = i, a
            elif i - last > dead:
                areas[count], lengths[count] = area, last - first + 1
                count += 1
                first, area = i, a
            else:
                area += between + a
            last, between = i, 0.0
        else:
            between += a
    if last >= 0:
        areas[count], lengths[count] = area, last - first + 1
        count += 1
    return areas[:count], lengths[:count]


@njit(cache=True)
def turning_points(h: np.ndarray, swing: float) -> np.ndarray:
    """Indices where h turns, each time by more than `swing`: the highest or lowest point before every such return."""
    found = np.empty(h.size, np.int64)
    count, top, bottom, way = 0, 0, 0, 0
    for i in range(h.size):
        if h[i] > h[top]:
            top = i
        if h[i] < h[bottom]:
            bottom = i
        if way >= 0 and h[top] - h[i] > swing:
            if way > 0:
                found[count] = top
                count += 1
            way, bottom = -1, i
            top = i
        elif way <= 0 and h[i] - h[bottom] > swing:
            if way < 0:
                found[count] = bottom
                count += 1
            way, top = 1, i
            bottom = i
    return found[:count]


@njit(cache=True)
def sort_by_field(
    x: np.ndarray, h: np.ndarray, bounds: np.ndarray, low: float, high: float, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of x^2 and number of samples `(sweeps, bins)`: sweep k is the samples from `bounds[k]` to `bounds[k + 1]`,
    bins are even from field `low` to `high`."""
    sweeps = bounds.size - 1
    total, count = np.zeros((sweeps, bins)), np.zeros((sweeps, bins))
    scale = bins / (high - low)
    for k in range(sweeps):
        at, inside, squares = 0, 0, 0.0  # kept apart while the samples stay in one bin: stores wait for one another
        for i in range(bounds[k], bounds[k + 1]):
            j = int((h[i] - low) * scale)
            j = 0 if j < 0 else bins - 1 if j >= bins else j
            if j != at:
                total[k, at] += squares
                count[k, at] += inside
                at, inside, squares = j, 0, 0.0
            inside += 1
            squares += x[i] * x[i]
        total[k, at] += squares
        count[k, at] += inside
    return total, count


@njit(cache=True)
def filtered(x: np.ndarray, sos: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Samples behind second-order sections `(m, 6)` that have seen x[0] for ever: `scipy.signal.sosfilt` with
    `zi = start * x[0]`, `start` `(m, 2)` as `sosfilt_zi` gives it."""
    out = x.copy()
    for k in range(sos.shape[0]):
        b0, b1, b2, a1, a2 = sos[k, 0], sos[k, 1], sos[k, 2], sos[k, 4], sos[k, 5]
        z0, z1 = start[k, 0] * x[0], start[k, 1] * x[0]
        for i in range(out.size):
            v = out[i]
            y = b0 * v + z0
            z0 = b1 * v - a1 * y + z1
            z1 = b2 * v - a2 * y
            out[i] = y
    return out
