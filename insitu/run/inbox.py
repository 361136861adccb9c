"""The operator's words reach a running process as JSON files renamed into `<run>/inbox/`, read by main.

Whatever lies there, the run goes on: what is no order is refused and logged, what cannot be removed is left alone.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from insitu.store.canonical import text

COMMANDS = ("hold", "release", "resume", "label")
LARGEST = 64 * 1024


class Inbox:
    """Remembers the files that it could not remove, so that they are read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._left: set[str] = set()

    def messages(self) -> Iterator[tuple[dict[str, Any], str]]:
        """(message, why it is refused) of every file that has come, oldest first; each file is removed."""
        try:
            names = sorted(n for n in os.listdir(self.folder) if n.endswith(".json") and not n.startswith("."))
        except OSError:
            return  # no inbox: nothing can have come
        for name in names:
            if name not in self._left:
                yield self._message(self.folder / name)

    def _message(self, path: Path) -> tuple[dict[str, Any], str]:
        nothing = {"command": "", "file": text(path.name)}
        try:
            data = _content(path)
            os.unlink(path)
        except (OSError, ValueError) as e:
            self._left.add(path.name)
            return nothing, text(f"cannot be read or removed: {e}")
        if len(data) > LARGEST:
            return nothing, f"larger than {LARGEST} bytes"
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError as e:
            return nothing, f"not JSON: {e}"
        if not isinstance(message, dict) or message.get("command") not in COMMANDS:
            return nothing, f"no command out of {', '.join(COMMANDS)}"
        return message, ""


def _content(path: Path) -> bytes:
    """At most a little more than an order may have; never waits (a pipe would)."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no file")
        return os.read(fd, LARGEST + 1)
    finally:
        os.close(fd)


def about(message: dict[str, Any]) -> int | None:
    """The frame that a message is about, where it names one by its `n`."""
    n = message.get("n")
    return n if type(n) is int and 0 <= n < 2**63 else None
