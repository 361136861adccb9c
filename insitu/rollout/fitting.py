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

DEAR = 0.3
"""Scale of a trunk feature beside a logit: its penalty is 1 / DEAR^2 times as large."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
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


def new_layer(cases: Cases, old: Layer, *, several: bool, strength: float | None = None) -> Layer:
    """The new layer. `several`: more than one label may be right at once (one regression for each label). `strength` of
    the fit against the penalty, else chosen by leaving out whole groups. A label that no case has keeps its old row
    (with `several`, also one that every case has)."""
    scale = _spread(cases.logits), _spread(cases.features) / DEAR
    x = np.hstack([cases.logits / scale[0], cases.features / scale[1]])
    weights = _balanced(cases.sources)
    strength = _choose(x, cases, weights, several=several) if strength is None else strength
    found, constant = _regress(x, cases.targets, weights, strength, several=several)
    k = cases.targets.shape[1]
    a, v = found[:, :k] / scale[0], found[:, k:] / scale[1]
    weight, bias = a @ old.weight + v, a @ old.bias + constant
    keep = ~cases.targets.any(axis=0) | (cases.targets.all(axis=0) if several else False)
    weight[keep], bias[keep] = old.weight[keep], old.bias[keep]
    return Layer(weight, bias)


def left_out(cases: Cases, old: Layer, *, several: bool) -> np.ndarray:
    """Logits `(n, labels)` of every case by a layer that was fitted without its group."""
    found = np.array(cases.logits)
    part = parts(cases.groups, seed=1)
    for k in np.unique(part):
        rows = part == k
        if not rows.all():
            found[rows] = new_layer(cases.take(~rows), old, several=several)(cases.features[rows])
    return found


def parts(groups: np.ndarray, count: int = PARTS, seed: int = 0) -> np.ndarray:
    """A number from 0 to `count` - 1 for each case; cases of one group have the same."""
    names, which = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % count)[which]


def temperature(logits: np.ndarray, targets: np.ndarray, *, several: bool) -> float:
    """What logits are divided by, so that scores are as often right as they say: least cross entropy, 0.2 to 10."""
    tried = np.geomspace(0.2, 10.0, 60)
    losses = [float(cross_entropy(logits / t, targets, several=several).mean()) for t in tried]
    return round(float(tried[int(np.argmin(losses))]), 4)


def cross_entropy(logits: np.ndarray, targets: np.ndarray, *, several: bool) -> np.ndarray:
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


def _choose(x: np.ndarray, cases: Cases, weights: np.ndarray, *, several: bool) -> float:
    """The strength that does best on groups left out."""
    part = parts(cases.groups)
    if len(np.unique(part)) < 2:
        return 1.0
    losses: list[float] = []
    for strength in STRENGTHS:
        loss = 0.0
        for k in np.unique(part):
            rows = part == k
            found, constant = _regress(x[~rows], cases.targets[~rows], weights[~rows], strength, several=several)
            logits = x[rows] @ found.T + constant
            loss += float(np.sum(weights[rows] * cross_entropy(logits, cases.targets[rows], several=several)))
        losses.append(loss)
    return STRENGTHS[int(np.argmin(losses))]


def _regress(
    x: np.ndarray, targets: np.ndarray, weights: np.ndarray, strength: float, *, several: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients `(labels, columns)` and constants `(labels,)`."""
    regression = _logistic()
    k = targets.shape[1]
    coefficients, constants = np.zeros((k, x.shape[1])), np.zeros(k)

    def fit(y: np.ndarray) -> Any:
        with threadpool_limits(1):
            return regression(C=strength, max_iter=200, solver="newton-cg").fit(x, y, sample_weight=weights)

    if several:
        for label in range(k):
            y = targets[:, label]
            if 0 < np.count_nonzero(y) < len(y):
                found = fit(y)
                coefficients[label], constants[label] = found.coef_[0], found.intercept_[0]
        return coefficients, constants
    y = targets.argmax(axis=1)
    present = np.unique(y)
    if len(present) > 2:
        found = fit(y)
        coefficients[present], constants[present] = found.coef_, found.intercept_
    elif len(present) == 2:
        found = fit(y)
        for row, sign in zip(present, (-0.5, 0.5), strict=True):
            coefficients[row], constants[row] = sign * found.coef_[0], sign * found.intercept_[0]
    return coefficients, constants


def _logistic() -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as e:
        raise MissingExtraError("scikit-learn", "models", purpose="fitting a new head") from e
    return LogisticRegression
