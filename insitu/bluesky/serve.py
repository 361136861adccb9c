"""A pipeline's words as PVs: for a run beside a script, and for a bluesky session.

pvs = pv_server(setup, "BL1:INSITU")
live = LiveRun(setup, data_root=root, watch=pvs.record)
pvs.follow(live)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insitu.bluesky.devices import Described, chosen
from insitu.bluesky.session import Session
from insitu.sinks.epics import PvServer


def pv_server(setup: Described, prefix: str, features: Sequence[str] = ("*",)) -> PvServer:
    """PVs for a recipe. `features`: patterns of keys. Errors as of `PvServer`, `ConfigError` for a pattern that names
    none."""
    return PvServer(prefix, models=list(setup.models), features=chosen(setup, features))


def serve_session(session: Session, prefix: str, features: Sequence[str] = ("*",)) -> PvServer:
    """PVs for a session: they go on over all its runs. Close them after the session."""
    server = pv_server(session.described, prefix, features)
    session.watch(server.record)
    server.follow(_Following(session))
    return server


class _Following:
    """The run of a session that goes on now."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def alive(self) -> bool:
        return self._session.alive

    def status(self) -> dict[str, Any]:
        return self._session.run.status()

    def hold(self, held: bool) -> None:
        self._session.hold() if held else self._session.release()

    def resume(self) -> None:
        self._session.resume()
