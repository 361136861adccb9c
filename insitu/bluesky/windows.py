"""Windows and exposures that follow what was found: arithmetic of settings, without any instrument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from insitu.errors import ActionRefusedError, UsageError
from insitu.types import Feature, Limit

MOST_CHANGE = 4.0
"""An exposure changes by at most this factor at once: one wild frame does no harm."""
TOLERANCE = 1e-9


class Window(NamedTuple):
    """Where to measure: `num` points evenly from `start` to `stop`."""

    start: float
    stop: float
    num: int


def window_of(
    position: Feature, width: Feature, *, low: float, high: float, across: float = 4.0, per_width: float = 6.0
) -> Window | None:
    """`across` widths on either side of a peak, `per_width` steps to a width, inside `low` to `high`.

    None where the peak has no value or lies outside, or its width is not positive.
    """
    at, wide = position.value, width.value
    if at is None or wide is None or wide <= 0.0 or not low <= at <= high:
        return None
    start, stop = max(low, at - across * wide), min(high, at + across * wide)
    return Window(start, stop, max(3, math.ceil((stop - start) / wide * per_width) + 1))


def checked_range(name: str, values: tuple[float, ...], limit: Limit | None) -> None:
    """`ActionRefusedError` where a value that a plan would set is not allowed."""
    for value in values:
        if not math.isfinite(value):
            raise ActionRefusedError(f"{name} {value} is no number", remedy="Give the plan a finite value")
        if limit is not None and not limit.low - TOLERANCE <= value <= limit.high + TOLERANCE:
            raise ActionRefusedError(
                f"{name} {value:g} {limit.unit} is out of what the beamline allows, {limit.low:g} to {limit.high:g}",
                remedy="Keep the plan (and its backlash) inside, or have [limits] of the detector file changed",
            )


def steps_to(value: float, present: float | None, limit: Limit | None) -> list[float]:
    """The way to a value in steps that the beamline allows; the value itself is the last."""
    if limit is None or limit.step is None or present is None or limit.step <= 0.0:
        return [value]
    parts = max(1, math.ceil(abs(value - present) / limit.step - TOLERANCE))
    return [present + (value - present) * k / parts for k in range(1, parts)] + [value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """An exposure to be set, and why; `limited` where the beamline's limits kept it from what was wanted."""

    exposure_s: float
    why: str
    limited: bool = False


def exposure_for(
    present_s: float,
    maximum: Feature | None,
    saturated: Feature | None,
    *,
    full: float,
    target: float = 0.5,
    band: tuple[float, float] = (0.25, 0.75),
    allowed: float = 0.0,
    limit: Limit | None = None,
) -> Exposure:
    """The next exposure, so that the largest point lies at `target` of the full scale.

    `present_s`: exposure of the frame; `maximum`: its largest point, `saturated`: its saturated fraction, `full`: the
    number at which a point saturates. Unchanged while the maximum lies inside `band` (parts of `full`) and no more than
    `allowed` is saturated. A saturated maximum is a lower bound only: then the exposure is divided by `MOST_CHANGE`,
    otherwise it is scaled by `target full / maximum`, at most by that factor. `limit` (in s) always holds.

    >>> exposure_for(1.0, Feature(9000.0, "counts"), Feature(0.0), full=10000).exposure_s
    0.5555555555555556
    >>> exposure_for(1.0, Feature(10000.0, "counts"), Feature(0.1), full=10000).exposure_s
    0.25
    """
    if not (math.isfinite(present_s) and present_s > 0.0 and full > 0.0 and 0.0 < band[0] < target < band[1] <= 1.0):
        raise UsageError(
            f"exposure {present_s}, full scale {full}, band {band} around {target}",
            where="exposure",
            expected="numbers above 0, and 0 < band[0] < target < band[1] <= 1",
        )
    part = saturated.value if saturated is not None else None
    top = maximum.value if maximum is not None else None
    if part is not None and part > allowed:
        factor, why = 1.0 / MOST_CHANGE, f"{part:.3g} of the points are saturated"
    elif top is None:
        return _limited(present_s, 1.0, "nothing is known of the frame", None)
    elif band[0] * full <= top <= band[1] * full:
        return _limited(present_s, 1.0, f"the largest point, {top:g}, is where it should be", None)
    else:
        wanted = target * full / top if top > 0.0 else MOST_CHANGE
        factor = min(max(wanted, 1.0 / MOST_CHANGE), MOST_CHANGE)
        why = f"the largest point, {top:g}, is {top / full:.2g} of the full scale"
    return _limited(present_s, factor, why, limit)


def _limited(present_s: float, factor: float, why: str, limit: Limit | None) -> Exposure:
    wanted = present_s * factor
    if limit is None:
        return Exposure(exposure_s=wanted, why=why)
    inside = min(max(wanted, limit.low), limit.high)
    if limit.step is not None:
        inside = min(max(inside, present_s - limit.step), present_s + limit.step)
    return Exposure(exposure_s=inside, why=why, limited=abs(inside - wanted) > TOLERANCE * wanted)
