"""The counts of a run: a fold over its log, the same code live, in `status` and in `verify`.

Acquisition: expected = stored + invalid + dropped + lost; received = expected - lost + duplicates + late.
Analysis: stored = analysed + shed + skipped + pending.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class SourceTally:
    """Counts of one source. `expected` is told by the highest row, the others by their own entries."""

    expected: int = 0
    stored: int = 0
    invalid: int = 0
    dropped: int = 0
    lost: int = 0
    duplicates: int = 0
    late: int = 0

    @property
    def received(self) -> int:
        return self.expected - self.lost + self.duplicates + self.late

    @property
    def balanced(self) -> bool:
        return self.expected == self.stored + self.invalid + self.dropped + self.lost

    def as_dict(self) -> dict[str, int]:
        names = ("expected", "received", "stored", "invalid", "dropped", "lost", "duplicates", "late")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Tally:
    """Counts of a run by source, and of its analysis and decisions."""

    sources: dict[str, SourceTally] = field(default_factory=dict)
    analysed: int = 0
    shed: int = 0
    skipped: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    derived: bool = False

    def add(self, kind: str, body: Mapping[str, Any]) -> None:
        """Fold one entry of the log."""
        if kind == "open":
            self.derived = bool(body.get("derived_from"))
            for name in body["sources"]:
                self.sources.setdefault(name, SourceTally())
        elif kind == "record":
            self.analysed += 0 if body.get("provisional") else 1
            action = body["decision"]["action"]
            self.decisions[action] = self.decisions.get(action, 0) + 1
        elif kind == "shed":
            self.shed += 0 if body.get("provisional") else 1
        elif kind == "skipped":
            self.skipped += 0 if body.get("provisional") else 1
        elif kind in ("frame", "invalid", "dropped", "gap", "duplicate", "late"):
            source = self.sources.get(body["source"])
            if source is None:
                source = self.sources[body["source"]] = SourceTally()
            self._acquired(source, kind, body)

    @staticmethod
    def _acquired(source: SourceTally, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "duplicate":
            source.duplicates += 1
            return
        if kind == "late":
            source.late += 1
            return
        if kind == "gap":
            source.lost += body["count"]
            source.expected = max(source.expected, body["first"] + body["count"])
            return
        name = {"frame": "stored"}.get(kind, kind)
        setattr(source, name, getattr(source, name) + 1)
        source.expected = max(source.expected, body["seq"] + 1)
        if body.get("refill"):
            source.lost -= 1

    @property
    def balanced(self) -> bool:
        """Whether every row of every source is in exactly one state."""
        return all(s.balanced for s in self.sources.values()) and self.pending >= 0

    @property
    def pending(self) -> int:
        """Stored and not yet accounted for; none in a derived run, whose frames are stored elsewhere."""
        return (
            0
            if self.derived
            else sum(s.stored for s in self.sources.values()) - self.analysed - self.shed - self.skipped
        )

    def frames(self) -> dict[str, int]:
        """Acquisition counts over all sources."""
        total = dict.fromkeys(SourceTally().as_dict(), 0)
        for s in self.sources.values():
            for name, value in s.as_dict().items():
                total[name] += value
        return total

    def analysis(self) -> dict[str, int]:
        """Analysis counts."""
        return {"analysed": self.analysed, "shed": self.shed, "skipped": self.skipped, "pending": self.pending}

    def as_dict(self) -> dict[str, Any]:
        """frames, analysis, decisions, and acquisition by source."""
        return {
            "frames": self.frames(),
            "analysis": self.analysis(),
            "decisions": dict(sorted(self.decisions.items())),
            "sources": {name: s.as_dict() for name, s in sorted(self.sources.items())},
        }
