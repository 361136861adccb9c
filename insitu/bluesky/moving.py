"""How a plan moves something: inside what the beamline allows, in steps that it allows, always from one side."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import bluesky.plan_stubs as bps

from insitu import units
from insitu.bluesky.asking import Plan
from insitu.bluesky.checking import own_range
from insitu.bluesky.windows import checked_range, steps_to
from insitu.errors import ActionRefusedError, UnitError, UsageError
from insitu.types import Limit

log = logging.getLogger(__name__)
EARLY = 0.25
"""A motor that has so much of its way still before it when it says that it is done says so too early."""


def unit_of(device: Any) -> str:
    """The unit that a motor or a signal says it has, or none."""
    with suppress(Exception):  # a device may be anything; what it does not say is not known
        if isinstance(said := getattr(device, "egu", None), str) and said:
            return said
        described = device.describe()
        return str(described.get(device.name, next(iter(described.values()))).get("units") or "")
    return ""


def limit_of(session: Any, device: Any, unit: str = "") -> Limit | None:
    """What the beamline allows for a device, in `unit` or the device's own; None where its name is under no
    `[limits]`. Raises `ActionRefusedError` where the units do not go together."""
    limits: Mapping[str, Limit] = getattr(session, "limits", None) or {}
    limit, own = limits.get(device.name), unit or unit_of(device)
    if limit is None or not own or not limit.unit or own == limit.unit:
        return limit
    try:
        low, high, zero = (units.convert(x, limit.unit, own) for x in (limit.low, limit.high, 0.0))
        step = None if limit.step is None else units.convert(limit.step, limit.unit, own) - zero
    except UnitError as e:
        raise ActionRefusedError(f"{device.name} is in {own}, its limits are in {limit.unit}: {e.what}") from e
    return replace(limit, unit=own, low=low, high=high, step=step)


class Approach:
    """Moves one motor. `backlash`: in its unit; with it every point is reached going up (negative: going down), from so
    far away where need be. `settle_s`: waited after each move. Steps and rate are kept where `limit` has them. `early`:
    how often it said that it was done and was not."""

    def __init__(self, motor: Any, limit: Limit | None, backlash: float = 0.0, settle_s: float = 0.0) -> None:
        for name, value in (("backlash", backlash), ("settle_s", settle_s)):
            if not math.isfinite(value) or (name == "settle_s" and value < 0.0):
                raise UsageError(f"{name} is {value}", where=name, expected="a finite number")
        self.motor, self.limit, self.backlash, self.settle_s = motor, limit, backlash, settle_s
        self.early = 0
        self._at: float | None = None
        self._moved = -math.inf

    def check(self, start: float, stop: float) -> None:
        """`ActionRefusedError` where some place of a scan is out of limits. Nothing has moved yet."""
        first = min(start, stop) - max(self.backlash, 0.0), max(start, stop) - min(self.backlash, 0.0)
        checked_range(self.motor.name, (start, stop, *first), self.limit)
        own_range(self.motor, first)

    def ordered(self, places: list[float], *, down: bool) -> list[float]:
        """In the order that needs the fewest turns."""
        return sorted(places, reverse=self.backlash < 0.0 if self.backlash else down)

    def to(self, place: float) -> Plan:
        """A plan stub: there, and settled."""
        away = place - self.backlash
        turns = self._at is None or (place - self._at) * self.backlash < 0.0
        if self.backlash and turns and self._at != away:
            yield from self._go(away)
        yield from self._go(place)
        if self.settle_s:
            yield from bps.sleep(self.settle_s)

    def _go(self, place: float) -> Plan:
        checked_range(self.motor.name, (place,), self.limit)
        if self._at is None:
            self._at = yield from self._reads()
        for step in steps_to(place, self._at, self.limit):
            if self.limit is not None and self.limit.rate_hz:
                wait = self._moved + 1.0 / self.limit.rate_hz - time.monotonic()
                if wait > 0.0:
                    yield from bps.sleep(wait)
            yield from bps.mv(self.motor, step)
            before, self._moved, self._at = self._at, time.monotonic(), step
            yield from self._told_early(step, before)

    def _reads(self) -> Plan:
        """Where it says that it is; None where it says nothing that is one number."""
        try:
            at = yield from bps.rd(self.motor, default_value=None)
            return None if at is None else float(at)
        except (TypeError, ValueError):
            return None

    def _told_early(self, place: float, before: float | None) -> Plan:
        """A word where it is far from where it was told to go. The plan goes on: frames have what it reads."""
        at = yield from self._reads()
        if at is None or before is None or abs(place - at) <= EARLY * abs(place - before):
            return
        self.early += 1
        log.warning(
            "%s said that it had moved from %g to %g and reads %g (%d times in this plan): it reports done too early, "
            "or stopped; give settle_s, or mend its deadband", self.motor.name, before, place, at, self.early,
        )  # fmt: skip
