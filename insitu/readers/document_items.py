"""What documents give on their way to frames: rows that lie elsewhere, and what is known of a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from insitu.readers.document_layout import Part
from insitu.types import Arrival, Invalid

Document = Mapping[str, Any]


class External(NamedTuple):
    """Frames whose data lie elsewhere: `part` of index `at` of what `resource` points at; `head` is the rest, with
    the number of the first. `seq_num`: of its event, 0 where nobody says."""

    resource: Document
    at: int
    part: Part
    head: Arrival
    seq_num: int = 0


Item = Arrival | Invalid | External


@dataclass(slots=True)
class Stream:
    """A descriptor with what the events of its stream tell. `ours`: they hold what frames are made of."""

    descriptor: Document
    start: Document
    ours: bool = False
    waiting: deque[External] = field(default_factory=deque)  # rows whose event has still to come

    @property
    def keys(self) -> Mapping[str, Document]:
        return self.descriptor["data_keys"]

    def until(self, seq_num: int) -> tuple[list[External], External | None]:
        """Rows whose event never came or came without them, and the row of the event `seq_num`; they wait no more."""
        passed: list[External] = []
        while self.waiting and (not self.waiting[0].seq_num or self.waiting[0].seq_num <= seq_num):
            passed.append(self.waiting.popleft())
            if not passed[-1].seq_num:
                return [], passed[-1]  # nobody says which event it belongs to: one after the other
        return (passed[:-1], passed[-1]) if passed and passed[-1].seq_num == seq_num else (passed, None)
