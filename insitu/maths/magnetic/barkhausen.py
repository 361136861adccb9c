"""Barkhausen noise of one window: sweeps of the field, the RMS envelope over it, its peak, and what is left out.

    envelope^2(H) = mean of x^2 in a bin of the field - noise^2

over all sweeps of one direction; the quietest tenth of the window tells the noise. The peak is that of a Gaussian
through the part of envelope^2 above a quarter of its height (a parabola through its logarithm), between the bins; the
full width is that of the envelope at half of its height (envelope^2 at a quarter), without what smoothing adds to a
Gaussian; the skew is the third standardised moment of the envelope above a third of its height, along the sweep.

Names and meaning of peak field, width and height: D. C. Jiles, Czech. J. Phys. 50 (2000) 893; M. Vashista, S. Paul, J.
Magn. Magn. Mater. 393 (2015) 584. Up and down sweeps are told apart, as their peaks lie on either side of zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.maths.magnetic.barkhausen_kernel import crowd, next_to_ends, sort_by_field, turning_points
from insitu.maths.magnetic.barkhausen_shape import AT_END, NARROWEST, NO_RISE, ONE_BURST, RISE, find_peak

SWING = 0.2
"""What counts as a turn of the field, as a part of its range."""
WHOLE, COVERED = 0.9, 0.8
"""A sweep is a whole one where it covers this part of the range; one direction is judged where all its bins do."""
QUIET = 0.1
"""The part of a window that is taken for quiet."""
BLOCKS = 8192


class Number(NamedTuple):
    """A value with its uncertainty (None: not known), or no value and why."""

    value: float | None
    sigma: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Sweeps:
    """Sweeps of the field between its turns: samples `bounds[k]` to `bounds[k + 1]`; `up` and `whole` `(sweeps,)`."""

    bounds: np.ndarray
    up: np.ndarray
    whole: np.ndarray
    low: float
    high: float


def find_sweeps(h: np.ndarray) -> Sweeps | str:
    """The sweeps of a field `(n,)`, those cut by the ends of the window too; or why there are none."""
    block = max(1, h.size // BLOCKS)
    means = h[: h.size // block * block].reshape(-1, block).mean(axis=1)
    low, high = float(means.min()), float(means.max())
    if not math.isfinite(low + high):
        return "the field is not a number everywhere"
    if not high > low:
        return "the field does not change"
    turns = turning_points(means, SWING * (high - low))
    if turns.size > means.size // 16:
        return "the field goes up and down like noise: no sweep can be seen"
    marks = np.concatenate([[0], turns, [means.size - 1]])
    rise = np.diff(means[marks])
    bounds = np.concatenate([[0], turns * block + block // 2, [h.size]])
    return Sweeps(bounds, rise > 0.0, np.abs(rise) >= WHOLE * (high - low), low, high)


def quiet_of(rms: np.ndarray, window: int) -> float:
    """RMS of the quietest tenth of a window, from its moving RMS `(n,)` over `window` samples."""
    part = np.sort(rms[:: max(window // 2, 1)])
    return float(part[int(QUIET * (part.size - 1))])


def clipped_samples(x: np.ndarray, low: float, high: float) -> int:
    """How many samples stand at an end of the range because something clipped them; 0 where nothing did.

    Clipped samples crowd at the end: at least 8 within 0.5 % of the range (and the next different value), more than 5
    times as many as in the next stretch of that width. Noise thins out towards its ends; of a sine the ratio is 2.4.
    """
    second, fourth = next_to_ends(x, low, high)
    found, span = 0, 0.005 * (high - low)
    for at_top, gap in ((False, second - low), (True, high - fourth)):
        counts = crowd(x, low, high, max(span, 1.01 * gap))
        here, beyond = counts[2:] if at_top else counts[:2]
        if here >= 8 and here > 5 * beyond:
            found += here
    return found


class Shape(NamedTuple):
    """Peak of one envelope: field, height (RMS), full width at half height and skew (NaN where not to be told)."""

    field: float
    height: float
    fwhm: float
    skew: float


def envelope_shape(total: np.ndarray, count: np.ndarray, low: float, high: float, noise: float) -> Shape | str:
    """The peak of an envelope from sums of x^2 and numbers of samples `(bins,)` over fields from low to high, above a
    noise (RMS); or why there is none."""
    bins = total.size
    if np.count_nonzero(count) < COVERED * bins:
        return "the sweeps cover too little of the field"
    found, place, width, height, skew = find_peak(total, count, noise)
    if found == NO_RISE:
        return f"the envelope rises nowhere to {math.sqrt(RISE):.1f} times its quietest part"
    if found == AT_END:
        return "the envelope is largest at the end of the sweep"
    if found == ONE_BURST:
        return f"what is highest is narrower than {NARROWEST:.0%} of the sweep: single bursts, no peak"
    step = (high - low) / bins
    return Shape(low + (place + 0.5) * step, height, width * step or math.nan, skew)


@dataclass(frozen=True, slots=True, eq=False)
class FieldPeak:
    """What the field tells. `field`: half the distance between the peaks of up and down sweeps (of one direction: that
    peak, along the sweep); `envelope` `(2, bins)`: RMS of up and of down sweeps, NaN where none was; `at` `(bins,)`."""

    field: Number
    up: Number
    down: Number
    height: Number
    fwhm: Number
    skew: Number
    rms_sigma: float | None
    half_cycles: int
    envelope: np.ndarray
    at: np.ndarray


def field_peak(x: np.ndarray, h: np.ndarray, sweeps: Sweeps, noise: float, bins: int) -> FieldPeak:
    """Peak, width and skew of the envelope over the field; `noise`: RMS of what is there without any.

    Uncertainties are those of a mean, from the scatter of whole sweeps of one direction around their mean: where no
    direction has two, there is none.
    """
    low, high = sweeps.low, sweeps.high
    total, count = sort_by_field(x, h, sweeps.bounds, low, high, bins)
    ways = [sweeps.up, ~sweeps.up]
    pooled = [(total[way].sum(axis=0), count[way].sum(axis=0)) for way in ways]
    shapes = [
        envelope_shape(a, b, low, high, noise) if way.any() else "no sweep of this direction"
        for way, (a, b) in zip(ways, pooled, strict=True)
    ]
    whole = np.flatnonzero(sweeps.whole)
    single = [envelope_shape(total[k], count[k], low, high, noise) for k in whole]
    # only where all whole sweeps have a peak does their scatter tell anything about it
    values = np.array([s if isinstance(s, Shape) else (math.nan,) * 4 for s in single]).reshape(-1, 4)
    up = sweeps.up[whole]
    values[~up, 3] *= -1.0
    levels = np.sqrt(total[whole].sum(axis=1) / np.maximum(count[whole].sum(axis=1), 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        envelope = np.stack([np.sqrt(a / b) for a, b in pooled])
    peaks = [Number(None, None, s) if isinstance(s, str) else Number(s.field) for s in shapes]
    both = [s for s in shapes if isinstance(s, Shape)]
    why = next((s for s in shapes if isinstance(s, str)), "")
    if len(both) == 2:
        middle = 0.5 * (both[0].field - both[1].field)
    else:
        middle = math.nan if not both else both[0].field if isinstance(shapes[0], Shape) else -both[0].field
    turned = [s.skew if s is shapes[0] else -s.skew for s in both]

    def mean(numbers: list[float], column: int, otherwise: str) -> Number:
        if not numbers or not math.isfinite(sum(numbers)):
            return Number(None, None, why or otherwise)
        return Number(sum(numbers) / len(numbers), _scatter(values[:, column], up))

    side = "the envelope does not fall far enough on both sides within the sweep"
    return FieldPeak(
        field=mean([middle] if both else [], 0, side),
        up=peaks[0]._replace(sigma=_scatter(values[up, 0], up[up])) if peaks[0].value is not None else peaks[0],
        down=peaks[1]._replace(sigma=_scatter(values[~up, 0], up[~up])) if peaks[1].value is not None else peaks[1],
        height=mean([s.height for s in both], 1, side),
        fwhm=mean([s.fwhm for s in both], 2, side),
        skew=mean(turned, 3, side),
        rms_sigma=_scatter(levels, up),
        half_cycles=int(whole.size),
        envelope=envelope,
        at=low + (np.arange(bins) + 0.5) * ((high - low) / bins),
    )


def _scatter(values: np.ndarray, up: np.ndarray) -> float | None:
    """Standard uncertainty of the mean of values `(n,)`, from their scatter within each direction."""
    ways = [values[up], values[~up]]
    free = sum(max(way.size - 1, 0) for way in ways)
    if free == 0:
        return None
    squares = sum(float(np.sum((way - way.mean()) ** 2)) for way in ways if way.size)
    sigma = math.sqrt(squares / free / values.size)
    return sigma if math.isfinite(sigma) else None
