"""Background removal and chi(k): the smooth spline under the wiggles that leaves least signal below `rbkg`.

The background is a cubic spline in k with about `2 rbkg (kmax - kmin)/pi` knots. Its coefficients c minimise

    |F (S mu - S B c)|^2 + w(c)^2 |ends of chi|^2,    w = 0.1 + 10 mean((F chi)^2)

B: the B-splines at the measured points; S: interpolation to the uniform k grid; F: the real and imaginary part of
chi(R) up to rbkg. Everything is linear in c except the clamp w. With the thin decomposition F S B = Q R and
e = Q^T F S mu - R c the stationary point is `e = -beta Z^T (1 + beta Z Z^T)^-1 z`, z the clamped ends of chi for the
unclamped background, Z how they move with e, and one number beta to find: `beta = w^2/(1 + 20 w |u|^2/m)`. So all that
depends on the grid and E0 is prepared once, and a spectrum costs one spline and three small products.

Method: M. Newville et al., Phys. Rev. B 47 (1993) 14126; clamps and all conventions as in `autobk` of xraylarch
2026.3.1, with which chi(k) agrees to 1e-5 of its largest value. The clamp weighs by the unit of mu: spectra that
differ by a factor have (a little) different chi(k); give normalised mu where that matters.

Plain loops in a fixed order: a series gives the same bits as its spectra one by one.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.fourier import KSTEP, NFFT, RSTEP, WindowName, window
from insitu.maths.absorption.spectrum import KTOE, NotMeasurable, at_or_below, grid_of, nearest, plain
from insitu.maths.absorption.spline import Spline, prepare_spline, read_into

FEWEST_ABOVE = 20
COSINES, SINES = (f(2.0 * math.pi / NFFT * np.arange(NFFT)) for f in (np.cos, lambda x: -np.sin(x)))


class Background(NamedTuple):
    """What removing the background gave: `k` and `chi` `(p,)`; `mu0` `(n,)`, the background, mu itself below E0."""

    k: np.ndarray
    chi: np.ndarray
    mu0: np.ndarray


class Plan(NamedTuple):
    """All that depends on the energies and on E0 but not on mu.

    `first`, `last`: the points used are `first <= i < last`; `k` (p,); `spline`: from those points to k; `forward`
    (p, 2 b): F transposed; `project` (2 b, s): Q; `to_chi` (p, s) and `to_mu` (m, s): what e adds to chi and to the
    background; `clamp` (p,): weight of each value of chi in the clamp; `axes` (g, g), `values` (g,): eigenvectors and
    eigenvalues of Z Z^T; `clamped` (g,) the places that are clamped; `lean` (g, s): Z.
    """

    first: int
    last: int
    k: np.ndarray
    spline: Spline
    forward: np.ndarray
    project: np.ndarray
    to_chi: np.ndarray
    to_mu: np.ndarray
    clamp: np.ndarray
    clamped: np.ndarray
    lean: np.ndarray
    axes: np.ndarray
    values: np.ndarray


def prepare_background(
    energy: np.ndarray,
    e0: float,
    *,
    rbkg: float = 1.0,
    kweight: int = 2,
    kmin: float = 0.0,
    kmax: float | None = None,
    dk: float = 0.1,
    name: WindowName = "hanning",
    clamps: int = 3,
    clamp_low: float = 0.0,
    clamp_high: float = 1.0,
) -> Plan:
    """Prepare for spectra at `energy` (n,), eV, with the edge at `e0`. `kmax` None: to the end of the data.

    `clamps`: how many values of chi at each end are clamped, with weights `clamp_low` and `clamp_high`.
    Raises `NotMeasurable` where there is no EXAFS range (less than 3 1/angstrom or 20 points above E0).
    """
    energy = np.ascontiguousarray(energy, dtype=np.float64)
    grid_of(energy)
    if not energy[0] <= e0 < energy[-1]:
        raise NotMeasurable(f"E0 {e0:.2f} eV lies outside the spectrum, {energy[0]:.1f} to {energy[-1]:.1f} eV")
    first = at_or_below(energy, e0)
    above = energy[first:] - e0
    k_raw = np.sign(above) * np.sqrt(np.abs(above) / KTOE)
    kmax = float(k_raw[-1]) if kmax is None else max(0.0, min(float(k_raw[-1]), kmax))
    if kmax - kmin < 3.0 or k_raw.size < FEWEST_ABOVE:
        raise NotMeasurable(
            f"no EXAFS range: {k_raw.size} points up to k = {kmax:.2f} 1/angstrom above E0 (needed: {FEWEST_ABOVE}"
            f" points and {kmin + 3.0:g} 1/angstrom)"
        )
    k = KSTEP * np.arange(int(1.01 + kmax / KSTEP))
    stop = min(energy.size, 2 + at_or_below(energy, e0 + kmax * kmax * KTOE)) - first
    rbkg = max(rbkg, 2.0 * RSTEP)
    count = 1 + int(2.0 * rbkg * (kmax - kmin) / math.pi)
    low_r = int(1 + (count - 1) * math.pi / (2.0 * RSTEP * (kmax - kmin)))
    count = max(5, min(128, count))
    splines = _b_splines(k_raw, stop, np.linspace(kmin, kmax, count))
    spline = prepare_spline(k_raw[:stop], k)
    on_k = np.empty((k.size, count))
    _read_columns(splines, spline, on_k)
    weight = k**kweight * window(k, kmin, kmax, dk, name)
    turns = np.outer(np.arange(k.size), np.arange(low_r)) % NFFT
    forward = np.hstack([COSINES[turns], SINES[turns]])
    forward *= (weight * KSTEP / math.sqrt(math.pi))[:, None]
    project, triangle = np.linalg.qr(forward.T @ on_k)
    if not np.min(np.abs(np.diag(triangle))) > 1e-10 * np.max(np.abs(np.diag(triangle))):
        raise NotMeasurable("the points above E0 do not determine a background spline")
    inverse = np.linalg.inv(triangle)
    to_chi, to_mu = on_k @ inverse, splines @ inverse
    clamp = np.zeros(k.size)
    clamp[:clamps] = abs(clamp_low)
    clamp[k.size - clamps :] = abs(clamp_high)
    clamped = np.flatnonzero(clamp)
    lean = clamp[clamped, None] * to_chi[clamped]
    values, axes = np.linalg.eigh(lean @ lean.T)
    whole = np.ascontiguousarray
    return Plan(
        first, first + stop, k, spline, whole(forward), whole(project), whole(to_chi), whole(to_mu),
        clamp, clamped, whole(lean), whole(axes), np.maximum(values, 0.0),
    )  # fmt: skip


def _b_splines(k_raw: np.ndarray, stop: int, wanted: np.ndarray) -> np.ndarray:
    """The cubic B-splines of the background at the first `stop` points, `(stop, s)`; knots at measured points."""
    from scipy.interpolate import BSpline

    at = np.array([nearest(k_raw, float(q)) for q in wanted])
    knots = k_raw[at]
    if not (np.diff(knots) > 0.0).all():
        raise NotMeasurable("the points above E0 are too sparse for a background spline")
    full = np.concatenate([np.repeat(knots[0], 4), knots[2:-2], np.repeat(knots[-1], 4)])
    return np.ascontiguousarray(BSpline(full, np.eye(knots.size), 3)(k_raw[:stop], extrapolate=True))


def remove_background(mu: np.ndarray, step: float, plan: Plan) -> Background:
    """chi(k) of one spectrum `mu` (n,) with the edge step `step`, in mu's unit.

    >>> energy = 8979.0 + np.concatenate([np.arange(-200.0, -20.0, 5.0), np.arange(-20.0, 40.0, 0.5),
    ...                                   3.81 * np.arange(3.25, 16.0, 0.05) ** 2])
    >>> k = np.sqrt(np.maximum(energy - 8979.0, 0.0) / KTOE)
    >>> smooth = np.where(k > 0.0, 1.0 - 0.02 * k, 0.0)
    >>> wiggle = 0.3 * np.sin(2.0 * k * 2.3) * np.exp(-0.01 * k * k)
    >>> plan = prepare_background(energy, 8979.0)
    >>> found = remove_background(smooth + np.where(k > 0.0, wiggle, 0.0), 1.0, plan)
    >>> inside = (found.k > 3.0) & (found.k < 13.0)
    >>> true = 0.3 * np.sin(2.0 * found.k * 2.3) * np.exp(-0.01 * found.k**2)
    >>> bool(np.abs(found.chi - true)[inside].max() < 0.02)
    True
    """
    chi, mu0 = remove_backgrounds(np.ascontiguousarray(mu, dtype=np.float64)[None, :], np.array([step]), plan)
    return Background(plan.k, chi[0], mu0[0])


def remove_backgrounds(mu: np.ndarray, steps: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """chi `(m, p)` and background `(m, n)` of a series `mu` (m, n) with edge steps `(m,)`; the bits of one by one."""
    mu = plain(mu)
    chi, mu0 = np.empty((mu.shape[0], plan.k.size)), mu.copy()
    _remove(mu, plain(steps), tuple(plan), chi, mu0)
    return chi, mu0


@njit(cache=True, error_model="numpy")
def _read_columns(columns, spline, out):
    """Interpolate every column to the k grid."""
    y, one = np.empty(columns.shape[0]), np.empty(out.shape[0])
    second = np.empty(columns.shape[0])
    for j in range(columns.shape[1]):
        for i in range(y.size):
            y[i] = columns[i, j]
        read_into(y, spline, second, one)
        for i in range(one.size):
            out[i, j] = one[i]


@njit(cache=True, error_model="numpy")
def _clamp_strength(bent, values, rest, count):
    """beta for the clamped ends `bent` in the axes of Z Z^T: the root of a rising function, by bisection."""
    low, high = 0.0, 1.0
    for attempt in range(400):
        beta = high if attempt < 100 and low == 0.0 else 0.5 * (low + high)
        ends = moved = 0.0
        for i in range(bent.size):
            u = bent[i] / (1.0 + beta * values[i])
            ends += u * u
            moved += values[i] * u * u
        w = 0.1 + 10.0 * (beta * beta * moved + rest) / count
        if beta * (1.0 + 20.0 * w * ends / count) < w * w:
            if low == 0.0 and beta == high and high < 1e30:
                low, high = 0.0, 4.0 * high
                continue
            low = beta
        else:
            high = beta
            if low == 0.0:
                low = 1e-300
        if high - low <= 1e-15 * high:
            break
    return 0.5 * (low + high)


@njit(cache=True, error_model="numpy")
def _remove(mu, steps, plan, chi, mu0):
    first, last, _, spline, forward, project, to_chi, to_mu, clamp, clamped, lean, axes, values = plan
    second = np.empty(last - first)
    low, e = np.empty(forward.shape[1]), np.empty(project.shape[1])
    ends, bent = np.empty(clamped.size), np.empty(clamped.size)
    for row in range(mu.shape[0]):
        y, x = mu[row, first:last], chi[row]
        read_into(y, spline, second, x)
        low[:] = 0.0
        for j in range(x.size):
            for i in range(low.size):
                low[i] += forward[j, i] * x[j]
        e[:] = 0.0
        for j in range(low.size):
            for i in range(e.size):
                e[i] += project[j, i] * low[j]
        rest = 0.0  # |F chi|^2 that no background can take away
        for j in range(low.size):
            part = low[j]
            for i in range(e.size):
                part -= project[j, i] * e[i]
            rest += part * part
        for g in range(clamped.size):
            total = x[clamped[g]]
            for i in range(e.size):
                total -= to_chi[clamped[g], i] * e[i]
            ends[g] = clamp[clamped[g]] * total
        if clamped.size > 0:
            for g in range(clamped.size):
                total = 0.0
                for h in range(clamped.size):
                    total += axes[h, g] * ends[h]
                bent[g] = total
            beta = _clamp_strength(bent, values, rest, low.size)
            for g in range(clamped.size):
                bent[g] *= beta / (1.0 + beta * values[g])
            for h in range(clamped.size):
                u = 0.0
                for g in range(clamped.size):
                    u += axes[h, g] * bent[g]
                for i in range(e.size):
                    e[i] += lean[h, i] * u  # d = q - e of the head of this file
        for j in range(x.size):
            total = x[j]
            for i in range(e.size):
                total -= to_chi[j, i] * e[i]
            x[j] = total / steps[row]
        for j in range(last - first):
            total = 0.0
            for i in range(e.size):
                total += to_mu[j, i] * e[i]
            mu0[row, first + j] = total
