"""Where to measure next, and where a change lies: arithmetic of a grid that is refined, without any instrument.

An interval between two points that are known is worth halving where the feature changes in it by more than `times`
standard uncertainties (and more than `least`). Worth, in units of the feature f over x, of what is left of the change
when that much noise has been taken off:

    change      |f2 - f1| / (x2 - x1), the slope: points gather at the steepest place
    curvature   |f''| h^2 / 8, the error of a straight line over an interval of width h, with f'' from three points:
                points gather at corners and peaks, where interpolation is worst

Intervals worth less than a quarter of the best are left alone, and so are those that would become smaller than
`smallest`: refining ends by itself where nothing is left to be learned.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from insitu.errors import UsageError
from insitu.types import Feature

By = Literal["change", "curvature"]
SHARE = 0.25
TOGETHER = 0.8
"""Intervals of at least this part of the best one's worth are halved on the same way along the motor."""
WIDTHS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What may be measured: `num` points evenly from `start` to `stop`, then more up to `most`, none nearer to another
    than `smallest`. `least`: the smallest change that matters, `times`: in standard uncertainties."""

    start: float
    stop: float
    num: int
    most: int
    smallest: float
    by: By = "change"
    least: float = 0.0
    times: float = 3.0

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (self.start, self.stop, self.smallest, self.least, self.times)))
        if not finite or self.start == self.stop:
            raise UsageError(f"from {self.start} to {self.stop}", where="start, stop", expected="two different numbers")
        if self.num < 3:
            raise UsageError(f"{self.num} points", where="num", expected="3 or more")
        if self.most < self.num:
            raise UsageError(f"at most {self.most} points", where="most", expected=f"{self.num} (num) or more")
        if self.smallest <= 0.0:
            raise UsageError(f"{self.smallest} as the smallest step", where="smallest", expected="more than 0")
        if self.least < 0.0 or self.times < 0.0:
            raise UsageError("a negative change", where="least, times", expected="0 or more")
        if self.by not in ("change", "curvature"):
            raise UsageError(f"refined by {self.by!r}", where="by", expected="change or curvature")

    def first(self) -> list[float]:
        """The points of the plain scan."""
        return [float(x) for x in np.linspace(self.start, self.stop, self.num)]

    def even(self, taken: Iterable[float]) -> list[float]:
        """The middle of the widest gap: where to go on if nobody answers. Empty where that would be too near."""
        points = sorted(taken)
        gaps = [(b - a, a) for a, b in pairwise(points)]
        widest, a = max(gaps, key=lambda gap: (round(gap[0], 9), -gap[1]))
        return [a + widest / 2] if widest / 2 >= self.smallest * (1 - 1e-9) else []

    def next(self, known: Mapping[float, Feature], taken: Iterable[float]) -> list[float]:
        """Where to measure next, in increasing order; empty where nothing is to be learned. `known`: {x: feature with
        a value}, `taken`: every x that was measured, known or not."""
        points = sorted(x for x, feature in known.items() if feature.value is not None)
        worth = self._worth(points, [known[x] for x in points])
        best = max((w for w, _, _ in worth), default=0.0)
        taken = sorted(taken)
        found: list[tuple[float, float]] = []
        for w, a, b in worth:
            middle = self._middle(a, b, taken)
            if middle is not None and w >= SHARE * best > 0.0:
                found.append((w, middle))
        top = max((w for w, _ in found), default=0.0)
        return sorted(x for w, x in found if w >= TOGETHER * top)

    def _middle(self, a: float, b: float, taken: Sequence[float]) -> float | None:
        """The middle of the widest gap between a and b (points without an answer lie between)."""
        inside = taken[bisect_left(taken, a) : bisect_right(taken, b)]
        widest, left = max(((q - p, p) for p, q in pairwise(inside)), default=(0.0, a))
        return left + widest / 2 if widest / 2 >= self.smallest * (1 - 1e-9) else None

    def _worth(self, x: Sequence[float], f: Sequence[Feature]) -> list[tuple[float, float, float]]:
        y = [float(v.value or 0.0) for v in f]
        s = [v.sigma or 0.0 for v in f]
        if self.by == "change":
            spans = range(len(x) - 1)
            return [(self._slope(x, y, s, i), x[i], x[i + 1]) for i in spans]
        bends = [self._bend(x, y, s, i) for i in range(1, len(x) - 1)]
        return [
            (max(bends[max(i - 1, 0) : i + 1], default=0.0) * (b - a) ** 2 / 8, a, b)
            for i, (a, b) in enumerate(pairwise(x))
        ]

    def _slope(self, x: Sequence[float], y: Sequence[float], s: Sequence[float], i: int) -> float:
        """Slope of the interval from point i, as far as it is sure."""
        change = self._sure(abs(y[i + 1] - y[i]), math.hypot(s[i], s[i + 1]))
        return change / (x[i + 1] - x[i])

    def _bend(self, x: Sequence[float], y: Sequence[float], s: Sequence[float], i: int) -> float:
        """|f''| at point i, as far as its distance from the line between its neighbours is sure."""
        t = (x[i] - x[i - 1]) / (x[i + 1] - x[i - 1])
        off = abs(y[i] - (1 - t) * y[i - 1] - t * y[i + 1])
        sigma = math.sqrt(s[i] ** 2 + ((1 - t) * s[i - 1]) ** 2 + (t * s[i + 1]) ** 2)
        return 2 * self._sure(off, sigma) / ((x[i] - x[i - 1]) * (x[i + 1] - x[i]))

    def _sure(self, change: float, sigma: float) -> float:
        """What is left of a change when noise is taken off, 0 where it does not matter."""
        return 0.0 if change <= self.least else max(0.0, change - self.times * sigma)


class _Fit(NamedTuple):
    chi2: float
    at: float
    width: float


def located(known: Mapping[float, Feature], unit: str = "") -> Feature:
    """Where a feature changes: x0 of `a + b x + (c + d (x - x0)) tanh((x - x0)/w)`, one straight line that goes over
    into another, fitted to all points by weighted least squares (a to d linear; x0 and w searched, w from half the
    smallest step to a tenth of the range: a change over more than that has no place).

    sigma: from where chi^2 exceeds its minimum by 1 (times chi^2 per degree of freedom where that is above 1), not
    less than a step between two points would leave open, gap/sqrt(12), where the change lies between two points.
    """
    points = sorted((x, f) for x, f in known.items() if f.value is not None)
    if len(points) < 7:
        return Feature(None, unit, why=f"{len(points)} points are known, 7 are needed")
    edge = _Edge(points)
    x, best = edge.x, edge.best()
    free = len(x) - 6
    scale = best.chi2 / free if free > 0 else 1.0
    scale = max(scale, 1.0 if edge.weighed else 1e-30)
    if edge.straight - best.chi2 < 25 * scale:
        return Feature(None, unit, why="a straight line describes the points as well")
    i = int(np.clip(np.searchsorted(x, best.at), 1, len(x) - 1))
    gap = float(x[i] - x[i - 1])
    between = gap / math.sqrt(12) if best.width < gap / 2 else 0.0
    return Feature(best.at, unit, sigma=max(edge.spread(best, scale), between))


class _Edge:
    """Chi^2 of edges at many places and of many widths at once; the straight line is projected out beforehand."""

    def __init__(self, points: Sequence[tuple[float, Feature]]) -> None:
        self.x = np.array([p for p, _ in points])
        sigma = np.array([f.sigma or 0.0 for _, f in points])
        self.weighed = bool(np.all(sigma > 0))
        self._weight = 1.0 / sigma if self.weighed else np.ones_like(self.x)
        line = np.stack([np.ones_like(self.x), self.x - self.x.mean()], 1) * self._weight[:, None]
        self._line = np.linalg.qr(line)[0]
        self._y = self._without_line(np.array([[float(f.value or 0.0) for _, f in points]]) * self._weight)[0]
        self.straight = float(self._y @ self._y)

    def _without_line(self, rows: np.ndarray) -> np.ndarray:
        return rows - (rows @ self._line) @ self._line.T

    def chi2(self, at: np.ndarray, width: np.ndarray) -> np.ndarray:
        """For pairs of places and widths, shape (k,)."""
        away = self.x - at[:, None]
        edge = np.tanh(away / width[:, None])
        step = self._without_line(edge * self._weight)
        bend = self._without_line(edge * away * self._weight)
        size = np.sum(step**2, axis=1)
        flat = size <= 1e-12 * float(self._weight @ self._weight)
        size = np.where(flat, 1.0, size)
        bend = bend - (np.sum(bend * step, axis=1) / size * ~flat)[:, None] * step
        room = np.sum(bend**2, axis=1)
        straight = room <= 1e-9 * np.sum((edge * away * self._weight) ** 2, axis=1)
        taken = np.where(flat, 0.0, (step @ self._y) ** 2 / size)
        return self.straight - taken - np.where(straight, 0.0, (bend @ self._y) ** 2 / np.where(straight, 1.0, room))

    def best(self) -> _Fit:
        """The best edge: all places and middles first, then finer and finer around the best."""
        x, span = self.x, float(np.diff(self.x).max())
        widths = np.geomspace(np.diff(x).min() / 2, (x[-1] - x[0]) / 10, WIDTHS)
        best = self._search(np.concatenate([x, (x[1:] + x[:-1]) / 2]), widths)
        while span > 1e-4 * (x[-1] - x[0]):
            span /= 1.6
            places = np.clip(best.at + span * np.linspace(-1, 1, 7), x[0], x[-1])
            near = np.clip(best.width * np.array([0.8, 1.0, 1.25]), widths[0], widths[-1])
            best = min(best, self._search(places, near))
        return best

    def _search(self, places: np.ndarray, widths: np.ndarray) -> _Fit:
        at, width = (grid.ravel() for grid in np.meshgrid(places, widths))
        chi2 = self.chi2(at, width)
        i = int(np.argmin(chi2))
        return _Fit(float(chi2[i]), float(at[i]), float(width[i]))

    def spread(self, best: _Fit, scale: float) -> float:
        """Half the distance between the places where chi^2 has risen by `scale`."""
        ends = []
        for sign in (-1.0, 1.0):
            inner, outer = 0.0, float(self.x[-1] - self.x[0])
            for _ in range(30):
                middle = (inner + outer) / 2
                place = np.array([best.at + sign * middle])
                risen = float(self.chi2(place, np.array([best.width]))[0]) - best.chi2 > scale
                inner, outer = (inner, middle) if risen else (middle, outer)
            ends.append(outer)
        return sum(ends) / 2
