"""A rule that holds a feature inside a band by changing one signal of the instrument in small steps."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from insitu.errors import ConfigError, UnitError
from insitu.maths.watch import InUnit, Watch, at_least, contrast, in_unit, ordered, quantity
from insitu.types import Action, Decision, Feature, Measurement, Verdict


class _Memory:
    """What is remembered of one source: side outside the band (-1, 0, 1), frames there, frames still to wait."""

    __slots__ = ("first", "frames", "side", "wait")

    def __init__(self) -> None:
        self.side = self.frames = self.first = self.wait = 0


class AdaptStep:
    """ADAPT: proposes the next value of `signal` when `feature` was outside `low` to `high` for `count` frames in a row
    on the same side.

    The present value of the signal is the frame's context value of that name, so a proposal that was not carried out
    is not taken for done. The next value is `factor` times (or one `factor`th of) it, or with `step` that much more or
    less; `effect` says whether a larger signal "raises" or "lowers" the feature. It stays within `smallest` to
    `largest`, on top of what the beamline allows. After a proposal nothing is proposed for `cool_down` frames (give at
    least the frames that are under way when the signal moves). Frames without value change nothing.
    `valid_s`: how long after arrival the proposal may still be carried out.

    >>> rule = AdaptStep(feature="maximum", high=Feature(5e4, "counts"), factor=2.0, count=1)
    >>> rule(
    ...     Measurement(
    ...         source="det", seq=3, n=3, time_ns=0,
    ...         features={"maximum": Feature(64000, "counts")}, context={"exposure_s": Feature(1.0, "s")},
    ...     ), {},
    ... ).params
    {'exposure_s': Feature(value=0.5, unit='s', sigma=None, why=None)}
    """

    def __init__(
        self,
        *,
        feature: str,
        source: str | None = None,
        signal: str = "exposure_s",
        low: Feature | None = None,
        high: Feature | None = None,
        effect: Literal["raises", "lowers"] = "raises",
        factor: float = 1.25,
        step: Feature | None = None,
        smallest: Feature | None = None,
        largest: Feature | None = None,
        count: int = 3,
        cool_down: int = 10,
        valid_s: Annotated[float, "s"] = 1.0,
        name: str = "adapt_step",
        units: Mapping[str, str] | None = None,
    ) -> None:
        from insitu.units import convert

        if low is None and high is None:
            raise ConfigError("there is no band to stay in", where="low", expected="low, high or both")
        if step is None and not factor > 1.0:
            raise ConfigError(f"a factor of {factor:g} changes nothing upwards", where="factor", expected="more than 1")
        at_least(count, 1, "count")
        at_least(cool_down, 0, "cool_down")
        at_least(valid_s, 0.0, "valid_s")
        self.signal, self.upwards, self.factor, self.count = signal, effect == "raises", factor, count
        self.cool_down, self.valid_s, self.name = cool_down, valid_s, name
        self._watch = Watch(feature, source, units)
        self._signal = Watch(signal, None, None)
        unit, moved = self._watch.unit, (units or {}).get(signal)
        self._low, self._high = in_unit(low, "low", convert, unit), in_unit(high, "high", convert, unit)
        ordered(self._low, self._high)
        self._step = in_unit(step, "step", convert, moved, difference=True)
        if self._step is not None and not self._step.value > 0.0:
            raise ConfigError("a step is a size, without direction", where="step", expected="more than 0")
        self._smallest = in_unit(smallest, "smallest", convert, moved)
        self._largest = in_unit(largest, "largest", convert, moved)
        self._memory: dict[str, _Memory] = {}

    def __call__(self, measurement: Measurement, verdicts: Mapping[str, Verdict]) -> Decision | None:
        value = self._watch(measurement)
        if value is None:
            return None
        memory = self._memory.setdefault(measurement.source, _Memory())
        waiting = memory.wait > 0
        memory.wait = max(memory.wait - 1, 0)
        if value.value is None:
            return None
        try:
            side, bound = self._side(float(value.value), value.unit)
            self._count(memory, side, measurement.n)
            if waiting or not side or memory.frames < self.count:
                return None
            memory.wait = self.cool_down
            return self._propose(measurement, memory, value, bound)
        except UnitError as error:
            return Decision(action=Action.CONTINUE, reason=f"{self.signal} is left alone: {error}")

    def _side(self, value: float, unit: str) -> tuple[int, float]:
        """On which side of the band the value is outside (-1, 0, 1), and the bound there."""
        if self._high is not None and value > self._high(unit):
            return 1, self._high(unit)
        if self._low is not None and value < self._low(unit):
            return -1, self._low(unit)
        return 0, value

    def _count(self, memory: _Memory, side: int, n: int) -> None:
        if side != memory.side:
            memory.side, memory.frames, memory.first = side, 0, n
        memory.frames += 1

    def _propose(self, measurement: Measurement, memory: _Memory, value: Feature, bound: float) -> Decision:
        said, limit = contrast(float(value.value or 0.0), bound, value.unit, value.sigma)
        frames = f"{memory.frames} frame" + ("s" if memory.frames > 1 else "")
        where = f"n {memory.first} to {measurement.n}" if memory.frames > 1 else f"n {measurement.n}"
        side = "above" if memory.side > 0 else "below"
        why = f"{self._watch.key} {said} is {side} {limit} for {frames} ({where})"
        present = self._signal(measurement)
        if present is None or present.value is None:
            return self._leave(why, f"its present value is not known (the frame carries no {self.signal})")
        unit, now = present.unit, float(present.value)
        if self._step is None and now <= 0.0:
            return self._leave(why, f"{quantity(now, unit)} has no larger multiple; give a step instead of a factor")
        wanted = self._next(now, unit, up=(memory.side < 0) == self.upwards)
        if wanted == now:
            return self._leave(why, f"{quantity(now, unit)} is as far as the recipe lets it go")
        return Decision(
            action=Action.ADAPT,
            reason=f"{why}: {self.signal} from {' to '.join(contrast(now, wanted, unit))}",
            params={self.signal: Feature(wanted, unit)},
            valid_s=self.valid_s,
        )

    def _next(self, now: float, unit: str, *, up: bool) -> float:
        if self._step is not None:
            wanted = now + self._step(unit) if up else now - self._step(unit)
        else:
            wanted = now * self.factor if up else now / self.factor
        if not math.isfinite(wanted):
            return now
        return _within(wanted, now, unit, self._smallest, self._largest, up=up)

    def _leave(self, why: str, because: str) -> Decision:
        return Decision(action=Action.CONTINUE, reason=f"{why}, but {self.signal} is left alone: {because}")


def _within(
    wanted: float, now: float, unit: str, smallest: InUnit | None, largest: InUnit | None, *, up: bool
) -> float:
    """`wanted` cut at the recipe's bounds; a signal beyond one already is not pushed farther, nor thrown back."""
    if up and largest is not None:
        return max(min(wanted, largest(unit)), now)
    if not up and smallest is not None:
        return min(max(wanted, smallest(unit)), now)
    return wanted
