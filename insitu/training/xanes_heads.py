"""Small heads for the valence from a spectrum, and how they are compared: nested, leaving compounds out.

Every head takes normalised spectra and elements, and gives valences with uncertainties. Settings of a head are chosen
among the compounds that are left, and its error is that of the compound outside, which had no say in anything.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.models.preparing import preparation
from insitu.training.gaussian_process import Kernel, Process, trained
from insitu.training.xanes_features import HIGH, LOW, POINTS, STEP, features
from insitu.training.xas_library import ELEMENTS, library

PARAMS = {"elements": list(ELEMENTS), "low": LOW, "high": HIGH, "points": POINTS}
COPIES = 2
"""Copies with nuisance of each compound's spectra, for training, and its measured ones at most."""
MOST = 4


class Rows(NamedTuple):
    """Spectra `(n, points)`, elements `(n, 5)` of 0 and 1, valences `(n,)`, the compounds that each holds, and whether
    it is as measured (False: a copy with nuisance, or a mixture)."""

    mu: np.ndarray
    element: np.ndarray
    valence: np.ndarray
    compounds: list[frozenset[str]]
    measured: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        some = [self.compounds[i] for i in rows]
        return Rows(self.mu[rows], self.element[rows], self.valence[rows], some, self.measured[rows])


Head = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Mean and standard uncertainty `(k,)` for spectra `(k, points)` and elements `(k, 5)`."""


def measured(folder: Path) -> tuple[Rows, list[Path]]:
    """The library as the network sees it, and its files."""
    prepare = preparation("spectrum", PARAMS)
    mu, element, valence, compounds, files = [], [], [], [], []
    for one in library(folder):
        made = prepare(one.frame).input
        if made is None:
            continue
        mu.append(made[0].astype(np.float64))
        element.append([float(one.element == name) for name in ELEMENTS])
        valence.append(one.valence)
        compounds.append(frozenset([one.compound]))
        files.append(one.file)
    rows = Rows(np.array(mu), np.array(element), np.array(valence), compounds, np.ones(len(mu), bool))
    return rows, sorted(set(files))


def disturbed(mu: np.ndarray, random: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """A spectrum as another beamline may give it: energies off by 0.5 eV (rms), lines broadened by up to 1 eV, damped
    by self-absorption, normalised 3 % wrong with a slope, noise of 0.3 %."""
    energy = LOW + STEP * (np.arange(mu.size) + 0.5)
    out = np.interp(energy + strength * random.normal(0.0, 0.5), energy, mu)
    width = strength * random.uniform(0.1, 1.0) / STEP
    reach = np.arange(-6, 7)
    kernel = np.exp(-0.5 * (reach / width) ** 2)
    out = np.convolve(np.pad(out, 6, mode="edge"), kernel / kernel.sum(), mode="valid")
    thick = strength * abs(random.normal(0.0, 0.15))
    out = np.maximum(out, 0.0) * (1.0 + thick) / (1.0 + thick * np.maximum(out, 0.0)) + np.minimum(out, 0.0)
    out = out * (1.0 + strength * random.normal(0.0, 0.03)) + strength * random.normal(0.0, 2e-4) * energy
    return out + strength * 0.003 * random.standard_normal(mu.size)


def mixtures(rows: Rows, shares: Sequence[float] = (0.5,)) -> Rows:
    """Mixtures of the mean spectra of any two compounds of one element."""
    names = sorted({next(iter(c)) for c in rows.compounds})
    means = {}
    for name in names:
        own = [i for i, c in enumerate(rows.compounds) if c == {name}]
        means[name] = (rows.mu[own].mean(axis=0), rows.element[own[0]], rows.valence[own[0]])
    mu, element, valence, compounds = [], [], [], []
    for (a, b), share in itertools.product(itertools.combinations(names, 2), shares):
        (x, e, v), (y, f, w) = means[a], means[b]
        if np.array_equal(e, f):
            mu.append(share * x + (1.0 - share) * y)
            element.append(e)
            valence.append(share * v + (1.0 - share) * w)
            compounds.append(frozenset([a, b]))
    return Rows(np.array(mu), np.array(element), np.array(valence), compounds, np.zeros(len(mu), bool))


def together(*parts: Rows) -> Rows:
    """All rows."""
    return Rows(
        np.concatenate([p.mu for p in parts]), np.concatenate([p.element for p in parts]),
        np.concatenate([p.valence for p in parts]), [c for p in parts for c in p.compounds],
        np.concatenate([p.measured for p in parts]),
    )  # fmt: skip


def weights(rows: Rows) -> np.ndarray:
    """One for each compound (or mixture), shared between its spectra."""
    count: dict[frozenset[str], int] = {}
    for compound in rows.compounds:
        count[compound] = count.get(compound, 0) + 1
    return np.array([(1.0 if len(c) == 1 else 0.3) / count[c] for c in rows.compounds])


def learn(kernel: Kernel, rows: Rows) -> Process:
    """A Gaussian process on the features of `xanes_features`."""
    return trained(kernel, features(rows.mu), rows.element, rows.valence, weights(rows))


def process(kernel: Kernel) -> Callable[[Rows], Head]:
    """The same as a head."""

    def head(rows: Rows) -> Head:
        made = learn(kernel, rows)
        return lambda mu, element: made(features(mu), element)

    return head


def ridge(alpha: float, of: Callable[[np.ndarray], np.ndarray]) -> Callable[[Rows], Head]:
    """Ridge regression on numbers of a spectrum, with an intercept for each element."""

    def head(rows: Rows) -> Head:
        def design(mu: np.ndarray, element: np.ndarray) -> np.ndarray:
            return np.hstack([of(mu), 2.0 * element])

        x, w = design(rows.mu, rows.element), weights(rows)
        mean = np.average(x, axis=0, weights=w)
        level = float(np.average(rows.valence, weights=w))
        a = (x - mean).T * w @ (x - mean) + alpha * np.eye(x.shape[1])
        slope = np.linalg.solve(a, (x - mean).T @ (w * (rows.valence - level)))
        left = rows.valence - level - (x - mean) @ slope
        sigma = float(np.sqrt(np.average(left**2, weights=w)))
        return lambda mu, element: ((design(mu, element) - mean) @ slope + level, np.full(len(mu), max(sigma, 0.1)))

    return head


def _plain(mu: np.ndarray) -> np.ndarray:
    """Every fourth point between -12 and 40 eV."""
    return (mu[:, 16:120:4] - 0.8) / 0.3


KERNELS = {
    f"length {length:g}, shared {shared:g}, radial {radial:g}": Kernel(length=length, shared=shared, radial=radial)
    for length, shared, radial in itertools.product((0.5, 0.8, 1.2), (0.6, 0.9), (1.0, 4.0))
}
PROCESS = "Gaussian process on 8 features"
HEADS: dict[str, dict[str, Callable[[Rows], Head]]] = {
    PROCESS: {name: process(kernel) for name, kernel in KERNELS.items()},
    "ridge on 8 features": {f"alpha {a:g}": ridge(a, features) for a in (0.01, 0.1, 0.3, 1.0, 3.0)},
    "ridge on the spectrum": {f"alpha {a:g}": ridge(a, _plain) for a in (0.1, 0.3, 1.0, 3.0, 10.0)},
}


def enlarged(rows: Rows, seed: int) -> Rows:
    """For training: at most `MOST` measured spectra of a compound, copies with nuisance, and mixtures."""
    random, seen, kept = np.random.default_rng((seed, 5)), {}, []
    for i, compound in enumerate(rows.compounds):
        seen[compound] = seen.get(compound, 0) + 1
        if seen[compound] <= MOST:
            kept.append(i)
    chosen, made = rows.take(np.array(kept)), []
    for compound in compounds_of(rows):
        own = [i for i, c in enumerate(rows.compounds) if c == {compound}]
        made += [own[i % len(own)] for i in range(COPIES)]
    copies = rows.take(np.array(made))
    copies = copies._replace(
        mu=np.stack([disturbed(mu, random) for mu in copies.mu]), measured=np.zeros(len(made), bool)
    )
    return together(chosen, copies, mixtures(rows))


def without(rows: Rows, compound: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that hold nothing of a compound, and its own measured ones."""
    free = np.array([compound not in c for c in rows.compounds])
    own = np.array([c == {compound} for c in rows.compounds]) & rows.measured
    return np.flatnonzero(free), np.flatnonzero(own)


def compounds_of(rows: Rows) -> list[str]:
    return sorted({next(iter(c)) for c, m in zip(rows.compounds, rows.measured, strict=True) if m})


def error_of(head: Callable[[Rows], Head], rows: Rows, larger: Rows) -> float:
    """Mean over compounds of the mean absolute error, each left out; `larger`: rows for training."""
    errors = []
    for compound in compounds_of(rows):
        _, own = without(rows, compound)
        free, _ = without(larger, compound)
        said, _ = head(larger.take(free))(rows.mu[own], rows.element[own])
        errors.append(float(np.mean(np.abs(said - rows.valence[own]))))
    return float(np.mean(errors))


def best_of(settings: dict[str, Callable[[Rows], Head]], rows: Rows, seed: int) -> str:
    """The setting with the smallest error among these compounds."""
    larger = enlarged(rows, seed)
    return min(settings, key=lambda name: error_of(settings[name], rows, larger))


class Told(NamedTuple):
    """What was said of each compound while it was left out: rows of spectra, values, uncertainties."""

    compound: str
    rows: np.ndarray
    said: np.ndarray
    sigma: np.ndarray


def nested(settings: dict[str, Callable[[Rows], Head]], rows: Rows, seed: int) -> list[Told]:
    """Every compound once outside; settings are chosen inside."""
    out = []
    for compound in compounds_of(rows):
        free, own = without(rows, compound)
        inner = rows.take(free)
        head = settings[best_of(settings, inner, seed)](enlarged(inner, seed))
        out.append(Told(compound, own, *head(rows.mu[own], rows.element[own])))
    return out
