"""Linear discriminant analysis with few examples: which of some classes a list of numbers belongs to, or none.

Classes share one covariance, pooled within them and drawn towards its diagonal (J. H. Friedman, J. Am. Stat. Assoc. 84
(1989) 165), because examples are few and numbers many. The squared Mahalanobis distance d^2 to a class's centre gives
the chance exp(-d^2 / 2) relative to the others (R. A. Fisher, Ann. Eugenics 7 (1936) 179, equal priors).

Examples come in groups (a load, a day, a machine): what differs between groups of one class is scatter like any other,
and is in the covariance. The largest distance of an example to its own class, when its group is left out of the
learning, says how far a new group may be.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Discriminant(NamedTuple):
    """`classes`: names; `centres` `(classes, k)`; `whiten` `(k, k)`: x - centre times it has unit covariance within
    classes; `reach`: the largest distance that an example had to its own class."""

    classes: tuple[str, ...]
    centres: np.ndarray
    whiten: np.ndarray
    reach: float

    def distances(self, x: np.ndarray) -> np.ndarray:
        """Mahalanobis distances `(classes,)` of the numbers `(k,)`."""
        return np.sqrt((((x - self.centres) @ self.whiten) ** 2).sum(axis=1))

    def chances(self, x: np.ndarray) -> np.ndarray:
        """The chance of each class `(classes,)`, were there no others."""
        square = self.distances(x) ** 2
        weight = np.exp(-0.5 * np.minimum(square - square.min(), 1400.0))
        return weight / weight.sum()


def learn(x: np.ndarray, labels: list[str], groups: list[str] | None = None, *, shrink: float = 0.2) -> Discriminant:
    """The discriminant of examples `(n, k)` with their labels. `shrink`: 0 takes the covariance as it is, 1 its
    diagonal alone. Raises `ValueError` where there are fewer than two classes, or two examples of one.

    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(0.0, 1.0, (20, 2)), rng.normal(5.0, 1.0, (20, 2))])
    >>> found = learn(x, ["good"] * 20 + ["bad"] * 20)
    >>> found.classes[int(found.chances(np.array([4.6, 5.2])).argmax())]
    'bad'
    """
    classes = tuple(dict.fromkeys(labels))
    at = np.array([classes.index(label) for label in labels])
    if len(classes) < 2 or min(np.bincount(at)) < 2:
        raise ValueError("at least two classes with two examples each are needed")
    found = _fit(x, at, classes, shrink)
    reach = 0.0
    names = groups or [""] * len(labels)
    for group in dict.fromkeys(names):
        out = np.array([name == group for name in names])
        kept = np.bincount(at[~out], minlength=len(classes))
        part = found if out.all() or min(kept) < 2 else _fit(x[~out], at[~out], classes, shrink)
        own = [float(part.distances(row)[k]) for row, k in zip(x[out], at[out], strict=True)]
        reach = max(reach, *own)
    return found._replace(reach=reach)


def _fit(x: np.ndarray, at: np.ndarray, classes: tuple[str, ...], shrink: float) -> Discriminant:
    centres = np.stack([x[at == k].mean(axis=0) for k in range(len(classes))])
    rest = x - centres[at]
    within = rest.T @ rest / max(len(x) - len(classes), 1)
    spread = np.sqrt(np.diag(within))
    # a number that never varies within a class separates by its rounding: give it a millionth of its size
    spread = np.maximum(spread, 1e-6 * np.maximum(np.abs(x).max(axis=0), 1e-300))
    correlation = within / np.outer(spread, spread) * (1.0 - shrink)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    whiten = (vectors / np.sqrt(np.maximum(values, 1e-6))) / spread[:, None]
    return Discriminant(classes, centres, whiten, 0.0)
