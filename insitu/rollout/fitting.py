"""A new last layer from few labels: a regularised logistic regression that begins at the old layer.

The regression sees the trunk's features and the old logits. Its penalty makes logits cheap and features dear, so a
change of gain, offset or confusion of labels costs little, and new directions only where the labels ask for them. Both
are linear in the features, so the result is again one dense layer: `W = A W0 + V`, `b = A b0 + c`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from insitu.errors import MissingExtraError

CHEAP, DEAR = 5.0, 0.3
"""Scales of an old logit and of a trunk feature: the penalty goes with 1 / scale^2."""
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
"""Inverse penalties that are tried."""
PARTS = 5


class Cases(NamedTuple):
    """Labelled frames: trunk features `(n, d)`, old logits `(n, labels)`, targets `(n, labels)` of 0 and 1, the group
    of each (frames of one group are never split), the source of each."""

    features: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    sources: np.ndarray

    def take(self, rows: np.ndarray) -> Cases:
        """Some of them."""
        return Cases(*(column[rows] for column in self))


class Layer(NamedTuple):
    """weight `(labels, d)`, bias `(labels,)`."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Logits `(n, labels)`."""
        return features @ self.weight.T + self.bias


class Fit(NamedTuple):
    """How a layer is fitted. `several`: more than one label may be right at once (one regression for each label, from
    its own old logit). `labels`: those that are fitted, `(labels,)` of bool; the others keep their rows (without
    `several` all are). `strength`: of the data against the penalty."""

    several: bool
    labels: np.ndarray
    strength: float = 1.0


def new_layer(cases: Cases, old: Layer, fit: Fit) -> Layer:
    """The new layer. A label that no case has keeps its old row (with `several`, also one that every case has)."""
    scale, x = _columns(cases)
    found, constant = _regress(x, cases.targets, _balanced(cases.sources), fit)
    k = cases.targets.shape[1]
    a, v = found[:, :k] / scale[:k], found[:, k:] / scale[k:]
    weight, bias = a @ old.weight + v, a @ old.bias + constant
    keep = ~cases.targets.any(axis=0)
    if fit.several:
        keep |= cases.targets.all(axis=0) | ~fit.labels
    weight[keep], bias[keep] = old.weight[keep], old.bias[keep]
    return Layer(weight, bias)


def left_out(cases: Cases, old: Layer, fit: Fit) -> np.ndarray:
    """Logits `(n, labels)` of every case by a layer that was fitted without its group."""
    found = np.array(cases.logits)
    part = parts(cases.groups, seed=1)
    for k in np.unique(part):
        rows = part == k
        if not rows.all():
            found[rows] = new_layer(cases.take(~rows), old, fit)(cases.features[rows])
    return found


def parts(groups: np.ndarray, count: int = PARTS, seed: int = 0) -> np.ndarray:
    """A number from 0 to `count` - 1 for each case; cases of one group have the same."""
    names, which = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % count)[which]


def temperature(logits: np.ndarray, targets: np.ndarray, *, several: bool) -> float:
    """What logits are divided by, so that scores are as often right as they say: least cross entropy, 0.2 to 10."""
    tried = np.geomspace(0.2, 10.0, 60)
    losses = [float(cross_entropy(logits / t, targets, several).mean()) for t in tried]
    return round(float(tried[int(np.argmin(losses))]), 4)


def cross_entropy(logits: np.ndarray, targets: np.ndarray, several: bool) -> np.ndarray:
    """Of each case `(n,)`, in nats."""
    if several:
        return np.sum(np.logaddexp(0.0, logits) - targets * logits, axis=1)
    top = logits.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(logits - top).sum(axis=1)) - np.sum(targets * logits, axis=1)


def _spread(x: np.ndarray) -> np.ndarray:
    """The spread of each column; infinite where it has none, so that it counts for nothing."""
    s = x.std(axis=0)
    return np.where(s > 1e-9 * max(float(np.abs(x).max(initial=0.0)), 1e-300), s, np.inf)


def _balanced(sources: np.ndarray) -> np.ndarray:
    """Weights by which every source counts alike; their mean is 1."""
    names, which, counts = np.unique(sources, return_inverse=True, return_counts=True)
    return (len(sources) / len(names) / counts)[which]


def _columns(cases: Cases) -> tuple[np.ndarray, np.ndarray]:
    """The scale of every column, and the columns `(n, labels + d)`: old logits, then features."""
    scale = np.hstack([_spread(cases.logits) / CHEAP, _spread(cases.features) / DEAR])
    return scale, np.hstack([cases.logits, cases.features]) / scale


def _regress(x: np.ndarray, targets: np.ndarray, weights: np.ndarray, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients `(labels, columns)` and constants `(labels,)`."""
    regression = _logistic()
    k = targets.shape[1]
    coefficients, constants = np.zeros((k, x.shape[1])), np.zeros(k)

    def fitted(x: np.ndarray, y: np.ndarray) -> Any:
        with threadpool_limits(1):
            made = regression(C=fit.strength, max_iter=200, solver="newton-cg")
            return made.fit(x, y, sample_weight=weights)

    if fit.several:
        for label in np.flatnonzero(fit.labels):
            y = targets[:, label]
            if 0 < np.count_nonzero(y) < len(y):
                columns = np.r_[label, k : x.shape[1]]
                found = fitted(x[:, columns], y)
                coefficients[label, columns], constants[label] = found.coef_[0], found.intercept_[0]
        return coefficients, constants
    y = targets.argmax(axis=1)
    present = np.unique(y)
    if len(present) > 2:
        found = fitted(x, y)
        coefficients[present], constants[present] = found.coef_, found.intercept_
    elif len(present) == 2:
        found = fitted(x, y)
        for row, sign in zip(present, (-0.5, 0.5), strict=True):
            coefficients[row], constants[row] = sign * found.coef_[0], sign * found.intercept_[0]
    return coefficients, constants


def _logistic() -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as e:
        raise MissingExtraError("scikit-learn", "models", purpose="fitting a new head") from e
    return LogisticRegression
