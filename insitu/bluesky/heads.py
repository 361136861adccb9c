"""What a plan began with: its start, its descriptors, its resources. A run of ours that begins in the middle of a plan
needs them to understand the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
Named = tuple[str, Document]
HEADS = frozenset({"start", "descriptor", "resource", "stream_resource"})
KEPT = 64
"""Plans that have ended whose beginning is remembered; all, while `keep_all` says so."""


class Heads:
    """Remembers what passes. `keep_all`: whether even plans that have ended may still be wanted."""

    def __init__(self, keep_all: Callable[[], bool] = lambda: False) -> None:
        self._keep_all = keep_all
        self._heads: dict[str, list[Named]] = {}  # what the last plans began with, by their uid
        self.open: set[str] = set()
        """Uids of the plans that go on."""

    def see(self, name: str, document: Document) -> None:
        """One more document."""
        if name == "start":
            self._heads[document["uid"]] = []
            self.open.add(document["uid"])
            while len(self._heads) > len(self.open) + KEPT and not self._keep_all():
                del self._heads[next(uid for uid in self._heads if uid not in self.open)]
        if name == "stop":
            self.open.discard(document["run_start"])
        elif name in HEADS:
            self._heads.get(document.get("run_start", document["uid"]), []).append((name, document))

    def begun(self, before: Iterable[Named] = ()) -> Iterator[Named]:
        """The beginnings of all plans that go on, and of those whose end is among the documents `before`."""
        begun = self.open | {str(document.get("run_start")) for name, document in before if name == "stop"}
        for uid in [uid for uid in self._heads if uid in begun]:
            yield from self._heads[uid]
