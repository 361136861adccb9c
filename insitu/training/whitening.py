"""Anomaly scores that need no deep network: how far something is from what was normal, in units of its usual scatter.

Of a few numbers (features): with mean m and covariance C of the normal ones (each variance at least its floor squared),

    score = sqrt((f - m)' C^-1 (f - m) / n)

(P. C. Mahalanobis, Proc. Natl. Inst. Sci. India 2 (1936) 49.)
Of a pattern x: what the principal components W of normal patterns cannot explain, over the noise of this very pattern,
so that a shorter exposure is no anomaly as long as such noise was seen; of several kinds of normal patterns (samples),
each with components of its own, the one that explains x best:

    r = x - m - W W'(x - m),    noise = mean |second difference of r| / 1.95
    score = max(rms(r averaged over 7) sqrt(7) / noise,  noise / largest usual,  least usual / noise)

J. E. Jackson, G. S. Mudholkar, Technometrics 21 (1979) 341. In both a good frame has a score near 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.training.export import Net

SMOOTH = 7
SECOND = np.array([1.0, -2.0, 1.0])
FOLDED = 1.9544
"""Mean absolute value of a second difference of white noise of unit variance: sqrt(6) sqrt(2 / pi)."""
LEAST_NOISE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Normal features: `mean` (n,), `root` (n, n) with root root' = C^-1 / n."""

    mean: np.ndarray
    root: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scores (k,) of features `(k, n)`."""
        return np.sqrt(np.square((np.asarray(x, np.float64) - self.mean) @ self.root).sum(axis=1))

    def graph(self) -> bytes:
        """The same as ONNX: `(batch, n)` to `score (batch, 1)`."""
        net = Net("input", self.mean.shape)
        z = net.node("MatMul", net.sub(net.input, self.mean[None]), net.constant(self.root))
        total = net.node("ReduceSum", net.mul(z, z), net.constant([1], np.int64), keepdims=1)
        return net.model({"score": net.node("Sqrt", total)})


def features(x: np.ndarray, floor: np.ndarray) -> Features:
    """Learn from normal features `(k, n)`; `floor` (n,): scatter that is normal at least."""
    x = np.asarray(x, np.float64)
    mean = x.mean(axis=0)
    covariance = np.cov(x.T).reshape(x.shape[1], -1) + np.diag(np.asarray(floor, np.float64) ** 2)
    root = np.linalg.cholesky(np.linalg.inv(covariance) / x.shape[1])
    return Features(mean=mean, root=root)


class Kind(NamedTuple):
    """One kind of normal patterns: `mean` (p,), `components` (k, p) with orthonormal rows."""

    mean: np.ndarray
    components: np.ndarray

    def left(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the components leave of patterns `(n, p)`, and its noise (n,)."""
        left = x - self.mean
        left = left - left @ self.components.T @ self.components
        return left, np.abs(left[:, 2:] - 2.0 * left[:, 1:-1] + left[:, :-2]).mean(axis=1) / FOLDED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patterns:
    """Kinds of normal patterns, and the least and the largest noise that is usual."""

    kinds: tuple[Kind, ...]
    quiet: float
    loud: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scores (n,) of patterns `(n, p)` or `(n, 1, p)`."""
        flat, each = np.asarray(x, np.float64).reshape(len(x), -1), []
        for kind in self.kinds:
            left, noise = kind.left(flat)
            smooth = np.lib.stride_tricks.sliding_window_view(left, SMOOTH, axis=1).mean(axis=-1)
            noise = np.maximum(noise, LEAST_NOISE)
            shape = np.sqrt(np.square(smooth).mean(axis=1) * SMOOTH) / noise
            each.append(np.maximum(np.maximum(shape, noise / self.loud), self.quiet / noise))
        return np.min(each, axis=0)

    def graph(self) -> bytes:
        """The same as ONNX: `(batch, 1, p)` to `score (batch, 1)`."""
        net = Net("input", (1, self.kinds[0].mean.size))
        flat = net.flatten(net.input)
        each = [self._score(net, flat, kind) for kind in self.kinds]
        return net.model({"score": net.node("Min", *each) if len(each) > 1 else each[0]})

    def _score(self, net: Net, flat: str, kind: Kind) -> str:
        x, rows = net.sub(flat, kind.mean[None]), net.constant(kind.components)
        inner = net.node("Gemm", x, rows, transB=1)
        left = net.node("Unsqueeze", net.sub(x, net.node("Gemm", inner, rows)), net.constant([1], np.int64))
        bends = net.conv(left, SECOND[None, None], pad=0)
        noise = net.mul(net.node("ReduceMean", net.node("Abs", bends), axes=[2], keepdims=0), np.array(1.0 / FOLDED))
        noise = net.node("Max", noise, net.constant(np.array([[LEAST_NOISE]])))
        smooth = net.conv(left, np.full((1, 1, SMOOTH), 1.0 / SMOOTH), pad=0)
        size = net.mul(net.node("ReduceMean", net.mul(smooth, smooth), axes=[2], keepdims=0), np.array(float(SMOOTH)))
        shape = net.node("Div", net.node("Sqrt", size), noise)
        loud = net.mul(noise, np.array(1.0 / self.loud))
        return net.node("Max", shape, loud, net.node("Div", net.constant(np.array([[self.quiet]])), noise))


def patterns(groups: Sequence[np.ndarray], *, most: int = 14, above: float = 2.0) -> Patterns:
    """Learn from normal patterns, `(k, p)` or `(k, 1, p)` of each kind: components whose variance is more than `above`
    times that of the noise (the median of all that are not nothing), at most `most`."""
    kinds, noises = [], []
    for group in groups:
        x = np.asarray(group, np.float64).reshape(len(group), -1)
        mean = x.mean(axis=0)
        _, size, rows = np.linalg.svd(x - mean, full_matrices=False)
        real = size[size > 1e-9 * size[0]]
        noise = float(np.median(real**2)) if real.size else 0.0
        keep = min(most, int(np.count_nonzero(size**2 > above * noise)), len(x) // 4)
        kinds.append(Kind(mean, rows[:keep]))
        noises.append(kinds[-1].left(x)[1])
    usual = np.maximum(np.concatenate(noises), LEAST_NOISE)
    return Patterns(kinds=tuple(kinds), quiet=float(usual.min()), loud=float(usual.max()))
