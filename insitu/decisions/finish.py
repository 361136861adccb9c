"""A rule that ends the run when its goal is reached: a value is there, or known well enough."""

from collections.abc import Mapping
from typing import Annotated

from insitu.decisions.streak import Streak
from insitu.errors import ConfigError, UnitError
from insitu.maths.watch import InUnit, Watch, at_least, contrast, in_unit, quantity
from insitu.maths.weighted import WeightedMean
from insitu.types import Action, Decision, Feature, Measurement, Verdict


class FinishWhen:
    """FINISH when a feature or context value meets the goal on `count` frames in a row, and on each frame after that.

    `above`, `below`: the value is above or below this (by `sigmas` of its own uncertainties, so that noise alone does
    not end a run). `mean_sigma`: the standard uncertainty of the mean of all values so far is at most this
    (`insitu.maths.weighted`; from 5 values on). Where several are given, all must hold on the same frame.
    Frames without value neither count nor start the count over. Each source is judged apart.

    >>> rule = FinishWhen(feature="temperature", above=Feature(600.0, "K"), count=1)
    >>> hot = Measurement(source="det", seq=7, n=7, time_ns=0, context={"temperature": Feature(601.5, "K")})
    >>> rule(hot, {}).reason
    'goal reached: temperature 601.5 K is above 600 K for 1 frame (n 7)'
    """

    def __init__(
        self,
        *,
        feature: str,
        source: str | None = None,
        above: Feature | None = None,
        below: Feature | None = None,
        sigmas: float = 0.0,
        mean_sigma: Feature | None = None,
        count: int = 3,
        valid_s: Annotated[float, "s"] = 30.0,
        name: str = "finish_when",
        units: Mapping[str, str] | None = None,
    ) -> None:
        from insitu.units import convert

        if above is None and below is None and mean_sigma is None:
            raise ConfigError("there is no goal", where="above", expected="at least one of above, below, mean_sigma")
        at_least(sigmas, 0.0, "sigmas")
        at_least(valid_s, 0.0, "valid_s")
        self.sigmas, self.valid_s, self.name = sigmas, valid_s, name
        self._watch = Watch(feature, source, units)
        unit = self._watch.unit
        self._above, self._below = in_unit(above, "above", convert, unit), in_unit(below, "below", convert, unit)
        self._mean_sigma = in_unit(mean_sigma, "mean_sigma", convert, unit, difference=True)
        if self._mean_sigma is not None and self._mean_sigma.value <= 0.0:
            raise ConfigError("no uncertainty is that small", where="mean_sigma", expected="more than 0")
        self._new = lambda: (Streak(on=("met",), count=count), WeightedMean())
        self._memory: dict[str, tuple[Streak, WeightedMean]] = {}
        self._new()

    def __call__(self, measurement: Measurement, verdicts: Mapping[str, Verdict]) -> Decision | None:
        value = self._watch(measurement)
        if value is None or value.value is None:
            return None
        memory = self._memory.get(measurement.source)
        if memory is None:
            memory = self._memory[measurement.source] = self._new()
        streak, mean = memory
        try:
            reason = self._reason(value, float(value.value), mean)
        except UnitError as error:
            return Decision(action=Action.CONTINUE, reason=str(error))
        streak.see(measurement.n, "met" if reason else "not")
        if not (streak.tripped and reason):
            return None
        reason = f"goal reached: {reason} for {streak.span()}"
        return Decision(action=Action.FINISH, reason=reason, valid_s=self.valid_s)

    def _reason(self, feature: Feature, value: float, mean: WeightedMean) -> str:
        """Why the goal is met on this frame; empty where it is not."""
        margin, unit, key = self.sigmas * (feature.sigma or 0.0), feature.unit, self._watch.key
        met: list[str] = []
        for bound, sign, side in ((self._above, 1.0, "above"), (self._below, -1.0, "below")):
            if bound is None:
                continue
            if sign * (value - bound(unit)) <= margin:
                met.append("")
            else:
                said, goal = contrast(value, bound(unit), unit, feature.sigma)
                met.append(f"{key} {said} is {side} {goal}")
        if self._mean_sigma is not None:
            met.append(self._known_well(mean, feature, value, self._mean_sigma))
        return " and ".join(met) if all(met) else ""

    def _known_well(self, mean: WeightedMean, feature: Feature, value: float, goal: InUnit) -> str:
        mean.add(value, feature.sigma)
        if mean.count < 5 or mean.sigma > goal(feature.unit):
            return ""
        said = quantity(mean.value, "", mean.sigma, digits=8)
        known = f"the mean of {mean.count} frames is {said} {feature.unit}".rstrip()
        return f"{self._watch.key} is known to {quantity(goal(feature.unit), feature.unit)} ({known})"
