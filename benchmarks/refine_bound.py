"""What the best possible choice of points could reach: the information bound beside the scans of `benchmarks.refine`.

For an edge `a + b x + (c + d (x - x0)) tanh((x - x0)/w)` with the prior of `insitu.bluesky.edge`, no unbiased estimate
of x0 has a smaller variance than the inverse of the information says (Cramer and Rao). The best points for it, the edge
being known beforehand, by the multiplicative algorithm (S. D. Silvey et al., Commun. Stat. A7 (1978) 1379).
"""

import numpy as np

ROUNDS = 600
LEVEL, RISE = 0.05, 0.001


def told(x: np.ndarray, at: float, width: float, noise: float, long: float) -> np.ndarray:
    """What points at x say about a, b, c, d, x0 and w, shape (n, 6), in their uncertainties."""
    away = (x - at) / width
    step, slope = np.tanh(away), LEVEL / width / np.cosh(np.clip(away, -300, 300)) ** 2
    columns = [np.ones_like(x), (x - x.mean()) / long, step, (x - at) / long * step, -slope, -slope * away]
    return np.stack(columns, 1) / noise


def best_part(width: float, noise: float, first: int, points: int, low: float, high: float) -> float:
    """The points, `first` of them even and the others the best ones, as a part of those of the even scan that could
    reach the same uncertainty."""
    at, long = (low + high) / 2 + 0.3, high - low
    prior = np.diag([0.0, 0.0, 1.0, 1.0, 0.0, 1e-9]) / (RISE * long + 2 * LEVEL) ** 2
    even = told(np.linspace(low, high, first), at, width, noise, long)
    near = at + width * np.linspace(-4, 4, 121)
    x = np.unique(np.concatenate([np.linspace(low, high, 201), near[(near >= low) & (near <= high)]]))
    one = told(x, at, width, noise, long)
    spent = np.full(len(x), max(points - first, 1e-9) / len(x))
    known = even.T @ even + prior
    for _ in range(ROUNDS):
        whole = known + (one * spent[:, None]).T @ one
        spent = spent * np.abs(one @ np.linalg.inv(whole)[:, 4])
        spent *= (points - first) / spent.sum()
    reached = np.linalg.inv(known + (one * spent[:, None]).T @ one)[4, 4]
    fewest, most = first, 100_000
    while most > 1.01 * fewest + 1:
        tried = max(fewest + 1, int((fewest * most) ** 0.5))
        blind = told(np.linspace(low, high, tried), at, width, noise, long)
        worse = np.linalg.inv(blind.T @ blind + prior)[4, 4] > reached
        fewest, most = (tried, most) if worse else (fewest, tried)
    return points / most
