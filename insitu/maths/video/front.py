"""Where a front is in a picture, and the straight line that its places follow.

A front (of melting, solidifying, wetting, a crack's tip) is where the picture changes while it passes. The difference
of a frame and one some frames before, smoothed, is searched for the place of the largest change; the centre of the
part above half of it is the front. A flicker of the whole picture is taken out first: the median of the difference.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

Along = Literal["point", "x", "y"]


class Front(NamedTuple):
    """Place of the front, px; its uncertainty from the noise of the difference, px; `contrast`: the largest change, in
    units of the noise. Along one axis the other place is None."""

    x: float | None
    y: float | None
    sigma: float
    contrast: float


class Line(NamedTuple):
    """`x = start + speed t` through points, with standard uncertainties; `scatter` of points that belong; `inside`:
    which of the points `(n,)` belong."""

    speed: float
    speed_sigma: float
    start: float
    start_sigma: float
    scatter: float
    inside: np.ndarray


def find_front(before: np.ndarray, now: np.ndarray, *, smoothing: float, along: Along = "point") -> Front:
    """The front between two images `(y, x)`. `smoothing`: px; `along`: a `point` anywhere, or a front that crosses the
    whole picture and moves along `x` or `y` (the change is then averaged over the other direction).

    Raises ValueError where the images have different shapes or are smaller than the smoothing.
    """
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    if before.shape != now.shape:
        raise ValueError(f"the frames have different shapes, {list(before.shape)} and {list(now.shape)}")
    if min(now.shape) < 4 * smoothing:
        raise ValueError(f"the frames have {min(now.shape)} px along one side, {4 * smoothing:g} are needed")
    if np.isinf(before).any() or np.isinf(now).any():
        raise ValueError("some pixels are infinite")
    change = np.asarray(now, np.float32) - np.asarray(before, np.float32)
    change = np.abs(change - np.median(change))
    if along == "point":
        smooth = gaussian_filter(change, smoothing)
        part, top, noise = _top(smooth)
        weight = np.where(part, smooth - _level(smooth) - 0.5 * top, 0.0)
        rows, columns = np.nonzero(part)
        w = weight[rows, columns].astype(np.float64)
        y, x = float(w @ rows / w.sum()), float(w @ columns / w.sum())
        spread = 0.5 * ((rows - y) ** 2 + (columns - x) ** 2)
    else:
        smooth = gaussian_filter1d(change.mean(axis=0 if along == "x" else 1), smoothing)
        part, top, noise = _top(smooth)
        places = np.flatnonzero(part)
        w = (smooth[places] - _level(smooth) - 0.5 * top).astype(np.float64)
        middle = float(w @ places / w.sum())
        x, y = (middle, None) if along == "x" else (None, middle)
        spread = (places - middle) ** 2
    # noise of neighbours within the smoothing is the same noise: it adds up like one
    size = math.sqrt(4.0 * math.pi) * smoothing
    same = size**2 if along == "point" else size
    sigma = noise * math.sqrt(float(np.sum(spread)) * min(same, len(w))) / float(w.sum())
    return Front(x, y, sigma, top / noise if noise > 0 else math.inf)


def _level(smooth: np.ndarray) -> float:
    return float(np.median(smooth))


def _top(smooth: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The part above half the largest value that hangs together with it, that value above the median, and the noise."""
    from scipy.ndimage import label

    level = _level(smooth)
    top = float(smooth.max()) - level
    if not top > 0:
        raise ValueError("nothing changed between the frames")
    noise = 1.4826 * float(np.median(np.abs(smooth - level)))
    marked = np.asarray(label(smooth > level + 0.5 * top)[0])  # type: ignore[index]
    return marked == marked.flat[int(np.argmax(smooth))], top, noise


def robust_line(t: np.ndarray, x: np.ndarray) -> Line:
    """A line through points `(n,)`, 5 or more, of which less than half may lie anywhere.

    Started at the median of all slopes (H. Theil, Proc. K. Ned. Akad. Wet. 53 (1950) 386; P. K. Sen, J. Am. Stat.
    Assoc. 63 (1968) 1379), then least squares with Tukey's biweight, c = 4.685 (J. W. Tukey, 1977). Uncertainties are
    those of a straight line through the points inside, from their scatter, widened where neighbours err alike: lag-1
    correlation r of the residuals, sqrt((1 + r) / (1 - r)).

    >>> t = np.arange(40.0)
    >>> line = robust_line(t, np.where(t % 4 == 0, 400.0, 300.0 - 1.5 * t))
    >>> round(line.speed, 6), int(line.inside.sum())
    (-1.5, 30)
    """
    if len(t) < 5 or np.ptp(t) == 0:
        raise ValueError("a line needs five points at different times")
    a, b = np.triu_indices(len(t), 1)
    apart = t[b] != t[a]
    slope = float(np.median((x[b] - x[a])[apart] / (t[b] - t[a])[apart]))
    start = float(np.median(x - slope * t))
    weight = np.ones(len(t))
    for _ in range(50):
        rest = x - start - slope * t
        scale = max(1.4826 * float(np.median(np.abs(rest))), 1e-9 * max(1.0, float(np.ptp(x))))
        weight = np.maximum(0.0, 1.0 - (rest / (4.685 * scale)) ** 2) ** 2
        total, mean_t = weight.sum(), float(weight @ t / weight.sum())
        spread = float(weight @ (t - mean_t) ** 2)
        if spread <= 0.0:
            raise ValueError("the points lie on no line")
        new = float(weight @ ((t - mean_t) * x)) / spread
        moved, slope = abs(new - slope), new
        start = float(weight @ x / total) - slope * mean_t
        if moved <= 1e-9 * (abs(slope) + 1e-12):
            break
    inside = weight > 0.0
    rest = x - start - slope * t
    n = int(inside.sum())
    scatter = math.sqrt(float(np.sum(rest[inside] ** 2)) / max(n - 2, 1))
    beside = inside[1:] & inside[:-1]
    together = float(np.sum((rest[1:] * rest[:-1])[beside]))
    alike = together / max(float(np.sum(rest[inside] ** 2)), 1e-300)
    alike = min(max(alike, 0.0), 0.95)
    wider = math.sqrt((1.0 + alike) / (1.0 - alike))
    mean_t = float(t[inside].mean())
    spread = float(np.sum((t[inside] - mean_t) ** 2))
    slope_sigma = wider * scatter / math.sqrt(spread) if spread > 0 else math.inf
    start_sigma = wider * scatter * math.sqrt(1.0 / n + mean_t**2 / spread) if spread > 0 else math.inf
    return Line(slope, slope_sigma, start, start_sigma, scatter, inside)
