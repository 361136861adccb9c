"""A model that notices when numbers of a machine leave all that they did before, with no limits to set.

Every watched number is compared with its own history: its value and its means over the last 8 and 64 frames and over
the last day (`insitu.maths.line.anomaly` has the tests and their sources). The numbers of a machine follow each other
and have no normal distribution: quantiles and the count of independent values take care of that, and where the history
tells too little nothing is said. A jump that is `jump` times as large as any before is a change.

One setting says how careful it is: `false_alarms`, the time in which one may come, over all watched numbers together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from statistics import median
from typing import Annotated

from insitu.errors import ConfigError
from insitu.maths.line.anomaly import Departed, Jump, Jumped, Span
from insitu.maths.watch import LARGEST, at_least, quantity
from insitu.types import Measurement, Verdict

SPANS = (1, 8, 64)
CYCLE = (24, 1000)
"""A cycle of fewer frames has no pattern to learn; of more, it is not waited for."""
TIMES = 9
"""Frames whose times tell how fast they come."""
MANY = 10_000
"""Frames that stand for `false_alarms` where frames carry no time."""
LEAST = 1e-30
"""What stands for nothing in a logarithm."""
BACK = 0.7
"""An alarm ends when what departs is less than this part of what is allowed."""


class _Number:
    """The history of one number: its spans, its jumps, and the smallest difference between two values in a row (a
    spread is never taken less than the rounding that tells of)."""

    __slots__ = ("_gap", "_jump", "_last", "_spans")

    def __init__(self, spans: list[Span], jump: Jump | None) -> None:
        self._spans, self._jump = spans, jump
        self._gap, self._last = math.inf, math.nan

    def judge(self, value: float) -> tuple[Departed | None, Jumped | None]:
        """One more value: the worst departure of all spans, and the jump that it is."""
        step = abs(value - self._last)
        self._last = value
        if 0.0 < step < self._gap:
            self._gap = step
        rounding = self._gap / math.sqrt(12.0) if math.isfinite(self._gap) else 0.0
        found = [d for span in self._spans if (d := span.judge(value, rounding)) is not None]
        worst = max(found, key=lambda d: d.ratio, default=None)
        return worst, self._jump.judge(value, 3.0 * rounding) if self._jump else None


class _Source:
    """What is remembered of one source: the first frames until their times are known, then the numbers; which of them
    are in alarm, and what was last said of a jump and for how many frames it is said still."""

    __slots__ = ("alarms", "early", "learn", "left", "numbers", "once_in", "said", "seen", "spans")

    def __init__(self, learn: int) -> None:
        self.early: list[tuple[int, dict[str, float]]] = []
        self.numbers: dict[str, _Number] | None = None
        self.alarms: dict[str, float] = {}
        self.once_in, self.learn, self.seen = float(MANY), learn, 0
        self.spans: tuple[int, ...] = SPANS
        self.said, self.left = "", 0


class Departure:
    """Verdicts `normal`, `anomaly` (a number is where it never was), `change` (it jumped) or `unknown`.

    `features`: keys to watch, with `*` and `?` (`["*_mean", "*_std"]`). `factors`: those of them that change by
    factors, as a scatter or an rms does: their logarithms are compared. `source`: which source (default: each, by
    itself). `false_alarms`: once in this time is a false alarm allowed, over all numbers; frames without times count
    as 10,000 in it. `learn`: frames before anything is said, and a whole `cycle` where that is 24 to 1000 frames (the
    working day; "0 s" for none). `memory`: means that are remembered for each span. `jump`: how many times the largest
    jump a change is; 0 for none; it stays said for `hold` frames. `relearn_after`: frames of an alarm after which what
    departs is the new normal (0: never). What departs is not learnt before.

    Scores: for each number that departs its |z| over what is allowed; `score` is the largest of all, alarm or not.
    """

    def __init__(
        self,
        *,
        features: list[str],
        factors: list[str] | None = None,
        source: str | None = None,
        false_alarms: Annotated[float, "s"] = 604_800.0,
        learn: int = 50,
        cycle: Annotated[float, "s"] = 86_400.0,
        memory: int = 4000,
        jump: float = 3.0,
        hold: int = 3,
        relearn_after: int = 2000,
        name: str = "departure",
        units: Mapping[str, str] | None = None,
    ) -> None:
        at_least(false_alarms, 1e-3, "false_alarms")
        at_least(learn, 10, "learn")
        at_least(cycle, 0.0, "cycle")
        at_least(memory, 100, "memory")
        at_least(hold, 1, "hold")
        at_least(relearn_after, 0, "relearn_after")
        if memory > 100_000:
            raise ConfigError(f"{memory} means are too many", where="memory", expected="100 to 100000")
        if jump != 0.0:
            at_least(jump, 1.0, "jump")
        if not features:
            raise ConfigError("there is nothing to watch", where="features", expected='keys, such as ["*_mean"]')
        for pattern in [*features, *(factors or ())] if units is not None else ():
            if not any(fnmatchcase(key, pattern) for key in units or ()):
                raise ConfigError(
                    f"no feature is like {pattern!r}",
                    where="features",
                    expected=f"keys such as {', '.join(sorted(units or ())[:8])}",
                )
        self.name, self.features, self.source = name, tuple(features), source
        self.false_alarms, self.learn, self.cycle, self.memory = false_alarms, learn, cycle, memory
        self.jump, self.hold, self.relearn_after = jump, hold, relearn_after
        self.factors = tuple(factors or ())
        self._keys: dict[str, bool] = {}
        self._memory: dict[str, _Source] = {}
        Span(1, memory=100, once_in=1e6, learn=0, relearn_after=0).judge(0.0)  # compile before a frame waits

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        watched = [k for k in measurement.features if self._watches(k)]
        if not watched:
            return None
        values = {
            k: self._scaled(k, float(v))
            for k in watched
            if (v := measurement.features[k].value) is not None and abs(v) < LARGEST
        }
        memory = self._memory.get(measurement.source)
        if memory is None:
            memory = self._memory[measurement.source] = _Source(self.learn)
        memory.seen += 1
        if not values:
            why = measurement.features[watched[0]].why
            return Verdict(label="unknown", reason=f"none of the {len(watched)} watched numbers is known: {why}")
        if memory.numbers is None:
            memory.early.append((measurement.time_ns, values))
            if len(memory.early) >= TIMES:
                self._begin(memory)
            return Verdict(label="normal", reason=f"{memory.seen} of {memory.learn} frames learnt")
        judged = {key: self._number(memory, key).judge(value) for key, value in values.items()}
        return self._said(memory, judged, measurement)

    def _watches(self, key: str) -> bool:
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = any(fnmatchcase(key, pattern) for pattern in self.features)
        return known

    def _by_factors(self, key: str) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in self.factors)

    def _scaled(self, key: str, value: float) -> float:
        """The number that is compared: the logarithm of one that changes by factors (none at all is the least)."""
        return math.log(max(value, LEAST)) if self._by_factors(key) else value

    def _begin(self, memory: _Source) -> None:
        """The first frames tell how fast frames come, and so what the times of the recipe are in frames."""
        times = [t for t, _ in memory.early]
        interval_s = median(b - a for a, b in pairwise(times)) * 1e-9
        memory.learn, memory.spans = self.learn, SPANS
        if interval_s > 0.0:
            memory.once_in = max(self.false_alarms / interval_s, 1.0)
            cycle = round(self.cycle / interval_s)
            if CYCLE[0] <= cycle <= CYCLE[1]:
                memory.learn, memory.spans = max(self.learn, cycle), tuple(sorted({*SPANS, cycle}))
        numbers = {key for _, values in memory.early for key in values}
        memory.once_in *= max(len(numbers), 1)
        memory.numbers = {}
        early, memory.early = memory.early, []
        for _, values in early:
            for key, value in values.items():
                self._number(memory, key).judge(value)

    def _number(self, memory: _Source, key: str) -> _Number:
        numbers = memory.numbers = {} if memory.numbers is None else memory.numbers
        if key not in numbers:
            share = memory.once_in * len(memory.spans)
            spans = [
                Span(s, memory=self.memory, once_in=share, learn=memory.learn, relearn_after=self.relearn_after)
                for s in memory.spans
            ]
            numbers[key] = _Number(
                spans, Jump(self.jump, memory=self.memory, learn=memory.learn) if self.jump else None
            )
        return numbers[key]

    def _said(
        self,
        memory: _Source,
        judged: Mapping[str, tuple[Departed | None, Jumped | None]],
        measurement: Measurement,
    ) -> Verdict:
        departed = {key: d for key, (d, _) in judged.items() if d is not None}
        score = max((d.ratio for d in departed.values()), default=None)
        limit = {key: BACK if key in memory.alarms else 1.0 for key in departed}
        memory.alarms = {key: d.ratio for key, d in departed.items() if d.ratio > limit[key]}
        jumps = {key: j for key, (_, j) in judged.items() if j is not None}
        if jumps:
            key = max(jumps, key=lambda k: jumps[k].ratio)
            memory.said, memory.left = (
                _jump_words(_called(key, measurement), jumps[key], len(jumps) - 1, self._by_factors(key)),
                self.hold,
            )
        scores = dict(sorted(memory.alarms.items(), key=lambda item: -item[1])[:8])
        if memory.left:
            memory.left -= 1
            return Verdict(label="change", score=score, scores=scores, reason=memory.said)
        if scores:
            worst = next(iter(scores))
            words = _departure_words(
                _called(worst, measurement), departed[worst], len(memory.alarms) - 1, self._by_factors(worst)
            )
            return Verdict(label="anomaly", score=score, scores=scores, reason=words)
        if memory.seen <= memory.learn:
            return Verdict(label="normal", score=score, reason=f"{memory.seen} of {memory.learn} frames learnt")
        if not departed:
            words = f"the {len(judged)} watched numbers have not varied enough yet to tell what is normal"
            return Verdict(label="normal", reason=words)
        return Verdict(
            label="normal",
            score=score,
            reason=f"{len(departed)} of {len(judged)} watched numbers have a history, and none leaves it",
        )


def _called(key: str, measurement: Measurement) -> str:
    """The key, with the name of the channel where the key tells only its place: `c3_mean (pressure)`."""
    place = re.match(r"(?:.*_)?c(\d+)_", key)
    names = measurement.labels.get("channels", "").split()
    if place is None or not 0 < int(place[1]) <= len(names) or names[int(place[1]) - 1] == f"c{place[1]}":
        return key
    return f"{key} ({names[int(place[1]) - 1]})"


def _departure_words(key: str, found: Departed, others: int, factors: bool) -> str:
    what = key if found.span == 1 else f"the mean of {key} over {found.span} frames"
    mean, middle = (math.exp(x) if factors else x for x in (found.mean, found.median))
    words = (
        f"{what} is {quantity(mean)}, {abs(found.z):.1f} sigma {'above' if found.z > 0.0 else 'below'} its median "
        f"{quantity(middle)} (allowed {found.allowed:.1f})"
    )
    return words + (f"; {others} more depart too" if others else "")


def _jump_words(key: str, found: Jumped, others: int, factors: bool) -> str:
    before, after = found.before, found.before + found.size
    before, after = (math.exp(x) if factors else x for x in (before, after))
    words = f"{key} jumped from {quantity(before)} to {quantity(after)}, "
    words += f"{found.ratio:.1f} times as far as ever before" if found.largest > 0.0 else "where it stood still so far"
    return words + (f"; {others} more jumped too" if others else "")
