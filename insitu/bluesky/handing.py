"""Errors, summaries and messages for the log, as plain values for the other process and back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from insitu import errors
from insitu.errors import ConfigError, InsituError
from insitu.run.summary import Summary

TOLD = "insitu_told"
"""Marks messages that came from the other side: they do not go back."""


def error_body(e: BaseException) -> dict[str, Any]:
    """An error. One that is none of ours is told with the name of its type."""
    if not isinstance(e, InsituError):
        return {"type": "InsituError", "what": f"{type(e).__name__}: {e}", "where": "", "expected": "", "remedy": ""}
    body = {"type": type(e).__name__, "what": e.what, "where": e.where, "expected": e.expected, "remedy": e.remedy}
    others = [p for p in e.problems if p is not e] if isinstance(e, ConfigError) else []
    return {**body, "problems": [error_body(p) for p in others]} if others else body


def error_of(body: Mapping[str, Any]) -> InsituError:
    """The error again, of the same type."""
    kind = getattr(errors, body["type"], InsituError)
    e: InsituError = kind.__new__(kind if issubclass(kind, InsituError) else InsituError)
    InsituError.__init__(e, body["what"], where=body["where"], expected=body["expected"], remedy=body["remedy"])
    if isinstance(e, ConfigError):
        problems = [error_of(p) for p in body.get("problems", ())]
        e.problems = tuple(p for p in problems if isinstance(p, ConfigError)) or (e,)
    return e


def summary_body(summary: Summary) -> dict[str, Any]:
    """A summary."""
    body = {f.name: getattr(summary, f.name) for f in fields(summary) if f.name != "error"}
    return {**body, "error": None if summary.error is None else error_body(summary.error)}


def summary_of(body: Mapping[str, Any]) -> Summary:
    """The summary again."""
    return Summary(**{**body, "error": None if body["error"] is None else error_of(body["error"])})


class Passing(logging.Handler):
    """Hands what our loggers say to the other side, and says here what comes from there. Use it between `begin` and
    `end`."""

    def __init__(self, send: Callable[[str, dict[str, Any]], Any]) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, TOLD, False):
            try:
                message = record.getMessage()
            except Exception:  # noqa: BLE001 - a message that cannot be made is logging's own affair
                self.handleError(record)
                return
            self._send("log", {"name": record.name, "level": record.levelno, "text": message})

    def begin(self) -> None:
        """From now on."""
        logging.getLogger("insitu").addHandler(self)

    def end(self) -> None:
        """No more."""
        logging.getLogger("insitu").removeHandler(self)

    @staticmethod
    def say(found: Mapping[str, Any]) -> None:
        """What the other side said."""
        logging.getLogger(found["name"]).log(found["level"], "%s", found["text"], extra={TOLD: True})
