"""What documents give on their way to frames: rows that lie elsewhere, and what is known of a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from insitu.types import Arrival, Invalid

Document = Mapping[str, Any]


class External(NamedTuple):
    """A frame whose data lie elsewhere: rows `first` up to `last` of what `resource` points at; `head` is the rest."""

    resource: Document
    first: int
    last: int
    head: Arrival


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
