"""A run that goes on in a process of its own, as it is seen from the session: `LiveRun`, at a distance."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from insitu.run.summary import Summary

Order = Callable[[str, dict[str, Any]], None]


class Run:
    """Has begun when this object is there. What it says of itself is at most a tenth of a second old. `order` tells
    the process what is wanted; nothing happens where that has gone."""

    def __init__(self, order: Order, begun: Mapping[str, Any]) -> None:
        self.uid, self.path = str(begun["uid"]), Path(begun["path"])
        self._order = order
        self._told: dict[str, Any] = {"held": begun["held"], "ending": False, "received": {}}
        self._status: dict[str, Any] = begun["status"]
        self._summary: Summary | None = None
        self._ended = threading.Event()

    @property
    def alive(self) -> bool:
        """Whether it has not been sealed yet, and its process is there."""
        return not self._ended.is_set()

    @property
    def ending(self) -> bool:
        """Whether something has asked it to end: its readers take no more."""
        return bool(self._told["ending"])

    @property
    def held(self) -> bool:
        """Whether an operator keeps rules from acting."""
        return bool(self._told["held"])

    def status(self) -> dict[str, Any]:
        """What there is to see now (as an observer is shown)."""
        return dict(self._status)

    def received(self) -> dict[str, int]:
        """How much has come from each source."""
        return dict(self._told["received"])

    def hold(self, held: bool) -> None:
        """The operator's hold on actions, or its release; logged."""
        self._order("hold", {"held": held})

    def resume(self) -> None:
        """The operator lets a paused run go on, whatever the rules say until they have let go once; logged."""
        self._order("resume", {})

    def note(self, body: Mapping[str, Any], ask: Literal["", "pause", "halt"] = "") -> None:
        """Something that no frame tells, as an event in the log; `ask`: what is to become of it in mode `act`."""
        self._order("note", {"body": dict(body), "ask": ask})

    def stop(self, reason: str = "asked to stop", *, ended: str = "complete") -> None:
        """Ask it to end: readers stop, what has come is analysed and stored, the run is sealed. Does not wait."""
        self._order("stop", {"uid": self.uid, "reason": reason, "ended": ended})

    def wait(self, timeout_s: float | None = None) -> Summary:
        """The summary, once the run is sealed (or its process has gone). Raises `TimeoutError` where that takes
        longer."""
        self._ended.wait(timeout_s)
        if self._summary is None:
            raise TimeoutError(f"run {self.uid} has not ended within {timeout_s:g} s")
        return self._summary

    # ---- told by the session ----

    def told(self, found: Mapping[str, Any]) -> None:
        """How it does."""
        self._told = {key: found[key] for key in ("held", "ending", "received")}
        self._status = found["status"]

    def ended(self, summary: Summary) -> None:
        """It is sealed."""
        self._summary = summary
        self._ended.set()

    def gone(self, why: str) -> Summary:
        """Its process has gone before it was sealed. What is known of it: counts as they were told last."""
        status = self._status
        summary = Summary(
            run_uid=self.uid,
            path=str(self.path),
            ended="failed",
            reason=why,
            mode=str(status["mode"]),
            frames=dict(status["frames"]),
            analysis=dict(status["analysis"]),
            decisions=dict(status["decisions"]),
            notes=(*status["notes"], "`insitu recover` (or the next run) seals it; its counts are those told last"),
        )
        self.ended(summary)
        return summary
