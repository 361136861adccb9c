"""chi(k) to chi(R): the window, the transform, and the first shell.

    chi(R_n) = kstep/sqrt(pi) sum_j  w(k_j) k_j^kweight chi(k_j) exp(-2 i k_j R_n),    R_n = n pi/(kstep nfft)

with `kstep` 0.05 1/angstrom and `nfft` 2048, so that R goes in steps of 0.0307 angstrom. R is not corrected for the
phase shift of the electron: a shell appears 0.2 to 0.5 angstrom short. The uncertainty is the scatter of chi(R) between
15 and 25 angstrom, where no shell reaches.

The definitions are those of `xftf` and `ftwindow` of xraylarch 2026.3.1, with which the numbers agree. Noise from high
R after M. Newville, B. I. Boyanov, D. E. Sayers, J. Synchrotron Rad. 6 (1999) 264.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, nothing

WindowName = Literal["hanning", "parzen", "welch", "kaiser", "sine", "gaussian"]
KSTEP, NFFT = 0.05, 2048
RSTEP = math.pi / (KSTEP * NFFT)
NOISE_FROM, NOISE_TO = 15.0, 25.0


class Transform(NamedTuple):
    """A transform prepared for one k grid: `k` (p,), `weight` (p,) = window times k^kweight, `r` (q,) angstrom."""

    k: np.ndarray
    weight: np.ndarray
    r: np.ndarray


class Shell(NamedTuple):
    """The first shell: `position` in angstrom (no phase correction), `height` in angstrom^-(kweight + 1)."""

    position: Estimate
    height: Estimate


def window(
    x: np.ndarray, low: float, high: float, taper: float = 1.0, name: WindowName = "hanning", taper_high: float = -1.0
) -> np.ndarray:
    """A window on a uniform grid `x` (p,): 1 between `low` and `high`, falling over `taper` centred on them.

    `taper_high` below 0: the same as `taper`. "kaiser": one Kaiser-Bessel hump of that parameter; "sine": one half
    wave; "gaussian": a Gaussian of standard deviation `taper`.

    >>> w = window(np.arange(0.0, 14.01, 0.05), 3.0, 12.0)
    >>> round(float(w[60]), 3), round(float(w[100]), 3), round(float(w[240]), 3), float(w[270])
    (0.5, 1.0, 0.5, 0.0)
    """
    if x.size < 3:
        raise NotMeasurable(f"a window over {x.size} points of k")
    taper_high = taper if taper_high < 0.0 else taper_high
    step = float(x[-1] - x[0]) / (x.size - 1)
    tiny = 1e-4 * step
    if name == "gaussian":
        taper = max(taper, tiny)
    corners = (
        max(float(x[0]), low - 0.5 * taper),
        low + 0.5 * taper + tiny,
        high - 0.5 * taper_high - tiny,
        min(float(x[-1]), high + 0.5 * taper_high),
    )
    i1, i2, i3, i4 = (int((value + tiny) / step) for value in corners)
    i1, i2, i3, i4 = max(i1, 0), max(i2, 0), min(i3, x.size - 1), min(i4, x.size - 1)
    if i2 == i1:
        i1 = max(i2 - 1, 0)
    if i4 == i3:
        i3 = max(i4 - 1, i2)
    if not 0 <= i1 <= i2 <= i3 <= i4 < x.size:
        raise NotMeasurable(f"no room for a window from {low:g} to {high:g} on a grid up to {x[-1]:.2f}")
    x1, x2, x3, x4 = (float(x[i]) for i in (i1, i2, i3, i4))
    x2 += tiny if x1 == x2 else 0.0
    x4 += tiny if x3 == x4 else 0.0
    if name in ("kaiser", "sine", "gaussian"):
        return _hump(x, x1, x4, i1, i4, taper, name)
    w = np.zeros(x.size)
    w[i2:i3] = 1.0
    rise, fall = (x[i1 : i2 + 1] - x1) / (x2 - x1), (x[i3 : i4 + 1] - x3) / (x4 - x3)
    if name == "hanning":
        w[i1 : i2 + 1], w[i3 : i4 + 1] = np.sin(0.5 * np.pi * rise) ** 2, np.cos(0.5 * np.pi * fall) ** 2
    elif name == "parzen":
        w[i1 : i2 + 1], w[i3 : i4 + 1] = rise, 1.0 - fall
    else:
        w[i1 : i2 + 1], w[i3 : i4 + 1] = 1.0 - (1.0 - rise) ** 2, 1.0 - fall**2
    return w


def _hump(x: np.ndarray, low: float, high: float, first: int, last: int, taper: float, name: str) -> np.ndarray:
    """The windows that have no flat top."""
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    if name == "gaussian":
        return np.exp(-((x - centre) ** 2) / (2.0 * taper * taper))
    if name == "sine":
        w = np.zeros(x.size)
        w[first : last + 1] = np.sin(np.pi * (high - x[first : last + 1]) / (high - low))
        return w
    root = np.sqrt(np.maximum(1.0 - ((x - centre) / half) ** 2, 0.0))
    return (np.i0(taper * root) - 1.0) / max(float(np.i0(taper)) - 1.0, 1e-10)


def prepare_transform(
    points: int,
    *,
    kmin: float = 3.0,
    kmax: float = 12.0,
    kweight: int = 2,
    dk: float = 1.0,
    name: WindowName = "hanning",
    rmax: float = 10.0,
) -> Transform:
    """Prepare for chi(k) of `points` values at 0, 0.05, ... 1/angstrom. `kmax` beyond the data is cut to them.

    Raises `NotMeasurable` where less than 2 1/angstrom are left between kmin and the end of the data.
    """
    k = KSTEP * np.arange(points)
    end = float(k[-1]) if points else 0.0
    if min(kmax, end) - kmin < 2.0:
        raise NotMeasurable(f"chi(k) ends at {end:.2f} 1/angstrom: nothing to transform above kmin {kmin:g}")
    kmax = min(kmax, end)
    wide = KSTEP * np.arange(int(1.01 + max(end, kmax + dk) / KSTEP))
    weight = window(wide, kmin, kmax, dk, name)[:points] * k**kweight
    return Transform(k, weight, RSTEP * np.arange(int(min(NFFT / 2, 1.01 + rmax / RSTEP))))


def fourier(chi: np.ndarray, transform: Transform) -> np.ndarray:
    """Complex chi(R), `(1024,)`, of chi(k) `(p,)`, or `(m, 1024)` of `(m, p)`; `transform.r` names the first ones.

    A series is done spectrum by spectrum, so that it is the same to the last bit as one by one.
    """
    if chi.ndim == 2:
        return np.stack([fourier(one, transform) for one in chi])
    return KSTEP / math.sqrt(math.pi) * np.fft.rfft(chi * transform.weight, NFFT)[: NFFT // 2]


def noise_in_r(chi_r: np.ndarray) -> float:
    """Standard deviation of the real and of the imaginary part of chi(R), read between 15 and 25 angstrom."""
    quiet = chi_r[int(NOISE_FROM / RSTEP) : int(NOISE_TO / RSTEP)]
    return math.sqrt(0.5 * float(np.mean(np.abs(quiet) ** 2)))


def first_shell(chi_r: np.ndarray, transform: Transform, rmin: float = 1.0, rmax: float = 3.5) -> Shell:
    """Position and height of the first shell in |chi(R)|, from complex chi(R) of `fourier`.

    The first maximum between `rmin` and `rmax` that reaches half of the highest one there, refined by a parabola
    through three points. Standard uncertainties: height, the noise of `noise_in_r`; position,
    `noise 2 s_k / |curvature|` with s_k the standard deviation of k over the weights, which is how fast noise of this
    bandwidth changes with R.
    """
    first, last = max(math.ceil(rmin / RSTEP), 1), min(int(rmax / RSTEP), chi_r.size - 2)
    size = np.abs(chi_r[: last + 2])
    inner = size[first : last + 1]
    tops = np.flatnonzero((inner > size[first - 1 : last]) & (inner >= size[first + 1 : last + 2])) + first
    if tops.size == 0:
        why = nothing(f"no maximum of |chi(R)| between {rmin:g} and {rmax:g} angstrom")
        return Shell(why, why)
    noise, highest = noise_in_r(chi_r), float(size[tops].max())
    if highest <= 4.0 * noise:
        why = nothing(f"the highest |chi(R)| between {rmin:g} and {rmax:g} angstrom is within 4 sigma of the noise")
        return Shell(why, why)
    top = int(tops[size[tops] >= 0.5 * highest][0])
    left, middle, right = (float(v) for v in size[top - 1 : top + 2])
    bend = left - 2.0 * middle + right
    off = 0.5 * (left - right) / bend
    weight = transform.weight**2
    mean = float(np.sum(weight * transform.k) / np.sum(weight))
    s_k = math.sqrt(float(np.sum(weight * (transform.k - mean) ** 2) / np.sum(weight)))
    sigma = noise * 2.0 * s_k / (abs(bend) / RSTEP**2)
    return Shell(Estimate((top + off) * RSTEP, sigma), Estimate(middle - 0.25 * (left - right) * off, noise))
