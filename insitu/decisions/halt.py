"""A rule that halts the run when a model has said the same bad thing often enough."""

from collections.abc import Mapping
from typing import Annotated

from insitu.decisions.streak import Streak, UnknownIs
from insitu.maths.watch import at_least
from insitu.types import Action, Decision, Measurement, Verdict


class HaltAfter:
    """HALT when `count` verdicts of `model` in a row (or within the last `within`) carry a label in `on`.

    Sources are counted apart: frames of another source, and frames that the model says nothing of, change nothing.
    `unknown` says what a verdict "unknown" (a value is missing: no peak, no beam) does: "ignore" (default) neither
    counts nor starts the count over, so that single frames that cannot be measured neither halt a run nor hide a
    fault; "count" halts on them too; "reset" starts over. To halt when nothing can be measured for long, add a
    second rule with `on = ["unknown"]` and a larger count.
    Once tripped, it says HALT on every further frame with such a label (a refused HALT is so offered again), until
    `clear_after` others in a row; with `cool_down` it is silent for so many of the model's frames after each HALT.
    `valid_s`: how long after arrival the HALT may still be carried out.

    >>> rule = HaltAfter(model="limits", count=2)
    >>> bad = {"limits": Verdict(label="anomaly", reason="position 28.91 deg is above 28.7 deg")}
    >>> for n in (118, 119):
    ...     decision = rule(Measurement(source="det", seq=n, n=n, time_ns=n), bad)
    >>> decision.action.name, decision.reason
    ('HALT', 'limits: position 28.91 deg is above 28.7 deg; anomaly for 2 frames (n 118 to 119)')
    """

    def __init__(
        self,
        *,
        model: str,
        count: int = 3,
        on: tuple[str, ...] = ("anomaly", "change"),
        within: int | None = None,
        unknown: UnknownIs = "ignore",
        clear_after: int = 1,
        cool_down: int = 0,
        valid_s: Annotated[float, "s"] = 30.0,
        name: str = "halt_after",
    ) -> None:
        at_least(cool_down, 0, "cool_down")
        at_least(valid_s, 0.0, "valid_s")
        self.model, self.cool_down, self.valid_s, self.name = model, cool_down, valid_s, name
        self._new = lambda: Streak(on=on, count=count, within=within, clear_after=clear_after, unknown=unknown)
        self._streaks: dict[str, Streak] = {}
        self._silent: dict[str, int] = {}
        self._new()

    def __call__(self, measurement: Measurement, verdicts: Mapping[str, Verdict]) -> Decision | None:
        verdict = verdicts.get(self.model)
        if verdict is None:
            return None
        source = measurement.source
        streak = self._streaks.get(source)
        if streak is None:
            streak = self._streaks[source] = self._new()
        silent = self._silent.get(source, 0)
        self._silent[source] = max(silent - 1, 0)
        streak.see(measurement.n, verdict.label)
        if silent or not (streak.tripped and streak.hit):
            return None
        self._silent[source] = self.cool_down
        return Decision(action=Action.HALT, reason=because(self.model, verdict, streak), valid_s=self.valid_s)


def because(model: str, verdict: Verdict, streak: Streak) -> str:
    """Why a rule speaks: what the model said last, and for how long."""
    said = f"{model}: {verdict.reason}; " if verdict.reason else f"{model}: "
    return f"{said}{' or '.join(streak.labels)} for {streak.span()}"
