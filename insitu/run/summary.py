"""What a run came to: one stable object, printed by `insitu run --json`."""

from dataclasses import dataclass, field
from typing import Any

from insitu.errors import InsituError

EXIT = {"complete": 0, "finished": 0, "halted": 1, "interrupted": 130, "failed": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`ended`: complete, finished, halted, interrupted or failed. Counts as in the ledger; latencies in ms, None
    where nothing was measured."""

    run_uid: str
    path: str
    ended: str
    reason: str
    mode: str = "advise"
    frames: dict[str, int] = field(default_factory=dict)
    analysis: dict[str, int] = field(default_factory=dict)
    records: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, float | None] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float] | None] = field(default_factory=dict)
    budget: dict[str, float] = field(default_factory=dict)
    head: str = ""
    recovered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: InsituError | None = None

    @property
    def exit_code(self) -> int:
        """0 done, 1 halted by a rule or analysis failed, 3 source, 4 storage, 130 interrupted."""
        if self.error is not None:
            return self.error.exit_code
        if self.analysis.get("skipped") and self.ended == "complete":
            return 1
        return EXIT[self.ended]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        body: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "error"}
        body["recovered"], body["notes"] = list(self.recovered), list(self.notes)
        if self.error is not None:
            body["error"] = self.error.as_dict()
        return body
