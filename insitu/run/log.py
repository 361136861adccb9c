"""`run.log`: one JSON object per line, for people who ask afterwards. No numbers of frames, no values: those are in the
ledger. Messages of the readers (files skipped, files that changed) go there too."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from insitu.store.files import storage_error


class _Forward(logging.Handler):
    """Messages of the standard library's logger `insitu`, as lines of the run's log."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # a full disk: what is said here must not stop who says it
            self._logger.log(record.levelno, record.getMessage(), logger=record.name)


class RunLog:
    """Open from construction to `close`, which must come before the seal."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by `close`
        except OSError as e:
            raise storage_error(e, path, "open") from e
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )
        self._handler = _Forward(self._logger)
        logging.getLogger("insitu").addHandler(self._handler)

    def say(self, event: str, **more: Any) -> None:
        """One line; none where the disk refuses it (the store says so itself)."""
        with suppress(OSError):
            self._logger.info(event, **more)

    def close(self) -> None:
        if not self._file.closed:
            logging.getLogger("insitu").removeHandler(self._handler)
            with suppress(OSError):
                self._file.close()
