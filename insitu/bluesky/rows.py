"""Which rows of a series of frames are on disk and can be read, seen from beside the run: its ledger and its arrays.

No connection to the ledger outlives a question: it would keep the run from making the ledger one file when it ends.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from insitu.errors import InsituError
from insitu.store.ledger import connect

LOOK_S = 0.004
SEGMENTS = 8
"""The newest segments are looked at."""


class Rows:
    """The rows of one series in the run at `path`. `first`: number of its first frame."""

    def __init__(self, path: Path, source: str, series: str, first: int) -> None:
        self.path, self.source, self.series, self.first = path, source, series, first
        self.segment: dict[str, Any] | None = None
        """The ledger's entry of the segment, once there is one."""
        self.broken = ""
        """Why rows and frames of this series do not go together, or nothing."""

    @property
    def array(self) -> Path:
        """The array of the frames; only with a segment."""
        number = "0" if self.segment is None else str(self.segment["segment"])
        return self.path / "raw.zarr" / self.source / number / "frames"

    @property
    def uri(self) -> str:
        """Where the array is, as documents say it."""
        return f"file://localhost{quote(str(self.array.resolve()))}"

    def seq(self, row: int) -> int:
        """The number of a row in the whole source."""
        return row + (0 if self.segment is None else int(self.segment["first_seq"]))

    def wait(self, rows: int, timeout_s: float, go_on: Callable[[], bool]) -> int:
        """How many rows are committed and can be read: once there are so many, or the time is over, or `go_on` says
        no."""
        until = time.monotonic() + timeout_s
        while (found := self._settled()) < rows and not self.broken and time.monotonic() < until and go_on():
            time.sleep(LOOK_S)
        return found

    def stored(self, row: int) -> bool:
        """Whether a settled row holds a frame, and not only its place."""
        asked = "SELECT 1 FROM place WHERE source = ? AND seq = ? AND array = 'frames' LIMIT 1"
        return bool(self._asked(asked, self.source, self.seq(row)))

    def _asked(self, query: str, *values: Any) -> list[Any]:
        """What the ledger answers; nothing where it is not there (yet, or any more)."""
        with suppress(InsituError), closing(connect(self.path / "ledger.db")) as db:
            return db.execute(query, values).fetchall()
        return []

    def _settled(self) -> int:
        if self.segment is None and not self._find():
            return 0
        try:
            return int(orjson.loads((self.array / "zarr.json").read_bytes())["shape"][0])
        except (OSError, ValueError):
            return 0

    def _find(self) -> bool:
        asked = "SELECT body FROM log WHERE kind = 'segment' ORDER BY id DESC LIMIT ?"
        try:
            bodies = [orjson.loads(body) for (body,) in self._asked(asked, SEGMENTS)]
        except sqlite3.Error:  # asked again soon
            return False
        mine = [b for b in bodies if b["source"] == self.source and b.get("series", {}).get("uid") == self.series]
        if not mine:
            return False
        self.segment = found = mine[-1]  # the oldest: a change of the frames' kind opens another one
        began = found["series"]
        if began["row"] or began["source_seq"] != self.first:
            self.broken = "the first frame of the plan is not stored"
        return not self.broken
