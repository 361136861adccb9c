"""Where a feature changes, and where the next point would say most about it: the posterior of one edge.

The feature is `a + b x + (c + d (x - x0)) tanh((x - x0)/w)`: one straight line that goes over into another. For
every place x0 and width w (a grid that is drawn together where the probability is) a to d are linear and integrated
out: a and b with a flat prior, c and d with a normal one as wide as the feature's whole range (d: over the whole scan);
x0 is flat, w flat in log w. Uncertainties are multiplied by sqrt(chi^2 per degree of freedom) where that is above 1,
and points further away than 3 of them count less (Huber's weights), so that an outlier is no edge.

A point at z lowers the variance of x0 by about `cov(x0, y(z))^2 / var(y(z))`, over the posterior and the noise of the
point (the best linear estimate; exact where everything is normal). The largest such number says where to measure: in
the middle of a gap that hides a narrow step, on the flank of a broad one, far out where the lines are what is not known
(c-optimal design: V. Fedorov, Theory of Optimal Experiments, 1972; active learning: D. Cohn, Neural Networks 9 (1996)
1071).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FREE = 6
"""Numbers that an edge has."""
OUTLIER = 3.0
LEFT_OUT = 1e-4
"""Places and widths with less than this part of the largest probability are not looked at more closely."""
BLOCK = 60_000
COARSE = 240
"""Places that are looked at first, at most; four between two neighbouring points otherwise."""
WIDEST = 0.1
"""A change over more than this part of the scan has no place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Edges at `at` of `width`, shape (k,), their `chi2` and probability, and what is known of c and d: their values
    `c`, `d`, covariance (`cc`, `cd`, `dd`), and the parts `step_line`, `bend_line` (k, 2) of their shapes that a line
    would take."""

    at: np.ndarray
    width: np.ndarray
    chi2: np.ndarray
    log_det: np.ndarray
    c: np.ndarray
    d: np.ndarray
    cc: np.ndarray
    cd: np.ndarray
    dd: np.ndarray
    step_line: np.ndarray
    bend_line: np.ndarray


class EdgePosterior:
    """What points say about an edge whose width is not below `narrowest`: `x` increasing, `y`, standard uncertainties
    `sigma` (0 where not known), shapes (n,), n > 6.

    `at`, `sigma`: mean and standard deviation of x0; `width`: mean of w; `gain`: by how much the best edge lowers
    chi^2 against a straight line; `size`: 2 c of the best one; `scale`: what the variances were multiplied by.

    >>> x = np.linspace(0, 20, 21)
    >>> found = EdgePosterior(x, np.tanh(x - 7.3), np.full(21, 0.01), 0.1)
    >>> round(found.at, 1), round(found.width, 1), bool(found.gain > 25)
    (7.3, 1.0, True)
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, sigma: np.ndarray, narrowest: float) -> None:
        if len(x) <= FREE:
            raise ValueError(f"{len(x)} points, more than {FREE} are needed")
        self.x, self.y = x, y
        self._low, self._high = float(x[0]), float(x[-1])
        self._long = self._high - self._low
        self._widths = (min(narrowest, WIDEST * self._long / 2), WIDEST * self._long)
        self._range = max(float(np.ptp(y)), 1e-12 * float(np.abs(y).max()), 1e-300)
        self.weighed = bool(np.all(sigma > 0))
        self._noise = sigma if self.weighed else np.full(len(x), self._range)
        self.scale, self._counts = 1.0, np.ones(len(x))
        self._fit()

    def _fit(self) -> None:
        """The posterior; the scale of the noise and the weights of outliers are found on the way."""
        self._weigh()
        self._search()
        again = False
        for _ in range(4):
            mean, _ = self._predict(self._edges(self.best[1:2], self.best[2:3]), self.x)
            away = (self.y - mean[0]) / self._noise
            counts = np.minimum(1.0, OUTLIER * math.sqrt(self.scale) / np.maximum(np.abs(away), 1e-300))
            scale = float(np.sum(counts * away**2)) / (len(self.x) - FREE)
            scale = max(scale, 1.0 if self.weighed else 1e-24)
            if np.allclose(counts, self._counts, atol=0.05) and abs(scale / self.scale - 1.0) < 0.05:
                break
            self.scale, self._counts, again = scale, counts, True
            self._weigh()
            self.best[0] = math.inf
            self._look(*self._box)
        if again:
            self._search()
        self.gain = self._straight - self.best[0]
        self.at = float(self._p @ self._kept.at)
        self.sigma = math.sqrt(float(self._p @ (self._kept.at - self.at) ** 2))
        self.width = float(self._p @ self._kept.width)
        self.size = 2.0 * abs(float(self._edges(self.best[1:2], self.best[2:3]).c[0]))

    def _line(self, x: np.ndarray) -> np.ndarray:
        return np.stack([np.ones_like(x), (x - self._low) / self._long - 0.5], 1)

    def _weigh(self) -> None:
        self._weight = np.sqrt(self._counts / self.scale) / self._noise
        self._q, self._r = np.linalg.qr(self._line(self.x) * self._weight[:, None])
        weighed = self.y * self._weight
        self._along = self._q.T @ weighed
        self._left = weighed - self._q @ self._along
        self._straight = float(self._left @ self._left)

    def _edges(self, at: np.ndarray, width: np.ndarray) -> Edges:
        """All about edges at these places and of these widths, shapes (k,), in blocks that fit into the cache."""
        parts = -(-len(at) * len(self.x) // BLOCK)
        if parts > 1:
            blocks = zip(np.array_split(at, parts), np.array_split(width, parts), strict=True)
            found = [self._edges(a, w) for a, w in blocks]
            return Edges(**{n: np.concatenate([getattr(e, n) for e in found]) for n in Edges.__slots__})
        away = self.x - at[:, None]
        step = np.tanh(away / width[:, None]) * self._weight
        bend = step * away / self._long
        step_line, bend_line = step @ self._q, bend @ self._q
        step, bend = step - step_line @ self._q.T, bend - bend_line @ self._q.T
        prior = self._range**-2.0
        ss, sb = np.sum(step**2, axis=1) + prior, np.sum(step * bend, axis=1)
        bb = np.sum(bend**2, axis=1) + prior
        s, b, det = step @ self._left, bend @ self._left, ss * bb - sb**2
        c, d = (bb * s - sb * b) / det, (ss * b - sb * s) / det
        return Edges(
            at=at, width=width, chi2=self._straight - s * c - b * d, log_det=np.log(det / prior**2),
            c=c, d=d, cc=bb / det, cd=-sb / det, dd=ss / det, step_line=step_line, bend_line=bend_line,
        )  # fmt: skip

    def _search(self) -> None:
        """The posterior over places and widths, first all of them, then three times where the probability is."""
        parts = np.linspace(0, len(self.x) - 1, min(4 * len(self.x) - 3, COARSE + 1))
        ends = np.interp(parts, np.arange(len(self.x)), self.x)
        places, cells, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends), np.geomspace(*self._widths, 16)
        self.best = np.array([math.inf, 0.0, 1.0])
        self._look(places, cells, widths)
        for _ in range(3):
            p = self._p.reshape(len(places), len(widths))
            near = np.flatnonzero(p.sum(1) > LEFT_OUT * p.sum(1).max())[[0, -1]]
            wide = np.flatnonzero(p.sum(0) > LEFT_OUT * p.sum(0).max())[[0, -1]]
            first, last = places[near] + cells[near] * np.array([-1.0, 1.0])
            ends = np.linspace(max(self._low, first), min(self._high, last), 65)
            places, cells = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
            thin, thick = widths[wide] * (widths[1] / widths[0]) ** np.array([-0.7, 0.7])
            widths = np.geomspace(max(self._widths[0], thin), min(self._widths[1], thick), 14)
            self._look(places, cells, widths)

    def _look(self, places: np.ndarray, cells: np.ndarray, widths: np.ndarray) -> None:
        self._box = places, cells, widths
        found = self._edges(np.repeat(places, len(widths)), np.tile(widths, len(places)))
        log_p = -(found.chi2 + found.log_det) / 2 + np.repeat(np.log(cells), len(widths))
        p = np.exp(log_p - log_p.max())
        self._kept, self._p = found, p / p.sum()
        i = int(np.argmin(found.chi2))
        if found.chi2[i] < self.best[0]:
            self.best = np.array([found.chi2[i], found.at[i], found.width[i]])

    def _predict(self, edges: Edges, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each edge expects at z, shapes (k, m), and the variance of that (a to d are not known for sure)."""
        line = np.linalg.solve(self._r.T, self._line(z).T)
        away = z - edges.at[:, None]
        step = np.tanh(away / edges.width[:, None])
        bend = step * away / self._long
        c, d = edges.c[:, None], edges.d[:, None]
        mean = (self._along - c * edges.step_line - d * edges.bend_line) @ line + c * step + d * bend
        step, bend = step - edges.step_line @ line, bend - edges.bend_line @ line
        twice = 2 * edges.cd[:, None] * step * bend
        return mean, np.sum(line**2, axis=0) + edges.cc[:, None] * step**2 + twice + edges.dd[:, None] * bend**2

    def worth(self, z: np.ndarray) -> np.ndarray:
        """By how much the variance of x0 would fall with one more point at z, shape (m,)."""
        kept = self._p > 1e-5 * self._p.max()
        p = self._p[kept] / self._p[kept].sum()
        mean, spread = self._predict(_some(self._kept, kept), z)
        apart = mean - p @ mean
        noise = np.interp(z, self.x, self._noise) ** 2 * self.scale
        together = (p * (self._kept.at[kept] - p @ self._kept.at[kept])) @ apart
        return together**2 / (p @ apart**2 + p @ spread + noise)

    def middle(self) -> tuple[float, float]:
        """Where the middle half of the change happens: the quartiles of its expected course, over the posterior."""
        kept, z = self._p > 1e-5 * self._p.max(), self.places()
        away = (z - self._kept.at[kept, None]) / self._kept.width[kept, None]
        course = self._p[kept] @ np.tanh(away)
        low, high = np.interp([0.25, 0.75], (course - course[0]) / (course[-1] - course[0]), z)
        return float(low), float(high)

    def places(self) -> np.ndarray:
        """Places worth thinking about: everywhere, between the points, and closely where x0 may be."""
        near = np.quantile(self._kept.at, [0.0, 1.0]) + 2 * self.width * np.array([-1.0, 1.0])
        low, high = np.clip(near, self._low, self._high)
        everywhere = np.linspace(self._low, self._high, 121)
        return np.unique(np.concatenate([everywhere, (self.x[1:] + self.x[:-1]) / 2, np.linspace(low, high, 61)]))


def _some(edges: Edges, kept: np.ndarray) -> Edges:
    return Edges(**{name: getattr(edges, name)[kept] for name in Edges.__slots__})


def posterior(points: Sequence[tuple[float, float, float]], narrowest: float) -> EdgePosterior | None:
    """Of (x, y, sigma) in any order; None where there are too few to say anything."""
    if len(points) <= FREE:
        return None
    x, y, sigma = (np.array(column) for column in zip(*sorted(points), strict=True))
    return EdgePosterior(x, y, sigma, narrowest)
