"""The first SIGINT, SIGTERM or SIGHUP stops a run in order; a second one exits at once: the same as a crash."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal went away


@contextmanager
def stop_on_signals(stop: Callable[[str, str], None]) -> Iterator[None]:
    """Call `stop(ended, reason)` at the first signal. Does nothing in another thread than main; a signal that is
    ignored (`nohup`) stays ignored."""
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

    taken = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
