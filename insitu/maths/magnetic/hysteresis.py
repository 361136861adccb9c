"""A hysteresis loop in numbers: coercivity, remanence, saturation, slope, loss, each with its uncertainty; or why not.

The field B = mu0 H in tesla, the moment in any unit (its name is the caller's). Definitions and sources: the kernels in
`hysteresis_kernel` (all in one call; Bc, Mr, drift, quality), `hysteresis_branches`, `hysteresis_centre`,
`hysteresis_saturation` (Ms, slope), `hysteresis_fit` and `hysteresis_faults` (clipped moments, spikes). The loss is the
area of the loop, J/kg for T and A m^2/kg.

What makes a loop bad is said in `problems`; the numbers that it would make wrong are then not given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.maths.magnetic.hysteresis_kernel import LEAST_POINTS, NAMES, measure

DRIFT = 0.03
"""Most that the moment may have drifted between the two passages of the high field, as a part of it."""
UNLIKE = 0.05
"""Most by which the two branches, one inverted, may differ in size."""
SIGNAL = 0.3
"""Least log10(signal/noise) without the slope (Jackson and Solheid: below it nothing can be told)."""
OPEN_MR, OPEN_MS = 0.05, 0.01
"""A loop is open at high field where its branches are apart by more than these parts of Mr and of Ms."""
MISSING = 0.15
"""Most of Ms that may be missing at the largest field."""
UNSURE = 0.2
"""Largest relative uncertainty of Ms."""


class Value(NamedTuple):
    """A number with its standard uncertainty (None: not known), or None and why."""

    value: float | None
    sigma: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What is known of a loop. Fields in T, moments in the unit of the moment.

    `bc` coercivity; `mr` remanence; `ms` saturation; `squareness` Mr/Ms; `slope` at high field (moment/T); `loss` area
    (moment T); `field_offset`, `moment_offset`: centre; `quality`: log10(signal/noise), `quality_ferro` without the
    slope; `closure`: drift between two passages of the high field, as a part of it; `missing`: part of Ms that is
    missing at the largest field; `sweeps` of the field; `spikes`; `clipped` points; `problems`: sentences that say why
    it is bad.
    """

    bc: Value
    mr: Value
    ms: Value
    squareness: Value
    slope: Value
    loss: Value
    field_offset: Value
    moment_offset: Value
    quality: Value
    quality_ferro: Value
    closure: Value
    missing: Value
    sweeps: int
    spikes: int = 0
    clipped: int = 0
    problems: tuple[str, ...] = ()


def hysteresis(field: np.ndarray, moment: np.ndarray) -> Loop:
    """Measure a loop from its points in the order of measurement: field `(n,)` in T, moment `(n,)`.

    >>> b = np.concatenate([np.linspace(1, -1, 201), np.linspace(-1, 1, 201)])
    >>> lag = np.where(np.arange(402) < 201, 0.05, -0.05)
    >>> loop = hysteresis(b, np.tanh((b + lag) / 0.1) + 0.3 * b)
    >>> round(loop.bc.value, 4), round(loop.ms.value, 3), round(loop.mr.value, 3), loop.problems
    (0.05, 1.0, 0.462, ())
    """
    b = np.ascontiguousarray(field, np.float64)
    m = np.ascontiguousarray(moment, np.float64)
    if b.ndim != 1 or b.shape != m.shape:
        raise ValueError(f"field {b.shape} and moment {m.shape} are no loop: expected two arrays of one length")
    found: dict[str, float] = dict(zip(NAMES, measure(b, m).tolist(), strict=True))
    if found["state"]:
        return _nothing(_refused(found, b, m), int(found["sweeps"]) if found["state"] > 1 else 0)
    return _judged(found)


def _judged(found: dict[str, float]) -> Loop:
    """The numbers, and the problems that take some of them away."""
    problems: list[str] = []
    runs, spikes, met = int(found["clipped"]), int(found["spikes"]), found["met"] != 0
    if runs:
        problems.append(f"the moment is clipped: {runs} points stand at its largest or smallest value")
    if spikes:
        problems.append(
            f"spikes: {spikes} points stand out, one of them by {found['spike_height']:.3g}"
            f" at {found['spike_field']:.4g} T"
        )
    problems += _ends(found)
    problems += _unlike(found)
    problems += _unsaturated(found) if not problems else []
    why = "; ".join(problems)

    def value(name: str, *, always: bool = False) -> Value:
        if why and not always:
            return Value(None, why=why)
        sigma = found.get(f"{name}_sigma", math.nan)
        if not math.isfinite(found[name]) or (name == "bc" and not sigma < found["highest"]):
            return Value(None, why=f"{WORDS.get(name, name)} cannot be found in this loop")
        return Value(found[name], sigma if math.isfinite(sigma) else None)

    top = abs(found["top"]) or math.nan
    closure = found["closure"] / top
    mr, ms = value("mr"), value("ms")
    return Loop(
        bc=value("bc"),
        mr=mr,
        ms=ms,
        squareness=_ratio(mr, ms),
        slope=value("slope"),
        loss=value("loss"),
        field_offset=value("field_offset"),
        moment_offset=value("moment_offset"),
        quality=value("quality", always=True),
        quality_ferro=value("quality_ferro", always=True),
        closure=Value(closure, found["closure_sigma"] / top)
        if math.isfinite(closure) and met
        else Value(None, why="the measurement began within a branch, so that no field was passed twice the same way"),
        missing=value("missing"),
        sweeps=int(found["sweeps"]),
        spikes=spikes,
        clipped=runs,
        problems=tuple(problems),
    )


WORDS = {"bc": "a field at which the moment is zero", "mr": "the remanence", "ms": "the saturation"}


def _ends(found: dict[str, float]) -> list[str]:
    """Whether the loop comes back to where it began."""
    top, drift, gap = abs(found["top"]), abs(found["closure"]), found["moment_gap"]
    if found["met"] and drift > DRIFT * top and drift > 4.0 * found["closure_sigma"]:
        return [
            f"not closed: between two passages of the high field the moment drifted by {drift:.3g},"
            f" {100 * drift / top:.1f} % of it ({100 * DRIFT:g} % allowed)"
        ]
    if found["field_gap"] < 0.02 * found["highest"]:
        noise = found["noise"] if math.isfinite(found["noise"]) else 0.0
        if gap > DRIFT * top + found["moment_step"] + 6.0 * noise:
            return [
                f"not closed: it ends {gap:.3g} away from where it began, {100 * gap / top:.1f} % of the largest moment"
            ]
    return []


def _unlike(found: dict[str, float]) -> list[str]:
    """Whether the loop is its own image, and stands out of the noise."""
    if abs(found["gain"] - 1.0) > UNLIKE and found["quality"] > 1.0:
        return [
            f"one branch is {abs(100 * (found['gain'] - 1)):.1f} % larger than the other one inverted"
            f" ({100 * UNLIKE:g} % allowed): a range that changed, or a side that is cut"
        ]
    if found["quality_ferro"] < SIGNAL:
        return [
            f"nothing but noise and slope: log10(signal/noise) without the slope is {found['quality_ferro']:.2f},"
            f" {SIGNAL:g} is the least"
        ]
    return []


def _unsaturated(found: dict[str, float]) -> list[str]:
    """Whether the field was high enough: closed at high field, and straight."""
    if not found["fits"]:
        return ["not saturated: at high field no line and no approach to saturation can be fitted"]
    ms, opened = found["ms"], found["open_height"]
    if ms <= 0.0:
        return [f"no saturation: without its slope the moment at high field is {ms:.3g}"]
    mr = found["mr"] if math.isfinite(found["mr"]) else 0.0
    if opened > 4.0 * found["open_sigma"] and opened > OPEN_MR * mr and opened > OPEN_MS * ms:
        return [
            f"not saturated: the loop is open at high field, its branches are {2 * opened:.3g} apart there"
            f" ({100 * opened / max(mr, 1e-300):.0f} % of that at zero field)"
        ]
    if found["missing"] > MISSING:
        return [f"not saturated: {100 * found['missing']:.0f} % of Ms are missing at the largest field"]
    if not found["ms_sigma"] < UNSURE * ms:
        return [f"not saturated: Ms = {ms:.3g} is only known to {100 * found['ms_sigma'] / ms:.0f} %"]
    return []


def _ratio(mr: Value, ms: Value) -> Value:
    """Squareness Mr/Ms with its uncertainty."""
    if mr.value is None or ms.value is None:
        return Value(None, why=mr.why or ms.why)
    parts = [(v.sigma or 0.0) / v.value for v in (mr, ms) if v.value]
    return Value(mr.value / ms.value, abs(mr.value / ms.value) * math.hypot(*parts))


def _refused(found: dict[str, float], b: np.ndarray, m: np.ndarray) -> str:
    """Why these points are no loop that can be measured, by the `state` that the kernel gave."""
    low, high = found["low"], found["high"]
    match int(found["state"]):
        case 1:
            return f"too few points: {b.size}, {2 * LEAST_POINTS} are needed"
        case 2:
            return f"{int(found['bad'])} of {b.size} points are no numbers"
        case 3:
            return "field or moment are beyond anything measurable"
        case 4:
            return f"the field does not change: it is {b[0]:.4g} T in every point"
        case 5:
            return f"the moment does not change: it is {m[0]:.4g} in every point"
        case 6:
            return _no_branches(b, int(found["covering"]), int(found["sweeps"]))
        case 7:
            return f"too few points: {int(found['fewest'])} in one branch, {LEAST_POINTS} are needed"
    return f"the field goes from {low:.4g} to {high:.4g} T: not to both signs alike"


def _no_branches(b: np.ndarray, covering: int, sweeps: int) -> str:
    """Why there are no two branches."""
    said = f"from {b.min():.4g} to {b.max():.4g} T"
    if sweeps == 1:
        return f"one branch only: the field goes once {said} and does not come back"
    if covering == 1:
        return f"one branch only: the field goes {said}, and comes back only to {b[-1]:.4g} T"
    return f"the field does not cycle: {sweeps} sweeps, none two of which cover its range {said}"


def _nothing(why: str, sweeps: int) -> Loop:
    """A loop without numbers."""
    none = Value(None, why=why)
    return Loop(
        bc=none, mr=none, ms=none, squareness=none, slope=none, loss=none, field_offset=none, moment_offset=none,
        quality=none, quality_ferro=none, closure=none, missing=none, sweeps=sweeps, problems=(why,),
    )  # fmt: skip
