"""Waiting for what other threads and processes do."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(there: Callable[[], Any], what: str = "it happened", timeout_s: float = 90.0) -> None:
    """Come back when it is so; fail where it never is. The time is generous: machines are slow at times."""
    end = time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < end, f"waited {timeout_s:g} s until {what}"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended (and perhaps was not waited for)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
