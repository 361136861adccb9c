"""The offset between two clocks that saw the same signal, by cross-correlation.

Both signals are put on one grid as fine as the finer of them allows, freed of mean and scaled by what overlaps; the
offset is where their correlation is highest, refined by a parabola through the three points around it. Its
uncertainty is that of the argument of a maximum in noise: sigma^2 = (1 - r^2) / (m r |r''|), with m independent
points and the curvature r'' of the correlation at the top (Carter, Proc. IEEE 75 (1987) 236, in its discrete form).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST = 12
MOST_POINTS = 1 << 17
LEAST_CORRELATION = 0.5


class Offset(NamedTuple):
    """`offset_s` is to be added to the second clock to get the first, known to `sigma_s`; `correlation` at it, 0 to 1.
    `why` says what is missing where there is none (the numbers are then 0)."""

    offset_s: float
    sigma_s: float
    correlation: float
    why: str = ""


def estimate_offset(
    time_a: Sequence[float],
    a: Sequence[float],
    time_b: Sequence[float],
    b: Sequence[float],
    *,
    largest: float = math.inf,
) -> Offset:
    """What to add to `time_b` (s) so that `b` lies on `a` over `time_a` (s); all `(n,)`, times ascending.

    `largest`: no offset beyond this (s) is looked for; by default, the signals overlap by half of the shorter one.

    >>> t = np.arange(0, 200, 0.5)
    >>> found = estimate_offset(t, np.exp(-(((t - 90) / 9) ** 2)), t, np.exp(-(((t - 77) / 9) ** 2)))
    >>> round(found.offset_s, 2), found.correlation > 0.99
    (13.0, True)
    """
    ta, ya, tb, yb = (np.asarray(v, np.float64) for v in (time_a, a, time_b, b))
    if min(ta.size, tb.size) < FEWEST:
        return Offset(0.0, 0.0, 0.0, f"{min(ta.size, tb.size)} points are too few to compare")
    if not (np.ptp(ya) > 0 and np.ptp(yb) > 0):
        return Offset(0.0, 0.0, 0.0, "one of the signals never changes")
    step = float(min(np.median(np.diff(ta)), np.median(np.diff(tb))))
    span = max(ta[-1] - ta[0], tb[-1] - tb[0])
    if not step > 0:
        return Offset(0.0, 0.0, 0.0, "times repeat")
    step = max(step, span / MOST_POINTS)
    grid_a, grid_b = np.arange(ta[0], ta[-1] + step / 2, step), np.arange(tb[0], tb[-1] + step / 2, step)
    ya, yb = np.interp(grid_a, ta, ya), np.interp(grid_b, tb, yb)
    lags, r = _correlation(ya, yb)
    offsets = lags * step + (ta[0] - tb[0])
    r = np.where(np.abs(offsets) <= largest, r, -1.0)
    top = int(np.argmax(r))
    if r[top] < LEAST_CORRELATION:
        return Offset(0.0, 0.0, float(max(r[top], 0.0)), f"the signals do not resemble each other (r = {r[top]:.2f})")
    if not 0 < top < r.size - 1:
        return Offset(0.0, 0.0, float(r[top]), "they resemble each other best at the edge of what overlaps")
    left, mid, right = r[top - 1 : top + 2]
    bend = left - 2 * mid + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    independent = min(ta.size, tb.size)
    sigma = step * math.sqrt(max(1 - mid**2, 1e-12) / (independent * mid * max(-bend, 1e-12)))
    return Offset(float(offsets[top] + shift * step), max(sigma, 0.05 * step), float(min(mid, 1.0)))


def _correlation(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lags (in steps, b moved right is positive) and Pearson's r over what overlaps, at least half of the shorter."""
    from scipy.signal import fftconvolve

    def sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return fftconvolve(x, y[::-1])

    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    one_a, one_b = np.ones_like(a), np.ones_like(b)
    n = np.rint(sums(one_a, one_b))
    sa, sb, sab = sums(a, one_b), sums(one_a, b), sums(a, b)
    va, vb = sums(a * a, one_b) - sa**2 / n, sums(one_a, b * b) - sb**2 / n
    lags = np.arange(-(b.size - 1), a.size)
    with np.errstate(all="ignore"):
        r = (sab - sa * sb / n) / np.sqrt(va * vb)
    enough = (n >= min(a.size, b.size) / 2) & (va > 1e-9 * n) & (vb > 1e-9 * n) & np.isfinite(r)
    return lags, np.where(enough, r, -1.0)
