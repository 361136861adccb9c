"""The preparation `waveform`: channels of samples as a fixed number of points, levels or bands."""

from functools import lru_cache
from typing import Literal

import numpy as np

from insitu.maths.resample import bin_means
from insitu.maths.waveform import Wave, names, wave
from insitu.models.preparing import Prepared, given
from insitu.types import Frame

FEWEST = 8


def waveform(
    frame: Frame,
    *,
    channels: tuple[str, ...] = (),
    points: int = 1024,
    kind: Literal["samples", "mean", "rms", "bands"] = "mean",
    low: float = 0.0,
    high: float = 0.0,
    normalise: Literal["standard", "centre", "none"] = "standard",
    log: bool = False,
) -> Prepared:
    """float32 `(channels, points)`; `channels` by name in this order, all of the frame in its own where none is named.

    `kind`: `samples`, the first `points` samples as they are (a shorter frame is refused); `mean` and `rms`, of
    `points` equal parts of the whole frame (fewer samples than points are drawn out by straight lines); `bands`, power
    per band from `low` to `high` Hz in equal ratios (Hann window over the whole frame), which needs the sample rate.
    `log`: natural logarithm, of what is above a millionth of the channel's largest. `normalise`, then, per channel:
    mean 0 and standard deviation 1; mean 0; or as it is. A channel that never varies is 0.
    """
    try:
        wanted = channels or names(frame)
        rows = [_points(wave(frame, name), points, kind, low, high) for name in wanted]
    except ValueError as e:
        return Prepared(None, str(e))
    if not rows:
        return Prepared(None, "the frame has no channels")
    values = np.stack(rows)
    if log:
        top = np.abs(values).max(axis=1, keepdims=True)
        values = np.log(np.maximum(np.abs(values), np.where(top > 0.0, 1e-6 * top, 1e-300)))
    if normalise != "none":
        spread = values.std(axis=1, keepdims=True)
        flat = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-300)
        values = values - values.mean(axis=1, keepdims=True)
        values = np.where(flat, 0.0, values / np.where(flat, 1.0, spread) if normalise == "standard" else values)
    return given(values)


def _points(w: Wave, points: int, kind: str, low: float, high: float) -> np.ndarray:
    """One channel's `(points,)`; ValueError with a sentence where it has not enough."""
    x = w.values
    if x.size < FEWEST:
        raise ValueError(f"the channel {w.name} has {x.size} samples, too few")
    if not np.isfinite(x).all():
        raise ValueError(f"the channel {w.name} holds {x.size - np.count_nonzero(np.isfinite(x))} numbers not finite")
    if kind == "samples":
        if x.size < points:
            raise ValueError(f"the channel {w.name} has {x.size} samples, the network needs {points}")
        return x[:points]
    if kind == "bands":
        return _bands(w, points, low, high)
    if kind == "rms":
        return np.sqrt(np.maximum(bin_means(x * x, points), 0.0))
    if x.size >= points:
        return bin_means(x, points)
    return np.interp((np.arange(points) + 0.5) / points, (np.arange(x.size) + 0.5) / x.size, x)


def _bands(w: Wave, points: int, low: float, high: float) -> np.ndarray:
    """Mean power per band, unit^2/Hz, `(points,)`."""
    if w.rate is None:
        raise ValueError(f"the sample rate of the channel {w.name} is not known")
    if high > 0.5 * w.rate:
        raise ValueError(f"bands up to {high:g} Hz need at least {2 * high:g} samples a second, not {w.rate:g}")
    n = w.values.size
    if w.rate / n > low:
        raise ValueError(f"bands from {low:g} Hz need {1 / low:.3g} s of samples, the frame has {n / w.rate:.3g} s")
    window = _hann(n)
    power = np.abs(np.fft.rfft((w.values - w.values.mean()) * window)) ** 2
    total = np.concatenate([[0.0], np.cumsum(power)])
    # line k stands for (k - 1/2) to (k + 1/2) of the line distance
    edges = np.geomspace(low, high, points + 1) * (n / w.rate) + 0.5
    at = np.minimum(edges.astype(np.int64), power.size - 1)
    up_to = total[at] + (edges - at) * power[at]
    scale = 2.0 / (w.rate * float(np.sum(window**2)))
    return np.maximum(np.diff(up_to), 0.0) / np.diff(edges) * scale


@lru_cache(maxsize=8)
def _hann(n: int) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
    window.flags.writeable = False
    return window
