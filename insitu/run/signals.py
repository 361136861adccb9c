"""SIGINT and SIGTERM: the first one stops a run in order, a second one exits at once, which is the same as a crash."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals(stop: Callable[[str, str], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops the run in order, a second one exits at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if seen:
            os._exit(130)
        seen.append(number)
        # another thread: a signal handler must not take a lock that main may be holding
        threading.Thread(target=stop, args=("interrupted", f"stopped by {signal.Signals(number).name}")).start()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
