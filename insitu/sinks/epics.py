"""What the pipeline says, as PVs of a soft IOC (Channel Access and PV Access), and the operator's hold as PVs.

The IOC is a child process (`insitu.sinks.epics_ioc`): softioc allows one per process, and whatever happens to it never
holds up or ends a run. Values go to it through a thread that always sends the newest; who tells them never waits.

PVs, behind the prefix: `decision`, `rule`, `reason`, `frame`, `state`, `backlog`, `heartbeat` (changes while we live;
INVALID when we stop), `suspend`, `held`; `<model>_label`, `<model>_score`; chosen features and `<feature>_sigma`; and
three to write to, `hold`, `release` and `resume`.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from insitu.errors import MissingExtraError, UsageError
from insitu.types import Action, Record

log = logging.getLogger(__name__)
LONGEST_NAME = 60
"""Characters of a record's name (EPICS base, PVNAME_STRINGSZ)."""
MOST_TEXT = 400
NONE, MINOR, MAJOR, INVALID = range(4)
VERDICTS = {"normal": NONE, "review": MINOR, "unknown": MINOR, "change": MINOR, "anomaly": MAJOR}
DECISIONS = {Action.PAUSE: MINOR, Action.HALT: MAJOR}
STATES = {"held": MINOR, "paused": MINOR, "failed": MAJOR}
TEXTS = ("decision", "rule", "reason", "state")
COUNTS = ("frame", "backlog", "heartbeat", "suspend", "held")
ORDERS = ("hold", "release", "resume")
_SEND_EVERY, _LOOK = 0.02, 0.2
SILENT_S = 5.0
"""When the IOC has heard nothing for so long, it makes the heartbeat INVALID."""


class Live(Protocol):
    """A run as far as it is of interest here: `insitu.run.LiveRun`."""

    @property
    def alive(self) -> bool: ...

    def status(self) -> Mapping[str, Any]: ...

    def hold(self, held: bool, /) -> None: ...

    def resume(self) -> None: ...


class PvServer:
    """PVs of one pipeline.

    `prefix`: of the records, such as "BL1:INSITU" (a colon is put between). `models`: names. `features`: {key: unit}.
    `record` is told every record, `status` how the run does; `obey` is given the operator's orders (`ORDERS`); `follow`
    does both for a `LiveRun`. `problem` says why there are no PVs any more, where that is so. `UsageError` for names
    that no record can have, `MissingExtraError` without softioc.
    """

    def __init__(
        self,
        prefix: str,
        *,
        models: Sequence[str] = (),
        features: Mapping[str, str] | None = None,
        obey: Callable[[str], None] | None = None,
    ) -> None:
        self.prefix, self.problem = prefix, ""
        self._obey = obey
        self._features = dict(features or {})
        columns = [(f"{model}_score", "") for model in models]
        for key, unit in self._features.items():
            columns += [(key, unit), (f"{key}_sigma", unit)]
        _check(prefix, [*TEXTS, *COUNTS, *ORDERS, *(f"{m}_label" for m in models), *(name for name, _ in columns)])
        numbers = dict(columns)
        if importlib.util.find_spec("softioc") is None:
            raise MissingExtraError("softioc", "epics", purpose="Serving PVs")
        self._told = frozenset({*TEXTS, *COUNTS, *numbers, *(f"{m}_label" for m in models)})
        self._newest: dict[str, tuple[Any, int]] = {}
        self._changed, self._ready, self._closing = threading.Condition(), threading.Event(), threading.Event()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "insitu.sinks.epics_ioc"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        what = {
            "prefix": prefix, "texts": [*TEXTS, *(f"{m}_label" for m in models)],
            "counts": list(COUNTS), "orders": list(ORDERS), "numbers": numbers, "silent_s": SILENT_S,
        }  # fmt: skip
        self._threads = [
            threading.Thread(target=self._send, args=(what,), name="insitu-pvs", daemon=True),
            threading.Thread(target=self._listen, name="insitu-pv-orders", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Of the IOC's process."""
        return self._child.pid

    def wait_ready(self, timeout_s: float = 20.0) -> bool:
        """Whether the PVs are there, after at most so long."""
        until = time.monotonic() + timeout_s
        while not self._ready.wait(0.05):
            if self.problem or time.monotonic() > until:
                return False
        return True

    # ---- what is told ----

    def record(self, record: Record) -> None:
        """The newest record. Comes back at once."""
        m, decision = record.measurement, record.decision
        new: dict[str, tuple[Any, int]] = {}
        for key in self._features.keys() & m.features.keys():
            feature = m.features[key]
            new[key] = (None, INVALID) if feature.value is None else (float(feature.value), NONE)
            new[f"{key}_sigma"] = (None, INVALID) if feature.sigma is None else (feature.sigma, NONE)
        for model, verdict in record.verdicts.items():
            severity = VERDICTS.get(verdict.label, NONE)
            new[f"{model}_label"] = (verdict.label, severity)
            new[f"{model}_score"] = (None, INVALID) if verdict.score is None else (float(verdict.score), severity)
        severity = DECISIONS.get(decision.action, NONE)
        new |= {"decision": (decision.action.name, severity), "rule": (decision.rule, NONE)}
        new["reason"] = (decision.reason[:MOST_TEXT], severity)
        if not m.provisional:
            new["frame"] = (m.seq, NONE)
        self._tell(new)

    def status(self, status: Mapping[str, Any]) -> None:
        """How the run does (`LiveRun.status`), and that we live."""
        state = str(status["state"])
        self._tell(
            {
                "state": (state, STATES.get(state, NONE)),
                "backlog": (int(status["analysis"]["pending"]) + int(status["queued"]), NONE),
                "heartbeat": (int(time.monotonic() * 10) % 2**31, NONE),
                "suspend": (int(state == "paused"), MINOR if state == "paused" else NONE),
                "held": (int(state == "held"), MINOR if state == "held" else NONE),
            }
        )

    def state(self, state: str) -> None:
        """The state alone."""
        self._tell({"state": (state, STATES.get(state, NONE))})

    def obey(self, order: Callable[[str], None]) -> None:
        """Who is given the orders from now on."""
        self._obey = order

    def follow(self, live: Live) -> None:
        """Tell how a run does until it has ended, from a thread of its own; give it the operator's orders."""

        def obey(order: str) -> None:
            live.resume() if order == "resume" else live.hold(order == "hold")

        self._obey = obey

        def look() -> None:
            while live.alive and not self._closing.wait(_LOOK):
                with suppress(Exception):  # a status that cannot be had now is told the next time
                    self.status(live.status())
            self.state("ended")

        thread = threading.Thread(target=look, name="insitu-pv-status", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """The PVs go away."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        with suppress(subprocess.TimeoutExpired):
            self._threads[0].join(2)
            self._child.wait(2 if not self._threads[0].is_alive() else 0)
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait(5)
        for thread in self._threads:
            thread.join(2)
        if self._child.stdout is not None and not self._threads[1].is_alive():
            self._child.stdout.close()

    def __enter__(self) -> PvServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- to and from the child ----

    def _tell(self, new: Mapping[str, tuple[Any, int]]) -> None:
        with self._changed:
            self._newest.update({k: v for k, v in new.items() if k in self._told})
            self._changed.notify()

    def _send(self, what: Mapping[str, Any]) -> None:
        pipe = self._child.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(what).encode() + b"\n")
            pipe.flush()
            while True:
                with self._changed:
                    while not self._newest and not self._closing.is_set():
                        self._changed.wait()
                    new, self._newest = self._newest, {}
                if new:
                    pipe.write(json.dumps(new).encode() + b"\n")
                    pipe.flush()
                if self._closing.is_set():
                    break
                time.sleep(_SEND_EVERY)
        except (OSError, ValueError) as e:
            self._fail(f"the soft IOC does not listen any more: {e}")
        with suppress(OSError):
            pipe.close()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("ready"):
                self._ready.set()
            if said.get("error"):
                self._fail(str(said["error"]))
            if said.get("order") in ORDERS:
                self._order(said["order"])
        self._fail("the soft IOC has ended")

    def _order(self, order: str) -> None:
        if self._obey is None:
            log.warning("PV %s:%s was written, and there is no run to %s", self.prefix, order, order)
            return
        try:
            self._obey(order)
        except Exception as e:  # noqa: BLE001 - the boundary: told, and the next order is listened to
            log.warning("PV %s:%s was written and could not be obeyed: %s", self.prefix, order, e)

    def _fail(self, why: str) -> None:
        if not self._closing.is_set() and not self.problem:
            self.problem = why
            log.warning("PVs %s: %s; the run goes on without them", self.prefix, why)


def _check(prefix: str, names: Sequence[str]) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_\-:.\[\]<>;]+", prefix) or prefix.endswith(":"):
        raise UsageError(f"{prefix!r} is no prefix of PVs", where="prefix", expected='such as "BL1:INSITU"')
    for name in names:
        if len(f"{prefix}:{name}") > LONGEST_NAME:
            raise UsageError(
                f"the PV {prefix}:{name} would have {len(prefix) + 1 + len(name)} characters",
                expected=f"at most {LONGEST_NAME}",
                remedy="Take a shorter prefix, or choose fewer features",
            )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise UsageError(f"two PVs would be called {twice[0]!r}", remedy="Call the model or the feature otherwise")
