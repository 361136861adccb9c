"""The ABBM model of Barkhausen noise, stepped exactly: a domain wall driven through a field with a random pinning.

In reduced units (time in correlation times, velocity in what one unit of driving gives) the velocity v of the wall is

    dv = (c - v) dt + sqrt(2 v) dW

(B. Alessandro, C. Beatrice, G. Bertotti, A. Montorsi, J. Appl. Phys. 68 (1990) 2901 and 2908). `c` is the reduced
driving rate: what dH/dt, permeability and pinning make of it. This is the square-root process of W. Feller (Ann. Math.
54 (1951) 173), whose step is known in full, however long it is:

    v(t + h) = (1 - e^-h) g,  g ~ gamma(c + m),  m ~ Poisson(v(t) e^-h / (1 - e^-h))

(a non-central chi-square; J. C. Cox, J. E. Ingersoll, S. A. Ross, Econometrica 53 (1985) 385). No step is too long,
and v never is negative, for c < 1 neither, where the wall stops again and again. Known answers: v is gamma distributed
with shape c and scale 1 (mean c, variance c), its autocorrelation is exp(-t), and for 0 < c < 1 the jumps between two
stops have sizes S and durations T with

    P(S) ~ S^-(3/2 - c/2),  P(T) ~ T^-(2 - c)       (T well below 1, S well below 1)

(G. Durin, S. Zapperi, in The Science of Hysteresis II (2006) 181; F. Colaiori, Adv. Phys. 57 (2008) 287). To be precise
P(T) ~ e^T (e^T - 1)^-(2 - c): the power law holds within 2 % up to T = 0.2 and ends as exp(-(1 - c) T).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit


@njit(cache=True)
def _walk(c: np.ndarray, out: np.ndarray, v: float, step: float, random: np.random.Generator) -> None:
    """Fill `out` `(n,)` with the velocity after each step; `c` `(n,)` is the driving rate during it, above 0."""
    scale = -math.expm1(-step)
    kept = math.exp(-step) / scale
    for i in range(out.size):
        v = scale * random.standard_gamma(c[i] + random.poisson(v * kept))
        out[i] = v


def velocity(
    c: float | np.ndarray, step: float, random: np.random.Generator, *, n: int | None = None, start: float | None = None
) -> np.ndarray:
    """The velocity `(n,)` after each of n steps of length `step` (in correlation times).

    `c`: the driving rate, above 0; an array `(n,)` where it changes from step to step. `start`: the velocity before the
    first step (default: drawn from the stationary law of the first c). ValueError for what is not above 0.

    >>> v = velocity(0.5, 0.05, np.random.default_rng(1), n=200_000)
    >>> round(float(v.mean()), 2), round(float(v.var()), 2)
    (0.5, 0.5)
    """
    rates = np.full(n or 0, c, np.float64) if np.ndim(c) == 0 else np.ascontiguousarray(c, np.float64)
    if not rates.size or not step > 0.0 or not bool((rates > 0.0).all()):
        raise ValueError("steps, their length and the driving rate are above 0")
    first = random.standard_gamma(rates[0]) if start is None else float(start)
    out = np.empty(rates.size)
    _walk(rates, out, first, step, random)
    return out


def size_exponent(c: float) -> float:
    """Exponent of the sizes of jumps, `3/2 - c/2` for 0 < c < 1."""
    return 1.5 - 0.5 * c


def duration_exponent(c: float) -> float:
    """Exponent of the durations of jumps, `2 - c` for 0 < c < 1."""
    return 2.0 - c


def stops(v: np.ndarray, c: float, step: float, random: np.random.Generator) -> np.ndarray:
    """Between which points `(n,)` of a velocity the wall stopped: True `(n - 1,)`. For 0 < c < 1.

    A velocity that is never 0 at the points was 0 between two of them with the chance `1 - I_nu(z) / I_-nu(z)`, nu =
    1 - c, z = sqrt(v0 v1) / sinh(h / 2): the density of paths that are stopped at 0 over that of all (A. N. Borodin,
    P. Salminen, Handbook of Brownian Motion (2002), part I, appendix 1.23). One is drawn for each step.
    """
    from scipy.special import ive, kve

    nu = 1.0 - c
    z = np.sqrt(v[:-1] * v[1:]) / math.sinh(0.5 * step)
    stopped = np.zeros(z.size, np.bool_)
    near = np.flatnonzero(z < 20.0)  # further away the chance is below 1e-16
    k = 2.0 / math.pi * math.sin(nu * math.pi) * kve(nu, z[near]) * np.exp(-2.0 * z[near])
    stopped[near] = random.random(near.size) * (ive(nu, z[near]) + k) < k
    return stopped


class Jumps(NamedTuple):
    """Jumps between two stops: `sizes` (area), `durations` as numbers of points; those cut by the ends left out."""

    sizes: np.ndarray
    durations: np.ndarray


def jumps(v: np.ndarray, c: float, step: float, random: np.random.Generator) -> Jumps:
    """The jumps of a velocity `(n,)` between its stops, without any threshold. For 0 < c < 1."""
    at = np.flatnonzero(stops(v, c, step, random)) + 1
    if at.size < 2:
        return Jumps(np.empty(0), np.empty(0, np.int64))
    sizes = np.add.reduceat(v[: at[-1]], at[:-1]) * step
    return Jumps(sizes, np.diff(at))
