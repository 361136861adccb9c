"""The preparation `pattern`: a 1-D diffraction pattern on a fixed grid of Q, d or 2 theta, whatever its instrument.

    Q = 4 pi sin(theta) / lambda,   d = 2 pi / Q

The mean of the pattern is taken over each bin of the grid (straight lines between points), a background is taken off
where one is asked for (SNIP on the grid: C. G. Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396), intensities go
through a root or a logarithm, and are normalised. Bins that the pattern does not cover are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from insitu.maths.pattern import pattern_axis, unusable
from insitu.maths.resample import Grid, covered, grid_between, means_on
from insitu.models.preparing import Prepared, given_each
from insitu.types import Frame

UNITS = {"two_theta": "deg", "q": "1/angstrom", "d": "angstrom"}
FEWEST = 20
HOLE = 8.0
"""Neighbouring points that are so many median steps apart have a hole between them."""
AT_ONCE = 1 << 15
"""Points that are averaged at once: more of them do not stay in the processor's cache."""


def pattern(
    frame: Frame,
    *,
    grid: Literal["q", "d", "two_theta"] = "q",
    low: float = 0.8,
    high: float = 6.0,
    points: int = 1024,
    spacing: Literal["linear", "log"] = "linear",
    background: int = 0,
    scale: Literal["linear", "sqrt", "log"] = "sqrt",
    normalise: Literal["max", "robust", "area", "none"] = "max",
    cover: bool = False,
    coverage: float = 0.6,
    wavelength: float | None = None,
) -> Prepared:
    """float32 `(1, points)`; with `cover` `(2, points)`, the second row 1 where the pattern covers the bin, else 0.

    `grid`: `low` to `high` in 1/angstrom, angstrom or deg; bins with equal steps, or equal ratios (`log`: a change of
    all lattice spacings by one factor is then a shift). `background`: half width of SNIP's window in bins, 0: none.
    `scale`: root or logarithm (of 1 + intensity / its median where that is above 0). `normalise`: `max` divides by the
    largest value; `robust` takes off the median and divides by the 99th percentile above it; `area` makes the mean 1.
    `coverage`: least share of the bins that must be covered. `wavelength` in angstrom is used where the frame has none
    in its context; a pattern over 2 theta on a grid of Q or d needs one.
    """
    bins = (low, high, points, spacing)
    return _prepared([frame], _Wanted(grid, bins, background, scale, normalise, cover, coverage, wavelength))[0]


def many(frames: Sequence[Frame], **params: Any) -> list[Prepared]:
    """`pattern` of several frames, bit by bit."""
    p = {**(pattern.__kwdefaults__ or {}), **params}
    bins = (p.pop("low"), p.pop("high"), p.pop("points"), p.pop("spacing"))
    return _prepared(frames, _Wanted(bins=bins, **p))


class _Wanted(NamedTuple):
    """The parameters of `pattern`; `bins`: low, high, points and spacing."""

    grid: str
    bins: tuple[float, float, int, str]
    background: int
    scale: str
    normalise: str
    cover: bool
    coverage: float
    wavelength: float | None


def _prepared(frames: Sequence[Frame], wanted: _Wanted) -> list[Prepared]:
    """The inputs of frames, those with the same places together."""
    found: dict[int, Prepared] = {}
    together: dict[int, tuple[_Over, list[int]]] = {}
    last: tuple[Frame, _Over] | None = None
    for i, frame in enumerate(frames):
        try:
            if last is None or not _alike(last[0], frame):
                last = (frame, _grid_for(frame, wanted))
        except ValueError as e:
            found[i], last = Prepared(None, str(e)), None
            continue
        together.setdefault(id(last[1]), (last[1], []))[1].append(i)
    for over, at in together.values():
        n = over.points.size
        step = max(1, AT_ONCE // n)
        means = np.empty((len(at), over.covered.size))
        for k in range(0, len(at), step):
            y = np.empty((len(at[k : k + step]), n))
            for row, i in zip(y, at[k : k + step], strict=True):
                data = frames[i].data
                row[:] = data if over.all_points else data[over.points]
                if data.dtype.kind not in "biu" and (why := unusable(row)):
                    found[i], row[:] = Prepared(None, why), 0.0
            means[k : k + step] = means_on(over.grid, y if over.upwards else y[:, ::-1])
        for i, made in zip(at, _made(means, over.covered, wanted), strict=True):
            found.setdefault(i, made)
    return [found[i] for i in range(len(frames))]


def _alike(a: Frame, b: Frame) -> bool:
    """Whether two frames surely have the same places, of which every point can be used."""
    return (
        a.data.shape == b.data.shape
        and a.axes.keys() == b.axes.keys()
        and all(axis is b.axes[name] for name, axis in a.axes.items())
        and a.context.get("wavelength") == b.context.get("wavelength")
        and _whole(a)
        and _whole(b)
    )


def _whole(frame: Frame) -> bool:
    """Whether every point of a frame is a number, and none is masked."""
    return frame.mask is None and all(
        a is None or a.dtype.kind != "f" or bool(np.isfinite(a).all()) for a in (frame.data, frame.sigma)
    )


def _grid_for(frame: Frame, wanted: _Wanted) -> _Over:
    """The grid for a frame; ValueError with a sentence where it has none, or covers too little of it."""
    grid, bins = wanted.grid, wanted.bins
    where, seen, known = _places(frame, grid, wanted.wavelength)
    over = _over(where.tobytes(), seen.tobytes(), known, grid, *bins)
    share = float(over.covered.mean())
    if share < wanted.coverage:
        raise ValueError(
            f"the pattern covers {grid} = {over.first:.4g} to {over.last:.4g} {UNITS[grid]}, {100 * share:.0f} % of "
            f"{bins[0]:g} to {bins[1]:g}: the network needs {100 * wanted.coverage:.0f} %"
        )
    return over


def _made(values: np.ndarray, seen: np.ndarray, wanted: _Wanted) -> list[Prepared]:
    """The means `(k, points)` of frames as the network's inputs."""
    if wanted.background:
        values = values - snip(values, wanted.background)
    values = _scaled(values, wanted.scale, seen)
    values, varied = _normalised(values, wanted.normalise, seen)
    values[:, ~seen] = 0.0
    rows = np.stack([values, np.broadcast_to(seen, values.shape)], axis=1) if wanted.cover else values[:, None]
    inputs = iter(given_each(rows))
    return [next(inputs) if good else Prepared(None, "the pattern is the same everywhere") for good in varied]


class _Over(NamedTuple):
    """The grid for one set of points: which of the frame's points are used (`all_points`: every one), whether the
    grid's quantity increases with them, where it begins and ends, and which bins `(points,)` they cover."""

    points: np.ndarray
    all_points: bool
    upwards: bool
    first: float
    last: float
    grid: Grid
    covered: np.ndarray


def places(frame: Frame, grid: str, wavelength: float | None = None) -> np.ndarray:
    """Where the usable points of a pattern are on a grid of Q, d or 2 theta; ValueError with a sentence where that is
    not known."""
    x, seen, (axis, wave) = _places(frame, grid, wavelength)
    at = x[seen] if axis == grid else _converted(x[seen & (x > 0.0)], axis, grid, wave)
    return at[np.isfinite(at)]


def _places(frame: Frame, grid: str, wavelength: float | None) -> tuple[np.ndarray, np.ndarray, tuple[str, float]]:
    """The axis, which points of it can be used, and its name with the wavelength where that matters; ValueError with a
    sentence where there are none."""
    axis = next((a for a in UNITS if a in frame.axes), "two_theta")
    x = pattern_axis(frame, axis, UNITS[axis])
    seen = np.ones(x.size, bool) if frame.mask is None else ~np.asarray(frame.mask, bool)
    if frame.data.dtype.kind == "f":
        seen &= np.isfinite(frame.data)
    if frame.sigma is not None:
        seen &= np.isfinite(frame.sigma)
    matters = axis != grid and "two_theta" in (axis, grid)
    return x, seen, (axis, _wavelength(frame, wavelength) if matters else 0.0)


@lru_cache(maxsize=8)
def _over(
    where: bytes, can: bytes, known: tuple[str, float], grid: str, low: float, high: float, points: int, spacing: str
) -> _Over:
    """What depends on the axis alone, kept: the frames of a run mostly have one."""
    axis, wavelength = known
    x, seen = np.frombuffer(where, np.float64), np.frombuffer(can, bool).copy()
    if not np.all(np.diff(x) > 0.0):
        raise ValueError(f"the axis {axis} does not increase strictly")
    if axis != grid:
        seen &= x > 0.0
    if np.count_nonzero(seen) < FEWEST:
        raise ValueError(f"only {np.count_nonzero(seen)} points can be used, expected at least {FEWEST}")
    at = np.flatnonzero(seen)
    q = x[at] if axis == grid else _converted(x[at], axis, grid, wavelength)
    at, q = at[np.isfinite(q)], q[np.isfinite(q)]
    if at.size < FEWEST:
        raise ValueError(f"fewer than {FEWEST} points have a {grid} at this wavelength")
    upwards = bool(q[-1] > q[0])
    q = q if upwards else q[::-1]
    edges = _edges(low, high, points, spacing)
    there = covered(q, edges, HOLE * float(np.median(np.diff(q))))
    return _Over(at, at.size == x.size, upwards, float(q[0]), float(q[-1]), grid_between(q, edges), there)


def _wavelength(frame: Frame, wavelength: float | None) -> float:
    """Wavelength in angstrom: the frame's own, else the given one."""
    known = frame.context.get("wavelength")
    value = wavelength if known is None or known.value is None else float(known.value)
    if known is not None and known.value is not None and known.unit != "angstrom":
        raise ValueError(f"the wavelength is in {known.unit!r}, expected angstrom")
    if value is None:
        raise ValueError('the wavelength is not known: give it as wavelength = "1.5406 angstrom" in [calibration]')
    if not 0.01 < value < 100.0:
        raise ValueError(f"{value:g} angstrom is no wavelength of X-rays")
    return value


def _converted(x: np.ndarray, axis: str, grid: str, wavelength: float) -> np.ndarray:
    """`x` of `axis` as a quantity of `grid`, by way of Q; NaN where there is none."""
    if axis == "two_theta":
        q = 4.0 * math.pi / wavelength * np.sin(np.radians(np.minimum(x, 180.0)) / 2.0)
    else:
        q = x if axis == "q" else 2.0 * math.pi / x
    if grid == "q":
        return q
    if grid == "d":
        return 2.0 * math.pi / q
    sine = q * wavelength / (4.0 * math.pi)
    return np.where(sine <= 1.0, 2.0 * np.degrees(np.arcsin(np.minimum(sine, 1.0))), np.nan)


@lru_cache(maxsize=16)
def _edges(low: float, high: float, points: int, spacing: str) -> np.ndarray:
    """Edges `(points + 1,)` of the bins."""
    edges = np.geomspace(low, high, points + 1) if spacing == "log" else np.linspace(low, high, points + 1)
    edges.flags.writeable = False
    return edges


def middles(low: float, high: float, points: int, spacing: Literal["linear", "log"] = "linear") -> np.ndarray:
    """The middles `(points,)` of the grid's bins."""
    edges = _edges(low, high, points, spacing)
    return 0.5 * (edges[1:] + edges[:-1])


def snip(values: np.ndarray, width: int) -> np.ndarray:
    """The background under peaks by SNIP, along the last dimension: of a double root of the values, each is at most the
    mean of the two at distance w, for w from `width` down to 1. Ends use what is there.

    >>> bump = np.exp(-np.linspace(-8.0, 8.0, 101) ** 2)
    >>> round(float(snip(10.0 + bump, 20)[50]), 1)
    10.0
    """
    root = np.log(np.log(np.sqrt(np.maximum(values, 0.0) + 1.0) + 1.0) + 1.0)
    for w in range(min(width, (root.shape[-1] - 1) // 2), 0, -1):
        mean = root[..., : -2 * w] + root[..., 2 * w :]
        mean *= 0.5
        np.minimum(root[..., w:-w], mean, out=root[..., w:-w])
    return (np.exp(np.exp(root) - 1.0) - 1.0) ** 2 - 1.0


def _scaled(values: np.ndarray, scale: str, seen: np.ndarray) -> np.ndarray:
    """Root or logarithm of what is above 0, of each row."""
    if scale == "linear":
        return values
    values = np.maximum(values, 0.0)
    if scale == "sqrt":
        return np.sqrt(values)
    known = values.compress(seen, axis=-1)
    level, top = np.median(known, axis=-1), known.max(axis=-1)
    return np.log1p(values / np.where(level > 0.0, level, np.where(top > 0.0, top, 1.0))[:, None])


def _normalised(values: np.ndarray, normalise: str, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row in a range of its own, without those that are the same everywhere; and which are not `(k,)`."""
    known = values.compress(seen, axis=-1)
    most, least = known.max(axis=-1), known.min(axis=-1)
    level, spread = 0.0, np.maximum(most, -least)
    varied = most - least > 1e-12 * spread
    if normalise == "none":
        return values[varied], varied
    if normalise == "robust":
        level, top = np.percentile(known, [50.0, 99.0], axis=-1)[:, :, None]
        spread = np.where(top[:, 0] > level[:, 0], top[:, 0], most) - level[:, 0]
    elif normalise == "area":
        spread = np.mean(known, axis=-1)
    varied &= spread > 0.0
    if varied.all():
        return (values - level) / spread[:, None], varied
    return ((values - level)[varied]) / spread[varied, None], varied
