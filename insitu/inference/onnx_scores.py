"""Raw outputs of a network to calibrated scores, by its task; and how much of its input it was not trained for.

| task | raw output, one frame | score |
|---|---|---|
| classification | logits `(labels,)` | softmax(logits / T) |
| multilabel | logits `(labels,)` | 1 / (1 + exp(-logits / T)) each |
| regression | values `(labels,)`; a second output: their standard uncertainties | values; T sigma |
| segmentation | logits `(labels, y, x)`, or `(1, y, x)` of one label | softmax over labels; sigmoid of one |
| anomaly | one number, or the input as the network would have it | the number; rms of the difference |

T is the temperature that the manifest gives: scores are as often right as they say (C. Guo et al., ICML 2017, 1321).
"""

import math

import numpy as np

from insitu.models.manifest import Manifest


def softmax(logits: np.ndarray, temperature: float, axis: int = 0) -> np.ndarray:
    """Along an axis, float64.

    >>> softmax(np.array([0.0, 0.0]), 1.0).tolist()
    [0.5, 0.5]
    """
    z = np.asarray(logits, np.float64) / temperature
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Of each number, float64, without overflow.

    >>> sigmoid(np.array([0.0, -800.0]), 1.0).tolist()
    [0.5, 0.0]
    """
    z = np.asarray(logits, np.float64) / temperature
    e = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, e) / (1.0 + e)


def class_scores(manifest: Manifest, logits: np.ndarray, axis: int = 0) -> np.ndarray:
    """Scores of classification, multilabel and segmentation; `axis`: that of the labels."""
    temperature = manifest.decision.temperature
    if manifest.task == "multilabel" or logits.shape[axis] == 1:
        return sigmoid(logits, temperature)
    return softmax(logits, temperature, axis)


def margin(scores: np.ndarray) -> np.ndarray:
    """How far the highest of scores `(..., labels)` is above the next."""
    if scores.shape[-1] < 2:
        return scores.max(axis=-1)
    top = np.partition(scores, -2, axis=-1)
    return top[..., -1] - top[..., -2]


def anomaly_score(raw: np.ndarray, x: np.ndarray) -> float:
    """The network's own score, or how far its picture of the input `x` is from it (rms)."""
    if raw.size == 1:
        return float(raw.reshape(-1)[0])
    return math.sqrt(float(np.mean((raw.astype(np.float64) - x) ** 2)))


def regression(manifest: Manifest, raw: list[np.ndarray]) -> list[tuple[float, float | None]]:
    """(value, standard uncertainty) of each output: the network's second output times T, else the root mean square
    error among the manifest's metrics (of real data before simulated), else not known."""
    values = raw[0].reshape(-1).astype(np.float64)
    if len(raw) > 1:
        sigmas = np.abs(raw[1].reshape(-1).astype(np.float64)) * manifest.decision.temperature
        return [(float(v), float(s)) for v, s in zip(values, sigmas, strict=True)]
    known = {m.data: m.value for m in reversed(manifest.metrics) if m.name == "rmse"}
    sigma = known.get("real", known.get("simulated"))
    return [(float(v), sigma) for v in values]


FAR = 0.5
"""A feature further out than so many times the width of what was trained on is no matter of degree: a channel that is
dead, another unit. Of rows left out of training (one load of three, blocks of cycles) none to one in a hundred are."""


class Range:
    """Where the inputs of the training lay: `share(x)` of an input lies outside. None: nobody has told."""

    def __init__(self, manifest: Manifest) -> None:
        low, high = manifest.ranges.low, manifest.ranges.high
        self.known = low is not None or high is not None
        dims = len(manifest.inputs.shape) - 1
        self._low, self._high = _column(low, -np.inf, dims), _column(high, np.inf, dims)

    def share(self, x: np.ndarray) -> float:
        """0 to 1."""
        return self.shares(x[None])[0]

    def furthest(self, x: np.ndarray) -> tuple[int, float, float] | None:
        """Of an input of features `(n,)`: which lies further out than `FAR`, and the range of that one; the furthest of
        them. None where none does."""
        low, high = (np.broadcast_to(np.asarray(end, np.float64), x.shape) for end in (self._low, self._high))
        width = np.maximum(high - low, 1e-12)
        with np.errstate(invalid="ignore"):
            out = np.maximum(low - x, x - high) / width
        at = int(np.argmax(np.nan_to_num(out, nan=0.0)))
        return (at, float(low[at]), float(high[at])) if out[at] > FAR else None

    def shares(self, x: np.ndarray) -> list[float]:
        """`share` of each of several inputs `(k, ...)`."""
        outside = ((x < self._low) | (x > self._high)).reshape(len(x), -1)
        return [count / outside.shape[1] for count in outside.sum(axis=1).tolist()]


def _column(numbers: float | tuple[float, ...] | None, default: float, dims: int) -> np.ndarray:
    """One number for each channel, to be compared with an input `(channel, ...)`."""
    if numbers is None:
        return np.array(default, np.float32)
    values = np.asarray(numbers, np.float32)
    return values.reshape(-1, *[1] * (dims - 1)) if values.ndim else values
