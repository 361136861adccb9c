"""A detector that gives nothing: no frame tells of it, so a clock has to."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Stall:
    """Which sources give nothing for longer than `after_s` (None: never said). Remembers how much each had given."""

    def __init__(self, after_s: float | None) -> None:
        self.after_s = after_s or 0.0
        self._seen: dict[str, tuple[int, float]] = {}
        self._silent: set[str] = set()

    def __call__(self, received: Mapping[str, int], runs: bool) -> tuple[bool, list[str]]:
        """Whether one is silent, and those that have become so. `runs`: whether frames are to be expected."""
        now = time.monotonic()
        new = []
        for source, count in received.items():
            before, since = self._seen.get(source, (-1, now))
            if not runs or before != count:
                self._seen[source] = (count, now)
                self._silent.discard(source)
            elif self.after_s and now - since > self.after_s and source not in self._silent:
                self._silent.add(source)
                new.append(source)
        return bool(self._silent), new
