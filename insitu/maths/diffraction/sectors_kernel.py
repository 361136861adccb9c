"""A ring's own mean profile fitted to each sector of azimuth: amplitude and shift, with their uncertainties.

    y(x) = b0 + b1 u + A T(x - shift - delta),   weights 1/variance

T: the profile of the ring averaged over all sectors, without its background line, 1 at the top. `delta` is found by
Gauss-Newton steps; uncertainties are those of the weighted least squares.
"""

# The types of the arguments are numba's to find: pyright sees none.
# pyright: reportMissingParameterType=false

import math

import numpy as np
from numba import njit

from insitu.maths.waves import invert

STEPS = 8
AMPLITUDE, AMPLITUDE_SIGMA, SHIFT, SHIFT_SIGMA, COVERED = range(5)


@njit(cache=True, nogil=True)
def template(mean, first, last):
    """Bins `first` to `last` of `mean` without the line through its ends, 1 at the top; and its height."""
    n = last - first + 1
    left, right = 0.5 * (mean[first] + mean[first + 1]), 0.5 * (mean[last] + mean[last - 1])
    out = np.empty(n)
    for j in range(n):
        out[j] = mean[first + j] - (left + (right - left) * j / (n - 1))
    top = out.max()
    if top > 0.0:
        out /= top
    return out, top


@njit(cache=True, nogil=True)
def fit_sectors(profile, first, start, step, x, y, variance, empty, shift, out):
    """Fill `out` `(sectors, 5)` for one ring: amplitude (height of the ring), its sigma, delta in units of
    x, its sigma (0: not found), and the share of its points that the sector has.

    `profile` `(n,)` lies over bins `first` on of an axis that starts at `start` (middle of bin 0) with `step`. `x`,
    `y`, `variance`, `empty`: `(sectors, bins)`; `shift` `(sectors,)`: where the ring is to be looked for.
    """
    n, bins = profile.size, y.shape[1]
    a, b, basis = np.empty((4, 4)), np.empty(4), np.empty(4)
    for s in range(y.shape[0]):
        out[s] = 0.0
        move = int(np.rint(shift[s] / step))
        low, high = max(first + move, 0), min(first + move + n, bins)
        used = 0
        for j in range(low, high):
            used += not empty[s, j]
        out[s, COVERED] = used / n
        if used < 6:
            continue
        delta, height, moved = 0.0, 0.0, 0.0
        for k in range(STEPS):
            a[:] = 0.0
            b[:] = 0.0
            for j in range(low, high):
                if empty[s, j]:
                    continue
                at = (x[s, j] - shift[s] - delta - start) / step - first
                i = min(max(math.floor(at), 0), n - 2)
                part = min(max(at - i, 0.0), 1.0)
                before, after = profile[max(i - 1, 0)], profile[min(i + 2, n - 1)]
                slope0 = 0.5 * (profile[i + 1] - before)
                slope1 = 0.5 * (after - profile[i])
                basis[0], basis[1] = 1.0, (at - 0.5 * n) / n
                basis[2] = profile[i] + part * (profile[i + 1] - profile[i])
                basis[3] = -(slope0 + part * (slope1 - slope0)) / step
                w = 1.0 / variance[s, j]
                for p in range(4):
                    b[p] += w * basis[p] * y[s, j]
                    for q in range(4):
                        a[p, q] += w * basis[p] * basis[q]
            if not invert(a):
                a[:] = 0.0
            height = turn = 0.0
            for p in range(4):
                height += a[2, p] * b[p]
                turn += a[3, p] * b[p]
            if not (height > 0.0 and a[2, 2] > 0.0):
                break
            moved = min(max(turn / height, -2.0 * step), 2.0 * step)
            if k < STEPS - 1:
                delta += moved
            if abs(moved) < 1e-4 * step:
                break
        out[s, AMPLITUDE] = height
        out[s, AMPLITUDE_SIGMA] = math.sqrt(max(a[2, 2], 0.0))
        if height > 0.0 and abs(moved) < 0.05 * step and abs(delta) < 0.5 * n * step:
            out[s, SHIFT] = delta
            out[s, SHIFT_SIGMA] = math.sqrt(max(a[3, 3], 0.0)) / height
