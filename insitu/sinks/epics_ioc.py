"""The soft IOC of `insitu.sinks.epics`: `python -m insitu.sinks.epics_ioc`, told what to serve on its standard input.

The first line says which records there are; each one after it is {name: [value, severity]} in JSON. What an operator
writes to an order's PV goes out as {"order": name}. It ends when its input does, so that no PV outlives the pipeline.
"""

from __future__ import annotations

import json
import os
import select
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

INVALID = 3
STATE_ALARM, COMM_ALARM, UNDEFINED_ALARM = 7, 9, 17
LONGEST_UNIT = 15
LONG_TEXT = 400


def main() -> None:
    """Serve until the input ends."""
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the IOC itself prints is none of our words
    try:
        told = _Lines()
        first = next(iter(told), None)
        if first is None:
            return
        what = json.loads(first)
        records = _serve(what, said)
        said.write(b'{"ready": true}\n')
        told.silent_s = what["silent_s"]
        _follow(records, told)
    except Exception as e:  # noqa: BLE001 - the boundary: the parent says it
        said.write(json.dumps({"error": f"{type(e).__name__}: {e}"}).encode() + b"\n")
    finally:
        said.close()
        os._exit(0)  # EPICS has threads that do not end


def _serve(what: Mapping[str, Any], said: BinaryIO) -> dict[str, Any]:
    """The records, by name, of an IOC that runs."""
    from softioc import asyncio_dispatcher, builder, softioc

    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName(what["prefix"])
    records: dict[str, Any] = {}
    orders: dict[str, Any] = {}
    for name in what["texts"]:
        records[name] = builder.longStringIn(name, length=LONG_TEXT, initial_value="")
    for name in what["counts"]:
        records[name] = builder.longIn(name, initial_value=0)
    for name, unit in what["numbers"].items():
        records[name] = builder.aIn(name, initial_value=float("nan"), EGU=unit[:LONGEST_UNIT], PREC=6)
    for name in what["orders"]:

        def written(value: int, name: str = name) -> None:
            if value:
                said.write(json.dumps({"order": name}).encode() + b"\n")
                orders[name].set(0, process=False)  # ready for the next one

        orders[name] = builder.boolOut(
            name, ZNAM="0", ONAM=name, on_update=written, always_update=True, initial_value=0
        )
    builder.LoadDatabase()
    softioc.iocInit(dispatcher)
    return records


def _follow(records: Mapping[str, Any], lines: Iterable[bytes | None]) -> None:
    for line in lines:
        if line is None:
            records["heartbeat"].set_alarm(INVALID, COMM_ALARM)
            continue
        for name, (value, severity) in json.loads(line).items():
            record = records[name]
            if value is None:
                record.set(float("nan"), severity=INVALID, alarm=UNDEFINED_ALARM)
            else:
                record.set(_plain(value), severity=severity, alarm=STATE_ALARM if severity else 0)


def _plain(value: Any) -> Any:
    """A text as one that fits into a record; a count into 32 bits."""
    if isinstance(value, str):
        return value.encode()[: LONG_TEXT - 1].decode(errors="ignore")
    return min(value, 2**31 - 1) if isinstance(value, int) else value


class _Lines:
    """Lines of the standard input; None each time that there was none for `silent_s`."""

    def __init__(self) -> None:
        self.silent_s: float | None = None
        self._there: deque[bytes] = deque()
        self._rest = b""

    def __iter__(self) -> Iterator[bytes | None]:
        while True:
            while self._there:
                yield self._there.popleft()
            if not select.select([0], [], [], self.silent_s)[0]:
                yield None
                continue
            new = os.read(0, 1 << 16)
            if not new:
                return
            *lines, self._rest = (self._rest + new).split(b"\n")
            self._there.extend(lines)


if __name__ == "__main__":
    main()
