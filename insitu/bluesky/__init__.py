"""A bluesky session with the pipeline beside it: documents in, verdicts as signals, pauses and aborts out.

from insitu.bluesky import Session
with Session(RE, "my_recipe", mode="act") as insitu:
    RE(scan([detector], motor, 0, 1, 100))
"""

from insitu.bluesky.session import Session

__all__ = ["Session"]
