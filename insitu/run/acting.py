"""What becomes of a decision: offered to those who can act, or refused, and logged either way.

In `advise` nothing is offered. In `act` a decision passes the guard (held by the operator, stale, out of limits) first.
HALT and FINISH end the run; PAUSE is a state; ADAPT goes to the sources that can adapt.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from insitu.decisions.guard import Guard
from insitu.errors import ActionRefusedError
from insitu.run.shared import Shared
from insitu.store.canonical import decision_body, features_body
from insitu.types import Action, Decision, Feature, Record

Adapt = Callable[[Mapping[str, Feature]], None]


def _adapt(name: str, adapt: Adapt, params: Mapping[str, Feature]) -> None:
    """Whatever a source raises here is a refusal: an instrument that fails must not end analysis or store."""
    try:
        adapt(params)
    except ActionRefusedError:
        raise
    except Exception as e:
        raise ActionRefusedError(f"{name} failed to adapt: {type(e).__name__}: {e}") from e


class Actor(Protocol):
    """Who carries out what a run in mode `act` decides, besides the run itself: a RunEngine, a PV. Called by the
    analysis thread; must come back at once. `ActionRefusedError` says that, and why, it was not done. `run`: the
    `source_run_uid` of the frame that the decision is about ("": of none); where another plan runs by now, it is
    refused."""

    name: str

    def pause(self, reason: str, run: str = "", /) -> None: ...

    def resume(self, reason: str, run: str = "", /) -> None: ...

    def finish(self, reason: str, run: str = "", /) -> None: ...

    def halt(self, reason: str, run: str = "", /) -> None: ...


class _Offer(NamedTuple):
    record: Record
    arrived_ns: int


class Acting:
    """Called by the analysis thread for every record (or, with `act = "after_commit"`, by the store thread once the
    record is on disk). Remembers what was moved and whether the operator holds."""

    def __init__(
        self,
        guard: Guard,
        shared: Shared,
        *,
        mode: str,
        after_commit: bool,
        adapters: Mapping[str, Adapt],
        safe_state: Mapping[str, Feature] = {},
        actors: Sequence[Actor] = (),
    ) -> None:
        self.mode, self.state, self.held = mode, "running", False
        self._overruled = False
        self._paused_in = ""
        """The `source_run_uid` of the frame for which the pause was asked: in another plan it is asked again."""
        self.last: dict[str, Any] | None = None
        self._guard, self._shared, self._after_commit, self._adapters = guard, shared, after_commit, adapters
        self._safe_state, self._actors = dict(safe_state), tuple(actors)
        self._waiting: dict[int, _Offer] = {}
        self._lock = threading.Lock()

    def hold(self, held: bool) -> None:
        """The operator's word, which always wins."""
        self.held = held

    def resume(self) -> bool:
        """The operator's word: a paused run goes on, and is not paused again before every rule has let go once.
        Whether it was paused."""
        paused = self.state == "paused"
        if paused:
            self._overruled, self.state = True, "running"
            self._ask("resume", "the operator resumed", None)
        return paused

    def told(self, what: Literal["pause", "halt"], body: Mapping[str, Any]) -> None:
        """Something that no frame can tell (there are none), said by who keeps the run. Logged as an event; in `act`,
        and unless the operator holds, done."""
        reason, refused = str(body["why"]), "advise" if self.mode != "act" else "held by the operator"
        done = self.mode == "act" and not self.held
        to = self._ask(what, reason, None) if done else ""
        if done and what == "pause":
            self.state = "paused"
        self._shared.log("event", {**body, "asked": what} | ({"to": to} if done else {"refused": refused}))
        if done and what == "halt":
            self._shared.stop("halted", reason)

    def decide(self, record: Record, arrived_ns: int) -> None:
        """A new record. `arrived_ns`: monotonic time of the frame's arrival."""
        decision = record.decision
        if decision.action is not Action.CONTINUE:
            m = record.measurement
            self.last = {"n": m.n, "source": m.source, "seq": m.seq, **decision_body(decision)}
        if self.mode != "act" or (decision.action is Action.CONTINUE and not self._resumes(record)):
            return
        if self._after_commit:
            with self._lock:
                self._waiting[record.measurement.n] = _Offer(record, arrived_ns)
        else:
            self._offer(_Offer(record, arrived_ns))

    def acknowledged(self, numbers: list[int]) -> None:
        """The records with these `n` are on disk."""
        if not self._waiting:
            return
        with self._lock:
            offers = [self._waiting.pop(n) for n in numbers if n in self._waiting]
        for offer in offers:
            self._offer(offer)

    def _resumes(self, record: Record) -> bool:
        """A paused run goes on once no rule asks for the pause any more."""
        judged = record.measurement.role == "sample" and record.decision.action < Action.FINISH
        return self.state == "paused" and judged and all(d.action is not Action.PAUSE for d in record.spoke)

    def _offer(self, offer: _Offer) -> None:
        decision, m = offer.record.decision, offer.record.measurement
        if self._shared.stopping.is_set():
            return  # the run is being ended: nothing is moved any more
        if self._overruled and m.role == "sample":
            self._overruled = any(d.action is Action.PAUSE for d in offer.record.spoke)
        if self._resumes(offer.record):
            self.state = "running"
            over = Decision(action=Action.CONTINUE, reason="no rule asks for the pause any more")
            resumed = next((d for d in offer.record.spoke if d.action is Action.CONTINUE and d.reason), over)
            to = self._ask("resume", resumed.reason, m.n, m.source_run_uid)
            self._log(offer, resumed, to=to, acknowledged=True, why="")
        if decision.action is Action.CONTINUE:
            return
        paused = self.state == "paused" and self._paused_in == m.source_run_uid
        if decision.action is Action.PAUSE and (paused or self._overruled):
            return  # already so, or the operator knows better; said once
        began = time.monotonic_ns()
        refusal = self._guard.refusal(
            decision, arrived_ns=offer.arrived_ns, now_ns=began, held=self.held, present=m.context
        )
        to = "run"
        if refusal is None:
            try:
                to = self._carry_out(decision, m.n, m.source_run_uid)
            except ActionRefusedError as e:
                refusal = str(e)
            else:
                self._guard.moved(decision, began)
                self._shared.latency["act"].add((time.monotonic_ns() - began) / 1e9)
        self._log(offer, decision, to=to, acknowledged=refusal is None, why=refusal or "")

    def _carry_out(self, decision: Decision, n: int, plan: str) -> str:
        """Carry it out; who did. `plan`: the `source_run_uid` of the frame."""
        reason, to = f"{decision.rule}: {decision.reason} (frame n = {n})", "run"
        if decision.action is Action.HALT:
            to = self._ask("halt", reason, n, plan)
            self._make_safe(n)
            self._shared.stop("halted", reason)
        elif decision.action is Action.FINISH:
            to = self._ask("finish", reason, n, plan)
            self._shared.stop("finished", reason)
        elif decision.action is Action.PAUSE:
            self.state, self._paused_in = "paused", plan
            to = self._ask("pause", reason, n, plan)
        else:
            able = dict(self._adapters)
            if not able:
                raise ActionRefusedError(
                    "no source of this run can adapt", remedy="Name a reader that can, or run in mode advise"
                )
            for name, adapt in able.items():
                _adapt(name, adapt, decision.params)
            return ", ".join(sorted(able))
        return to

    def _ask(
        self, what: Literal["pause", "resume", "finish", "halt"], reason: str, n: int | None, plan: str = ""
    ) -> str:
        """Ask all actors; who did it. One that refuses or fails is logged, and keeps nobody else from it."""
        done = ["run"]
        for actor in self._actors:
            try:
                getattr(actor, what)(reason, plan)
                done.append(actor.name)
            except Exception as e:  # noqa: BLE001 - the boundary: what acts outside must not end the analysis
                why = str(e) if isinstance(e, ActionRefusedError) else f"{type(e).__name__}: {e}"
                self._shared.log("event", {"what": "not_done", "by": actor.name, "asked": what, "why": why}, n)
        return ", ".join(done)

    def _make_safe(self, n: int) -> None:
        """Offer the recipe's safe state to every source that can adapt, before the run ends."""
        if not self._safe_state:
            return
        body: dict[str, Any] = {"what": "safe_state", "params": features_body(self._safe_state), "set_by": []}
        for name, adapt in sorted(self._adapters.items()):
            try:
                _adapt(name, adapt, self._safe_state)
                body["set_by"].append(name)
            except ActionRefusedError as e:
                body[f"refused_by_{name}"] = str(e)
        self._shared.log("event", body, n)

    def _log(self, offer: _Offer, decision: Decision, *, to: str, acknowledged: bool, why: str) -> None:
        m = offer.record.measurement
        body: dict[str, Any] = {
            "source": m.source,
            "seq": m.seq,
            "decision": decision_body(decision),
            "to": to,
            "acknowledged": acknowledged,
        }
        if why:
            body["refused"] = why
        self._shared.log("action", body, m.n)
