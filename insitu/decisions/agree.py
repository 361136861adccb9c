"""A rule that acts only when several models, or several sources, say the same within a span of time."""

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Literal

from insitu.errors import ConfigError
from insitu.maths.watch import at_least
from insitu.types import Action, Decision, Measurement, Verdict

ACTIONS = {"pause": Action.PAUSE, "finish": Action.FINISH, "halt": Action.HALT}
SECOND = 1e9


class Agree:
    """`action` when `need` of the `models` (default: all of them) carry a label in `on` within `within` of each other.

    `by = "source"`: the sources whose frames carry such verdicts are counted instead, whichever of the models said it
    (one model that watches every source, such as `limits` on `total`); `need` is then 2 by default. A voter counts from
    `count` such verdicts within the span on. It is said on every frame with such a label while they agree. Times are
    those of the frames: where clocks are apart, `within` must be longer than that.
    `valid_s`: how long after arrival it may still be carried out.

    >>> rule = Agree(models=("texture", "force"), within=10.0)
    >>> bad = Verdict(label="anomaly", reason="too rough")
    >>> camera = Measurement(source="camera", seq=0, n=0, time_ns=0)
    >>> load = Measurement(source="load", seq=0, n=1, time_ns=4 * 10**9)
    >>> rule(camera, {"texture": bad}), rule(load, {"force": bad}).reason
    (None, '2 of 2 models agree within 10 s: texture (n 0): too rough; force (n 1): too rough')
    """

    def __init__(
        self,
        *,
        models: tuple[str, ...],
        need: int | None = None,
        by: Literal["model", "source"] = "model",
        within: Annotated[float, "s"] = 10.0,
        on: tuple[str, ...] = ("anomaly", "change"),
        count: int = 1,
        action: Literal["pause", "finish", "halt"] = "halt",
        valid_s: Annotated[float, "s"] = 30.0,
        name: str = "agree",
    ) -> None:
        self.need = need if need is not None else 2 if by == "source" else len(models)
        _check(models, on, by, self.need)
        at_least(count, 1, "count")
        at_least(within, 0.0, "within")
        at_least(valid_s, 0.0, "valid_s")
        self.models, self.by, self.on, self.count = models, by, frozenset(on), count
        self.within_s, self.action, self.valid_s, self.name = within, ACTIONS[action], valid_s, name
        self._hits: dict[str, deque[int]] = {}
        self._said: dict[str, str] = {}

    def __call__(self, measurement: Measurement, verdicts: Mapping[str, Verdict]) -> Decision | None:
        hit = False
        for model in self.models:
            verdict = verdicts.get(model)
            if verdict is not None and verdict.label in self.on:
                self._take(measurement, model, verdict)
                hit = True
        agreeing = self._agreeing(measurement.time_ns) if hit else []
        if len(agreeing) < self.need:
            return None
        voters = len(self.models) if self.by == "model" else len(self._hits)
        what = "models" if self.by == "model" else "sources seen so"
        reason = f"{len(agreeing)} of {voters} {what} agree within {self.within_s:g} s: "
        reason += "; ".join(self._said[voter] for voter in agreeing)
        return Decision(action=self.action, reason=reason, valid_s=self.valid_s)

    def _take(self, measurement: Measurement, model: str, verdict: Verdict) -> None:
        """Remember a vote and what was said."""
        voter = model if self.by == "model" else measurement.source
        self._hits.setdefault(voter, deque(maxlen=self.count)).append(measurement.time_ns)
        said = f"{voter} (n {measurement.n})"
        self._said[voter] = f"{said}: {verdict.reason}" if verdict.reason else f"{said}: {verdict.label}"

    def _agreeing(self, now_ns: int) -> list[str]:
        """Who has voted often enough around now, in the order of their first votes."""
        span = self.within_s * SECOND
        return [
            voter
            for voter, hits in self._hits.items()
            if len(hits) == self.count and all(abs(now_ns - t) <= span for t in hits)
        ]


def _check(models: tuple[str, ...], on: tuple[str, ...], by: str, need: int) -> None:
    if not models or len(set(models)) < len(models):
        raise ConfigError("models are to be named, each once", where="models", expected='such as ["texture", "force"]')
    if not on:
        raise ConfigError("no label is counted", where="on", expected='labels such as ["anomaly", "change"]')
    if need < 1 or (by == "model" and need > len(models)):
        expected = "1 or more" if by == "source" else f"1 to {len(models)}"
        raise ConfigError(f"{need} never agree", where="need", expected=expected)
