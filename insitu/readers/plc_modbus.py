"""A Modbus TCP device (a PLC, a gateway, a meter), asked for its registers at a steady rate.

Poll k is due k / rate after the first one, and `window` polls make a frame; so `source_seq` follows the schedule, and
frames in which nothing could be read are missing in it: they are counted as lost. A poll that failed in a frame with
others is masked. A line that breaks is tried again after 0.2 s, 0.4 s, ... up to 10 s; a device that never answered
within `connect`, and a register that it refuses from the start, are errors. Values are float64 in each register's
unit; the time is that of the answer by our clock. pymodbus talks to the device, in a thread of its own.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import closing
from typing import Annotated, NamedTuple

import numpy as np

from insitu.errors import ConfigError, SourceError
from insitu.maths.aligned import aligned
from insitu.readers.plc_device import Device, Poll
from insitu.readers.plc_registers import registers_of
from insitu.types import Arrival, Detector, Feature, Invalid

_TICK = 0.1
"""Longest wait before a None, s."""
_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
log = logging.getLogger(__name__)


class _Row(NamedTuple):
    number: int
    poll: Poll


class Modbus:
    """A reader of a Modbus TCP device.

    `host`, `port`, `unit_id` of the device behind a gateway. `registers`: {channel: { address, type, table, words,
    scale, offset, unit }}; `type`: int16, uint16, int32, uint32, float32, float64, or bool for a `table` coil or
    discrete (else holding or input); `words`: which of several comes first, big or little. `rate`: polls per second.
    `window`: polls in a frame. `connect`: how long the first answer may take; `timeout`: any other. `count`: end after
    so many frames. After a reading, `missed` and `reconnects` count polls that failed and lines that broke.
    """

    labels = ("channels", "device")

    def __init__(
        self,
        host: str,
        registers: dict[str, dict[str, int | float | str]],
        *,
        port: int = 502,
        unit_id: int = 1,
        rate: Annotated[float, "Hz"] = 1.0,
        window: int = 1,
        connect: Annotated[float, "s"] = 10.0,
        timeout: Annotated[float, "s"] = 1.0,
        count: int | None = None,
        detector: Detector | None = None,
    ) -> None:
        if not host:
            raise ConfigError("no host is named", where="host", expected='such as "192.168.0.10"')
        for key, value, most in (("port", port, 65535), ("window", window, 1_000_000)):
            if not 1 <= value <= most:
                raise ConfigError(f"{key} is {value}", where=key, expected=f"1 to {most}")
        if not 0 <= unit_id <= 255:
            raise ConfigError(f"{unit_id} is no unit id", where="unit_id", expected="0 to 255")
        if not 1e-6 <= rate <= 1000:
            raise ConfigError(f"{rate} Hz is no rate of polling", where="rate", expected="up to 1000 Hz")
        for key, value in (("connect", connect), ("timeout", timeout)):
            if not 0 < value <= 3600:
                raise ConfigError(f"{value} s is no time to wait", where=key, expected="more than 0 s, up to an hour")
        if count is not None and count < 1:
            raise ConfigError(f"{count} frames is no series", where="count", expected="1 or more")
        self.registers = registers_of(registers)
        self.host, self.port, self.unit_id = host, port, unit_id
        self.rate, self.window, self.connect, self.timeout, self.count = rate, window, connect, timeout, count
        self.source = detector.source if detector else "plc"
        self.missed = self.reconnects = 0

    def __call__(self) -> Generator[Arrival | Invalid | None]:
        self.missed = self.reconnects = 0
        given = 0
        rows: list[_Row] = []
        with closing(self._rows()) as coming:
            for row in coming:
                if row is None:
                    yield None
                    continue
                if rows and row.number // self.window != rows[0].number // self.window:
                    yield self._frame(rows)  # the end of a frame was missed
                    given, rows = given + 1, []
                    if given == self.count:
                        return
                rows.append(row)
                if row.number % self.window == self.window - 1:
                    yield self._frame(rows)
                    given, rows = given + 1, []
                    if given == self.count:
                        return

    # ---- polling ----

    def _rows(self) -> Generator[_Row | None]:
        """Polls that were answered, with their numbers; None while there is nothing."""
        device = Device(self.host, self.port, self.unit_id, self.timeout, self.registers)
        worker = ThreadPoolExecutor(1, thread_name_prefix="modbus")
        try:
            begin = time.monotonic()
            zero: float | None = None
            number, pause, quiet_until, broken = 0, _PAUSE, 0.0, False
            while True:
                due = begin if zero is None else zero + number / self.rate
                yield from _until(max(due, quiet_until))
                if zero is not None and (late := math.floor((time.monotonic() - zero) * self.rate)) > number:
                    self._miss(late - number, "" if broken else "the answers come too late for the rate")
                    number = late
                asked = time.monotonic()
                poll = yield from _answer(worker.submit(device.poll))
                if poll.values is not None:
                    if broken:
                        log.warning("%s answers again; %d polls were missed so far", self._where, self.missed)
                    zero = asked if zero is None else zero
                    pause, broken = _PAUSE, False
                    yield _Row(number, poll)
                    number += 1
                    continue
                self._check(poll, zero, begin)
                if zero is not None:
                    self._miss(1, "" if broken else poll.problem)
                    number += 1
                if poll.line:
                    self.reconnects += not broken and zero is not None
                    quiet_until, pause = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)
                elif zero is None:
                    quiet_until = time.monotonic() + _PAUSE
                broken = True
        finally:
            worker.shutdown(wait=True, cancel_futures=True)
            device.close()

    @property
    def _where(self) -> str:
        return f"{self.host}:{self.port}"

    def _miss(self, polls: int, why: str) -> None:
        self.missed += polls
        if why:
            log.warning("%s: a poll was missed: %s", self._where, why)

    def _check(self, poll: Poll, zero: float | None, begin: float) -> None:
        """Raise what cannot be waited for: a register that is refused, a device that never answers."""
        if zero is None and poll.lasting:
            raise SourceError(
                poll.problem,
                where=self._where,
                expected="a register that the device has",
                remedy="Correct address, table and unit_id; manuals that count from 40001 or 30001 mean address 0",
            )
        if zero is None and time.monotonic() - begin >= self.connect:
            raise SourceError(
                f"nothing was read within {self.connect:g} s: {poll.problem}",
                where=self._where,
                expected="a Modbus TCP device that answers",
                remedy="Check that it is on, host, port and unit_id, and that it lets this computer in",
            )

    # ---- frames ----

    def _frame(self, rows: list[_Row]) -> Arrival:
        frame, first = rows[0].number // self.window, rows[0]
        data = np.full((len(self.registers), self.window), np.nan)
        for row in rows:
            data[:, row.number % self.window] = row.poll.values
        missing = ~np.isfinite(data)
        data[missing] = 0
        period_ns = 1e9 / self.rate
        single = len(self.registers) == 1
        units = tuple(r.unit for r in self.registers)
        mask = aligned(missing[0] if single else missing) if missing.any() else None
        return Arrival(
            source=self.source,
            data=aligned(data[0] if single else data),
            dims=("sample",) if single else ("channel", "sample"),
            unit=units[0] if len(set(units)) == 1 else units,
            time_ns=first.poll.time_ns - round(first.number % self.window * period_ns),
            duration_ns=round(self.window * period_ns),
            clock="arrival",
            clock_sigma_ns=max(row.poll.sigma_ns for row in rows),
            source_seq=frame,
            mask=mask,
            context={"sample_rate": Feature(self.rate, "Hz"), "first_sample": Feature(frame * self.window)},
            labels={"channels": " ".join(r.name for r in self.registers), "device": f"{self._where}/{self.unit_id}"},
        )


def _until(due: float) -> Generator[None]:
    """None at least every tick until a time of the monotonic clock."""
    while (left := due - time.monotonic()) > 0:
        if left > _TICK:
            time.sleep(_TICK)
            yield None
        else:
            time.sleep(left)


def _answer(future: Future[Poll]) -> Generator[None, None, Poll]:
    """What a thread gives, with None while it takes its time."""
    while True:
        try:
            return future.result(_TICK)
        except NotYet:
            if future.done():
                return future.result()
            yield None
