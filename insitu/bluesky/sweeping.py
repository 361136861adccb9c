"""A plan of magnetic loops whose amplitude follows the sample: see `insitu.bluesky.plans`.

A loop is the sample's own where a larger field changes nothing any more. So the amplitude is raised until the feature
(coercive field, remanence, loss) is the same twice: then the lower of the two is enough. It is looked at again now and
then, because the sample may harden.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps

from insitu.bluesky.asking import Asking, Plan
from insitu.bluesky.checking import checked_plan, whole
from insitu.bluesky.moving import Approach, limit_of, unit_of
from insitu.bluesky.reporting import (
    ADVISES,
    Points,
    Told,
    advise,
    asked,
    asking_run,
    ended,
    free,
    metadata,
)
from insitu.errors import UsageError
from insitu.types import Feature


class Saturating:
    """The amplitude for the next loop, from `start` up to `most`, by the factor `up` at once.

    `agree`: the part by which a feature may differ between two amplitudes and count as the same (or twice their
    uncertainty, where that is larger); `again`: after so many loops a larger amplitude is tried once more.

    >>> loops = Saturating(0.1, 2.0, up=2.0)
    >>> place, places = loops.amplitude, []
    >>> for _ in range(6):
    ...     places.append(place)
    ...     place = loops.next(Feature(0.05 * math.tanh(place / 0.2), "T"))
    >>> places
    [0.1, 0.2, 0.4, 0.8, 0.4, 0.4]
    """

    def __init__(self, start: float, most: float, *, up: float = 1.5, agree: float = 0.05, again: int = 10) -> None:
        if not (0.0 < start <= most and math.isfinite(most) and up > 1.0 and 0.0 < agree < 1.0 and again > 0):
            raise UsageError(
                f"from {start} to {most} by {up}, the same within {agree}, again after {again}",
                where="start, most, up, agree, again",
                expected="0 < start <= most, up above 1, agree between 0 and 1, again 1 or more",
            )
        self.amplitude, self.saturated = start, False
        self._most, self._up, self._agree, self._again = most, up, agree, again
        self._below: tuple[float, Feature] | None = None
        self._held = 0

    def next(self, found: Feature | None) -> float:
        """What the loop at `amplitude` gave (None, or no value: a loop that cannot be read), and what comes next."""
        if found is None or found.value is None:
            self._below, self.saturated = None, False
            return self._raise()
        if self._below is not None:
            if self._same(self._below[1], found):
                self.amplitude, self.saturated, self._below, self._held = self._below[0], True, None, 0
                return self.amplitude
            self.saturated = False
        elif self.saturated:
            self._held += 1
            if self._held < self._again:
                return self.amplitude
        self._below = (self.amplitude, found)
        return self._raise()

    def _raise(self) -> float:
        if self.amplitude >= self._most * (1 - 1e-9):
            self._below, self._held = None, 0
        else:
            self.amplitude = min(self.amplitude * self._up, self._most)
        return self.amplitude

    def _same(self, below: Feature, found: Feature) -> bool:
        a, b = float(below.value or 0.0), float(found.value or 0.0)
        unsure = 2.0 * math.hypot(below.sigma or 0.0, found.sigma or 0.0)
        return abs(b - a) <= max(self._agree * abs(b), min(unsure, 2.0 * self._agree * abs(b)))


def sweep_scan(
    session: Any,
    detectors: Sequence[Any],
    amplitude: Any,
    start: float,
    most: float,
    num: int,
    feature: Told,
    *,
    up: float = 1.5,
    agree: float = 0.05,
    again: int = 10,
    settle_s: float = 0.0,
    within_s: float = 2.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """`num` loops whose amplitude is as large as the sample needs to be saturated, between `start` and `most`.

    `amplitude`: the signal or motor that sets the largest field (or current); `feature`: what tells saturation by not
    changing any more, such as `bc`; see `Saturating` for `up`, `agree`, `again`. Never outside `[limits]`. A loop
    without a value is tried larger. Without answers, and where the session advises, the amplitude stays. Result:
    `Outcome`, points (amplitude, feature), value: the amplitude at the end; `why` says whether it saturates.

    For the frequency of a drive: `refine_scan(..., spacing="log", by="place")` on the permeability, whose real part
    goes over from one value to another where it relaxes.
    """
    checked_plan(session, detectors, [amplitude], asked(feature))
    if whole("num", num) < 1:
        raise UsageError(f"{num} loops", where="num", expected="1 or more")
    loops, unit = Saturating(start, most, up=up, agree=agree, again=again), unit_of(amplitude)
    approach = Approach(amplitude, limit_of(session, amplitude), settle_s=settle_s)
    approach.check(start, most)
    args = {"start": start, "most": most, "num": num, "up": up, "agree": agree, "again": again}
    meta = metadata("sweep_scan", amplitude.name, feature, detectors, [amplitude], args, md)

    def sweeps(asking: Asking) -> Plan:
        points = Points(asking, detectors, feature, amplitude)
        place, advised = float(start), False
        for _ in range(num):
            yield from bps.checkpoint()
            yield from approach.to(place)
            value = yield from points.take(place)
            if value is None or (isinstance(feature, str) and not asking.reachable):
                continue  # nobody says anything: the amplitude stays
            if free(asking, feature):
                place = loops.next(value)
            elif not advised:
                wanted = Saturating(place, most, up=up, agree=agree, again=again).next(value)
                yield from advise(asking, "sweep_scan", wanted, f"try {wanted:g} {unit}".strip())
                advised = True
        reached = (
            "the loop is saturated" if loops.saturated else f"it is not saturated, or not known to be, at {place:g}"
        )
        why = f"{num} loops are done; {reached}" + (f": {ADVISES}" if advised else "")
        return (yield from ended(asking, num, Feature(place, unit), why, points.told()))

    return (yield from asking_run(session, asked(feature), within_s, sweeps, [*detectors, amplitude], meta))
