"""A detector whose frames go into the run's store, and whose plan's documents point at them there.

In a step scan each event waits until its frame is on disk; in a fly scan frames are taken one behind the other and
their documents collected. Whatever becomes of the run, the plan goes on (`series.py` says what its documents then
hold). An instrument that fails fails the plan, as any does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ophyd.status import Status

from insitu.bluesky.taking import Taking


class InsituDetector(Taking):
    """An ophyd-style device for the plans of a session's RunEngine; its keys are those of `Taking`."""

    parent = None
    _flies, _frames = False, 1
    _burst: Status | None = None

    # ---- staging ----

    def stage(self) -> list[Any]:
        """A series of frames begins."""
        self._flies = False
        self.begin()
        return [self]

    def unstage(self) -> list[Any]:
        """The series is over."""
        self.end()
        return [self]

    # ---- step scans ----

    def trigger(self) -> Status:
        """Take a frame; done when it is on disk (or that was waited for long enough)."""
        return self._begin(1)

    # ---- fly scans ----

    def prepare(self, value: int) -> Status:
        """How many frames `kickoff` takes."""
        self._frames = int(value)
        return _done()

    def kickoff(self) -> Status:
        """Take the frames one behind the other; done when that has begun."""
        self._flies, self._burst = True, self._begin(self._frames)
        return _done()

    def complete(self) -> Status:
        """Done when all have been taken and are on disk (or that was waited for long enough)."""
        return self._burst or _done()

    def describe_collect(self) -> dict[str, Any]:
        """The data keys of a fly scan: only the frames."""
        return {self.name: self.key()}

    def get_index(self) -> int:
        """How many frames since it was staged are on disk."""
        series = self.series
        if series is None:
            return 0
        series.settle(0.0)
        return series.settled

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where the frames are that no document has told yet, up to `index`."""
        series = self.series
        if series is not None and self.shape is not None:
            if self._flies:
                series.settle(0.0)
            yield from series.documents(self.shape, index, single=not self._flies)

    def _begin(self, frames: int) -> Status:
        status = Status(timeout=None)
        self.start(
            lambda series: self.events(series, frames),
            lambda failed: status.set_finished() if failed is None else status.set_exception(failed),
        )
        return status

    # ---- what bluesky asks ----

    def read(self) -> dict[str, Any]:
        """The address of the newest frame; the frame itself is pointed at."""
        return dict(self.reading)

    def describe(self) -> dict[str, Any]:
        """The data keys of event-model."""
        return {self.name: self.key()} | self.address_key

    def read_configuration(self) -> dict[str, Any]:
        """Nothing of it changes."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Nothing of it changes."""
        return {}

    @property
    def hints(self) -> dict[str, Any]:
        """Nothing to plot."""
        return {"fields": []}


def _done() -> Status:
    status = Status(timeout=None)
    status.set_finished()
    return status
