"""What a live view is shown, and how a view that fails is kept from ending the run."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from insitu.run.shared import Shared
from insitu.store.canonical import features_body, text
from insitu.types import Record

Observer = Callable[[dict[str, Any]], None]
RATE_OVER_S = 5.0


class View:
    """Shows the status to an observer until that fails: a terminal that went away must not end a run."""

    def __init__(self, observer: Observer | None, status: Callable[[], dict[str, Any]], shared: Shared) -> None:
        self._observer, self._status, self._shared = observer, status, shared

    def show(self, **more: Any) -> None:
        """The status as it is now; `more` replaces parts of it."""
        if self._observer is None:
            return
        try:
            self._observer({**self._status(), **more})
        except Exception as e:  # noqa: BLE001 - the boundary: a broken view is told of, and the run goes on
            self._observer = None
            self._shared.notes.append(text(f"the live view failed and was closed: {type(e).__name__}: {e}"))


class Rate:
    """Frames a second over the last five seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def __call__(self, count: int) -> float:
        now = time.monotonic()
        self._seen.append((now, count))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER_S:
            self._seen.pop(0)
        (t0, n0), (t1, n1) = self._seen[0], self._seen[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0


def shown(record: Record) -> Mapping[str, Any]:
    """The parts of a record that a live view shows."""
    m, d = record.measurement, record.decision
    return {
        "n": m.n,
        "source": m.source,
        "seq": m.seq,
        "features": features_body(m.features),
        "context": features_body(m.context),
        "verdicts": {name: {"label": v.label, "reason": v.reason} for name, v in record.verdicts.items()},
        "decision": {"action": d.action.name, "rule": d.rule, "reason": d.reason},
    }
