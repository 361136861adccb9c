"""A plan that follows an absorption edge: see `insitu.bluesky.plans`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

from insitu.bluesky.asking import Asking, Plan
from insitu.bluesky.checking import checked_plan, whole
from insitu.bluesky.exposing import Reference, Shift, allocated, shift_of
from insitu.bluesky.moving import Approach, limit_of, unit_of
from insitu.bluesky.reporting import (
    ADVISES,
    Outcome,
    Points,
    Told,
    advise,
    asked,
    blind,
    free,
    in_run,
    metadata,
    tell,
)
from insitu.errors import UsageError
from insitu.types import Feature

MISFIT = 3.0
"""Chi^2 per degree of freedom above which a spectrum is no shifted reference."""
Point = tuple[float, float, Feature | None]


def shift_scan(
    session: Any,
    detectors: Sequence[Any],
    energy: Any,
    energies: Sequence[float],
    exposure: Any,
    mu: Told,
    reference: tuple[Sequence[float], Sequence[float]],
    num: int,
    budget_s: float,
    *,
    even: float = 0.2,
    reach: float = 5.0,
    backlash: float = 0.0,
    within_s: float = 2.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """`num` spectra of a sample whose edge shifts, `budget_s` of exposure each, spent where it tells the shift: one run
    a spectrum.

    Every spectrum goes over `energies` (of the motor `energy`); `exposure` is the signal that sets how long a point
    counts, in s. `mu`: the absorption at a point, with its uncertainty, a feature's key or a function of the readings;
    `reference`: energies and mu of a spectrum of the same sample. The shift against it is looked for within `reach` of
    the last one. No energy gets less than the part `even` of its share. The first spectrum is exposed evenly, and so
    is each one after a spectrum that the moved reference does not describe (chi^2 per degree of freedom above 3), one
    without answers, and all where the session advises. Never outside `[limits]`. Result: `Outcome`, points
    (spectrum, shift), value: the last shift.
    """
    checked_plan(session, detectors, [energy, exposure], asked(mu))
    known, places = Reference(np.asarray(reference[0], float), np.asarray(reference[1], float)), np.unique(energies)
    if len(places) < 8 or not np.all(np.isfinite(places)):
        raise UsageError(f"{len(places)} energies", where="energies", expected="8 or more different numbers")
    if whole("num", num) < 1 or not (math.isfinite(budget_s) and budget_s > 0.0 and reach > 0.0 and 0.0 < even <= 1.0):
        raise UsageError(
            f"{num} spectra of {budget_s} s, a part {even} of it even, shifts up to {reach}",
            where="num, budget_s, even, reach",
            expected="1 or more, seconds above 0, a part above 0 up to 1, more than 0",
        )
    limit = limit_of(session, exposure, "s")
    mono, clock = Approach(energy, limit_of(session, energy), backlash), Approach(exposure, limit)
    mono.check(float(places[0]), float(places[-1]))
    alike = np.full(len(places), budget_s / len(places))
    clock.check(float(alike[0]), float(alike[0]))
    args = {"num": num, "energies": len(places), "budget_s": budget_s, "even": even, "reach": reach}
    meta = metadata("shift_scan", exposure.name, mu, detectors, [energy], args, md)

    def spectrum(number: int, exposures: np.ndarray, adapted: str, last: float) -> Plan:
        points = Points(asking, [*detectors, exposure], mu, energy)
        for place, seconds in zip(places, exposures, strict=True):
            yield from bps.checkpoint()
            yield from mono.to(float(place))
            yield from clock.to(float(seconds))
            yield from points.take(float(place))
        told = [(x, float(s), value) for (x, value), s in zip(points.told(), exposures, strict=True)]
        shift = _shift(told, known, last, reach)
        why = f"spectrum {number} of {num}, exposed {adapted}"
        unit = unit_of(energy)
        found = Feature(None, unit, why="the reference, moved, is not what was measured")
        if shift is not None:
            found = Feature(shift.value, unit, sigma=shift.sigma)
        unknown = blind(asking, mu, points.known())
        wanted, how = alike, f"evenly: {unknown or 'the shift of the last one is not known'}"
        if shift is not None and not unknown and (shift.misfit is None or shift.misfit <= MISFIT):
            wanted, how = _bounded(places, known, shift.value, told, budget_s, even, limit), "where it tells the shift"
            if not free(asking, mu):
                longest = float(places[int(np.argmax(wanted))])
                yield from advise(asking, "shift_scan", longest, f"longest exposure at {longest:g}")
                wanted, how = alike, f"evenly: {ADVISES}"
        elif shift is not None and not unknown:
            how = "evenly: the last one is no shifted reference"
        yield from tell(asking, len(points), found, why)
        return found, wanted, how, last if shift is None else shift.value

    with Asking(session, asked(mu), within_s) as asking:
        points, uids = list[tuple[float, Feature | None]](), list[str]()
        exposures, how, last = alike, "evenly: it is the first one", 0.0
        for number in range(1, num + 1):
            run = spectrum(number, exposures, how, last)
            uid, told = yield from in_run(run, [*detectors, energy, exposure], {**meta, "spectrum": number})
            found, exposures, how, last = told
            points.append((float(number), found))
            uids.append(uid)
        outcome = Outcome(
            points=tuple(points), value=points[-1][1] or Feature(None, why="none"), why=f"{num} spectra are done"
        )
        return replace(outcome, unanswered=asking.missed, uids=tuple(uids))


def _shift(told: Sequence[Point], reference: Reference, near: float, reach: float) -> Shift | None:
    good = [(x, float(f.value), f.sigma or 0.0) for x, _, f in told if f is not None and f.value is not None]
    if not good:
        return None
    x, y, sigma = (np.array(column) for column in zip(*good, strict=True))
    return shift_of(x, y, sigma, reference, near, reach)


def _bounded(
    places: np.ndarray,
    reference: Reference,
    shift: float,
    told: Sequence[Point],
    budget_s: float,
    even: float,
    limit: Any,
) -> np.ndarray:
    """Exposures for the next spectrum, inside what the beamline allows, never more than the budget together."""
    noise = [(x, s * f.sigma**2) for x, s, f in told if f is not None and f.sigma]
    if len(noise) == len(told):
        at, variance = (np.array(column) for column in zip(*noise, strict=True))
        smooth = np.convolve(np.pad(variance, 2, mode="edge"), np.full(5, 0.2), mode="valid")
        found = np.interp(places, at, smooth)
    else:
        found = np.ones(len(places))
    bounds = (0.0, math.inf) if limit is None else (limit.low, limit.high)
    return allocated(places, reference, shift, found, budget_s, even, bounds)
