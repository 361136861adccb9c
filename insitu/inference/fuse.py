"""A model that judges several sources together: numbers of one moment, joined over their clocks, give one verdict.

For each frame of the trigger the numbers of all other sources at its time are looked up (`insitu.inference.fuse_join`),
over clocks whose offset and drift are declared or estimated (`insitu.maths.line.clock`). Each number becomes a
departure from its normal range, declared or learnt; all of them together one departure, with limits that follow from
the declared rate of false alarms (`insitu.inference.fuse_evidence`, with sources). So several weak signs that no
source alone could act on make one decision, and with `at_least = 2` no single source can cause one.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from insitu.errors import ConfigError, UnitError
from insitu.inference.fuse_clocks import SourceClock
from insitu.inference.fuse_evidence import Combine, Lasting, allowed_once, conjunction, joined
from insitu.inference.fuse_join import How, Picked, Row, Timeline, nothing
from insitu.inference.fuse_settings import ClockSettings, Part, known_keys, sources_of
from insitu.maths.watch import at_least as no_less
from insitu.types import Feature, Measurement, Verdict

SECOND = 1e9
MOST_WAITING = 100_000
GRAVITY = {"normal": 0, "unknown": 1, "anomaly": 2, "change": 3}


class _Source(NamedTuple):
    """One source: its numbers, its rows, its clock."""

    parts: tuple[Part, ...]
    line: Timeline
    clock: SourceClock
    how: How


class _Moment(NamedTuple):
    """A frame of the trigger that waits to be judged: its time on the reference's clock."""

    at_ns: int
    n: int
    seq: int
    source: str


class Fuse:
    """Verdicts `normal`, `anomaly`, `change` (a departure that lasts) or `unknown` about several sources together.

    `features`: what is judged, `SOURCE.KEY` or `SOURCE.context.NAME`. `trigger`: the source whose frames are judged,
    and whose clock is the reference (default: every frame of every source, on the first one's clock). Of each other
    source the value that fits in time is taken: `how` is nearest (default), previous or interpolate, within `max_gap`
    and what the clocks are uncertain by. A frame is judged as soon as every source has gone past it, at the latest
    when a source is `hold` past it; values that come later do not count. `reorder`: how much later within one source
    an older time may still come.

    `normal`: mean and standard deviation of a number where all is well; those not declared are learnt from the first
    `learn` values. `expect`: by how many sigma a number departs when it is not, with its sign; 0 or not declared is
    either way. `combine`, `at_least`, `false_alarms` (a judged frame), `shift` (the lasting departure to be found
    soonest, in sigma of all together): see `insitu.inference.fuse_evidence`. `need`: fewest sources with a value
    (default: all).

    Clocks, by source: `clock_sigma`, how far single times are off; `offset`, to be added to its times at the first
    frame of the run, known to `offset_sigma`; `drift` in ppm. `align`: two numbers that follow one signal, of the
    reference and of the source, from which the offset is estimated in windows of `align_window`, looked for within
    `largest_offset`; `events`: two numbers whose rise above their `levels` is one event. `drift_sigma`: in ppm, what
    is believed of estimated drifts beforehand.

    A verdict may come with the frame of another source (the last one needed), and then tells which it is about:
    scores `frame` (its n) and `seq`. Where several became known at once, it is that of the gravest, and `judged` says
    how many.
    """

    def __init__(
        self,
        *,
        features: tuple[str, ...],
        trigger: str = "",
        normal: dict[str, tuple[Feature, Feature]] | None = None,
        expect: dict[str, float] | None = None,
        learn: int = 100,
        combine: Combine = "stouffer",
        at_least: int = 1,
        need: int | None = None,
        false_alarms: float = 1e-5,
        shift: float = 1.0,
        how: dict[str, How] | None = None,
        max_gap: Annotated[float, "s"] = 1.0,
        hold: Annotated[float, "s"] = 10.0,
        reorder: Annotated[float, "s"] = 0.0,
        clock_sigma: dict[str, Annotated[float, "s"]] | None = None,
        offset: dict[str, Annotated[float, "s"]] | None = None,
        offset_sigma: dict[str, Annotated[float, "s"]] | None = None,
        drift: dict[str, float] | None = None,
        drift_sigma: float = 100.0,
        align: dict[str, tuple[str, str]] | None = None,
        align_window: Annotated[float, "s"] = 60.0,
        largest_offset: Annotated[float, "s"] = 10.0,
        events: dict[str, tuple[str, str]] | None = None,
        levels: dict[str, Feature] | None = None,
        name: str = "fuse",
        units: Mapping[str, str] | None = None,
    ) -> None:
        sources = sources_of(features, trigger, at_least, need, units)
        self.name, self.at_least = name, at_least
        self.combine: Combine = combine
        self.trigger, self.need = trigger, len(sources) if need is None else need
        self._reference = trigger or sources[0]
        for where, number, smallest in (("learn", learn, 10), ("max_gap", max_gap, 0), ("hold", hold, 0),
                                        ("reorder", reorder, 0)):  # fmt: skip
            no_less(number, smallest, where)
        if not 0.0 < false_alarms <= 0.1 or not 0.1 <= shift <= 10.0:
            where, number = ("shift", shift) if 0.0 < false_alarms <= 0.1 else ("false_alarms", false_alarms)
            expected = "0.1 to 10 sigma" if where == "shift" else "the chance of one in a normal frame, 0.1 at most"
            raise ConfigError(f"{number:g} is of no use", where=where, expected=expected)
        for where, given in (("normal", normal), ("expect", expect)):
            known_keys(given or {}, features, where)
        known_keys(how or {}, sources, "how")
        self._gap_ns, self._hold_ns = round(max_gap * SECOND), round(hold * SECOND)
        self._reorder_ns = round(reorder * SECOND)
        parts = [
            Part(spec, normal=(normal or {}).get(spec), expect=(expect or {}).get(spec, 0.0), learn=learn, units=units)
            for spec in features
        ]
        clocks = ClockSettings(
            sigma=clock_sigma or {}, offset=offset or {}, offset_sigma=offset_sigma or {}, drift=drift or {},
            drift_sigma=drift_sigma, align=align or {}, align_window=align_window, largest_offset=largest_offset,
            events=events or {}, levels=levels or {},
        ).clocks(sources, self._reference, units)  # fmt: skip
        self._sources = {
            s: _Source(tuple(p for p in parts if p.source == s), Timeline(), clocks[s], (how or {}).get(s, "nearest"))
            for s in sources
        }
        learns = any(part.baseline is not None for part in parts)
        self._llr = all(part.expect for part in parts)
        self._once = allowed_once(0.5 * false_alarms)
        self._lasting = Lasting(shift=shift, rate=0.5 * false_alarms, learnt=learn if learns else None)
        self._pending: list[_Moment] = []
        self._used: dict[str, int] = {}
        self._base: int | None = None
        self._now_ns: int | None = None

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete:
            return None
        if self._base is None:
            self._base = measurement.time_ns
        for source in self._sources.values():
            source.clock.begin(self._base)
            source.clock.see(measurement)
        seen = self._sources.get(measurement.source)
        if seen is None:
            return None
        seen.clock.sigma_s = max(seen.clock.sigma_s, measurement.clock_sigma_ns / SECOND)
        seen.line.add(Row(measurement.time_ns, measurement.n, tuple(part(measurement) for part in seen.parts)))
        if not seen.clock.unknown:
            at_ns = seen.clock.to_reference(measurement.time_ns)
            self._now_ns = at_ns
            if measurement.source == self.trigger or not self.trigger:
                insort(self._pending, _Moment(at_ns, measurement.n, measurement.seq, measurement.source))
                del self._pending[:-MOST_WAITING]
        told = [self._judge(moment) for moment in self._settled()]
        if not told:
            return self._silent()
        gravest = max(told, key=lambda verdict: GRAVITY[verdict.label])
        return Verdict(
            label=gravest.label,
            score=gravest.score,
            scores={**gravest.scores, "judged": float(len(told))},
            reason=gravest.reason,
        )

    def _settled(self) -> list[_Moment]:
        """The moments that need not wait any longer, in order of time."""
        ready = 0
        for moment in self._pending:
            over = self._now_ns is not None and self._now_ns - moment.at_ns >= self._hold_ns
            if not (over or all(self._past(source, moment) for source in self._sources.values())):
                break
            ready += 1
        settled, self._pending = self._pending[:ready], self._pending[ready:]
        return settled

    def _past(self, source: _Source, moment: _Moment) -> bool:
        """Whether a source has gone past a moment."""
        latest = source.line.latest_ns
        if latest is None or source.clock.unknown:
            return False
        return latest >= source.clock.from_reference(moment.at_ns) + self._reorder_ns

    def _silent(self) -> Verdict | None:
        """What is said when nothing was judged: nothing, unless the trigger itself has fallen silent."""
        trigger = self._sources.get(self.trigger)
        if trigger is None or self._now_ns is None or self._base is None:
            return None
        last = trigger.line.latest_ns
        silent_ns = self._now_ns - (self._base if last is None else trigger.clock.to_reference(last))
        if silent_ns <= max(self._hold_ns, self._gap_ns):
            return None
        since = f"for {silent_ns / SECOND:.3g} s"
        return Verdict(
            label="unknown",
            scores={f"{self.trigger}_age_s": silent_ns / SECOND},
            reason=f"{self.trigger}, whose frames are judged, has been silent {since}",
        )

    def _judge(self, moment: _Moment) -> Verdict:
        """The verdict about one moment."""
        scores = {"frame": float(moment.n), "seq": float(moment.seq)}
        picked = {name: self._pick(name, source, moment, scores) for name, source in self._sources.items()}
        for source in self._sources.values():
            if not source.clock.unknown:
                source.line.forget(source.clock.from_reference(moment.at_ns) - self._kept_ns(source))
        present = {name: found for name, found in picked.items() if not found.why}
        fresh = {name: found.n for name, found in present.items() if found.n > self._used.get(name, -1)}
        where = f"{moment.source} frame {moment.seq} (n {moment.n})"
        try:
            departures = self._departures(present, fresh, scores)
        except UnitError as error:
            return Verdict(label="unknown", scores=scores, reason=f"{where} cannot be judged: {error}")
        if len(present) < self.need:
            said = "; ".join(f"{name}: {found.why}" for name, found in picked.items() if found.why)
            return Verdict(label="unknown", scores=scores, reason=f"{where} cannot be judged: {said}")
        if len(departures) < len(present):
            self._used.update(fresh)
            return Verdict(label="unknown", scores=scores, reason=f"{where}: {self._learning()}")
        y = conjunction(departures, self.at_least, self.combine)
        if fresh.keys() == present.keys():  # a value that was used before tells nothing new of what lasts
            self._lasting.add(moment.n, y)
            self._used.update(fresh)
        return self._said(moment, where, y, scores)

    def _kept_ns(self, source: _Source) -> int:
        """How far back of a judged moment values may still be needed."""
        return 2 * self._gap_ns + self._reorder_ns + round(10.0 * source.clock.sigma_s * SECOND)

    def _pick(self, name: str, source: _Source, moment: _Moment, scores: dict[str, float]) -> Picked:
        """The values of a source at a moment; its age and what is known of its clock into `scores`."""
        if source.clock.unknown:
            return nothing(source.clock.unknown)
        at_ns = source.clock.from_reference(moment.at_ns)
        own, reference = source.clock.state(at_ns), self._sources[moment.source].clock
        if name != self._reference:
            scores[f"{name}_offset_s"], scores[f"{name}_offset_sigma_s"] = own.offset_s, own.sigma_s
            scores[f"{name}_drift_ppm"], scores[f"{name}_drift_sigma_ppm"] = own.drift_ppm, own.drift_sigma_ppm
        if name == moment.source:
            found = source.line.pick(at_ns, "nearest", 0)
        else:
            doubt = math.hypot(source.clock.spread_s(at_ns), reference.spread_s(moment.at_ns))
            found = source.line.pick(at_ns, source.how, self._gap_ns + round(doubt * SECOND))
        if not found.why:
            scores[f"{name}_age_s"] = found.age_s
        return found

    def _departures(
        self, present: Mapping[str, Picked], fresh: Mapping[str, int], scores: dict[str, float]
    ) -> dict[str, tuple[float, float]]:
        """Departure and weight of each source whose normal is known. Ranges that are being learnt learn."""
        found: dict[str, tuple[float, float]] = {}
        ratio = 0.0
        for name, picked in present.items():
            members: list[tuple[float, float]] = []
            for part, number, unit in zip(self._sources[name].parts, picked.numbers, picked.units, strict=True):
                z = part.departure(number, unit)
                if z is None:
                    if name in fresh:
                        part.learn(number)
                    continue
                scores[f"{part.score}_z"] = z
                members.append((part.one_sided(z), part.weight))
                ratio += part.expect * z - 0.5 * part.expect**2
            if len(members) == len(self._sources[name].parts):
                found[name] = joined(members, self.combine), math.sqrt(sum(w * w for _, w in members))
                scores[f"{name}_departure"] = found[name][0]
        if self._llr and len(found) == len(self._sources):
            scores["llr"] = ratio
        return found

    def _learning(self) -> str:
        parts = [part for source in self._sources.values() for part in source.parts if part.still]
        said = ", ".join(f"{part.spec} {part.still}" for part in parts)
        return f"what is normal is being learnt ({said})"

    def _said(self, moment: _Moment, where: str, y: float, scores: dict[str, float]) -> Verdict:
        """`change` before `anomaly` before `normal`."""
        lasting = self._lasting
        scores |= {"departure": y, "allowed": self._once, "lasting": lasting.sum, "lasting_allowed": lasting.allowed}
        parts = [part for source in self._sources.values() for part in source.parts]
        said = ", ".join(f"{part.spec} {scores[k]:+.1f}" for part in parts if (k := f"{part.score}_z") in scores)
        if self.at_least > 1:
            said += f"; at least {self.at_least} sources"
        told = f"{where}: together {y:.1f} sigma from normal (allowed {self._once:.1f}; {said})"
        if lasting.exceeded:
            scores["since"] = float(moment.n if lasting.since is None else lasting.since)
            told += (
                f", and lasting since n {scores['since']:.0f} (sum {lasting.sum:.1f}, allowed {lasting.allowed:.1f})"
            )
            return Verdict(label="change", score=lasting.sum, scores=scores, reason=told)
        return Verdict(label="anomaly" if y > self._once else "normal", score=y, scores=scores, reason=told)
