"""Where to measure next, and where a change lies: arithmetic of a grid that is refined, without any instrument.

An interval between two points that are known is worth halving where the feature changes in it by more than `times`
standard uncertainties (and more than `least`). Worth, in units of the feature f over x, of what is left of the change
when that much noise has been taken off:

    change      |f2 - f1| / (x2 - x1), the slope: points gather at the steepest place
    curvature   |f''| h^2 / 8, the error of a straight line over an interval of width h, with f'' from three points:
                points gather at corners and peaks, where interpolation is worst

Intervals worth less than a quarter of the best are left alone, and so are those that would become smaller than
`smallest`: refining ends by itself where nothing is left to be learned.

    place       each point goes where it says most about where the one change lies (`insitu.bluesky.edge`), in its flank
                or far out, until its standard uncertainty is `smallest/2`; with fewer than 7 points as `change`
    auto        as `change` until the points are evidence for one edge; then where they say most about its place, but
                first only where the middle half of the change happens, until `OUTLINE` points outline that. Its flanks
                and levels come afterwards, and only where `smallest` is finer than the outline: who asks for a place
                that is known better. As `change` again where one edge does not describe the points (several changes)
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from insitu.bluesky.checking import number, whole
from insitu.bluesky.edge import FREE, EdgePosterior, posterior
from insitu.errors import UsageError
from insitu.types import Feature

By = Literal["auto", "change", "place", "curvature"]
Spacing = Literal["linear", "log"]
SHARE = 0.25
TOGETHER = 0.8
"""Intervals of at least this part of the best one's worth are halved on the same way along the motor."""
SURE, HINT = 25.0, 10.0
"""An edge must lower chi^2 by so much to be told, or to be looked into: noise alone reaches 25 in none and 10 in 2 of
100 scans of 9 to 25 points (300 tried)."""
SPARE = 3
"""Points beyond the numbers that an edge has, so that their scatter about it can be seen."""
MISFIT = 9.0
"""Chi^2 per degree of freedom (scatter of three uncertainties) above which the points are not one edge."""
OUTLINE = 16
"""Points over the middle half of a change that outline it."""
Step = tuple[list[float], str]


class Scale:
    """Places as the grid has them: themselves, or their natural logarithms."""

    def __init__(self, spacing: Spacing, start: float, stop: float) -> None:
        if spacing not in ("linear", "log"):
            raise UsageError(f"spacing {spacing!r}", where="spacing", expected="linear or log")
        self.log = spacing == "log"
        start, stop = number("start", start), number("stop", stop)
        if self.log and not (start > 0.0 and stop > 0.0):
            raise UsageError(f"from {start} to {stop}", where="start, stop", expected="above 0 on a logarithmic grid")
        self.start, self.stop = (math.log(start), math.log(stop)) if self.log else (start, stop)

    def stood(self, place: float, reads: float, near: float) -> float:
        """Where a point is: where it was to be, unless the motor reads that it is further than `near` from there."""
        if self.log and not reads > 0.0:
            return place
        at = math.log(reads) if self.log else reads
        return at if abs(at - place) > near else place

    def back(self, place: float) -> float:
        return math.exp(place) if self.log else place

    def place(self, at: Feature) -> Feature:
        """Where something lies, on the motor's scale."""
        if not self.log or at.value is None:
            return at
        value = math.exp(float(at.value))
        return Feature(value, at.unit, sigma=value * (at.sigma or 0.0))

    def told(self, places: Sequence[float]) -> str:
        return "measure at " + ", ".join(f"{self.back(place):.6g}" for place in places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What may be measured: `num` points evenly from `start` to `stop`, then more up to `most`, none nearer to another
    than `smallest`. `least`: the smallest change that matters, `times`: in standard uncertainties."""

    start: float
    stop: float
    num: int
    most: int
    smallest: float
    by: By = "auto"
    least: float = 0.0
    times: float = 3.0

    def __post_init__(self) -> None:
        for name in ("start", "stop", "smallest", "least", "times"):
            if not math.isfinite(number(name, getattr(self, name))):
                raise UsageError(f"{name} is {getattr(self, name)}", where=name, expected="a finite number")
        if self.start == self.stop:
            raise UsageError(f"from {self.start} to {self.stop}", where="start, stop", expected="two different numbers")
        if whole("num", self.num) < 3:
            raise UsageError(f"{self.num} points", where="num", expected="3 or more")
        if whole("most", self.most) < self.num:
            raise UsageError(f"at most {self.most} points", where="most", expected=f"{self.num} (num) or more")
        if self.smallest <= 0.0:
            raise UsageError(f"{self.smallest} as the smallest step", where="smallest", expected="more than 0")
        if self.least < 0.0 or self.times < 0.0:
            raise UsageError("a negative change", where="least, times", expected="0 or more")
        if self.by not in ("auto", "change", "place", "curvature"):
            raise UsageError(f"refined by {self.by!r}", where="by", expected="auto, change, place or curvature")

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
        return self.step(known, sorted(taken))[0]

    def step(self, known: Mapping[float, Feature], taken: Sequence[float]) -> Step:
        """The same, and why it ends where nothing is to be learned. `taken` in increasing order."""
        edge = _edge(known, self.smallest) if self.by in ("auto", "place") else None
        if edge is not None and (self.by == "place" or _evident(edge)):
            return self._telling(edge, taken)
        points = sorted(x for x, feature in known.items() if feature.value is not None)
        worth = self._worth(points, [known[x] for x in points])
        best = max((w for w, _, _ in worth), default=0.0)
        found: list[tuple[float, float]] = []
        for w, a, b in worth:
            middle = self._middle(a, b, taken)
            if middle is not None and w >= SHARE * best > 0.0:
                found.append((w, middle))
        top = max((w for w, _ in found), default=0.0)
        nothing = "nothing else changes by more than its uncertainty"
        return sorted(x for w, x in found if w >= TOGETHER * top), nothing

    def _telling(self, edge: EdgePosterior, taken: Sequence[float]) -> Step:
        """The place that says most about where the change lies; nothing where there is none, or it is known."""
        if edge.gain < HINT or edge.size <= self.least:
            return [], "nothing changes by more than its uncertainty"
        if edge.sigma <= self.smallest / 2:
            return [], "it is known where the change lies"
        places, points = edge.places(), np.asarray(taken)
        right = np.clip(np.searchsorted(points, places), 1, len(points) - 1)
        away = np.minimum(np.abs(places - points[right - 1]), np.abs(places - points[right]))
        wanted = places[away >= self.smallest * (1 - 1e-9)]
        if self.by == "auto":
            low, high = edge.middle()
            room = (high - low) / OUTLINE
            inside = (places >= low) & (places <= high) & (away >= max(room, self.smallest) * (1 - 1e-9))
            if np.any(inside) or room <= self.smallest:
                wanted = places[inside]
        if not len(wanted):
            return [], f"where it changes the points stand as near as they may, {self.smallest:g} apart"
        return [float(wanted[np.argmax(edge.worth(wanted))])], ""

    def _middle(self, a: float, b: float, taken: Sequence[float]) -> float | None:
        """The middle of the widest gap between a and b (points without an answer lie between)."""
        inside = taken[bisect_left(taken, a) : bisect_right(taken, b)]
        widest, left = max(((q - p, p) for p, q in pairwise(inside)), default=(0.0, a))
        return left + widest / 2 if widest / 2 >= self.smallest * (1 - 1e-9) else None

    def _worth(self, x: Sequence[float], f: Sequence[Feature]) -> list[tuple[float, float, float]]:
        y = [float(v.value or 0.0) for v in f]
        s = [v.sigma or 0.0 for v in f]
        if self.by != "curvature":
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


def _evident(edge: EdgePosterior) -> bool:
    """Whether the points are evidence for an edge, and for one alone."""
    return len(edge.x) >= FREE + SPARE and edge.gain >= HINT and not (edge.weighed and edge.scale > MISFIT)


def _edge(known: Mapping[float, Feature], narrowest: float) -> EdgePosterior | None:
    points = [(x, float(f.value), f.sigma or 0.0) for x, f in known.items() if f.value is not None]
    return posterior(points, narrowest / 2)


def located(known: Mapping[float, Feature], unit: str = "") -> Feature:
    """Where a feature changes: the place of one edge between two straight lines, and its standard uncertainty, the mean
    and the standard deviation of its posterior (`insitu.bluesky.edge`), widths from half the smallest step on."""
    x = sorted(x for x, f in known.items() if f.value is not None)
    edge = _edge(known, min((b - a for a, b in pairwise(x)), default=0.0))
    if edge is None:
        return Feature(None, unit, why=f"{len(x)} points are known, 7 are needed")
    if edge.gain < SURE and edge.weighed and edge.scale > MISFIT:
        return Feature(None, unit, why="neither a straight line nor one change describes the points")
    if edge.gain < SURE:
        return Feature(None, unit, why="a straight line describes the points as well")
    if min(np.sum(edge.x < edge.at), np.sum(edge.x > edge.at)) < 2:
        return Feature(None, unit, why="only one point lies beyond the change: it may be an outlier")
    return Feature(edge.at, unit, sigma=edge.sigma)
