"""Settings of a camera that follow what is seen: arithmetic, without any instrument. Exposures: see `windows`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from insitu.bluesky.windows import MOST_CHANGE, exposure_for
from insitu.errors import UsageError
from insitu.types import Feature, Limit

QUIET = 3.0
"""With no event in a frame there may still have been so many on average (Poisson, 95 %)."""
LOOKED_AT = 20
"""After so many frames at one rate, events are counted anew."""


class Rate(NamedTuple):
    """Frames a second to be set, and why."""

    rate_hz: float
    why: str


def rate_for(
    present_hz: float,
    events: Feature | None,
    frames: int,
    *,
    target: float = 1.0,
    exposure_s: float = 0.0,
    limit: Limit | None = None,
) -> Rate:
    """The next frame rate, so that a frame has `target` events on average: faster, and events are told apart; slower,
    and nothing but stillness is stored.

    `events`: counted in the last `frames` frames together, at `present_hz`. Unchanged while `target` lies within two
    standard uncertainties of what was counted (Poisson), and within a factor of 2. By at most `MOST_CHANGE` at once;
    not faster than `1/exposure_s`; `limit` (in Hz) always holds.

    >>> rate_for(10.0, Feature(40.0), 10).rate_hz
    40.0
    >>> rate_for(10.0, Feature(12.0), 10).rate_hz
    10.0
    """
    if not (math.isfinite(present_hz) and present_hz > 0.0 and target > 0.0 and frames > 0):
        raise UsageError(f"{present_hz} Hz, {target} events", where="rate", expected="numbers above 0")
    counted = None if events is None or events.value is None else max(float(events.value), 0.0)
    if counted is None:
        return Rate(present_hz, "nothing is known of events")
    wanted, wide = target * frames, 2.0 * math.sqrt(max(counted, 1.0))
    if abs(counted - wanted) <= wide or 0.5 <= counted / wanted <= 2.0:
        return Rate(present_hz, f"{counted:g} events in {frames} frames are what they should be")
    found = present_hz * min(max(max(counted, QUIET) / wanted, 1.0 / MOST_CHANGE), MOST_CHANGE)
    why = f"{counted:g} events in {frames} frames"
    if exposure_s > 0.0 and found > 1.0 / exposure_s:
        found, why = 1.0 / exposure_s, f"{why}; the exposure of {exposure_s:g} s allows no more"
    if limit is not None:
        found = min(max(found, limit.low), limit.high)
        if limit.step is not None:
            found = min(max(found, present_hz - limit.step), present_hz + limit.step)
    return Rate(found, why)


class Roi(NamedTuple):
    """A part of the picture in px: its corner and its size."""

    x: int
    y: int
    width: int
    height: int


def roi_for(
    place: Mapping[str, Feature | None], whole: tuple[int, int], *, present: Roi, margin: float = 1.5, grain: int = 8
) -> Roi:
    """The part of a picture of `whole` (width, height) px that holds what is looked at, with room around it.

    `place`: `x`, `y` (of the middle) and `size` of it, in px inside `present`; `margin`: how many sizes from the middle
    to an edge; in steps of `grain` px. The whole picture where one of the three is not known, the size is not positive,
    or the middle lies outside. The present one stays while it holds all with a third of the margin to spare and is not
    twice as wide as it needs to be.
    """
    width, height = whole
    everything = Roi(0, 0, width, height)
    found = {key: place.get(key) for key in ("x", "y", "size")}
    values = {k: float(f.value) for k, f in found.items() if f is not None and f.value is not None}
    if len(values) < 3 or values["size"] <= 0.0:
        return everything
    x, y, half = values["x"] + present.x, values["y"] + present.y, margin * values["size"]
    if not (0.0 <= x < width and 0.0 <= y < height):
        return everything
    spare = (2.0 / 3.0) * half
    held = all(
        low <= max(at - spare, 0.0) and min(at + spare, end) <= low + size
        for at, low, size, end in ((x, present.x, present.width, width), (y, present.y, present.height, height))
    )
    if held and present.width <= 4 * half and present.height <= 4 * half:
        return present
    left, top = (max(0, math.floor((at - half) / grain) * grain) for at in (x, y))
    right, bottom = (min(e, math.ceil((at + half) / grain) * grain) for at, e in ((x, width), (y, height)))
    return Roi(left, top, max(right - left, 1), max(bottom - top, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The signals of a camera that a plan may set (None: that is left alone), and what they follow, keys of features.

    `exposure` in s follows `maximum` and `saturated` (see `exposure_for`; `full`: where a point saturates); `rate` in
    Hz follows `events`, how many were seen in a frame (`rate_for`); `roi`, four signals for the corner x, y and the
    size, follows `place`, the keys of x, y and size in px (`roi_for`), inside `whole`. A picture whose `focus` is below
    the part `sharp` of the best so far is believed in nothing but its saturation, and the whole picture is taken until
    it is sharp again.
    """

    exposure: Any = None
    rate: Any = None
    roi: Sequence[Any] = ()
    full: float = math.inf
    maximum: str = "maximum"
    saturated: str = "saturated_fraction"
    events: str = ""
    target: float = 1.0
    place: Sequence[str] = ()
    whole: tuple[int, int] = (0, 0)
    focus: str = ""
    sharp: float = 0.5

    def __post_init__(self) -> None:
        for good, key, expected in (
            (self.exposure is None or math.isfinite(self.full), "full", "the number at which a point saturates"),
            (self.rate is None or self.events, "events", "the key of a feature that counts events"),
            (len(self.roi) in (0, 4), "roi", "four signals: x, y, width, height"),
            (not self.roi or len(self.place) == 3, "place", "three keys: x, y, size"),
            (not self.roi or min(self.whole) > 0, "whole", "the size of the whole picture in px"),
            (0.0 < self.sharp < 1.0, "sharp", "between 0 and 1"),
            (self.exposure or self.rate or self.roi, "exposure, rate, roi", "at least one of them"),
        ):
            if not good:
                raise UsageError("the settings are not complete", where=key, expected=expected)

    @property
    def signals(self) -> list[Any]:
        return [s for s in (self.exposure, self.rate, *self.roi) if s is not None]

    @property
    def keys(self) -> tuple[str, ...]:
        """The features that are asked for."""
        shown = (self.maximum, self.saturated) if self.exposure is not None else ()
        counted = (self.events,) if self.rate is not None else ()
        return (*shown, *counted, *(self.place if self.roi else ()), *((self.focus,) if self.focus else ()))

    @property
    def units(self) -> list[tuple[Any, str]]:
        """The signals and the units that they are set in."""
        found = [(self.exposure, "s"), (self.rate, "Hz"), *((s, "") for s in self.roi)]
        return [(signal, unit) for signal, unit in found if signal is not None]


class Following:
    """What is to be set after each picture. `present`: the values of the signals by name, `limits`: what the beamline
    allows for them."""

    def __init__(self, settings: Settings, present: Mapping[str, float], limits: Mapping[str, Limit | None]) -> None:
        self._follows, self._present, self._limits = settings, dict(present), limits
        self._best = 0.0
        self._events, self._frames = 0.0, 0

    def next(self, answer: Mapping[str, Feature], soon: Collection[str] = ()) -> list[tuple[Any, float, str]]:
        """(signal, value, why) of what is to be changed; nothing for signals that were changed too `soon` before."""
        follows, wanted = self._follows, list[tuple[Any, float, str]]()
        focus = answer.get(follows.focus) if follows.focus else None
        at = None if focus is None else focus.value
        self._best = max(self._best, float(at or 0.0))
        blurred = follows.focus != "" and (at is None or float(at) < follows.sharp * self._best)
        if follows.exposure is not None:
            wanted += self._exposure(answer, blurred)
        if follows.rate is not None and not blurred:
            wanted += self._rate(answer.get(follows.events))
        if follows.roi:
            wanted += self._roi(answer, blurred)
        return [w for w in wanted if w[1] != self._present[w[0].name] and w[0].name not in soon]

    def done(self, signal: Any, value: float) -> None:
        """A signal was set."""
        self._present[signal.name] = value
        if signal is self._follows.rate:
            self._events, self._frames = 0.0, 0

    def _exposure(self, answer: Mapping[str, Feature], blurred: bool) -> list[tuple[Any, float, str]]:
        follows, name = self._follows, self._follows.exposure.name
        maximum = None if blurred else answer.get(follows.maximum)
        found = exposure_for(
            self._present[name], maximum, answer.get(follows.saturated), full=follows.full, limit=self._limits[name]
        )
        return [(follows.exposure, found.exposure_s, found.why)]

    def _rate(self, events: Feature | None) -> list[tuple[Any, float, str]]:
        follows, name = self._follows, self._follows.rate.name
        if events is None or events.value is None:
            return []
        self._events, self._frames = self._events + float(events.value), self._frames + 1
        exposure = 0.0 if follows.exposure is None else self._present[follows.exposure.name]
        counted = Feature(self._events)
        found = rate_for(
            self._present[name],
            counted,
            self._frames,
            target=follows.target,
            exposure_s=exposure,
            limit=self._limits[name],
        )
        if self._frames >= LOOKED_AT:
            self._events, self._frames = 0.0, 0
        return [(follows.rate, found.rate_hz, found.why)]

    def _roi(self, answer: Mapping[str, Feature], blurred: bool) -> list[tuple[Any, float, str]]:
        follows = self._follows
        present = Roi(*(int(self._present[s.name]) for s in follows.roi))
        names = ("x", "y", "size")
        place: dict[str, Feature | None] = {k: answer.get(key) for k, key in zip(names, follows.place, strict=True)}
        place = {} if blurred else place
        found = roi_for(place, follows.whole, present=present)
        why = "the picture is blurred" if blurred else "it holds what is looked at"
        limits = [self._limits[s.name] for s in follows.roi]
        if any(v is not None and not v.low <= x <= v.high for v, x in zip(limits, found, strict=True)):
            return []
        wanted = [(signal, float(value), why) for signal, value in zip(follows.roi, found, strict=True)]
        return sorted(wanted, key=lambda w: w[1] > self._present[w[0].name])  # never beyond the picture on the way
