"""A model that says whether one number is within bounds, or within so many sigma of its own rolling baseline.

Bounds: a value is outside where `value - sigmas * sigma > high` or `value + sigmas * sigma < low`, sigma the value's
own standard uncertainty (0 where it has none). Deviation: it is outside where it departs from the mean of the last
`window` normal values by more than `deviation` sigma of a normal distribution; few values allow more
(`insitu.maths.rolling`, with the rate of false alarms: 2e-9 a frame for 6 sigma and normal noise). The baseline follows
slow drift and does not see it: that is for bounds, and for `change_point`.
"""

from collections.abc import Mapping
from typing import Literal

from insitu.errors import ConfigError, UnitError
from insitu.maths.rolling import Baseline
from insitu.maths.watch import Watch, at_least, contrast, in_unit, ordered, quantity
from insitu.types import Feature, Measurement, Verdict


class _Memory:
    """What is remembered of one source: on which side it was outside (-1, 0, 1), and its baseline."""

    __slots__ = ("baseline", "outside", "strayed")

    def __init__(self, baseline: Baseline | None) -> None:
        self.outside, self.strayed, self.baseline = 0, False, baseline


class Limits:
    """Verdicts `normal`, `anomaly` or `unknown` about one feature or context value (`insitu.maths.watch` says how it
    is named).

    `hysteresis` (in the feature's unit): once outside a bound, only a value inside by this much is normal again.
    `back`: the same for the deviation, in sigma (default: `deviation`). The baseline needs `warm_up` values; until then
    the deviation says nothing, and the verdict is `normal` with a reason that says so. `relearn_after`: so many
    values in a row that do not belong to the baseline are the new one (0: never, so that a long loss of beam does not
    become normal). `resolution`: values that differ by less are the same; give it for numbers that seldom vary, such
    as counts of peaks. `unknown_is`: the label of a frame without value.

    Scores: `outside`, how far beyond a bound (negative: within) in the feature's unit; `deviation` in sigma, with
    `baseline` and `baseline_sigma`. `score` is the one that decided.

    >>> model = Limits(feature="position", low=Feature(28.2, "deg"), high=Feature(28.7, "deg"))
    >>> seen = Measurement(source="det", seq=0, n=0, time_ns=0, features={"position": Feature(28.91, "deg")})
    >>> model(seen).reason
    'position 28.91 deg is above 28.7 deg'
    """

    def __init__(
        self,
        *,
        feature: str,
        source: str | None = None,
        low: Feature | None = None,
        high: Feature | None = None,
        hysteresis: Feature | None = None,
        sigmas: float = 0.0,
        deviation: float | None = None,
        back: float | None = None,
        window: int = 50,
        warm_up: int = 20,
        relearn_after: int = 0,
        resolution: Feature | None = None,
        unknown_is: Literal["unknown", "anomaly", "normal"] = "unknown",
        name: str = "limits",
        units: Mapping[str, str] | None = None,
    ) -> None:
        from insitu.units import convert

        if low is None and high is None and deviation is None:
            raise ConfigError(
                "there is nothing to judge by", where="low", expected="at least one of low, high, deviation"
            )
        self.name, self.sigmas, self.unknown_is = name, sigmas, unknown_is
        self.deviation, self.back, self.relearn_after = deviation, back, relearn_after
        self.window, self.warm_up = window, warm_up
        self._watch = Watch(feature, source, units)
        unit = self._watch.unit
        self._low, self._high = in_unit(low, "low", convert, unit), in_unit(high, "high", convert, unit)
        self._hysteresis = in_unit(hysteresis, "hysteresis", convert, unit, difference=True)
        self._resolution = in_unit(resolution, "resolution", convert, unit, difference=True)
        self._memory: dict[str, _Memory] = {}
        self._check()

    def _check(self) -> None:
        ordered(self._low, self._high)
        at_least(self.sigmas, 0.0, "sigmas")
        at_least(self.warm_up, 3, "warm_up")
        at_least(self.window, self.warm_up, "window")
        at_least(self.relearn_after, 0, "relearn_after")
        if self.deviation is not None:
            at_least(self.deviation, 1.0, "deviation")
            if self.back is not None and not 0.0 < self.back <= self.deviation:
                raise ConfigError(
                    f"back {self.back:g} is not below deviation", where="back", expected=f"0 to {self.deviation:g}"
                )
        for where, number in (("hysteresis", self._hysteresis), ("resolution", self._resolution)):
            if number is not None:
                at_least(number.value, 0.0, where)

    def __call__(self, measurement: Measurement) -> Verdict | None:
        value = self._watch(measurement)
        if value is None:
            return None
        if value.value is None:
            return Verdict(label=self.unknown_is, reason=f"{self._watch.key} is not known: {value.why}")
        try:
            memory = self._memory.get(measurement.source)
            if memory is None:
                memory = self._memory[measurement.source] = _Memory(self._new_baseline(value.unit))
            return self._judge(memory, value, float(value.value))
        except UnitError as error:
            return Verdict(label="unknown", reason=str(error))

    def _new_baseline(self, unit: str) -> Baseline | None:
        if self.deviation is None:
            return None
        return Baseline(
            window=self.window,
            warm_up=self.warm_up,
            deviation=self.deviation,
            resolution=0.0 if self._resolution is None else self._resolution(unit),
            relearn_after=self.relearn_after,
        )

    def _judge(self, memory: _Memory, feature: Feature, value: float) -> Verdict:
        scores: dict[str, float] = {}
        beyond = self._against_bounds(memory, feature, value, scores)
        strays = self._against_baseline(memory, feature, value, scores, accept=not beyond)
        decided = "deviation" if "outside" not in scores or (strays and not beyond) else "outside"
        return Verdict(
            label="anomaly" if beyond or strays else "normal",
            score=scores.get(decided),
            scores=scores,
            reason=beyond or strays or self._fine(memory, feature, value),
        )

    def _against_bounds(self, memory: _Memory, feature: Feature, value: float, scores: dict[str, float]) -> str:
        """Why the value is outside the bounds; empty where it is not. Updates `outside` and the side remembered."""
        unit = feature.unit
        low = -float("inf") if self._low is None else self._low(unit)
        high = float("inf") if self._high is None else self._high(unit)
        if self._low is None and self._high is None:
            return ""
        margin = self.sigmas * (feature.sigma or 0.0)
        above, below = value - margin - high, low - value - margin
        scores["outside"] = max(above, below)
        inside = 0.0 if self._hysteresis is None else self._hysteresis(unit)
        side = 1 if above > 0.0 else -1 if below > 0.0 else memory.outside
        if max(above, below) <= 0.0 and (side == 0 or (above if side > 0 else below) <= -inside):
            memory.outside = 0
            return ""
        memory.outside = side
        bound = high if side > 0 else low
        said, limit = contrast(value, bound, unit, feature.sigma)
        if max(above, below) <= 0.0:
            return f"{self._watch.key} {said} is not yet {quantity(inside, unit)} inside {limit} again"
        return f"{self._watch.key} {said} is {'above' if side > 0 else 'below'} {limit}"

    def _against_baseline(
        self, memory: _Memory, feature: Feature, value: float, scores: dict[str, float], *, accept: bool
    ) -> str:
        """Why the value departs from the baseline; empty where it does not. The baseline learns what belongs."""
        baseline = memory.baseline
        if baseline is None:
            return ""
        found = baseline.departure(value)
        if found is None:
            if accept:
                baseline.accept(value)
            return ""
        scores |= {"deviation": found.t, "baseline": found.mean, "baseline_sigma": found.sigma}
        allowed = found.allowed
        if memory.strayed and self.back is not None and self.deviation is not None:
            allowed *= self.back / self.deviation
        memory.strayed = abs(found.t) > allowed
        relearnt = False
        if not found.belongs or memory.strayed:
            relearnt = baseline.reject(value)
        elif accept:
            baseline.accept(value)
        if not memory.strayed:
            return ""
        side = "above" if found.t > 0.0 else "below"
        reason = (
            f"{self._watch.key} {quantity(value, feature.unit)} is {abs(found.t):.1f} sigma {side} its baseline "
            f"{quantity(found.mean, feature.unit, found.sigma)} of {found.values} frames (allowed {allowed:.1f})"
        )
        if relearnt:
            memory.strayed = False
            reason += f"; the last {self.relearn_after} frames are the baseline from now on"
        return reason

    def _fine(self, memory: _Memory, feature: Feature, value: float) -> str:
        said = f"{self._watch.key} {quantity(value, feature.unit, feature.sigma)}"
        baseline = memory.baseline
        if baseline is not None and baseline.count < self.warm_up:
            return f"{said}: {baseline.count} of {self.warm_up} frames of the baseline learnt"
        return f"{said} is within limits"
