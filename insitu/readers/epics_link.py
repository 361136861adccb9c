"""The connections behind the EPICS readers: what comes from the network's threads, in order, into one bounded queue.

p4p and pyepics are imported here, and only when a connection is opened.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from insitu.errors import MissingExtraError, SourceError
from insitu.readers.epics_decode import alarm_of, field, number
from insitu.types import Feature

What = Literal["value", "up", "down", "refused"]
MOST_LABEL = 400


class Update(NamedTuple):
    """`value`: a structure; `down`, `refused`: why, as text. `at_ns`: when it came, ns since 1970 by our clock."""

    what: What
    value: Any
    at_ns: int


class Updates:
    """What came and was not read yet: at most `size` values, and every change of the connection. Where there is no room
    the oldest value goes, so that the numbers of the next ones show the gap; `dropped` counts them."""

    def __init__(self, size: int) -> None:
        self.size, self.dropped = size, 0
        self._waiting: deque[Update] = deque()
        self._values = 0
        self._there = threading.Condition()

    def put(self, what: What, value: Any) -> None:
        """Never waits. Called by the threads of the network."""
        with self._there:
            if what == "value":
                if self._values >= self.size:
                    self.dropped += 1
                    del self._waiting[next(k for k, u in enumerate(self._waiting) if u.what == "value")]
                else:
                    self._values += 1
            self._waiting.append(Update(what, value, time.time_ns()))
            self._there.notify()

    def get(self, wait_s: float) -> Update | None:
        """The next one, None where none came in so long."""
        with self._there:
            if not self._waiting:
                self._there.wait(wait_s)
            if not self._waiting:
                return None
            update = self._waiting.popleft()
            self._values -= update.what == "value"
            return update


class Beside:
    """The newest numbers and texts of other PVs, by the names that they get in the context."""

    def __init__(self, pvs: Mapping[str, str]) -> None:
        self._pvs = dict(pvs)
        self._context = {name: Feature(None, why=f"PV {pv} has not answered") for name, pv in pvs.items()}
        self._labels: dict[str, str] = {}
        self._answered: set[str] = set()
        self._lock = threading.Lock()

    def take(self, name: str, value: Any) -> None:
        """A new structure of one of them."""
        self._answered.add(name)
        inner, unit = field(value, "value"), str(field(value, "display.units") or "")
        severity, _, message = alarm_of(value)
        with self._lock:
            choices = field(inner, "choices")
            if choices is not None:  # an enumeration: its number, and what it is called
                inner = field(inner, "index")
                if isinstance(inner, (int, np.integer)) and 0 <= int(inner) < len(choices):
                    self._labels[name] = str(choices[int(inner)])[:MOST_LABEL]
            if isinstance(inner, str):
                self._context.pop(name, None)
                self._labels[name] = inner[:MOST_LABEL]
                return
            feature = number(inner, unit)
            if severity == 3:
                feature = Feature(None, unit, why=f"PV {self._pvs[name]} is INVALID: {message or 'no reason is told'}")
            self._context[name] = feature or Feature(None, unit, why=f"PV {self._pvs[name]} is no number")

    def lose(self, name: str) -> None:
        """One of them is not connected any more."""
        if name not in self._answered:
            return
        with self._lock:
            unit = self._context[name].unit if name in self._context else ""
            self._labels.pop(name, None)
            self._context[name] = Feature(None, unit, why=f"PV {self._pvs[name]} is disconnected")

    def now(self) -> tuple[dict[str, Feature], dict[str, str]]:
        """Context and labels as they are now."""
        with self._lock:
            return dict(self._context), dict(self._labels)


class Pva:
    """Monitors over PV Access. `addresses`: servers that are asked besides those of the environment."""

    def __init__(self, addresses: tuple[str, ...], deep: int) -> None:
        try:
            from p4p.client.thread import Context
        except ImportError as e:
            raise MissingExtraError("p4p", "epics", purpose="Reading PVs over PV Access") from e
        conf = None
        if addresses:
            listed = (*os.environ.get("EPICS_PVA_ADDR_LIST", "").split(), *addresses)
            conf = {"EPICS_PVA_ADDR_LIST": " ".join(dict.fromkeys(listed))}
        self._request = f"record[queueSize={max(4, min(deep, 256))}]field()"
        self._context, self._subscribed = Context("pva", conf=conf, nt=False), []

    def frames(self, pv: str, updates: Updates) -> None:
        """Monitor the PV of the frames; called again after it was refused."""
        from p4p.client.thread import Cancelled, Disconnected

        begun: list[bool] = []

        def take(value: Any) -> None:
            if isinstance(value, Disconnected):
                updates.put("down", "disconnected") if begun else begun.append(True)  # p4p says so once to begin with
            elif isinstance(value, Exception):
                if not isinstance(value, Cancelled):
                    updates.put("refused", f"{type(value).__name__}: {value}".rstrip(": "))
            else:
                updates.put("value", value)

        self._subscribed.append(
            self._context.monitor(pv, take, request=self._request, notify_disconnect=True)
        )  # fmt: skip

    def beside(self, name: str, pv: str, there: Beside) -> None:
        """Monitor one of the other PVs."""
        self._subscribed.append(
            self._context.monitor(
                pv,
                lambda v: there.lose(name) if isinstance(v, Exception) else there.take(name, v),
                notify_disconnect=True,
            )
        )

    def close(self) -> None:
        for subscription in self._subscribed:
            subscription.close()
        self._context.close()


class Ca:
    """Monitors over Channel Access: one client library, set up by the environment, for the whole process."""

    def __init__(self) -> None:
        try:
            import epics
        except ImportError as e:
            raise MissingExtraError("pyepics", "epics", purpose="Reading PVs over Channel Access") from e
        try:
            epics.ca.use_initial_context()
        except Exception as e:  # a library that cannot be loaded raises errors of many kinds
            raise SourceError(
                f"Channel Access cannot be used: {type(e).__name__}: {e}", remedy="Install insitu[epics] again"
            ) from e
        self._epics, self._pvs, self._unlearnt = epics, [], []

    def frames(self, pv: str, updates: Updates) -> None:
        """Monitor the PV of the frames."""

        def up(conn: bool = False, **_: Any) -> None:
            updates.put("up" if conn else "down", "" if conn else "disconnected")

        self._watch(pv, lambda **told: updates.put("value", _structure(told)), up, None)

    def beside(self, name: str, pv: str, there: Beside) -> None:
        """Monitor one of the other PVs."""

        def take(**told: Any) -> None:
            there.take(name, _structure(told))

        self._watch(pv, take, lambda conn=False, **_: None if conn else there.lose(name), take)

    def _watch(self, pv: str, take: Any, up: Any, learnt: Any) -> None:
        new = self._epics.PV(pv, callback=take, connection_callback=up, form="time", auto_monitor=True)
        self._pvs.append(new)
        self._unlearnt.append((new, learnt))

    def learn(self) -> None:
        """Ask PVs that have connected for units and choices, once; may wait for them."""
        for item in [item for item in self._unlearnt if item[0].connected]:
            self._unlearnt.remove(item)
            pv, learnt = item
            pv.get_ctrlvars(timeout=0.5, warn=False)
            if learnt is not None and pv.value is not None:
                learnt(**pv._args)

    def unit(self, name: str) -> str:
        """The unit of a PV, as far as it is known."""
        return next((str(pv.units or "") for pv in self._pvs if pv.pvname == name), "")

    def close(self) -> None:
        for pv in self._pvs:
            pv.clear_callbacks()
            pv.connection_callbacks = []
            pv.disconnect()


def _structure(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a callback of pyepics is given, in the shape of an NTScalar or NTScalarArray."""
    value, severity = told.get("value"), int(told.get("severity") or 0)
    if isinstance(value, np.ndarray):
        value = value.copy()  # the library uses its buffer again
    elif int(told.get("nelm") or 1) > 1 and isinstance(value, (int, float)):
        value = np.asarray([value])  # a waveform that holds one value
    choices = told.get("enum_strs")
    if choices and isinstance(value, int):
        value = {"index": value, "choices": choices}
    return {
        "value": value,
        "alarm": {"severity": severity, "status": 0, "message": _status(told.get("status"))},
        "timeStamp": {"secondsPastEpoch": told.get("posixseconds") or 0, "nanoseconds": told.get("nanoseconds") or 0},
        "display": {"units": told.get("units") or ""},
    }


def _status(status: Any) -> str:
    """The name of a record's alarm status."""
    names = (
        "", "READ", "WRITE", "HIHI", "HIGH", "LOLO", "LOW", "STATE", "COS", "COMM", "TIMEOUT", "HWLIMIT", "CALC",
        "SCAN", "LINK", "SOFT", "BAD_SUB", "UDF", "DISABLE", "SIMM", "READ_ACCESS", "WRITE_ACCESS",
    )  # fmt: skip
    return names[int(status)] if isinstance(status, (int, np.integer)) and 0 <= int(status) < len(names) else ""
