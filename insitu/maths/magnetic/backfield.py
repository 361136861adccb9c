"""A backfield curve in numbers: the coercivity of remanence.

A sample is saturated one way; a field B the other way is applied and taken off again, and what remains is measured, for
one B after the other. Bcr is the B after which nothing remains: where the curve crosses zero, by a straight line
between the two points around it. How far the curve may bend between them is taken from the cubic through the two points
on either side, and goes into the uncertainty, as noise does (of the points, from their second differences).

Source: D. J. Dunlop, O. Ozdemir, Rock Magnetism (Cambridge 1997), 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insitu.maths.magnetic.hysteresis import Value

LEAST_POINTS = 4
BACK = 0.05
"""The largest field that is not against the saturation, as a part of the largest one that is."""
BOTH_SIGNS = 0.2
"""A field that goes to the other sign by less than this part of its largest value goes one way only."""
RISES = 0.3
"""A curve falls; one that rises by more than this part of its fall again is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfield:
    """`bcr` in T; `remanence` before any field (unit of the moment); `reversed_part`: remanence after the largest field
    over the first one, -1 where it was turned round as a whole; `quality`: log10(range/noise);
    `problems`: why it is bad."""

    bcr: Value
    remanence: Value
    quality: Value
    reversed_part: Value
    problems: tuple[str, ...] = ()


def backfield(field: np.ndarray, moment: np.ndarray) -> Backfield:
    """Measure a backfield curve: applied fields `(n,)` in T in any order, remanence after each `(n,)`.

    >>> b = -np.linspace(0.0, 0.2, 41)
    >>> round(backfield(b, 1.0 - 2.0 * -b / (0.05 - b)).bcr.value, 4)
    0.05
    """
    b, m = np.asarray(field, np.float64), np.asarray(moment, np.float64)
    if b.ndim != 1 or b.shape != m.shape:
        raise ValueError(f"field {b.shape} and moment {m.shape} are no curve: expected two arrays of one length")
    why = _not_a_curve(b, m)
    if why:
        return _nothing(why)
    back = -1.0 if -b.min() >= b.max() else 1.0
    x = back * b
    order = np.argsort(x, kind="stable")
    x, y = x[order], m[order]
    if y[0] < 0:
        y = -y
    fall = float(y[0] - y.min())
    if fall <= 0.0:
        return _nothing(f"the remanence does not fall: it is {m[order][0]:.4g} at first and never less")
    climbs = float((y - np.minimum.accumulate(y)).max())
    if climbs > RISES * fall:
        return _nothing(f"this is no backfield curve: the remanence rises again by {climbs:.3g} after it fell")
    part = Value(float(y[-1] / y[0])) if y[0] > 0 else Value(None, why="there is no remanence at first")
    remanence = Value(float(y[0]))
    passes = np.flatnonzero((y[:-1] > 0.0) & (y[1:] <= 0.0))
    if passes.size == 0:
        said = f"the remanence does not come to zero: {y[-1] / y[0]:.2f} of it is left after {x[-1]:.4g} T"
        none = Value(None, why=said)
        return Backfield(bcr=none, remanence=remanence, quality=none, reversed_part=part, problems=(said,))
    noise = max(_noise(y), 1e-12 * fall)
    quality = Value(float(np.log10(fall / noise)))
    return Backfield(bcr=_crossing(x, y, passes), remanence=remanence, quality=quality, reversed_part=part)


def _noise(y: np.ndarray) -> float:
    """Standard deviation of a point, from second differences: of those, six variances are one."""
    bent = np.abs(np.diff(y, 2))
    return float(np.median(bent)) / 1.65 if bent.size else 0.0


def _crossing(x: np.ndarray, y: np.ndarray, passes: np.ndarray) -> Value:
    """The field of the crossing; where noise makes several, the middle of the first and the last."""
    found = [float(x[i] - y[i] * (x[i + 1] - x[i]) / (y[i + 1] - y[i])) for i in (passes[0], passes[-1])]
    bcr = 0.5 * (found[0] + found[1])
    i = int(passes[passes.size // 2])
    steep = abs(y[i + 1] - y[i]) / (x[i + 1] - x[i]) if x[i + 1] > x[i] else np.inf
    noise = _noise(y)
    bend = _bend(x, y, i) if passes.size == 1 else 0.0
    spread = 0.5 * (found[1] - found[0])
    sigma = float(np.sqrt((0.8 * noise / steep) ** 2 + bend**2 / 3.0 + spread**2))
    return Value(bcr, sigma)


def _bend(x: np.ndarray, y: np.ndarray, i: int) -> float:
    """How far the cubic through the points around the crossing departs from the straight line, as a field."""
    part = slice(max(i - 1, 0), min(i + 3, x.size))
    px, py = x[part], y[part]
    if np.unique(px).size < px.size:
        return 0.5 * float(x[i + 1] - x[i])
    line = float(x[i] - y[i] * (x[i + 1] - x[i]) / (y[i + 1] - y[i]))
    value = sum(py[a] * np.prod([(line - px[c]) / (px[a] - px[c]) for c in range(px.size) if c != a])
                for a in range(px.size))  # fmt: skip
    away = abs(float(value)) * (x[i + 1] - x[i]) / abs(y[i + 1] - y[i])
    return float(min(away, x[i + 1] - x[i]))


def _not_a_curve(b: np.ndarray, m: np.ndarray) -> str:
    """Why these points are no backfield curve; empty where they may be one."""
    if b.size < LEAST_POINTS:
        return f"too few points: {b.size}, {LEAST_POINTS} are needed"
    bad = int((~np.isfinite(b) | ~np.isfinite(m)).sum())
    if bad:
        return f"{bad} of {b.size} points are no numbers"
    low, high = float(b.min()), float(b.max())
    if not high > low:
        return f"the field does not change: it is {low:.4g} T in every point"
    if max(abs(low), abs(high)) > 1e100 or float(np.abs(m).max()) > 1e100:
        return "field or remanence are beyond anything measurable"
    if min(abs(low), abs(high)) > BACK * max(abs(low), abs(high)) and low < 0.0 < high:
        return f"the field goes from {low:.4g} to {high:.4g} T: a backfield goes one way only"
    return ""


def _nothing(why: str) -> Backfield:
    none = Value(None, why=why)
    return Backfield(bcr=none, remanence=none, quality=none, reversed_part=none, problems=(why,))


def kind_of(field: np.ndarray, moment: np.ndarray, told: str = "") -> str:
    """What a curve `(n,)`, `(n,)` is: "loop" or "backfield".

    A field that goes to both signs makes a loop. One that goes one way only, while the moment begins at its largest and
    falls, is a backfield. Where it is neither, what the file says (`told`) counts, or else it is taken for a loop.

    >>> b = -np.arange(5.0)
    >>> kind_of(b, 2.0 + b), kind_of(b + 2.0, b)
    ('backfield', 'loop')
    """
    low, high = float(field.min()), float(field.max())
    large, small = max(abs(low), abs(high)), min(max(-low, 0.0), max(high, 0.0))
    if large > 0.0 and small > BOTH_SIGNS * large:
        return "loop"
    order = np.argsort(np.abs(field), kind="stable")
    y = moment[order] * (1.0 if moment[order[0]] >= 0.0 else -1.0)
    fall = float(y[0] - y.min())
    goes_on = abs(field[-1]) > 0.8 * large and abs(field[0]) < 0.2 * large
    if fall > 0.5 * abs(y[0]) and goes_on and float((y - np.minimum.accumulate(y)).max()) < 0.3 * fall:
        return "backfield"
    return told or "loop"
