"""Plans that ask the pipeline at every point, and go on as planned where it does not answer in time.

Ordinary generators: `RE(refine_scan(...))`, with metadata, for `summarize_plan`, inside other plans. The pipeline is
never the reason that one of them fails: without a session (None), with one that is dead, slow or held by the operator,
each measures what it would have measured blindly, says so in the log and counts it in its documents. What came out is
an event of the stream `outcome` and the plan's result.

Where the session is in mode "advise" they measure that too, and record what they would have done.

What a plan may set is what its arguments say, inside `[limits]` of the session's detector files where the name of the
motor or signal stands there; anything else is refused before the first move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps

from insitu.bluesky.asking import Asking, Plan
from insitu.bluesky.checking import checked_plan, number, whole
from insitu.bluesky.conditions import Settings
from insitu.bluesky.imaging import exposure_scan, imaging_scan
from insitu.bluesky.moving import Approach, limit_of, unit_of
from insitu.bluesky.refining import By, Grid, Scale, Spacing, located
from insitu.bluesky.reporting import (
    ADVISES,
    NAN,
    Outcome,
    Points,
    Told,
    advise,
    asked,
    asking_run,
    blind,
    ended,
    free,
    in_run,
    mean_of,
    metadata,
    tell,
)
from insitu.bluesky.shifting import shift_scan
from insitu.bluesky.sweeping import sweep_scan
from insitu.bluesky.windows import Window, window_of
from insitu.errors import UsageError
from insitu.types import Feature


def refine_scan(
    session: Any,
    detectors: Sequence[Any],
    motor: Any,
    start: float,
    stop: float,
    num: int,
    feature: Told,
    *,
    most: int | None = None,
    smallest: float | None = None,
    by: By = "auto",
    least: float = 0.0,
    times: float = 3.0,
    backlash: float = 0.0,
    settle_s: float = 0.0,
    spacing: Spacing = "linear",
    within_s: float = 2.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """A grid of `num` points (temperature, energy, position), then more where `feature` changes.

    At most `most` points (default 3 `num`), none nearer than `smallest` (default a 16th of the grid's step); see
    `insitu.bluesky.refining` for `by`, `least`, `times` and `insitu.bluesky.moving` for `backlash`, `settle_s`. With
    `spacing="log"` the grid is even in the logarithm (frequencies), and `smallest` a part of the place: 0.05 is 5 %.
    Without answers, and where the session advises, the points that are left halve the widest gaps: an even scan of
    `most` points. Result: `Outcome`, whose value is where the change lies (not with `by="curvature"`).
    """
    checked_plan(session, detectors, [motor], asked(feature))
    scale = Scale(spacing, start, stop)
    grid = Grid(
        start=scale.start,
        stop=scale.stop,
        num=whole("num", num),
        most=3 * num if most is None else most,
        smallest=abs(scale.stop - scale.start) / max(num - 1, 1) / 16 if smallest is None else smallest,
        by=by,
        least=least,
        times=times,
    )
    unit = unit_of(motor)
    approach = Approach(motor, limit_of(session, motor), backlash, settle_s)
    approach.check(start, stop)
    args = {"start": start, "stop": stop, "num": num, "most": grid.most, "smallest": grid.smallest, "by": by}
    args |= {"spacing": spacing} if spacing != "linear" else {}
    meta = metadata("refine_scan", motor.name, feature, detectors, [motor], args, md)

    def refined(asking: Asking) -> Plan:
        points = Points(asking, detectors, feature, motor)
        taken: list[float] = []
        places, why, answers, advised_end = grid.first(), "", {}, False
        while places:
            for place in places:
                yield from bps.checkpoint()
                yield from approach.to(scale.back(place))
                yield from points.take(place, partial(scale.stood, place, near=grid.smallest / 2))
                taken.append(place)
            answers = points.known()
            not_refined = blind(asking, feature, answers)
            wanted, ended_by = ([], "") if not_refined else grid.step(answers, sorted({*taken, *points.places()}))
            if not (not_refined or free(asking, feature)):
                not_refined = ADVISES
                if wanted or not advised_end:
                    told = scale.told(wanted) if wanted else f"end: {ended_by}"
                    yield from advise(asking, "refine_scan", scale.back(wanted[0]) if wanted else NAN, told)
                advised_end = not wanted
            places = grid.even(taken) if not_refined else wanted
            why = "the budget of points is spent" if places else ended_by
            why = f"the grid is even: {not_refined}" if not_refined else why
            places = approach.ordered(places, down=stop < start)[: max(grid.most - len(taken), 0)]
        at = Feature(None, unit, why="curvature has no single place")
        at = at if by == "curvature" else scale.place(located(answers, unit))
        astray = sum(x != place for x, place in zip(points.places(), taken, strict=True))
        why += f"; {astray} points were taken where {motor.name} stood, not where it was sent" if astray else ""
        told = [(scale.back(x), value) for x, value in points.told()]
        return (yield from ended(asking, len(taken), at, why, told))

    return (yield from asking_run(session, asked(feature), within_s, refined, [*detectors, motor], meta))


def scan_until(
    session: Any,
    detectors: Sequence[Any],
    feature: Told,
    sigma: float,
    most: int,
    *,
    within_s: float = 2.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Repeats until the weighted mean of `feature` has a standard uncertainty of `sigma`, at most `most` times.

    The uncertainty is the larger of what the values claim and what their scatter shows (`insitu.maths.weighted`).
    Without answers it is `count(detectors, most)`. Result: `Outcome`, whose value is the mean.
    """
    checked_plan(session, detectors, [], asked(feature))
    if not (math.isfinite(number("sigma", sigma)) and sigma > 0.0):
        raise UsageError(f"an uncertainty of {sigma}", where="sigma", expected="more than 0")
    if whole("most", most) < 1:
        raise UsageError(f"at most {most} repeats", where="most", expected="1 or more")
    meta = metadata("scan_until", "repeats", feature, detectors, [], {"sigma": sigma, "most": most}, md)

    def repeats(asking: Asking) -> Plan:
        points = Points(asking, detectors, feature)
        values: list[Feature | None] = []
        mean, why, advised = mean_of(values), f"{most} repeats are done", False
        while len(points) < most:
            yield from bps.checkpoint()
            yield from points.take(len(points))
            values = [value for _, value in points.told()]
            mean = mean_of(values)
            if mean.value is not None and (mean.sigma or 0.0) <= sigma and not blind(asking, feature, {0.0: mean}):
                reached = f"the uncertainty of the mean is {mean.sigma:.3g}"
                if free(asking, feature):
                    why = reached
                    break
                if not advised:
                    yield from advise(asking, "scan_until", NAN, f"end: {reached}")
                    advised, why = True, f"{why}: {ADVISES}"
        return (yield from ended(asking, len(points), mean, why, points.told()))

    return (yield from asking_run(session, asked(feature), within_s, repeats, detectors, meta))


def window_scan(
    session: Any,
    detectors: Sequence[Any],
    motor: Any,
    start: float,
    stop: float,
    num: int,
    position: str,
    width: str,
    *,
    across: float = 4.0,
    per_width: float = 6.0,
    most: int | None = None,
    backlash: float = 0.0,
    within_s: float = 5.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """A coarse scan, then a fine one around the peak that the pipeline found in it: two runs.

    `position`, `width`: feature keys of the coarse scan's spectrum (`[assemble]`), in the motor's unit. The fine
    window reaches `across` widths to either side with `per_width` steps to a width, inside `start` to `stop`, at most
    `most` (default 4 `num`) points. Without an answer the fine scan covers the whole range. Result: `Outcome`, whose
    value is the position.
    """
    checked_plan(session, detectors, [motor], (position, width))
    budget = 4 * whole("num", num) if most is None else most
    Grid(start=start, stop=stop, num=num, most=budget, smallest=1.0)  # refuses nonsense now
    approach = Approach(motor, limit_of(session, motor), backlash)
    approach.check(start, stop)
    args = {"start": start, "stop": stop, "num": num, "across": across, "per_width": per_width, "most": budget}
    meta = metadata("window_scan", motor.name, f"{position}, {width}", detectors, [motor], args, md)
    places: list[float] = []

    def scan(window: Window, found: Feature, why: str) -> Plan:
        point = 0
        for k in range(window.num):
            place = window.start + (window.stop - window.start) * k / (window.num - 1)
            yield from bps.checkpoint()
            yield from approach.to(place)
            point = asking.number()
            yield from bps.trigger_and_read([*detectors, motor, *asking.signals])
            places.append(place)
        if why:
            yield from tell(asking, len(places), found, why)
        return point

    nothing = Feature(None, unit_of(motor), why="no peak was told")
    devices = [*detectors, motor]
    with Asking(session, (position, width), within_s) as asking:
        coarse = scan(Window(start, stop, num), nothing, "")
        uid, last = yield from in_run(coarse, devices, {**meta, "window": "coarse"})
        answer = yield from asking.ask(last)
        found = answer[position] if answer else nothing
        window = None
        if answer and asking.reachable:
            low, high = min(start, stop), max(start, stop)
            window = window_of(found, answer[width], low=low, high=high, across=across, per_width=per_width)
        why = f"the window is about {found.value:g}" if window else "no peak was told: the whole range again"
        if window and not asking.acts:
            asking.advise("window_scan", f"{window.num} points from {window.start:g} to {window.stop:g}")
            why, window = f"the whole range again: {ADVISES}, to {window.start:g} to {window.stop:g}", None
        first, last_, fine = window or (start, stop, budget)
        if window and stop < start:
            first, last_ = last_, first
        finer = scan(Window(first, last_, min(fine, budget)), found, why)
        second, _ = yield from in_run(finer, devices, {**meta, "window": "fine", "coarse": uid})
        points = tuple((x, None) for x in places)
        return Outcome(points=points, value=found, why=why, unanswered=asking.missed, uids=(uid, second))


__all__ = [
    "Settings",
    "exposure_scan",
    "imaging_scan",
    "refine_scan",
    "scan_until",
    "shift_scan",
    "sweep_scan",
    "window_scan",
]
