"""A stock RunEngine for a test, with its thread and its loop ended afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bluesky import RunEngine


@contextmanager
def run_engine(metadata: dict[str, Any] | None = None) -> Iterator[RunEngine]:
    """One that leaves the signals of the process alone."""
    engine = RunEngine(metadata or {}, context_managers=[])
    try:
        yield engine
    finally:
        engine.loop.call_soon_threadsafe(engine.loop.stop)
        engine._th.join(5)
        engine.loop.close()
