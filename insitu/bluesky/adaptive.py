"""The pipeline's features as objectives of bluesky-adaptive 1.0 (extra `adaptive`).

`Evaluation` is both the acquisition plan and the evaluation function of an `OptimizationProblem`. What was not answered
in time, has no value, or would lie out of limits, is a failure of that suggestion: `optimize` registers it with the
optimizer and goes on with the others; the stock `bluesky_adaptive.plans.optimize` registers the whole batch and ends.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from insitu.bluesky.asking import Asking, Plan
from insitu.bluesky.moving import Approach, limit_of
from insitu.bluesky.reporting import in_run, metadata
from insitu.errors import ActionRefusedError, MissingExtraError, SourceError, UsageError

log = logging.getLogger(__name__)
ID = "_id"
RUN_KEY = "insitu_acquire"


class Evaluation:
    """Objectives from features: `objectives` {name of the outcome: feature key}, answered `within_s` each.

    Use `OptimizationProblem(optimizer, actuators, sensors, evaluation, acquisition_plan=evaluation.acquire)`; `close`
    it afterwards (or use it as a context manager).
    """

    def __init__(self, session: Any, objectives: Mapping[str, str], within_s: float = 5.0) -> None:
        if not objectives:
            raise UsageError("no objective is named", where="objectives", expected="{outcome: feature key}")
        self.objectives = dict(objectives)
        self._session = session
        self._asking = Asking(session, tuple(self.objectives.values()), within_s)
        self._points: dict[Hashable, int] = {}
        self.failures: dict[Hashable, str] = {}
        """Why suggestions failed, by their `_id`."""

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ask no more."""
        self._asking.__exit__()

    def acquire(
        self,
        suggestions: Sequence[Mapping[str, Any]],
        actuators: Sequence[Any],
        sensors: Sequence[Any] | None = None,
        md: Mapping[str, Any] | None = None,
    ) -> Plan:
        """The acquisition plan: one run, each suggestion a point about which the pipeline is asked. Its uid."""
        detectors = list(sensors or [])
        ids = [str(suggestion[ID]) for suggestion in suggestions]
        names = ", ".join(a.name for a in actuators)
        meta = metadata("acquire", names, ", ".join(self.objectives), detectors, actuators, {"suggestions": ids}, md)
        meta["hints"] = {}
        approaches = [Approach(actuator, limit_of(self._session, actuator)) for actuator in actuators]

        def points() -> Plan:
            for suggestion in suggestions:
                refused = _refused(approaches, suggestion)
                if refused:
                    self.failures[suggestion[ID]] = refused
                    continue
                for approach in approaches:
                    yield from approach.to(float(suggestion[approach.motor.name]))
                point = self._points[suggestion[ID]] = self._asking.number()
                yield from bps.trigger_and_read([*detectors, *actuators, *self._asking.signals])
                yield from self._asking.ask(point)

        run = in_run(points(), [*detectors, *actuators], meta)
        uid, _ = yield from bpp.set_run_key_wrapper(run, RUN_KEY)  # stock plans have a run of their own open
        return uid

    def outcome(self, suggestion: Mapping[str, Any]) -> dict[str, Any] | None:
        """What came of one suggestion; None, and why in `failures`, where it failed."""
        ident = suggestion[ID]
        if ident in self.failures:
            return None
        answer = self._asking.answer(self._points.get(ident, 0))
        if answer is None:
            self.failures[ident] = "the pipeline did not answer in time"
            return None
        found: dict[str, Any] = {ID: ident}
        for name, key in self.objectives.items():
            feature = answer[key]
            if feature.value is None:
                self.failures[ident] = f"{key} has no value: {feature.why}"
                return None
            found[name] = float(feature.value)
        return found

    def __call__(self, uid: Any, suggestions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The evaluation function. `SourceError` where a suggestion failed: stock plans register the batch then."""
        found = [self.outcome(suggestion) for suggestion in suggestions]
        failed = [s[ID] for s, outcome in zip(suggestions, found, strict=True) if outcome is None]
        if failed:
            raise SourceError(
                f"suggestion {failed[0]}: {self.failures[failed[0]]}",
                where=f"run {uid}",
                remedy="insitu.bluesky.adaptive.optimize registers such failures and goes on",
            )
        return [outcome for outcome in found if outcome is not None]


def optimize(problem: Any, iterations: int, n_points: int = 1, md: Mapping[str, Any] | None = None) -> Plan:
    """Suggest, acquire, ingest, `iterations` times. Suggestions that failed are registered as failures with an
    optimizer that takes them, the others are ingested; the plan goes on. Result: how many were ingested, and failed.

    `problem`: an `OptimizationProblem` whose evaluation function is an `Evaluation`. `MissingExtraError` without the
    extra.
    """
    try:
        from bluesky_adaptive.protocols import SupportsStoppingCriteria, TrialFaultAware
    except ImportError as e:
        raise MissingExtraError("bluesky-adaptive", "adaptive", purpose="optimize") from e
    evaluation = problem.evaluation_function
    optimizer = problem.optimizer
    if not isinstance(evaluation, Evaluation):
        raise UsageError("the evaluation function is none of ours", where="problem", expected="an Evaluation")
    takes_failures, stops = isinstance(optimizer, TrialFaultAware), isinstance(optimizer, SupportsStoppingCriteria)
    ingested = failed = 0
    for _ in range(iterations):
        suggestions = optimizer.suggest(n_points)
        yield from evaluation.acquire(suggestions, problem.actuators, problem.sensors, md)
        outcomes = [evaluation.outcome(suggestion) for suggestion in suggestions]
        good = [outcome for outcome in outcomes if outcome is not None]
        bad = [s for s, outcome in zip(suggestions, outcomes, strict=True) if outcome is None]
        for suggestion in bad:
            log.warning("suggestion %s failed: %s", suggestion[ID], evaluation.failures[suggestion[ID]])
        if bad and takes_failures:
            optimizer.register_failures(bad)
        if good:
            optimizer.ingest(good)
        ingested, failed = ingested + len(good), failed + len(bad)
        if stops and optimizer.should_stop()[0]:
            break
    return ingested, failed


def _refused(approaches: Sequence[Approach], suggestion: Mapping[str, Any]) -> str:
    """Why a suggestion may not be moved to, or nothing."""
    for approach in approaches:
        try:
            place = float(suggestion[approach.motor.name])
            approach.check(place, place)
        except (ActionRefusedError, KeyError, TypeError, ValueError) as e:
            return f"{approach.motor.name}: {e}"
    return ""
