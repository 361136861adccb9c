"""A rule that asks for a pause while something is wrong, and says when it is over."""

from collections.abc import Mapping
from typing import Annotated

from insitu.decisions.halt import because
from insitu.decisions.streak import Streak, UnknownIs
from insitu.maths.watch import at_least
from insitu.types import Action, Decision, Measurement, Verdict


class PauseOn:
    """PAUSE while tripped: from `count` verdicts of `model` in a row with a label in `on`, until `resume_after` others
    in a row; then one CONTINUE, whose reason begins with "resumed".

    Said on every frame of every source, so that a refused PAUSE is offered again. Needs frames to end: where the
    pause stops them, only the operator can resume. Each source is counted apart; the pause lasts until all are
    clean. A clean frame of another plan (`source_run_uid`) ends it at once: that plan was never paused. `unknown` says
    what a verdict "unknown" does: "ignore" (default) leaves both counts as they are, "count" is as bad as a label in
    `on`, "reset" is as good as "normal".
    `valid_s`: how long after arrival the PAUSE may still be carried out.

    >>> rule = PauseOn(model="beam", resume_after=2)
    >>> labels = ["anomaly", "normal", "normal"]
    >>> frames = [Measurement(source="det", seq=n, n=n, time_ns=n) for n in range(3)]
    >>> [rule(m, {"beam": Verdict(label=label)}).reason for m, label in zip(frames, labels)][1:]
    ['beam: anomaly for 1 frame (n 0); 1 of 2 clean frames to resume', 'resumed: beam clean for 2 frames, up to n 2']
    """

    def __init__(
        self,
        *,
        model: str,
        on: tuple[str, ...] = ("anomaly",),
        count: int = 1,
        resume_after: int = 10,
        unknown: UnknownIs = "ignore",
        valid_s: Annotated[float, "s"] = 30.0,
        name: str = "pause_on",
    ) -> None:
        at_least(resume_after, 1, "resume_after")
        at_least(valid_s, 0.0, "valid_s")
        self.model, self.resume_after, self.valid_s, self.name = model, resume_after, valid_s, name
        self._new = lambda: Streak(on=on, count=count, clear_after=resume_after, unknown=unknown)
        self._streaks: dict[str, Streak] = {}
        self._why: dict[str, str] = {}
        self._plan: dict[str, str] = {}  # that of the last bad frame
        self._new()

    def __call__(self, measurement: Measurement, verdicts: Mapping[str, Verdict]) -> Decision | None:
        source = measurement.source
        verdict = verdicts.get(self.model)
        if verdict is None:
            return self._pause("; ".join(self._why.values())) if self._why else None
        streak = self._streaks.get(source)
        if streak is None:
            streak = self._streaks[source] = self._new()
        anew = self._plan.get(source) != measurement.source_run_uid
        streak.see(measurement.n, verdict.label, anew=anew)
        if streak.tripped and streak.hit:
            self._plan[source] = measurement.source_run_uid
            self._why[source] = because(self.model, verdict, streak)
        if streak.cleared:
            del self._why[source]
        if self._why:
            return self._pause(self._reason(source, streak))
        if streak.cleared:
            reason = f"resumed: {self.model} clean for {streak.clean} frames, up to n {measurement.n}"
            return Decision(action=Action.CONTINUE, reason=reason, valid_s=self.valid_s)
        return None

    def _pause(self, reason: str) -> Decision:
        return Decision(action=Action.PAUSE, reason=reason, valid_s=self.valid_s)

    def _reason(self, source: str, streak: Streak) -> str:
        if source not in self._why:
            return "; ".join(self._why.values())
        progress = f"; {streak.clean} of {self.resume_after} clean frames to resume" if streak.clean else ""
        return self._why[source] + progress
