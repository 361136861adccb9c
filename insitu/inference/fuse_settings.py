"""The keys of `fuse`, checked, as what it works with: the numbers that are judged, and the clocks of the sources."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from insitu.errors import ConfigError
from insitu.inference.fuse_clocks import Alignment, ByEvents, BySignal, SourceClock
from insitu.inference.fuse_evidence import normal_equivalent, two_sided
from insitu.maths.line.clock import ClockFilter
from insitu.maths.rolling import Baseline
from insitu.maths.watch import InUnit, Watch, at_least, in_unit
from insitu.types import KEY, Feature, Measurement
from insitu.units import did_you_mean

UNJUDGED = 4.0
"""Deviation asked of a baseline, whose own judgement is not used."""


class Part:
    """One number that is judged: `spec` is `SOURCE.KEY`; `expect`: by how many sigma it departs (0: either way)."""

    def __init__(
        self,
        spec: str,
        *,
        normal: tuple[Feature, Feature] | None,
        expect: float,
        learn: int,
        units: Mapping[str, str] | None,
    ) -> None:
        from insitu.units import convert

        self.spec, self.expect, self.weight = spec, expect, abs(expect) or 1.0
        self.source, self.watch = watched(spec, "features", units)
        self.score = f"{self.source}_{self.watch.key}"
        self.baseline = None
        self._centre: InUnit | None = None
        self._spread: InUnit | None = None
        if normal is None:
            self.baseline = Baseline(window=learn, warm_up=learn, deviation=UNJUDGED)
        else:
            where, unit = f"normal[{spec}]", self.watch.unit
            self._centre = in_unit(normal[0], where, convert, unit)
            self._spread = in_unit(normal[1], where, convert, unit, difference=True)
            if self._spread is not None and not self._spread.value > 0.0:
                raise ConfigError(
                    "a spread is above 0", where=where, expected='[mean, sigma], such as ["5 N", "0.2 N"]'
                )

    def __call__(self, measurement: Measurement) -> Feature:
        """The number of a frame of its source."""
        return self.watch(measurement) or Feature(None, "", why=f"the frame carries no {self.watch.key}")

    def departure(self, number: float, unit: str) -> float | None:
        """How far it is from normal, in sigma; None while that is being learnt. UnitError where units do not fit."""
        if self._centre is not None and self._spread is not None:
            return normal_equivalent((number - self._centre(unit)) / self._spread(unit), None)
        assert self.baseline is not None
        found = self.baseline.departure(number)
        return None if found is None else normal_equivalent(found.t, found.values - 1)

    def learn(self, number: float) -> None:
        """A normal value."""
        if self.baseline is not None:
            self.baseline.accept(number)

    @property
    def still(self) -> str:
        """How far it is with learning; empty where it has done so."""
        if self.baseline is None or self.baseline.count >= self.baseline.warm_up:
            return ""
        return f"{self.baseline.count} of {self.baseline.warm_up}"

    def one_sided(self, z: float) -> float:
        """The departure such that large is bad."""
        return two_sided(z) if not self.expect else math.copysign(1.0, self.expect) * z


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """What is declared of the clocks, by source; times in s, drifts in ppm."""

    sigma: Mapping[str, float] = field(default_factory=dict)
    offset: Mapping[str, float] = field(default_factory=dict)
    offset_sigma: Mapping[str, float] = field(default_factory=dict)
    drift: Mapping[str, float] = field(default_factory=dict)
    drift_sigma: float = 100.0
    align: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    align_window: float = 60.0
    largest_offset: float = 10.0
    events: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    levels: Mapping[str, Feature] = field(default_factory=dict)

    def clocks(self, sources: Sequence[str], reference: str, units: Mapping[str, str] | None) -> dict[str, SourceClock]:
        """The clock of each source."""
        self._check(sources, reference)
        return {s: self._clock(s, reference, units) for s in sources}

    def _check(self, sources: Sequence[str], reference: str) -> None:
        for where in ("offset", "offset_sigma", "drift", "align", "events"):
            known_keys(getattr(self, where), [s for s in sources if s != reference], where)
        known_keys(self.sigma, sources, "clock_sigma")
        for where, values in (("clock_sigma", self.sigma), ("offset_sigma", self.offset_sigma)):
            for source, value in values.items():
                at_least(value, 0.0, f"{where}[{source}]")
        at_least(self.drift_sigma, 0.0, "drift_sigma")
        for where, value in (("align_window", self.align_window), ("largest_offset", self.largest_offset)):
            if not value > 0.0:
                raise ConfigError(f"{value:g} s is too short", where=where, expected="more than 0 s")
        for source in self.align.keys() & self.events.keys():
            raise ConfigError(
                f"the clock of {source} is aligned twice", where=f"events[{source}]", expected="one of align and events"
            )

    def _clock(self, source: str, reference: str, units: Mapping[str, str] | None) -> SourceClock:
        if source == reference:
            return SourceClock(None, None, self.sigma.get(source, 0.0))
        estimated = source in self.align or source in self.events
        given = source in self.offset or source in self.offset_sigma or not estimated
        clock = ClockFilter(
            offset_s=self.offset.get(source, 0.0),
            sigma_s=self.offset_sigma.get(source, self.largest_offset if estimated else 0.0) if given else math.inf,
            drift_ppm=self.drift.get(source, 0.0),
            drift_sigma_ppm=self.drift_sigma if estimated else 0.0,
            wander_ppm=0.1 * self.drift_sigma if estimated else 0.0,
        )
        alignment = self._alignment(source, reference, clock, units) if estimated else None
        return SourceClock(clock, alignment, self.sigma.get(source, 0.0))

    def _alignment(self, source: str, reference: str, clock: ClockFilter, units: Mapping[str, str] | None) -> Alignment:
        where = "align" if source in self.align else "events"
        pair = self.align[source] if where == "align" else self.events[source]
        watches: list[Watch] = []
        for spec, wanted in zip(pair, (reference, source), strict=True):
            found, watch = watched(spec, f"{where}[{source}]", units)
            if found != wanted:
                raise ConfigError(
                    f'"{spec}" is of {found}',
                    where=f"{where}[{source}]",
                    expected=f'["{reference}.KEY", "{source}.KEY"]: what both see, the reference first',
                )
            watches.append(watch)
        both = (watches[0], watches[1])
        if where == "align":
            return Alignment(both, BySignal(clock, window_s=self.align_window, largest_s=self.largest_offset))
        sigma = max(math.hypot(self.sigma.get(source, 0.0), self.sigma.get(reference, 0.0)), 1e-6)
        levels = tuple(self._level(spec, watch) for spec, watch in zip(pair, both, strict=True))
        return Alignment(both, ByEvents(clock, levels=levels, largest_s=self.largest_offset, sigma_s=sigma))

    def _level(self, spec: str, watch: Watch) -> InUnit:
        from insitu.units import convert

        if spec not in self.levels:
            raise ConfigError(
                f'an event is a rise above a level, and "{spec}" has none',
                where="levels",
                expected=f'levels = {{ "{spec}" = "NUMBER UNIT" }}',
            )
        level = in_unit(self.levels[spec], f"levels[{spec}]", convert, watch.unit)
        assert level is not None
        return level


def watched(spec: str, where: str, units: Mapping[str, str] | None) -> tuple[str, Watch]:
    """Source and watch of a `SOURCE.KEY`."""
    source, dot, key = spec.partition(".")
    if not dot or not key or not KEY.fullmatch(source):
        raise ConfigError(
            f'"{spec}" does not say of which source it is', where=where, expected='"SOURCE.KEY", such as "det.total"'
        )
    try:
        return source, Watch(key, source, units)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, expected=error.expected, remedy=error.remedy) from error


def known_keys(given: Iterable[str], known: Collection[str], where: str) -> None:
    """ConfigError for a key that is none of the known ones."""
    for key in given:
        if key not in known:
            raise ConfigError(
                f'"{key}" is not known here',
                where=f"{where}[{key}]",
                expected=f"one of {', '.join(known)}" if known else "nothing",
                remedy=did_you_mean(key, list(known)),
            )


def sources_of(
    features: Sequence[str], trigger: str, enough: int, need: int | None, units: Mapping[str, str] | None
) -> list[str]:
    """The sources of the features, in order; ConfigError where there is nothing to join."""
    sources = list(dict.fromkeys(watched(spec, "features", units)[0] for spec in features))
    if len(set(features)) < len(features):
        raise ConfigError("a number counts once", where="features", expected="each one once")
    if len(sources) < 2:
        raise ConfigError(
            f"all is of {len(sources)} source", where="features", expected="two sources or more, each SOURCE.KEY"
        )
    if trigger and trigger not in sources:
        raise ConfigError(
            f'nothing is judged of "{trigger}"',
            where="trigger",
            expected=f"one of {', '.join(sources)}",
            remedy=did_you_mean(trigger, sources),
        )
    for where, number in (("at_least", enough), ("need", len(sources) if need is None else need)):
        if not 1 <= number <= len(sources):
            raise ConfigError(f"{number} of {len(sources)} sources", where=where, expected=f"1 to {len(sources)}")
    if need is not None and need < enough:
        raise ConfigError(
            f"{need} sources cannot show that {enough} depart", where="need", expected=f"{enough} or more"
        )
    return sources
