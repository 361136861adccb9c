"""Hysteresis by the model of Jiles and Atherton: loops for simulation, in A/m.

    He      = H + alpha M                                     the field that a domain feels
    Man     = Ms (coth(He/a) - a/He)                          without hysteresis
    dM/dH   = (c dMan/dHe + (1 - c) p) / (1 - alpha (c dMan/dHe + (1 - c) p))
    p       = (Man - Mirr) / (k sign(dH)), 0 where that would be negative
    Mirr    = (M - c Man) / (1 - c)

`a` (A/m) shapes the curve without hysteresis, `k` (A/m) pins walls and is about the coercive field, `c` is the
reversible part, `alpha` couples domains. Sources: D. C. Jiles, D. L. Atherton, J. Magn. Magn. Mater. 61 (1986) 48; p
without negative values: J. H. B. Deane, IEEE Trans. Magn. 30 (1994) 2795.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

MU0 = 4e-7 * math.pi
"""T m/A (the SI of 2019 differs by 2e-10 of it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Parameters of the model: `ms`, `a`, `k` in A/m; `alpha`, `c` numbers. ValueError where they have no solution."""

    ms: float = 1.6e6
    a: float = 1100.0
    k: float = 400.0
    alpha: float = 1.6e-3
    c: float = 0.2

    def __post_init__(self) -> None:
        for name in ("ms", "a", "k"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} = {value} A/m: it is more than 0")
        if not 0.0 <= self.c < 1.0:
            raise ValueError(f"c = {self.c}: it is 0 or more, and less than 1")
        if not 0.0 <= self.alpha * self.ms < 3.0 * self.a:
            raise ValueError(
                f"alpha = {self.alpha}: alpha ms is less than 3 a, or the curve without hysteresis goes backwards"
            )


@njit(cache=True)
def anhysteretic(x: float) -> float:
    """Langevin's function coth x - 1/x.

    >>> round(anhysteretic(1.0), 6), round(anhysteretic(1e-5), 9)
    (0.313035, 3.333e-06)
    """
    if abs(x) < 1e-2:
        return x / 3.0 - x**3 / 45.0
    return 1.0 / math.tanh(x) - 1.0 / x


@njit(cache=True)
def _rise(x: float) -> float:
    """Its derivative, 1/x^2 - 1/sinh^2 x."""
    if abs(x) < 1e-2:
        return 1.0 / 3.0 - x * x / 15.0
    if abs(x) > 300.0:
        return 1.0 / (x * x)
    return 1.0 / (x * x) - 1.0 / math.sinh(x) ** 2


@njit(cache=True)
def _slope(h: float, m: float, way: float, ms: float, a: float, k: float, alpha: float, c: float) -> float:
    x = (h + alpha * m) / a
    man = ms * anhysteretic(x)
    mirr = (m - c * man) / (1.0 - c)
    pinned = way * (man - mirr) / k
    flow = c * ms / a * _rise(x) + (1.0 - c) * max(pinned, 0.0)
    return flow / max(1.0 - alpha * flow, 1e-9)


@njit(cache=True)
def _follow(h: np.ndarray, m0: float, ms: float, a: float, k: float, alpha: float, c: float, step: float) -> np.ndarray:
    """Magnetisation `(n,)` along fields `(n,)`, from `m0`; Runge-Kutta steps (4th order) of `step` A/m or less."""
    found = np.empty(h.size)
    found[0] = m = m0
    for i in range(1, h.size):
        span = h[i] - h[i - 1]
        n = int(abs(span) / step) + 1
        d, way = span / n, 1.0 if span > 0.0 else -1.0
        for j in range(n):
            at = h[i - 1] + j * d
            one = _slope(at, m, way, ms, a, k, alpha, c)
            two = _slope(at + 0.5 * d, m + 0.5 * d * one, way, ms, a, k, alpha, c)
            three = _slope(at + 0.5 * d, m + 0.5 * d * two, way, ms, a, k, alpha, c)
            four = _slope(at + d, m + d * three, way, ms, a, k, alpha, c)
            m += d * (one + 2.0 * two + 2.0 * three + four) / 6.0
        found[i] = m
    return found


def follow(h: np.ndarray, material: Material, m0: float = 0.0) -> np.ndarray:
    """Magnetisation `(n,)` in A/m along a path of fields `(n,)` in A/m that begins with `m0`."""
    path = np.ascontiguousarray(h, np.float64)
    step = 0.02 * min(material.a, material.k)
    return _follow(path, float(m0), material.ms, material.a, material.k, material.alpha, material.c, step)


def settled_loop(h: np.ndarray, material: Material, cycles: int = 2) -> np.ndarray:
    """Magnetisation `(n,)` along one cycle of fields `(n,)` that ends where it begins, after the loop has settled.

    >>> h = np.concatenate([np.linspace(2e4, -2e4, 201), np.linspace(-2e4, 2e4, 201)])
    >>> m = settled_loop(h, Material())
    >>> bool(abs(m[0] - m[-1]) < 1e-6 * abs(m[0])), bool(0.9 < m[0] / 1.6e6 < 1.0)
    (True, True)
    """
    path = np.asarray(h, np.float64)
    start = follow(np.array([0.0, path[0]]), material)[-1]
    for _ in range(cycles):
        start = follow(path, material, start)[-1]
    return follow(path, material, start)


def remanences(fields: np.ndarray, material: Material, top: float) -> np.ndarray:
    """What remains `(n,)` in A/m after each field of `fields` `(n,)` A/m and its removal, first of all saturated in
    `top` A/m.

    Each one starts from the remanence before, as a backfield curve is measured.
    """
    m = follow(np.array([0.0, top, 0.0]), material)[-1]
    found = np.empty(len(fields))
    for i, h in enumerate(np.asarray(fields, np.float64)):
        m = follow(np.array([0.0, h, 0.0]), material, m)[-1]
        found[i] = m
    return found


def coercive_field(material: Material, top: float) -> float:
    """Coercive field in A/m of the settled loop to +-`top` A/m, to 1e-9 of it: by halving the field step."""
    h = np.concatenate([np.linspace(top, -top, 801), np.linspace(-top, top, 801)])
    m = settled_loop(h, material)
    i = int(np.flatnonzero((m[:801] > 0) & (m[1:802] <= 0))[0])
    low, high = h[i], h[i + 1]
    for _ in range(60):
        middle = 0.5 * (low + high)
        value = follow(np.array([h[i], middle]), material, m[i])[-1]
        low, high = (middle, high) if value > 0 else (low, middle)
    return -0.5 * (low + high)
