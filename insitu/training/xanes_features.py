"""A few numbers of a normalised spectrum that tell the valence, in numpy and as ONNX: one definition, tested equal.

    E(l) = low + step sum_i sigmoid((l - mu_i) / 0.03)        how far the spectrum stays below the level l, eV

for some levels l: for a spectrum that only rises, the energy at which it does; intensity before the edge pulls it
down. With them the largest mu between 0 and 8 eV above the tabulated edge (pre-edge peak, shoulder of a metal), the
largest of all (white line) and the mean from 20 to 40 eV. Each is divided by a typical spread, fixed beforehand.
"""

import numpy as np

from insitu.training.export import Net

LOW, HIGH, POINTS = -20.0, 60.0, 160
STEP = (HIGH - LOW) / POINTS
LEVELS = (0.15, 0.3, 0.5, 0.7, 0.9)
SOFT = 0.03
PRE, POST = (0.0, 8.0), (20.0, 40.0)
CENTRE = np.array([6.0, 7.5, 10.0, 13.0, 17.0, 0.35, 1.3, 1.02])
SPREAD = np.array([5.0, 5.0, 5.0, 5.0, 6.0, 0.25, 0.2, 0.08])
NAMES = (*(f"E({level:g})" for level in LEVELS), "pre", "white", "post")


def _rows(span: tuple[float, float]) -> tuple[int, int]:
    return round((span[0] - LOW) / STEP), round((span[1] - LOW) / STEP)


def features(mu: np.ndarray) -> np.ndarray:
    """`(n, 8)` of normalised spectra `(n, points)`."""
    mu = np.asarray(mu, dtype=np.float64)
    below = [1.0 / (1.0 + np.exp(np.clip((mu - level) / SOFT, -60.0, 60.0))) for level in LEVELS]
    energies = [LOW + STEP * b.sum(axis=1) for b in below]
    (a, b), (c, d) = _rows(PRE), _rows(POST)
    found = [*energies, mu[:, a:b].max(axis=1), mu.max(axis=1), mu[:, c:d].mean(axis=1)]
    return (np.stack(found, axis=1) - CENTRE) / SPREAD


def add_features(net: Net, mu: str) -> str:
    """The same `(batch, 8)` of a result `(batch, 1, points)`."""
    slope = np.full((len(LEVELS), 1, 1), -1.0 / SOFT)
    below = net.sigmoid(net.conv(mu, slope, np.array(LEVELS) / SOFT))
    energies = net.add(
        net.mul(net.node("ReduceMean", below, axes=[2], keepdims=0), np.array(STEP * POINTS)), np.array(LOW)
    )

    def cut(span: tuple[float, float]) -> str:
        ends = [net.constant([row], np.int64) for row in _rows(span)]
        return net.node("Slice", mu, *ends, net.constant([2], np.int64))

    pre = net.node("ReduceMax", cut(PRE), axes=[2], keepdims=0)
    white = net.node("ReduceMax", mu, axes=[2], keepdims=0)
    post = net.node("ReduceMean", cut(POST), axes=[2], keepdims=0)
    return net.scaled(net.concat(energies, pre, white, post), CENTRE[None], SPREAD[None])
