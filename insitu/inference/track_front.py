"""A model that follows a front: its speed with uncertainty, from a robust line through its last places.

`normal`: the front moves along a line. `change`: the last places, `lost_after` of them in a row, lie off the line of
those before: it has stopped, turned or jumped, and is followed anew from there. `unknown`: fewer than `fewest` places
are known yet. Single places off the line are common (a flash, a bubble) and are left out of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from insitu.errors import ConfigError
from insitu.inference.track_clock import Clock, micrometres
from insitu.maths.video.front import robust_line
from insitu.maths.watch import at_least, quantity
from insitu.types import Measurement, Verdict

BELONGS = 4.685
"""Scatters from the line (the biweight's limit)."""


class _Memory:
    """What is remembered of one source: frame number and place of the front, and how often it was off its line."""

    __slots__ = ("clock", "off", "places")

    def __init__(self, window: int) -> None:
        self.clock, self.off = Clock(), 0
        self.places: deque[tuple[float, ...]] = deque(maxlen=window)


class TrackFront:
    """Verdicts about the front found by the `front` entry named `front`, over the last `window` places.

    `least`: scatter in px that is taken for granted. Scores: `speed_x`, `speed_y` with `_sigma` in px/frame (of the
    axes that the entry measures), `velocity_x` in um/s where pixel size and times are known, `scatter_x` px, `inside`:
    part of the places that belong. `score`: how far off the line this place is, in scatters.
    """

    def __init__(
        self,
        *,
        front: str = "front",
        source: str | None = None,
        window: int = 150,
        fewest: int = 12,
        lost_after: int = 8,
        least: float = 0.5,
        name: str = "track_front",
        units: Mapping[str, str] | None = None,
    ) -> None:
        at_least(fewest, 6, "fewest")
        at_least(window, fewest, "window")
        at_least(lost_after, 3, "lost_after")
        at_least(least, 0.0, "least")
        self.name, self.source, self.front = name, source, front
        self.window, self.fewest, self.lost_after, self.least = window, fewest, lost_after, least
        self._axes = ("x", "y") if units is None else tuple(a for a in ("x", "y") if f"{front}_{a}" in units)
        if not self._axes:
            raise ConfigError(
                f'no [[features]] with use = "front" is named {front!r}',
                where="front",
                expected="the name of such an entry (default: front)",
            )
        self._memory: dict[str, _Memory] = {}

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        seen = {a: measurement.features.get(f"{self.front}_{a}") for a in self._axes}
        features = [(a, feature) for a, feature in seen.items() if feature is not None]
        memory = self._memory.get(measurement.source)
        if not features and memory is None:
            return None
        if memory is None:
            memory = self._memory[measurement.source] = _Memory(self.window)
        tick = memory.clock(measurement).tick
        values = [float(feature.value) for _, feature in features if feature.value is not None]
        if not features or len(values) < len(features):
            why = next((f.why for _, f in features if f.value is None), "the frame carries none")
            return Verdict(label="unknown", reason=f"the front is not known: {why}")
        verdict = self._judge(memory, tick, dict(zip((a for a, _ in features), values, strict=True)), measurement)
        memory.places.append((float(tick), *values))
        if verdict.label == "change":
            kept = list(memory.places)[-self.lost_after :]
            memory.places.clear()
            memory.places.extend(kept)
            memory.off = 0
        return verdict

    def _judge(self, memory: _Memory, tick: int, now: Mapping[str, float], measurement: Measurement) -> Verdict:
        if len(memory.places) < self.fewest:
            return Verdict(label="unknown", reason=f"{len(memory.places)} of {self.fewest} places of the front known")
        table = np.array(memory.places)
        table = table[: len(table) - memory.off] if len(table) - memory.off >= self.fewest else table
        scores: dict[str, float] = {}
        said, worst = [], 0.0
        for column, (axis, place) in enumerate(now.items(), start=1):
            try:
                line = robust_line(table[:, 0], table[:, column])
            except ValueError as why:
                return Verdict(label="unknown", reason=f"the front has no line yet: {why}")
            scatter = max(line.scatter, self.least)
            worst = max(worst, abs(place - line.start - line.speed * tick) / scatter)
            scores[f"speed_{axis}"], scores[f"speed_{axis}_sigma"] = line.speed, line.speed_sigma
            scores[f"scatter_{axis}"], scores[f"inside_{axis}"] = line.scatter, float(line.inside.mean())
            said.append(f"{axis} {quantity(line.speed, 'px/frame', line.speed_sigma)}")
            size, interval = micrometres(measurement), memory.clock.interval_s
            if size is not None and interval is not None:
                scores[f"velocity_{axis}"] = line.speed * size / interval
                scores[f"velocity_{axis}_sigma"] = line.speed_sigma * size / interval
                said[-1] += f" ({quantity(scores[f'velocity_{axis}'], 'um/s', scores[f'velocity_{axis}_sigma'])})"
        memory.off = memory.off + 1 if worst > BELONGS else 0
        sentence = f"the front moves along {', along '.join(said)}"
        if memory.off >= self.lost_after:
            reason = f"the front left its line {memory.off} frames ago ({sentence} before)"
            return Verdict(label="change", score=worst, scores=scores, reason=reason)
        if memory.off:
            sentence += f"; this place is {worst:.1f} scatters off"
        return Verdict(label="normal", score=worst, scores=scores, reason=sentence)
