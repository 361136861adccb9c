"""What a run says as PVs while it goes on (`insitu run --pvs`), and orders that are written to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insitu.cli.operator import post

if TYPE_CHECKING:
    from insitu.config import Setup
    from insitu.sinks.epics import PvServer
    from insitu.types import Record

Observer = Callable[[dict[str, Any]], None]


class Served:
    """`watch` is told every record, `observer` the status; with `notes` to be said when the run is over."""

    def __init__(self, server: PvServer | None, view: Observer | None) -> None:
        self._server, self._view = server, view
        self._path: Path | None = None
        self._early: list[str] = []
        self.notes: list[str] = []

    @property
    def watch(self) -> Callable[[Record], None] | None:
        return self._server.record if self._server else None

    @property
    def observer(self) -> Observer | None:
        return self._see if self._server else self._view

    def order(self, command: str) -> None:
        """Into the run's inbox, as `insitu hold` puts it."""
        assert self._server is not None
        if self._path is None:
            self._early.append(command)
            return
        who = f"PV {self._server.prefix}:{command}"
        post(self._path, {"command": command, "operator": who, "time_ns": time.time_ns(), "reason": ""})

    def _see(self, status: dict[str, Any]) -> None:
        assert self._server is not None
        self._path = Path(status["path"])
        while self._early:
            self.order(self._early.pop(0))
        self._server.status(status)
        if self._view is not None:
            try:
                self._view(status)
            except Exception as e:  # noqa: BLE001 - the boundary: a terminal that went away must not end the PVs
                self._view = None
                self.notes.append(f"the live view failed and was closed: {type(e).__name__}: {e}")


@contextmanager
def serving(setup: Setup, asked: str, view: Observer | None) -> Iterator[Served]:
    """PVs for a run. `asked`: PREFIX, or PREFIX=PATTERN,PATTERN for some of its features; empty for none.

    Raises `UsageError` for names that no PV can have, `ConfigError` for a pattern that names no feature,
    `MissingExtraError` without softioc.
    """
    if not asked:
        yield Served(None, view)
        return
    from insitu.bluesky.serve import pv_server

    prefix, _, patterns = asked.partition("=")
    server = pv_server(setup, prefix, patterns.split(",") if patterns else ("*",))
    with server:
        served = Served(server, view)
        server.obey(served.order)
        yield served
        server.state("ended")
        if server.problem:
            served.notes.append(f"PVs {prefix}: {server.problem}")
