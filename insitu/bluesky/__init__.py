"""A bluesky session with the pipeline beside it: documents in, verdicts as signals, pauses and aborts out.

from insitu.bluesky import Session
with Session(RE, "my_recipe", mode="act") as insitu:
    RE(scan([detector], motor, 0, 1, 100))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insitu.bluesky.detector import InsituDetector
    from insitu.bluesky.detector_async import AsyncInsituDetector
    from insitu.bluesky.session import Session

__all__ = ["AsyncInsituDetector", "InsituDetector", "Session"]
_PLACES = {
    "AsyncInsituDetector": "insitu.bluesky.detector_async",
    "InsituDetector": "insitu.bluesky.detector",
    "Session": "insitu.bluesky.session",
}


def __getattr__(name: str) -> Any:
    """What is exported, once it is wanted: the process of a run needs neither bluesky nor ophyd."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
