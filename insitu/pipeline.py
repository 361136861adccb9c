"""`measure` and `judge`: the only path a frame takes, live, from files, in verification and overnight.

`measure` is pure in (frame, references, the frames before): it may run anywhere, in any order. `judge` is a fold: it
must see the measurements in order of `n`. Neither does I/O. What a role raises never stops a run: it becomes features
without value and a fault in the record.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from insitu.maths.aligned import aligned
from insitu.types import (
    Action,
    ArrayFeature,
    Decision,
    Feature,
    Frame,
    Measurement,
    Output,
    Record,
    References,
    Verdict,
)

NO_REFERENCES: References = {}
Item = tuple[Frame, References, Sequence[Frame]]
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Stage:
    """One named part: `call` is the role's callable; `source` limits it to one source (None: every source);
    `digest` says which settings or bundle it stands for (models and rules)."""

    name: str
    call: Any
    source: str | None = None
    digest: str = ""


class _Extractor(NamedTuple):
    """An extractor as it is used; `batch`: how many frames it takes at once."""

    stage: Stage
    outputs: Mapping[str, Output]
    before: int
    raw: bool
    batch: int


class Ready(NamedTuple):
    """A frame on its way through `measure`: what it is measured with, and `prepared`, or `why` there is none."""

    frame: Frame
    refs: References
    before: Sequence[Frame]
    prepared: Frame | None
    why: str
    faults: tuple[str, ...]


class _Chain(NamedTuple):
    """What the frames of one source go through."""

    prepares: tuple[Stage, ...]
    extractors: tuple[_Extractor, ...]
    outputs: Mapping[str, Output]
    before: int
    batch: int


def _extractor(stage: Stage) -> _Extractor:
    call = stage.call
    batch = int(getattr(call, "batch", 1)) if hasattr(call, "many") else 1
    return _Extractor(
        stage, dict(call.outputs), int(getattr(call, "before", 0)), bool(getattr(call, "raw", False)), batch
    )


def fault(where: str, error: Exception) -> str:
    """One line about an error of ours: the same text in every replay (no addresses, no paths)."""
    return f"{where}: {type(error).__name__}: {_ADDRESS.sub('', str(error))}"


def _expect(value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"gave {type(value).__name__} where {what} is expected")


def _expect_array(value: Any, key: str) -> None:
    _expect(value, ArrayFeature, f"a Feature for {key}")
    _expect(value.values, np.ndarray, f"an array for {key}")
    if value.values.dtype.kind not in "biufc" or len(value.dims) != value.values.ndim:
        raise TypeError(f"gave {key} with dtype {value.values.dtype} and dims {list(value.dims)}")


def _without(outputs: Mapping[str, Output], why: str) -> dict[str, Feature]:
    return {key: Feature(None, o.unit, why=why) for key, o in outputs.items()}


class Pipeline:
    """Prepares, extractors, models, rules in recipe order. Models and rules remember: one pipeline, one fold."""

    def __init__(
        self,
        *,
        prepares: Sequence[Stage] = (),
        extractors: Sequence[Stage] = (),
        models: Sequence[Stage] = (),
        rules: Sequence[Stage] = (),
    ) -> None:
        self.prepares, self.extractors = tuple(prepares), tuple(extractors)
        self.models, self.rules = tuple(models), tuple(rules)
        self._chains: dict[str, _Chain] = {}

    def outputs(self, source: str) -> Mapping[str, Output]:
        """What the extractors promise for a source: {key: Output}."""
        return self._chain(source).outputs

    def before(self, source: str) -> int:
        """How many frames before it the features of a source need at most."""
        return self._chain(source).before

    def measure(self, frame: Frame, refs: References = NO_REFERENCES, before: Sequence[Frame] = ()) -> Measurement:
        """The features of one frame. Pure. `before`: the frames stored before it (same source, order of `n`)."""
        return self._measure(Ready(frame, refs, before, *self._seen(frame, refs)), {})

    def batch(self, source: str) -> int:
        """How many frames of a source are best measured at once; 1 where no extractor gains by it."""
        return self._chain(source).batch

    def measure_many(self, items: Sequence[Item], known: Sequence[Mapping[str, Feature]] = ()) -> list[Measurement]:
        """`measure` of several frames, bit by bit. Extractors with `batch` and `many(frames)` get several at once.
        `known`: features of each frame by key; an extractor whose features are all among them is not asked."""
        results = [self._known(item[0], here) for item, here in zip(items, known or [{}] * len(items), strict=True)]
        ready = [
            Ready(*item, *(self._seen(*item[:2]) if self._asked(item[0], found) else (None, "", ())))
            for item, found in zip(items, results, strict=True)
        ]
        for source in dict.fromkeys(r.frame.source for r in ready):
            for part in self._chain(source).extractors:
                if part.batch > 1:
                    mine = [(i, r.frame if part.raw else r.prepared) for i, r in enumerate(ready)]
                    of = [(i, f) for i, f in mine if f is not None and (f.source, f.role) == (source, "sample")]
                    self._together(part, [(i, f) for i, f in of if id(part.stage) not in results[i]], results)
        return [self._measure(r, found) for r, found in zip(ready, results, strict=True)]

    def _known(self, frame: Frame, known: Mapping[str, Feature]) -> dict[int, Any]:
        """What extractors would give again, by their stage."""
        parts = self._chain(frame.source).extractors if known else ()
        return {id(p.stage): {k: known[k] for k in p.outputs} for p in parts if p.outputs.keys() <= known.keys()}

    def _asked(self, frame: Frame, found: Mapping[int, Any]) -> bool:
        """Whether an extractor that sees the prepared frame is still to be asked."""
        parts = self._chain(frame.source).extractors
        return not found or any(not part.raw and id(part.stage) not in found for part in parts)

    @staticmethod
    def _together(part: _Extractor, frames: list[tuple[int, Frame]], results: list[dict[int, Any]]) -> None:
        """What an extractor gives for several frames, into `results`. What it raises is met, and told, one by one."""
        for k in range(0, len(frames), part.batch):
            try:
                found = part.stage.call.many([frame for _, frame in frames[k : k + part.batch]])
            except Exception:  # noqa: BLE001 - the same call for one frame raises again, and is a fault there
                continue
            for (i, _), result in zip(frames[k : k + part.batch], found, strict=True):
                results[i][id(part.stage)] = result

    def _seen(self, frame: Frame, refs: References) -> tuple[Frame | None, str, tuple[str, ...]]:
        """The prepared frame, or why there is none; faults of ours."""
        if frame.role != "sample":
            return None, "", ()
        try:
            return self.prepared(frame, refs), "", ()
        except (ValueError, ArithmeticError) as e:  # a frame that cannot be prepared; the text says why
            return None, str(e) or type(e).__name__, ()
        except Exception as e:  # noqa: BLE001 - the boundary: a role's error must not end a run
            return None, (why := fault("prepare", e)), (why,)

    def _measure(self, ready: Ready, given: Mapping[int, Any]) -> Measurement:
        """The measurement of one frame; `given`: what extractors gave already, by their stage."""
        frame, refs = ready.frame, ready.refs
        features: dict[str, Feature] = {}
        arrays: dict[str, ArrayFeature] = {}
        faults = list(ready.faults)
        chain = self._chain(frame.source)
        for part in chain.extractors if frame.role == "sample" else ():
            seen, result = frame if part.raw else ready.prepared, given.get(id(part.stage))
            if seen is None and result is None:
                features.update(_without(part.outputs, ready.why))
                continue
            found, why = self._extract(part, chain, seen or frame, ready, result)
            faults += [why] if why else []
            for key, value in found.items():
                if isinstance(value, ArrayFeature):
                    arrays[key] = value
                else:
                    features[key] = value
        return Measurement(
            source=frame.source, seq=frame.seq, n=frame.n, time_ns=frame.time_ns, clock_sigma_ns=frame.clock_sigma_ns,
            source_seq=frame.source_seq, role=frame.role, complete=frame.complete, provisional=frame.provisional,
            points=None if frame.complete else frame.data.shape[-1], features=features, arrays=arrays,
            context=frame.context, labels=frame.labels, faults=tuple(faults), source_run_uid=frame.source_run_uid,
            references={name: r.digest for name, r in refs.items()} if refs else {},
        )  # fmt: skip

    def judge(self, measurement: Measurement) -> Record:
        """What the models and rules say, in order of `n`. The gravest action wins, ties by recipe order."""
        if measurement.role != "sample":
            reason = f"a {measurement.role} frame is a reference and is not judged"
            return Record(
                measurement=measurement, verdicts={}, decision=Decision(action=Action.CONTINUE, reason=reason)
            )
        verdicts: dict[str, Verdict] = {}
        spoke: list[Decision] = []
        faults: list[str] = []
        for stage in self.models:
            try:
                verdict = stage.call(measurement)
                if verdict is not None:
                    _expect(verdict, Verdict, "a Verdict")
            except Exception as e:  # noqa: BLE001 - the boundary: a role's error must not end a run
                faults.append(fault(f"model {stage.name}", e))
                verdict = Verdict(label="unknown", reason=faults[-1])
            if verdict is not None:
                verdicts[stage.name] = verdict if verdict.model else replace(verdict, model=stage.digest)
        for stage in self.rules:
            try:
                decision = stage.call(measurement, verdicts)
                if decision is not None:
                    _expect(decision, Decision, "a Decision")
                    _expect(decision.action, Action, "an Action")
            except Exception as e:  # noqa: BLE001 - the boundary: a role's error must not end a run
                faults.append(fault(f"rule {stage.name}", e))
                continue
            if decision is not None:
                spoke.append(replace(decision, rule=stage.name))
        if faults:
            measurement = replace(measurement, faults=(*measurement.faults, *faults))
        decision = max(spoke, key=lambda d: d.action) if spoke else Decision(action=Action.CONTINUE, reason="")
        return Record(measurement=measurement, verdicts=verdicts, decision=decision, spoke=tuple(spoke))

    def step(self, frame: Frame, refs: References = NO_REFERENCES, before: Sequence[Frame] = ()) -> Record:
        """`judge` of `measure`."""
        return self.judge(self.measure(frame, refs, before))

    def prepared(self, frame: Frame, refs: References = NO_REFERENCES) -> Frame:
        """The frame as extractors see it. Raises what a prepare step raises."""
        return self._prepare(self._chain(frame.source), frame, refs)

    def _prepare(self, chain: _Chain, frame: Frame, refs: References) -> Frame:
        if not chain.prepares:
            return frame
        for stage in chain.prepares:
            frame = stage.call(frame, refs)
        return replace(
            frame,
            data=aligned(frame.data),
            sigma=None if frame.sigma is None else aligned(frame.sigma),
            mask=None if frame.mask is None else aligned(frame.mask),
        )

    def _extract(
        self, part: _Extractor, chain: _Chain, seen: Frame, ready: Ready, result: Any
    ) -> tuple[Mapping[str, Feature | ArrayFeature], str]:
        """What an extractor gives for a frame (`result`: what it gave already), and what was wrong with it."""
        stage, outputs, k, raw, _ = part
        try:
            if result is None:
                neighbours = tuple(ready.before[-k:]) if k else ()
                if not raw:
                    neighbours = tuple(self._prepare(chain, f, ready.refs) for f in neighbours)
                result = stage.call(seen, ready.refs, neighbours)
            if result.keys() != outputs.keys():
                raise KeyError(f"gave {sorted(result)}, promised {sorted(outputs)}")
            for key, value in result.items():
                if not isinstance(value, Feature):
                    _expect_array(value, key)
        except Exception as e:  # noqa: BLE001 - the boundary: a role's error must not end a run
            why = fault(f"feature {stage.name}", e)
            return _without(outputs, why), why
        return result, ""

    def _chain(self, source: str) -> _Chain:
        chain = self._chains.get(source)
        if chain is None:
            prepares = tuple(s for s in self.prepares if s.source in (None, source))
            parts = tuple(_extractor(s) for s in self.extractors if s.source in (None, source))
            outputs: dict[str, Output] = {}
            for stage, promised, *_ in parts:
                if clash := outputs.keys() & promised.keys():
                    raise ValueError(f"feature {stage.name!r} gives {sorted(clash)}, which another one gives already")
                outputs.update(promised)
            before, batch = max((p.before for p in parts), default=0), max((p.batch for p in parts), default=1)
            chain = self._chains[source] = _Chain(prepares, parts, outputs, before, batch)
        return chain
