"""The process of a session's runs: `python -m insitu.bluesky.worker`, started by the session.

It reads documents from one socket and orders from another, keeps a run going (the next one begins where a rule has
ended the last), and says on the second socket what it finds. When the session's process vanishes, what has come is
analysed, the run is sealed as interrupted, and this process ends.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from insitu.bluesky.channel import Calls, Channel, Incoming
from insitu.bluesky.handing import Passing, error_body
from insitu.bluesky.keeping import Keeper

log = logging.getLogger(__name__)
VANISHED = "the process of the session has vanished"
LOOK_S = 0.2
GARBAGE = 10_000
"""New objects until those that nobody holds are looked for."""
LEFT_S = 60.0
"""After the session's process has vanished, this one ends within so long, whatever hangs."""


class Worker:
    """Talks to the session; `Keeper` does the work."""

    def __init__(self, documents: socket.socket, control: socket.socket) -> None:
        self._documents, self._control = Incoming(documents), Incoming(control)
        self.channel = Channel(control, "insitu-told")
        self.calls = Calls(self.channel.send)
        self.keeper: Keeper | None = None
        self._passing, self._parent = Passing(self.channel.send), os.getppid()
        self._threads = [
            threading.Thread(target=work, name=f"insitu-{name}", daemon=True)
            for work, name in
            ((self._read_documents, "documents"), (self._read_orders, "orders"), (self._watch, "parent"))
        ]  # fmt: skip

    def run(self) -> int:
        """Until the session is closed or has vanished."""
        self._passing.begin()
        keeper = self._begin()
        if keeper is None:
            self.channel.close()
            return 2
        self.keeper = keeper
        gc.freeze()  # what is there now stays: it need not be looked through for garbage again and again
        gc.set_threshold(GARBAGE, 20, 20)
        for thread in self._threads:
            thread.start()
        keeper.keep()
        self._passing.end()
        self.channel.send("over", {"why": keeper.over, "final": keeper.final, "dropped": keeper.dropped})
        self.channel.close()
        return 0

    def _begin(self) -> Keeper | None:
        """What the recipe gives, and then the first run; what is wrong with either goes back. None where it is."""
        try:
            from insitu.config import load

            first = self._next("load")
            if first is None:
                return None
            sys.path[:] = first["path"]
            logging.getLogger("insitu").setLevel(first["level"])
            read = partial(load, first["recipe"], sets=first["sets"], detectors=first["detectors"])
            setup = read()
            self.channel.send("loaded", _described(setup))
            then = self._next("begin")
            if then is None:
                return None
            keeper = Keeper(
                setup,
                self.channel,
                self.calls,
                again=read,
                data_root=Path(then["data_root"]),
                mode=then["mode"],
                operator=then["operator"],
                failures=then["failures"],
            )
            keeper.begin(then["continues"], held=then["held"], note=then["note"])
            return keeper
        except Exception as e:  # noqa: BLE001 - the boundary: told to the session, which raises it
            self.channel.send("refused", error_body(e))
            return None

    def _next(self, kind: str) -> dict[str, Any] | None:
        while (message := self._control.read()) is not None:
            told, value = message
            if told == "log":  # said in the session's process in the very moment in which this one was started
                Passing.say(value)
                continue
            return value if told == kind else None
        return None

    def _read_documents(self) -> None:
        keeper = self._kept()
        while (message := self._documents.read()) is not None:
            kind, value = message
            if kind == "close":
                keeper.close()
                return
            keeper.feed(*value)
        keeper.vanish(VANISHED)

    def _read_orders(self) -> None:
        keeper = self._kept()
        while (message := self._control.read()) is not None:
            kind, value = message
            if kind == "answer":
                self.calls.answered(value)
            elif kind == "log":
                Passing.say(value)
            else:
                keeper.order(kind, value)
        self.calls.close()
        self._threads[0].join(LEFT_S / 4)  # what was sent before is read first
        keeper.vanish(VANISHED)

    def _watch(self) -> None:
        """Processes that the session's started may hold its sockets open: so we look whether it is there, too."""
        while os.getppid() == self._parent:
            time.sleep(LOOK_S)
        self._threads[0].join(LEFT_S / 20)
        self._kept().vanish(VANISHED)
        time.sleep(LEFT_S)
        os._exit(1)  # the same as a crash: the next run recovers what there is

    def _kept(self) -> Keeper:
        assert self.keeper is not None
        return self.keeper


def _described(setup: Any) -> dict[str, Any]:
    """What the session needs to know of a recipe."""
    limits = {name: limit for source in setup.sources for name, limit in source.detector.limits.items()}
    return {
        "title": setup.title,
        "models": list(setup.models),
        "outputs": {
            source: {key: [o.unit, o.rtol, o.atol, o.array] for key, o in promised.items()}
            for source, promised in setup.outputs.items()
        },
        "limits": {name: [v.unit, v.low, v.high, v.step, v.rate_hz] for name, v in limits.items()},
    }


def main(fds: list[str]) -> int:
    """With the numbers of two sockets."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # so is a terminal that goes away: it ends the session, or not
    worker = Worker(*(socket.socket(fileno=int(fd)) for fd in fds))

    def stop(*_: object) -> None:
        if worker.keeper is None:
            os._exit(1)
        worker.keeper.vanish("stopped by SIGTERM")

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop, daemon=True).start())
    return worker.run()


if __name__ == "__main__":
    code = main(sys.argv[1:3])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of readers that hang must not keep the process
