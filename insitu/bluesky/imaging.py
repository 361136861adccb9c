"""Plans that take pictures whose conditions follow what is seen: see `insitu.bluesky.plans`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps

from insitu.bluesky.asking import Asking, Plan
from insitu.bluesky.checking import checked_plan, whole
from insitu.bluesky.conditions import Following, Settings
from insitu.bluesky.moving import limit_of
from insitu.bluesky.reporting import ADVISES, advise, asking_run, ended, metadata
from insitu.bluesky.windows import checked_range, exposure_for
from insitu.errors import UsageError
from insitu.types import Feature, Limit

log = logging.getLogger(__name__)


def exposure_scan(
    session: Any,
    detectors: Sequence[Any],
    exposure: Any,
    num: int,
    *,
    full: float,
    maximum: str = "maximum",
    saturated: str = "saturated_fraction",
    target: float = 0.5,
    band: tuple[float, float] = (0.25, 0.75),
    allowed: float = 0.0,
    within_s: float = 2.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """`num` frames whose exposure follows the intensity, so that they stay below saturation.

    `exposure`: the signal that sets it, in seconds; `full`: the number at which a point saturates; see
    `insitu.bluesky.windows.exposure_for` for the rest. Never outside `[limits]`, never faster than its rate. Without
    answers, and where the session advises, the exposure stays. Result: `Outcome`, points (exposure in s, maximum),
    value: the exposure at the end.
    """
    checked_plan(session, detectors, [exposure], (maximum, saturated))
    if whole("num", num) < 1:
        raise UsageError(f"{num} frames", where="num", expected="1 or more")
    limit = limit_of(session, exposure, "s")
    exposure_for(1.0, None, None, full=full, target=target, band=band)  # refuses nonsense now
    args = {"num": num, "full": full, "target": target, "band": list(band), "allowed": allowed}
    meta = metadata("exposure_scan", exposure.name, f"{maximum}, {saturated}", detectors, [], args, md)

    def frames(asking: Asking, present: float) -> Plan:
        points: list[tuple[float, Feature | None]] = []
        moved, changes, kept = -math.inf, 0, 0
        for _ in range(num):
            yield from bps.checkpoint()
            point = asking.number()
            yield from bps.trigger_and_read([*detectors, exposure, *asking.signals])
            answer = yield from asking.ask(point)
            points.append((present, answer[maximum] if answer else None))
            if not answer or not asking.reachable:
                continue
            wanted = exposure_for(
                present,
                answer[maximum],
                answer[saturated],
                full=full,
                target=target,
                band=band,
                allowed=allowed,
                limit=limit,
            )
            kept += wanted.limited
            soon = limit is not None and limit.rate_hz and time.monotonic() - moved < 1.0 / limit.rate_hz
            if wanted.exposure_s != present and not asking.acts:
                yield from advise(
                    asking, "exposure_scan", wanted.exposure_s, f"exposure {wanted.exposure_s:g} s: {wanted.why}"
                )
            elif wanted.exposure_s != present and not soon:
                log.info("exposure %g s -> %g s: %s", present, wanted.exposure_s, wanted.why)
                yield from bps.mv(exposure, wanted.exposure_s)
                present, moved, changes = wanted.exposure_s, time.monotonic(), changes + 1
        why = f"{num} frames are done, the exposure changed {changes} times, limits kept it {kept} times"
        why = why if asking.acts else f"{why}: {ADVISES}"
        return (yield from ended(asking, num, Feature(present, "s"), why, points))

    present = yield from _present(exposure, limit)
    run, keys = partial(frames, present=present), (maximum, saturated)
    return (yield from asking_run(session, keys, within_s, run, [*detectors, exposure], meta))


def imaging_scan(
    session: Any,
    detectors: Sequence[Any],
    settings: Settings,
    num: int,
    *,
    look: Callable[[Mapping[str, Any]], Mapping[str, Feature]] | None = None,
    within_s: float = 2.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """`num` pictures whose exposure, frame rate and region follow saturation, events, focus and what is looked at.

    `settings`: what may be set and what it follows, see `insitu.bluesky.conditions.Settings`; `look`: a function of the
    readings that gives the features, in place of the pipeline. Never outside `[limits]`, never faster than their rate.
    Without answers, and where the session advises, all settings stay. Result: `Outcome`, points (picture, None),
    value: how many settings were changed.
    """
    checked_plan(session, detectors, settings.signals, () if look is not None else settings.keys)
    if whole("num", num) < 1:
        raise UsageError(f"{num} frames", where="num", expected="1 or more")
    named = {s.name: limit_of(session, s, unit) for s, unit in settings.units}
    args = {"num": num, "follows": list(settings.keys)}
    what = ", ".join(s.name for s in settings.signals)
    meta = metadata("imaging_scan", what, ", ".join(settings.keys), detectors, [], args, md)

    def frames(asking: Asking, present: dict[str, float]) -> Plan:
        following = Following(settings, present, named)
        moved, changes = dict.fromkeys(named, -math.inf), 0
        for _ in range(num):
            yield from bps.checkpoint()
            point = asking.number()
            readings = yield from bps.trigger_and_read([*detectors, *settings.signals, *asking.signals])
            answer = look(readings) if look is not None and readings else (yield from asking.ask(point))
            if not answer or (look is None and not asking.reachable):
                continue
            now = time.monotonic()
            soon = {k for k, v in named.items() if v is not None and v.rate_hz and now - moved[k] < 1.0 / v.rate_hz}
            for signal, value, why in following.next(answer, soon):
                if look is None and not asking.acts:
                    yield from advise(asking, "imaging_scan", value, f"{signal.name} {value:g}: {why}")
                    continue
                log.info("%s -> %g: %s", signal.name, value, why)
                yield from bps.mv(signal, value)
                following.done(signal, value)
                moved[signal.name], changes = time.monotonic(), changes + 1
        why = f"{num} pictures are done, settings were changed {changes} times"
        why = why if look is not None or asking.acts else f"{why}: {ADVISES}"
        points = [(float(k), None) for k in range(num)]
        return (yield from ended(asking, num, Feature(float(changes)), why, points))

    present: dict[str, float] = {}
    for signal in settings.signals:
        present[signal.name] = yield from _present(signal, named[signal.name])
    run, keys = partial(frames, present=present), () if look is not None else settings.keys
    return (yield from asking_run(session, keys, within_s, run, [*detectors, *settings.signals], meta))


def _present(signal: Any, limit: Limit | None) -> Plan:
    """A plan stub: what a signal is set to now; 1 where nobody runs this plan. `ActionRefusedError` out of limits."""
    found = yield from bps.rd(signal, default_value=None)
    if found is None:
        return 1.0
    checked_range(signal.name, (float(found),), limit)
    return float(found)
