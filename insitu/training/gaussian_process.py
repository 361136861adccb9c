"""A Gaussian process over a few numbers of a spectrum, shared between elements, and the same as an ONNX graph.

    k(a, b) = [r exp(-|a - b|^2 / (2 n l^2)) + s a.b / n] (q + (1 - q) same) + e same

over n features in units of their scale, with `same` 1 for two spectra of one element: q is how much of what one
element teaches holds for the others, e how far whole elements may be off. C. E. Rasmussen, C. K. I. Williams,
Gaussian Processes for Machine Learning (2006), chapter 2; the coregionalisation: section 9.1.
"""

from dataclasses import dataclass

import numpy as np

from insitu.training.export import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Numbers of the formula above, and the variance `noise` of a label."""

    length: float = 0.7
    shared: float = 0.9
    radial: float = 4.0
    linear: float = 1.0
    element: float = 0.3
    noise: float = 0.1

    def __call__(self, a: np.ndarray, b: np.ndarray, same: np.ndarray) -> np.ndarray:
        """Covariances `(len(a), len(b))` of features `(., n)`."""
        n = a.shape[1]
        squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2.0 * a @ b.T
        near = self.radial * np.exp(-np.maximum(squares, 0.0) / (2.0 * n * self.length**2))
        return (near + self.linear * (a @ b.T) / n) * (self.shared + (1.0 - self.shared) * same) + self.element * same


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Process:
    """A trained process: `at` (m, n) features and `elements` (m, e) of what it was trained on, `weights` (m,), the
    inverse of the Cholesky factor `inverse` (m, m), the mean label."""

    kernel: Kernel
    at: np.ndarray
    elements: np.ndarray
    weights: np.ndarray
    inverse: np.ndarray
    mean: float

    def __call__(self, features: np.ndarray, elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard uncertainty (k,) for features `(k, n)` and elements `(k, e)` of 0 and 1."""
        k = self.kernel(features, self.at, elements @ self.elements.T)
        own = self.kernel
        most = own.radial + own.linear * (features * features).sum(axis=1) / features.shape[1] + own.element
        left = most - np.square(k @ self.inverse.T).sum(axis=1)
        return k @ self.weights + self.mean, np.sqrt(np.maximum(left, 0.0) + own.noise)


def trained(
    kernel: Kernel, features: np.ndarray, elements: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> Process:
    """A process trained on `features` (m, n), `elements` (m, e), `labels` (m,); the noise of a row is divided by its
    weight (m,): repeats of one thing share one."""
    mean = float(np.average(labels, weights=weights))
    covariance = kernel(features, features, elements @ elements.T) + np.diag(kernel.noise / weights)
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    solved = inverse.T @ (inverse @ (labels - mean))
    return Process(kernel=kernel, at=features, elements=elements, weights=solved, inverse=inverse, mean=mean)


def add_process(net: Net, features: str, elements: str, process: Process) -> tuple[str, str]:
    """Add mean `(batch, 1)` and standard uncertainty `(batch, 1)` to a graph."""
    own, n = process.kernel, process.at.shape[1]
    axis = net.constant([1], np.int64)

    def total(x: str) -> str:
        return net.node("ReduceSum", x, axis, keepdims=1)

    inner = net.node("MatMul", features, net.constant(process.at.T))
    size = total(net.mul(features, features))
    apart = net.add(net.add(net.mul(inner, np.array(-2.0)), size), (process.at**2).sum(axis=1)[None])
    near = net.node("Exp", net.mul(net.relu(apart), np.array(-1.0 / (2.0 * n * own.length**2))))
    same = net.node("MatMul", elements, net.constant(process.elements.T))
    shared = net.add(net.mul(same, np.array(1.0 - own.shared)), np.array(own.shared))
    both = net.add(net.mul(near, np.array(own.radial)), net.mul(inner, np.array(own.linear / n)))
    k = net.add(net.mul(both, shared), net.mul(same, np.array(own.element)))
    mean = net.add(net.node("MatMul", k, net.constant(process.weights[:, None])), np.array([[process.mean]]))
    most = net.add(net.mul(size, np.array(own.linear / n)), np.array(own.radial + own.element))
    known = net.node("MatMul", k, net.constant(process.inverse.T))
    left = net.relu(net.sub(most, total(net.mul(known, known))))
    return mean, net.node("Sqrt", net.add(left, np.array(own.noise)))
