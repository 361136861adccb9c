"""The dispersion of the permeability mu_r(f) = mu' - j mu'' over a sweep: relaxation or resonance, chosen by evidence.

    mu_r(f) = mu_inf + (mu_s - mu_inf) G(x) - j mu_h,    x = f / f_r

    debye              G = 1 / (1 + j x)
    cole_cole          G = 1 / (1 + (j x)^(1 - a))            a: 0 to 1, a symmetric spread of relaxation times
    cole_davidson      G = 1 / (1 + j x)^b                    b: 0 to 1, a spread towards short times
    havriliak_negami   G = 1 / (1 + (j x)^(1 - a))^b
    resonance          G = 1 / (1 - x^2 + j g x)              g: damping; above 2 there is no peak of mu'

mu_h is the loss of hysteresis, which does not vary with f (Rayleigh); it and mu_inf (else 1) are fitted where that is
worth it. The model with the least Bayesian information criterion is taken, BIC = chi^2 + p ln N where the noise is
known, N ln(chi^2 / N) + p ln N where it is not, N = 2 n real numbers (G. Schwarz, Ann. Stat. 6 (1978) 461).

Sources: K. S. Cole, R. H. Cole, J. Chem. Phys. 9 (1941) 341; S. Havriliak, S. Negami, Polymer 8 (1967) 161; for
ferrites J. L. Snoek, Physica 14 (1948) 207.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from insitu.maths.magnetic.permeability import Number

Complex = NDArray[np.complex128]
SHAPES: dict[str, tuple[str, ...]] = {
    "debye": (),
    "cole_cole": ("a",),
    "cole_davidson": ("b",),
    "havriliak_negami": ("a", "b"),
    "resonance": ("g",),
}
BOUNDS = {"a": (0.0, 0.9), "b": (0.1, 1.0), "g": (1e-3, 1e3)}
STARTS = {"a": (0.0, 0.3, 0.6), "b": (1.0, 0.5), "g": (0.1, 0.5, 2.0)}
FEWEST_POINTS = 6
REACH = 10.0
"""f_r is looked for so many times beyond the ends of the sweep."""
FARTHEST = 3.0
"""f_r is told so many times beyond them."""
STEPS = 60
LEAST_KNOWN = 0.5
"""A number known to no better than half of itself is not told."""


class Dispersion(NamedTuple):
    """What was fitted: the `model`, `values` of all its numbers (mu_s, mu_inf, f_r in Hz, a, b, g, mu_h) and their
    standard uncertainties (0 where a number is fixed), `bic`, `misfit` (rms of the residual over the rms of mu), and
    the `range` of frequencies in Hz that was fitted."""

    model: str
    values: dict[str, float]
    sigmas: dict[str, float]
    bic: float
    misfit: float
    range: tuple[float, float]

    def number(self, name: str) -> Number:
        """One number, or why it is not known."""
        value, sigma = self.values[name], self.sigmas[name]
        if name in ("a", "b", "g") and name not in SHAPES[self.model]:
            return Number(math.nan, math.nan, f"the model that fits best, {self.model}, has no such number")
        low, high = self.range
        if name == "f_r" and not low / FARTHEST <= value <= high * FARTHEST:
            return Number(math.nan, math.nan, f"it lies far outside of the sweep, near {value:.2g} Hz")
        if not sigma <= LEAST_KNOWN * max(abs(value), 0.0 if name in ("mu_s", "f_r") else 0.1):
            return Number(
                math.nan, math.nan, f"the sweep does not tell it: {value:.3g} with an uncertainty of {sigma:.2g}"
            )
        return Number(value, sigma)


def permeability_of(frequency: np.ndarray, model: str, values: dict[str, float]) -> Complex:
    """mu_r at `frequency` `(n,)` Hz by one of the models of `SHAPES`.

    >>> permeability_of(np.array([1e6]), "debye", {"mu_s": 101.0, "mu_inf": 1.0, "f_r": 1e6}).tolist()
    [(51-50j)]
    """
    x = np.asarray(frequency, np.float64) / values["f_r"]
    inf = values.get("mu_inf", 1.0)
    return inf + (values["mu_s"] - inf) * _shape(x, model, values) - 1j * values.get("mu_h", 0.0)


def fit_dispersion(
    frequency: np.ndarray, mu: np.ndarray, sigma: np.ndarray | None = None, *, models: tuple[str, ...] = tuple(SHAPES)
) -> Dispersion:
    """The best of `models` through mu `(n,)` complex at `frequency` `(n,)` Hz; `sigma` `(n,)`: standard uncertainty of
    mu' and of mu'', where it is known. Points that are no numbers are left out. `ValueError` says what is missing.

    >>> f = np.geomspace(1e4, 1e8, 40)
    >>> told = {"mu_s": 900.0, "mu_inf": 1.0, "f_r": 2e6, "a": 0.2}
    >>> found = fit_dispersion(f, permeability_of(f, "cole_cole", told))
    >>> found.model, round(found.values["f_r"] / 2e6, 6), round(found.values["a"], 6)
    ('cole_cole', 1.0, 0.2)
    """
    f, mu, sigma = _usable(frequency, mu, sigma)
    fits: list[Dispersion | None] = []
    for model in models:
        start = None
        for free in (("mu_inf", "mu_h"), ("mu_inf",), ("mu_h",), ()):
            if 2 * f.size > len(SHAPES[model]) + len(free) + 3:
                fit, start = _fit(f, mu, sigma, model, free, start)
                fits.append(fit)
    there = [fit for fit in fits if fit is not None]
    if not there:
        raise ValueError("no model of relaxation or resonance follows this sweep")
    return min(there, key=lambda fit: fit.bic)


def _usable(
    frequency: np.ndarray, given: np.ndarray, sigma: np.ndarray | None
) -> tuple[np.ndarray, Complex, np.ndarray | None]:
    f = np.asarray(frequency, np.float64)
    mu: Complex = np.asarray(given, np.complex128)
    if f.ndim != 1 or mu.shape != f.shape:
        raise ValueError(f"frequencies of shape {f.shape} and mu of shape {mu.shape} are no sweep")
    good = np.isfinite(f) & (f > 0.0) & np.isfinite(mu.real) & np.isfinite(mu.imag)
    if sigma is not None:
        sigma = np.asarray(sigma, np.float64)
        good &= np.isfinite(sigma) & (sigma > 0.0)
        sigma = sigma[good]
    if np.count_nonzero(good) < FEWEST_POINTS:
        raise ValueError(f"{np.count_nonzero(good)} points with numbers are no sweep ({FEWEST_POINTS} needed)")
    f, mu = f[good], mu[good]
    if not f.max() > 1.5 * f.min():
        raise ValueError(f"from {f.min():g} to {f.max():g} Hz nothing can be seen of a dispersion")
    if not 0.0 < np.max(np.abs(mu)) < 1e100:
        raise ValueError("mu is of no physical size")
    return f, mu, sigma


def _shape(x: np.ndarray, model: str, values: dict[str, float]) -> Complex:
    """G(x), `(n,)` complex."""
    if model == "resonance":
        return 1.0 / (1.0 - x**2 + 1j * values["g"] * x)
    return (1.0 + (1j * x) ** (1.0 - values.get("a", 0.0))) ** -values.get("b", 1.0)


def _linear(x: np.ndarray, shape: Complex, free: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Columns `(2 n, m)` of what enters linearly (mu_s, then those of `free`), and what is fixed `(2 n,)`."""
    columns = [shape]
    if "mu_inf" in free:
        columns.append(1.0 - shape)
    if "mu_h" in free:
        columns.append(np.full(x.size, -1j))
    fixed = np.zeros(x.size, complex) if "mu_inf" in free else 1.0 - shape
    return np.column_stack([_flat(c) for c in columns]), _flat(fixed)


def _flat(z: Complex) -> np.ndarray:
    return np.concatenate([z.real, z.imag])


class _Problem(NamedTuple):
    """A sweep `f`, `seen` `(2 n,)` real and imaginary parts, `weight` `(2 n,)`, and one model with what is free."""

    f: np.ndarray
    seen: np.ndarray
    weight: np.ndarray
    known: bool
    model: str
    free: tuple[str, ...]

    def solve(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted residual and linear numbers at (ln f_r, numbers of the shape): the linear ones are projected out."""
        x = self.f / math.exp(numbers[0])
        shape = _shape(x, self.model, dict(zip(SHAPES[self.model], numbers[1:].tolist(), strict=True)))
        columns, fixed = _linear(x, shape, self.free)
        weighted, aim = columns * self.weight[:, None], (self.seen - fixed) * self.weight
        normal = weighted.T @ weighted
        normal += np.diag(normal.diagonal() * 1e-14)  # columns that are the same share what they explain
        linear = np.linalg.solve(normal, weighted.T @ aim)
        return weighted @ linear - aim, linear

    def rest(self, numbers: np.ndarray) -> np.ndarray:
        return self.solve(numbers)[0]

    def values(self, every: np.ndarray) -> dict[str, float]:
        """All numbers by name, from (ln f_r, shape, mu_s, free)."""
        names = ("f_r", *SHAPES[self.model], "mu_s", *self.free)
        told = dict(zip(names, every.tolist(), strict=True)) | {"f_r": math.exp(every[0])}
        return {"mu_inf": 1.0, "mu_h": 0.0, "a": 0.0, "b": 1.0, "g": 0.0} | told


def _fit(
    f: np.ndarray,
    mu: Complex,
    sigma: np.ndarray | None,
    model: str,
    free: tuple[str, ...],
    start: np.ndarray | None,
) -> tuple[Dispersion | None, np.ndarray]:
    """One model, from `start`, or else the best of a grid of starts, and where it began; no `Dispersion` where nothing
    physical comes out."""
    size = float(np.sqrt(np.mean(np.abs(mu) ** 2)))
    weight = np.full(2 * f.size, 1.0 / size) if sigma is None else np.tile(1.0 / sigma, 2)
    problem = _Problem(f, _flat(mu), weight, sigma is not None, model, free)
    names = SHAPES[model]
    low = np.array([math.log(f.min() / REACH), *(BOUNDS[n][0] for n in names)])
    high = np.array([math.log(f.max() * REACH), *(BOUNDS[n][1] for n in names)])
    if start is None:
        axes = np.meshgrid(np.linspace(low[0], high[0], 17), *(STARTS[n] for n in names))
        starts = np.reshape(axes, (1 + len(names), -1)).T
        start = min(starts, key=lambda g: float(np.sum(problem.rest(g) ** 2)))
    numbers = _descend(problem, start, low, high)
    rest, linear = problem.solve(numbers)
    every = np.concatenate([numbers, linear])
    values = problem.values(every)
    if not (values["mu_s"] > values["mu_inf"] >= 0.0 and values["mu_h"] >= 0.0):
        return None, numbers
    return _told(problem, every, values, float(np.sum(rest**2)), size), numbers


def _descend(problem: _Problem, numbers: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Levenberg and Marquardt's way down from a start, within bounds (a number that leaves them stays on its bound)."""
    rest, damping = problem.rest(numbers), 1e-3
    chi2 = float(rest @ rest)
    for _ in range(STEPS):
        jacobian = np.empty((rest.size, numbers.size))
        for i in range(numbers.size):
            step = -1e-7 if numbers[i] + 1e-7 > high[i] else 1e-7
            moved = numbers.copy()
            moved[i] += step
            jacobian[:, i] = (problem.rest(moved) - rest) / step
        normal, slope = jacobian.T @ jacobian, jacobian.T @ rest
        for _ in range(7):
            damped = normal + np.diag(damping * np.maximum(np.diag(normal), 1e-30))
            trial = np.clip(numbers - np.linalg.solve(damped, slope), low, high)
            found = problem.rest(trial)
            if float(found @ found) < chi2:
                break
            damping *= 10.0
        else:
            return numbers
        gain, moved = chi2 - float(found @ found), float(np.max(np.abs(trial - numbers)))
        numbers, rest, chi2, damping = trial, found, float(found @ found), max(damping / 8.0, 1e-12)
        if moved < 1e-9 or gain < 1e-9 * chi2:
            return numbers
    return numbers


def _told(
    problem: _Problem, every: np.ndarray, values: dict[str, float], chi2: float, size: float
) -> Dispersion | None:
    """Uncertainties and evidence of a fit that has converged."""
    n, p = problem.seen.size, every.size
    steps = 1e-6 * np.maximum(np.abs(every), 1e-3)
    slopes = np.empty((n, p))
    for i, step in enumerate(steps):
        up, down = every.copy(), every.copy()
        up[i], down[i] = every[i] + step, every[i] - step
        two = [_flat(permeability_of(problem.f, problem.model, problem.values(e))) for e in (up, down)]
        slopes[:, i] = (two[0] - two[1]) / (2.0 * step) * problem.weight
    scale = np.maximum(np.sqrt(np.sum(slopes**2, axis=0)), 1e-300)
    inside = np.linalg.pinv((slopes / scale).T @ (slopes / scale), rcond=1e-13, hermitian=True)
    reduced = chi2 / max(n - p, 1)
    variance = np.diag(inside) / scale**2 * (max(reduced, 1.0) if problem.known else reduced)
    names = ("f_r", *SHAPES[problem.model], "mu_s", *problem.free)
    sigmas = dict(zip(names, np.sqrt(np.maximum(variance, 0.0)).tolist(), strict=True))
    sigmas["f_r"] *= values["f_r"]
    floor = n * 1e-28 * (1.0 if problem.known else float(np.mean((problem.seen * problem.weight) ** 2)))
    bic = chi2 if problem.known else n * math.log(max(chi2, floor) / n)
    model = permeability_of(problem.f, problem.model, values)
    misfit = float(np.sqrt(np.mean((_flat(model) - problem.seen) ** 2) * 2.0)) / size
    told, ends = {name: sigmas.get(name, 0.0) for name in values}, (float(problem.f.min()), float(problem.f.max()))
    return Dispersion(problem.model, values, told, bic + p * math.log(n), misfit, ends)
