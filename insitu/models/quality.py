"""How good one form of a network is on the same inputs as another: one score from 0 to 100 for every task.

| task | score, in points |
|---|---|
| classification | part of the inputs whose best label is right |
| multilabel | mean over inputs of 2 x labels rightly said / (labels said + labels there); none of either is right |
| segmentation | mean over labels of intersection / union of the pixels |
| anomaly | part of the inputs rightly above or below the threshold |
| regression | 1 - rms error / standard deviation of what is right, and no less than 0 |

Where nobody has labelled the inputs, what the network in full precision says is taken for right.
"""

import numpy as np

from insitu.errors import UsageError
from insitu.models.manifest import Manifest


def decisions(manifest: Manifest, raw: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """What the raw outputs `(k, ...)` come to: numbers of labels `(k,)` or `(k, y, x)`, labels that are there
    `(k, labels)`, whether it is an anomaly `(k,)`, or values `(k, labels)`."""
    task, level = manifest.task, manifest.decision.threshold
    k = len(raw)
    if task == "classification":
        return raw.reshape(k, -1).argmax(axis=1)
    if task == "multilabel":
        return raw.reshape(k, -1) / manifest.decision.temperature >= _logit(0.5 if level is None else level)
    if task == "segmentation":
        if raw.shape[1] > 1:
            return raw.argmax(axis=1)
        return (raw[:, 0] / manifest.decision.temperature >= _logit(0.5 if level is None else level)).astype(np.int64)
    if task == "regression":
        return raw.reshape(k, -1)
    scores = (
        raw.reshape(k) if raw[0].size == 1 else np.sqrt(np.mean((raw - inputs) ** 2, axis=tuple(range(1, raw.ndim))))
    )
    limit = np.median(scores) if level is None else (level[0] if isinstance(level, tuple) else level)
    return scores > limit


def check_right(manifest: Manifest, inputs: np.ndarray, right: np.ndarray, where: str) -> None:
    """What people said of prepared inputs `(k, ...)` has the form that `decisions` gives. Raises `UsageError`."""
    wanted = manifest.inputs.of(1)[1:]
    if not len(inputs) or inputs.shape[1:] != wanted or inputs.dtype != np.float32 or not np.isfinite(inputs).all():
        raise UsageError(
            f"`input` is {inputs.dtype} of {list(inputs.shape)}", where=where,
            expected=f"finite float32 of {['k', *wanted]}, as the preparation gives it",
        )  # fmt: skip
    task, labels = manifest.task, len(manifest.labels)
    each = {"multilabel": (labels,), "regression": (labels,), "segmentation": manifest.inputs.shape[2:]}.get(task, ())
    most = {"classification": labels - 1, "segmentation": max(1, labels - 1)}.get(task, 1)
    fits = right.shape == (len(inputs), *each)
    if (
        not fits
        or (task != "regression" and not np.isin(right, np.arange(most + 1)).all())
        or not np.isfinite(right).all()
    ):
        told = "values in the manifest's unit" if task == "regression" else f"numbers from 0 to {most}"
        raise UsageError(
            f"`right` is {right.dtype} of {list(right.shape)}", where=where,
            expected=f"{told} of {[len(inputs), *each]}", remedy="Give each label by its place in the manifest's list",
        )  # fmt: skip


def _logit(p: float | tuple[float, ...]) -> np.ndarray:
    share = np.clip(np.asarray(p, np.float64), 1e-9, 1.0 - 1e-9)
    return np.log(share / (1.0 - share))


def score(manifest: Manifest, found: np.ndarray, right: np.ndarray) -> float:
    """0 to 100, of two results of `decisions` (labels given by people: the same shapes).

    >>> from types import SimpleNamespace
    >>> score(SimpleNamespace(task="classification"), np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]))
    75.0
    """
    if manifest.task == "regression":
        spread = float(np.std(right))
        error = float(np.sqrt(np.mean((found - right) ** 2)))
        return 100.0 * max(0.0, 1.0 - (error / spread if spread > 0.0 else error))
    if manifest.task == "multilabel":
        either = np.count_nonzero(found, axis=1) + np.count_nonzero(right, axis=1)
        both = np.count_nonzero(np.logical_and(found, right), axis=1)
        return 100.0 * float(np.mean(np.where(either > 0, 2.0 * both / np.maximum(either, 1), 1.0)))
    if manifest.task == "segmentation":
        there = [n for n in range(int(max(found.max(), right.max())) + 1) if (found == n).any() or (right == n).any()]
        parts = [np.sum((found == n) & (right == n)) / np.sum((found == n) | (right == n)) for n in there]
        return 100.0 * float(np.mean(parts))
    return 100.0 * float(np.mean(found == right))
