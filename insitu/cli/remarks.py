"""What readers remark while a run goes on (files skipped, files that changed): shown at once, and told at the end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from insitu.cli.say import note

MOST = 20
"""How many are shown and told; all of them are in the run's `run.log`."""


class Remarks(logging.Handler):
    """The first warnings of the logger `insitu`, and how many more there were."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__(logging.WARNING)
        self.shown, self.texts, self.more = shown, list[str](), 0

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.texts) == MOST:
            self.more += 1
            return
        self.texts.append(record.getMessage())
        if self.shown:
            note(f"note: {self.texts[-1]}")

    def notes(self) -> list[str]:
        """For the summary of the run."""
        return [*self.texts, f"and {self.more:,} more remarks, all in run.log"] if self.more else self.texts


@contextmanager
def remarks(*, shown: bool) -> Iterator[Remarks]:
    """Listens as long as a run lasts."""
    logger, handler = logging.getLogger("insitu"), Remarks(shown=shown)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
