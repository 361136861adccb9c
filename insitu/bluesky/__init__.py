"""A bluesky session with the pipeline beside it: documents in, verdicts as signals, pauses and aborts out.

from insitu.bluesky import Session
with Session(RE, "my_recipe", mode="act") as insitu:
    RE(scan([detector], motor, 0, 1, 100))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insitu.bluesky.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> Any:
    """`Session`, once it is wanted: the process of a run needs neither bluesky nor ophyd."""
    if name == "Session":
        from insitu.bluesky.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
