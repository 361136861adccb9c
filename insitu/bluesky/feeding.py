"""The readers of a run that take documents, and how many of those have not become frames on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from insitu.bluesky.heads import Document
from insitu.run import LiveRun

SETTLED = ("stored", "invalid", "dropped", "duplicates", "late")


class Fed(Protocol):
    """A reader that takes documents."""

    dropped: int

    def feed(self, name: str, document: Document, /) -> None: ...

    def waiting(self) -> int: ...

    def waits(self) -> bool: ...

    def left(self) -> list[tuple[str, Document]]: ...

    def close(self) -> None: ...


def fed(live: LiveRun) -> dict[str, Fed]:
    """The readers of a run that take documents, by source."""
    inner = {source: getattr(reader, "reader", reader) for source, reader in live.readers.items()}
    return {source: reader for source, reader in inner.items() if hasattr(reader, "feed")}  # type: ignore[misc]


def on_hand(live: LiveRun, status: Mapping[str, Any]) -> int:
    """Documents that were read and whose frames are not on disk, at most: where the process is killed they are lost."""
    readers, frames = fed(live).values(), status["frames"]
    waiting = max((reader.waiting() for reader in readers), default=0) + any(reader.waits() for reader in readers)
    return waiting + max(0, sum(live.received().values()) - sum(frames[key] for key in SETTLED))
