"""How far a frame is from all good ones: distances to clusters of good frames, or what a few components leave over.

    distances   min over clusters c of |W_c (x - m_c)| / sqrt(k)     (P. C. Mahalanobis, Proc. Nat. Inst. Sci. India 2
                (1936) 49); W_c whitens the good frames of a cluster (one simulator, one machine)
    components  x as the first few principal components have it; the score is the rms of the difference
                (K. Pearson, Phil. Mag. 2 (1901) 559)

Both are linear algebra, and small as ONNX. Thresholds come from groups of good frames that were not learnt from.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from insitu.training.export import Net

FLOOR = 1e-3
"""The least variance of a direction, as a part of that of a feature, and the least scale as a part of its size."""


class Cluster(NamedTuple):
    """`mean` `(k,)`, `whiten` `(k, k)`: the rows of `whiten @ (x - mean)` have unit variance over good frames."""

    mean: np.ndarray
    whiten: np.ndarray


def cluster(x: np.ndarray, floor: float = FLOOR) -> Cluster:
    """Of good frames `(n, k)`. A number that never varied may vary by `floor` of its size (or of 1, for zeros)."""
    mean = x.mean(axis=0)
    scale = np.maximum(x.std(axis=0), floor * np.maximum(np.abs(mean), 1.0))
    values, vectors = np.linalg.eigh(np.cov((x - mean) / scale, rowvar=False))
    return Cluster(mean, (vectors / np.sqrt(np.maximum(values, floor))).T / scale)


def distances(clusters: Sequence[Cluster], x: np.ndarray) -> np.ndarray:
    """Scores `(n,)` of frames `(n, k)`.

    >>> x = np.random.default_rng(0).normal(size=(1000, 3))
    >>> round(float(np.mean(distances([cluster(x)], x) ** 2)), 2)
    1.0
    """
    each = [np.sqrt(np.mean(((x - c.mean) @ c.whiten.T) ** 2, axis=1)) for c in clusters]
    return np.min(each, axis=0)


def distance_model(clusters: Sequence[Cluster]) -> bytes:
    """ONNX: `input` `(batch, k)` to `score` `(batch, 1)`."""
    k = clusters[0].mean.size
    net, found = Net("input", (k,)), []
    for c in clusters:
        # the mean is taken off first: the other way round float32 would lose what is small beside it
        z = net.gemm(net.sub(net.input, c.mean), c.whiten)
        found.append(net.node("Sqrt", net.gemm(net.mul(z, z), np.full((1, k), 1.0 / k))))
    return net.model({"score": found[0] if len(found) == 1 else net.node("Min", *found)})


class Components(NamedTuple):
    """`mean` `(d,)` and orthonormal `basis` `(m, d)` of flattened inputs."""

    mean: np.ndarray
    basis: np.ndarray

    def left_over(self, x: np.ndarray) -> np.ndarray:
        """Root mean square of what is left of inputs `(n, ...)`, `(n,)`."""
        flat = x.reshape(len(x), -1) - self.mean
        return np.sqrt(np.mean((flat - flat @ self.basis.T @ self.basis) ** 2, axis=1))


def components(x: np.ndarray, count: int) -> Components:
    """The first `count` principal components of good inputs `(n, ...)`."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    mean = flat.mean(axis=0)
    _, _, vectors = np.linalg.svd(flat - mean, full_matrices=False)
    return Components(mean, vectors[:count])


def component_model(of: Components, shape: Sequence[int]) -> bytes:
    """ONNX: `input` `(batch, *shape)` to `again`, of the same shape: the input as the components have it."""
    net = Net("input", shape)
    flat = net.sub(net.flatten(net.input), of.mean)
    again = net.add(net.gemm(net.gemm(flat, of.basis), of.basis.T), of.mean)
    return net.model({"again": net.node("Reshape", again, net.constant([-1, *shape], np.int64))})
