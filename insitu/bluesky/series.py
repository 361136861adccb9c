"""The frames of one staging of a detector: how many were taken, which are on disk, and where documents point.

Index k is row k of the series' own array, from 0 and without gaps. An index is given once its row is committed and can
be read; one that was not in time goes with a later event, and nothing is waited for until the run has caught up. Where
the rows end (the run has ended or was killed, the kind of the frames has changed), no more are given.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from insitu.bluesky.rows import Rows

log = logging.getLogger(__name__)
ZARR = "application/x-zarr"


class Series:
    """`first`: number of the first frame. `run`: the one of the session that goes on, to which all belong. Waits in the
    threads of the detector; documents are asked for by the RunEngine."""

    def __init__(self, session: Any, source: str, name: str, first: int) -> None:
        self.uid, self.name, self.source = str(uuid.uuid4()), name, source
        self.first, self.taken, self.settled = first, 0, 0
        """Number of the first frame; frames that were asked for; rows on disk."""
        self.over = ""
        """Why no more indices are given."""
        self._session, self.run = session, session.run
        self._rows = Rows(self.run.path, source, self.uid, first)
        self._given, self._resource, self._behind = 0, "", False

    def begin(self, first: int) -> None:
        """It begins with another frame: those before could not be taken."""
        self.first, self.taken = first, 0
        self._rows = Rows(self.run.path, self.source, self.uid, first)

    def settle(self, wait_s: float) -> bool:
        """Wait until all that were taken are on disk (not at all where one before was late); whether they are."""
        if self.over:
            return False
        timeout_s = 0.0 if self._behind else wait_s
        try:
            self.settled = min(self.taken, self._rows.wait(self.taken, timeout_s, self._goes_on))
        except Exception as e:  # noqa: BLE001 - ours to fail: the scan is not to notice
            self.lose(f"{type(e).__name__}: {e}")
            return False
        if self.settled == self.taken:
            self._behind = False
        elif self._rows.broken or not self._goes_on():
            self.lose(self._rows.broken or "the run has ended")
        elif timeout_s:
            self._behind = True
            log.warning("%s: a frame was not on disk within %g s; its document comes later", self.name, wait_s)
        return self.settled == self.taken

    def address(self) -> str:
        """Of the newest frame, where it is on disk; else nothing."""
        row = self.taken - 1
        try:
            if self.over or self.settled < self.taken or not self._rows.stored(row):
                return ""
        except Exception as e:  # noqa: BLE001 - ours to fail: the scan is not to notice
            self.lose(f"{type(e).__name__}: {e}")
            return ""
        return f"insitu:{self.run.uid}/{self.source}/{self._rows.seq(row)}"

    def lose(self, why: str) -> None:
        """No more indices are given."""
        if not self.over:
            log.warning("%s: from here on the documents of this plan do not point at frames: %s", self.name, why)
        self.over = why

    def end(self) -> None:
        """It is not staged any more; whoever waits comes back."""
        self.over = self.over or "it is not staged"

    def documents(
        self, shape: Sequence[int], index: int | None, *, single: bool, each: int = 0
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where the rows are that no document has told yet, up to `index`. `single`: one for each index, for an event
        (bluesky takes no wider ones there). `each`: so many rows are one index, as the shape of the data key says, and
        not one row that it leaves out."""
        settled = self.settled // (each or 1)
        until = settled if index is None else min(index, settled)
        if self.over or until <= self._given:
            return
        if not self._resource:
            self._resource = str(uuid.uuid4())
            parameters = {"chunk_shape": [1, *shape], "join_method": "concat" if each else "stack"}
            yield "stream_resource", {
                "uid": self._resource, "data_key": self.name, "mimetype": ZARR, "uri": self._rows.uri,
                "parameters": parameters,
            }  # fmt: skip
        first, self._given = self._given, until
        step = 1 if single else until - first
        for at in range(first, until, step):
            yield "stream_datum", {
                "uid": f"{self._resource}/{at}", "stream_resource": self._resource, "descriptor": "",
                "indices": {"start": at, "stop": at + step}, "seq_nums": {"start": 0, "stop": 0},
            }  # fmt: skip

    def _goes_on(self) -> bool:
        return not self.over and self._session.run is self.run and self.run.alive
