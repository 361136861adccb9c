"""Small classifiers on features, by scikit-learn, and what they are as an ONNX graph.

    (x - mean) / scale -> [dense -> ReLU ->] dense -> logits

`linear` is multinomial logistic regression. `committee` is several networks with one hidden layer whose logits are
averaged: side by side they are one network. Classes count alike, however many examples each has.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import MissingExtraError
from insitu.training.export import Net

LEAST = 1e-6
"""A feature is scaled by at least this part of its size: one that never varied says nothing by its rounding."""


class Head(NamedTuple):
    """`mean`, `scale` `(k,)`; `hidden`: weights `(h, k)` and biases `(h,)`, or None; `out` `(c, h or k)` and `(c,)`."""

    classes: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    hidden: tuple[np.ndarray, np.ndarray] | None
    out: tuple[np.ndarray, np.ndarray]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(n, c)` of features `(n, k)`."""
        z = (x - self.mean) / self.scale
        if self.hidden is not None:
            z = np.maximum(z @ self.hidden[0].T + self.hidden[1], 0.0)
        return z @ self.out[0].T + self.out[1]

    def said(self, x: np.ndarray) -> np.ndarray:
        """The likeliest class of each row."""
        return np.array(self.classes)[self.logits(x).argmax(axis=1)]

    def model(self) -> bytes:
        """The head as ONNX: `input` `(batch, k)` to `logits` `(batch, c)`."""
        net = Net("input", (self.mean.size,))
        x = net.scaled(net.input, self.mean, self.scale)
        if self.hidden is not None:
            x = net.relu(net.gemm(x, *self.hidden))
        return net.model({"logits": net.gemm(x, *self.out)})


Learner = Callable[[np.ndarray, np.ndarray], Head]
"""Features `(n, k)` and classes `(n,)` to a head."""


def linear(strength: float = 0.1) -> Learner:
    """Logistic regression; `strength` is scikit-learn's C: less is smoother."""

    def learn(x: np.ndarray, y: np.ndarray) -> Head:
        from_sklearn = _sklearn("linear_model").LogisticRegression
        mean, scale = _scales(x)
        found = from_sklearn(C=strength, class_weight="balanced", max_iter=2000).fit((x - mean) / scale, y)
        w, b = found.coef_, found.intercept_
        if len(found.classes_) == 2:  # one logit for two classes: half of it each way
            w, b = np.concatenate([-w, w]) / 2.0, np.concatenate([-b, b]) / 2.0
        return Head(tuple(map(str, found.classes_)), mean, scale, None, (w, b))

    return learn


def committee(hidden: int = 16, members: int = 3, decay: float = 1.0, rounds: int = 300, seed: int = 0) -> Learner:
    """`members` networks of `hidden` units; `decay` is scikit-learn's alpha."""

    def learn(x: np.ndarray, y: np.ndarray) -> Head:
        from_sklearn = _sklearn("neural_network").MLPClassifier
        mean, scale = _scales(x)
        random, classes = np.random.default_rng(seed), np.unique(y)
        most = max(int(np.sum(y == c)) for c in classes)
        rows = np.concatenate([random.permutation(np.resize(np.flatnonzero(y == c), most)) for c in classes])
        z, found = ((x - mean) / scale)[rows], []
        for k in range(members):
            one = from_sklearn((hidden,), alpha=decay, max_iter=rounds, random_state=seed + k)
            with _quiet():
                found.append(one.fit(z, y[rows]))
        last = [_two(n.coefs_[1].T, n.intercepts_[1]) for n in found]
        return Head(
            tuple(map(str, classes)), mean, scale,
            (np.concatenate([n.coefs_[0].T for n in found]), np.concatenate([n.intercepts_[0] for n in found])),
            (np.concatenate([w for w, _ in last], axis=1) / members, np.mean([b for _, b in last], axis=0)),
        )  # fmt: skip

    return learn


def held_out(
    learn: Learner, x: np.ndarray, y: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Logits `(n, c)` of every row by a head that has not seen its group; `pairs` of training and test rows."""
    classes = [str(c) for c in np.unique(y)]
    out = np.full((len(x), len(classes)), -1e3)
    for train, test in pairs:
        head = learn(x[train], y[train])
        columns = np.array([classes.index(c) for c in head.classes])
        out[test[:, None], columns[None]] = head.logits(x[test])
    return out


def _scales(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = x.mean(axis=0)
    return mean, np.maximum(x.std(axis=0), LEAST * np.maximum(np.abs(mean), 1.0))


def _two(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One logit for two classes as two."""
    return (np.concatenate([-w, w]) / 2.0, np.concatenate([-b, b]) / 2.0) if len(b) == 1 else (w, b)


def _quiet() -> Any:
    """Rounds are bounded on purpose; scikit-learn warns where it would have gone on."""
    import warnings

    return warnings.catch_warnings(action="ignore")


def _sklearn(part: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{part}")
    except ImportError as e:
        raise MissingExtraError("scikit-learn", "models", purpose="training a classifier") from e
