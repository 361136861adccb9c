"""What the plans that ask have in common: take a point, read its feature, tell what came out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from ophyd import Signal

from insitu.bluesky.asking import PATIENCE, Asking, Plan
from insitu.errors import UsageError
from insitu.maths.weighted import WeightedMean
from insitu.types import Feature

log = logging.getLogger(__name__)
NAN = float("nan")
Told = str | Callable[[Mapping[str, Any]], Feature | float | None]
"""A key of the recipe's features; or a function of a point's readings ({data key: {"value", "timestamp"}})."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a plan came to. `points`: (place, feature or None) in the order of measuring; `value`: where the change
    lies, the mean, the exposure at the end; `why` it ended, a sentence; `unanswered`: points without an answer;
    `uids` of the runs."""

    points: tuple[tuple[float, Feature | None], ...]
    value: Feature
    why: str
    unanswered: int = 0
    uids: tuple[str, ...] = ()


def in_run(plan: Plan, devices: Sequence[Any], md: Mapping[str, Any]) -> Plan:
    """A plan in a run of its own, with its devices staged; the uid of the run and the plan's result."""
    result: Any = None

    @bpp.stage_decorator(list(devices))
    @bpp.run_decorator(md=dict(md))
    def inner() -> Plan:
        nonlocal result
        result = yield from plan

    uid = yield from inner()
    return str(uid or ""), result


def asking_run(
    session: Any,
    features: Sequence[str],
    within_s: float,
    plan: Callable[[Asking], Plan],
    devices: Sequence[Any],
    md: Mapping[str, Any],
) -> Plan:
    """One run of a plan that asks for features; its `Outcome`, with the uid of the run."""
    with Asking(session, features, within_s) as asking:
        uid, outcome = yield from in_run(plan(asking), devices, md)
        return replace(outcome, uids=(uid,))


def take(asking: Asking, detectors: Sequence[Any], feature: Told, motor: Any = None) -> Plan:
    """A plan stub: take one point; its number, and what is told of it by now."""
    point = asking.number()
    moved = [] if motor is None else [motor]
    readings = yield from bps.trigger_and_read([*detectors, *moved, *asking.signals])
    asking.reads = None if motor is None else _reads(readings, motor)
    if isinstance(feature, str):
        answer = yield from asking.ask(point)
        return point, None if answer is None else answer[feature]
    return point, _read(feature, readings)


class Points:
    """The points of a plan, and what is known of them by now: answers that come late count for what follows."""

    def __init__(self, asking: Asking, detectors: Sequence[Any], feature: Told, motor: Any = None) -> None:
        self._asking, self._detectors, self._feature, self._motor = asking, detectors, feature, motor
        self._taken: list[tuple[float, int, Feature | None]] = []

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, place: float, stood: Callable[[float], float] | None = None) -> Plan:
        """A plan stub: take the point at a place; what is told of it by now. `stood`: the place, given what the motor
        reads there."""
        point, value = yield from take(self._asking, self._detectors, self._feature, self._motor)
        if stood is not None and self._asking.reads is not None:
            place = stood(self._asking.reads)
        self._taken.append((place, point, value))
        return value

    def places(self) -> list[float]:
        """Where they were taken."""
        return [x for x, _, _ in self._taken]

    def told(self) -> tuple[tuple[float, Feature | None], ...]:
        """(place, feature; None where it has no value), in the order of measuring."""
        return tuple((x, value_of(self._asking, n, self._feature, value)) for x, n, value in self._taken)

    def known(self) -> dict[float, Feature]:
        """{place: feature} of those that have a value."""
        return {x: value for x, value in self.told() if value is not None}


def _reads(readings: Any, motor: Any) -> float | None:
    """Where a motor says that it is; None where that is no number."""
    try:
        at = float(readings[motor.name]["value"])
    except (KeyError, TypeError, ValueError):
        return None
    return at if math.isfinite(at) else None


def _read(feature: Callable[[Mapping[str, Any]], Any], readings: Any) -> Feature | None:
    """What a function makes of the readings; None where it cannot, or nobody runs this plan."""
    if not readings:
        return None
    try:
        value = feature(readings)
        return value if isinstance(value, Feature) or value is None else Feature(float(value))
    except Exception as e:  # noqa: BLE001 - the plan goes on as planned, and says so
        log.warning("the feature of this point failed, the plan goes on: %s: %s", type(e).__name__, e)
        return None


def value_of(asking: Asking, point: int, feature: Told, value: Feature | None) -> Feature | None:
    """The feature of a point, even if its answer came late; None where there is no value."""
    if isinstance(feature, str):
        answer = asking.answer(point)
        value = answer[feature] if answer else None
    return value if value is not None and value.value is not None else None


def asked(feature: Told) -> tuple[str, ...]:
    """The keys that the pipeline is asked for. `UsageError` where it is neither a key nor a function."""
    if not (isinstance(feature, str) or callable(feature)):
        raise UsageError(f"{feature!r} tells nothing", where="feature", expected="a feature's key, or a function")
    return (feature,) if isinstance(feature, str) else ()


def blind(asking: Asking, feature: Told, known: Mapping[float, Feature]) -> str:
    """Why nothing can be adapted now, or nothing."""
    if isinstance(feature, str) and not asking.reachable:
        return "nobody answers, or the operator holds"
    if isinstance(feature, str) and asking.silent:
        return f"{PATIENCE} points in a row have no answer"
    return "" if known else "no point has a value"


def mean_of(values: Sequence[Feature | None]) -> Feature:
    mean, unit = WeightedMean(), ""
    for found in values:
        if found is not None and found.value is not None:
            mean.add(float(found.value), found.sigma)
            unit = found.unit
    if mean.count < 2:
        return Feature(None, unit, why=f"{mean.count} values are known, 2 are needed")
    return Feature(mean.value, unit, sigma=mean.sigma)


def metadata(
    plan: str,
    adapts: str,
    feature: Told,
    detectors: Sequence[Any],
    motors: Sequence[Any],
    args: Mapping[str, Any],
    md: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Of the start document: what a plan of bluesky says, and what is adapted by what."""
    by = feature if isinstance(feature, str) else getattr(feature, "__name__", "a function of the readings")
    found: dict[str, Any] = {
        "plan_name": plan,
        "plan_args": dict(args),
        "detectors": [d.name for d in detectors],
        "adapts": {"what": adapts, "by": by},
    }
    if motors:
        found["motors"] = [m.name for m in motors]
        hinted = [name for m in motors for name in getattr(m, "hints", {}).get("fields", [])]
        found["hints"] = {"dimensions": [(hinted, "primary")]} if hinted else {}
    return {**found, **(md or {})}


def free(asking: Asking, feature: Told) -> bool:
    """Whether a plan may do what it was told: a function of the readings is the user's own and always followed, the
    pipeline only where the session is in mode "act"."""
    return asking.acts or not isinstance(feature, str)


def advise(asking: Asking, plan: str, wanted: float, why: str) -> Plan:
    """A plan stub: what would have been done in mode "act", an event of the stream `advice` and an entry of the ledger.
    `wanted`: a place, an exposure; NaN for an end."""
    asking.advise(plan, why)
    for key, value in (("point", asking.asked), ("value", wanted), ("why", why)):
        asking.advice[key].put(value)
    yield from _event("advice", list(asking.advice.values()))


ADVISES = "the session advises, mode act adapts"


def tell(asking: Asking, points: int, value: Feature, why: str) -> Plan:
    """A plan stub: the event of the stream `outcome`."""
    said: dict[str, Any] = {
        "points": points,
        "unanswered": asking.missed,
        "value": NAN if value.value is None else float(value.value),
        "sigma": NAN if value.sigma is None else value.sigma,
        "why": why if value.value is not None else f"{why}; no value: {value.why}",
    }
    log.info("%s: %s", "the plan is done", said["why"])
    yield from _event("outcome", [Signal(name=f"outcome_{key}", value=told) for key, told in said.items()])


def ended(asking: Asking, count: int, value: Feature, why: str, points: Sequence[tuple[float, Feature | None]]) -> Plan:
    """A plan stub: the event of the stream `outcome` about `count` points, and the `Outcome`."""
    yield from tell(asking, count, value, why)
    return Outcome(points=tuple(points), value=value, why=why, unanswered=asking.missed)


def _event(stream: str, signals: Sequence[Any]) -> Plan:
    yield from bps.create(stream)
    for signal in signals:
        yield from bps.read(signal)
    yield from bps.save()
