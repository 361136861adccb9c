"""One credit in bytes over everything in flight: taken by readers, given back when a frame and its record are
committed. There is no other wait in a run, so there is no cycle."""

import threading


class Credit:
    """`limit` bytes. `take` may wait, `release` never does."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.peak = limit, 0, 0
        self._changed = threading.Condition()
        self._closed = False

    def take(self, nbytes: int, *, wait: bool) -> bool:
        """True if the bytes were there (or came while we waited); False if not, or if the run is stopping."""
        with self._changed:
            while self.used + nbytes > self.limit:
                if not wait or self._closed:
                    return False
                self._changed.wait()
            self.used += nbytes
            self.peak = max(self.peak, self.used)
            return True

    def release(self, nbytes: int) -> None:
        with self._changed:
            self.used -= nbytes
            self._changed.notify_all()

    def close(self) -> None:
        """The run is stopping: nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
