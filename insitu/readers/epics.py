"""Frames from EPICS: areaDetector images and waveforms over PV Access, waveforms over Channel Access.

A thread of the network puts what comes into a bounded queue; what finds no room shows as a gap in `uniqueId`, and so
does what was lost on the way or while the server was away: the core counts it. Where a PV lives is said by the
environment (EPICS_PVA_ADDR_LIST, EPICS_CA_ADDR_LIST ...), or by `addresses`.
"""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError, SourceError
from insitu.readers.epics_decode import Decoder, WrongTypeError
from insitu.readers.epics_link import Beside, Ca, Pva, Update, Updates
from insitu.readers.spectrum import clean
from insitu.types import Arrival, Detector, Invalid

log = logging.getLogger(__name__)
_TICK = 0.1
"""Longest wait before a None, s."""
_AGAIN = 1.0
"""After so long, s, a monitor that was refused is asked for again."""


class _State:
    """How a reading goes: what came, and what the connection did."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.known = self.known_to_be_there = self.told_numbers = self.away = False
        self.given = self.lost_ns = 0
        self.again: float | None = None
        self.why = ""

    @property
    def quiet_s(self) -> float:
        """Since the beginning, or the last frame."""
        return time.monotonic() - self.begun


class _Reader(ABC):
    """What both protocols share. `missed`: values for which the queue had no room; `reconnects`: how often the PV was
    lost and came back; `given_again`: frames that it gave twice; `connected`: whether it is there now."""

    labels = ("alarm", "clock_warning", "connection")

    def __init__(
        self,
        pv: str,
        context: dict[str, str] | None,
        connect: float,
        idle: float | None,
        count: int | None,
        queue: int,
        within: float,
        initial: bool,
        detector: Detector | None,
    ) -> None:
        if not pv or len(pv.split()) != 1:
            raise ConfigError(f"{pv!r} is no name of a PV", where="pv", expected='such as "13SIM1:Pva1:Image"')
        for name, other in (context or {}).items():
            if clean(name) != name:
                raise ConfigError(
                    f"{name!r} is no name for the context", where="context", expected="small letters, digits and _"
                )
            if len(other.split()) != 1:
                raise ConfigError(f"{other!r} is no name of a PV", where=f"context.{name}")
        for key, value in (("connect", connect), ("idle", idle), ("clock_within", within)):
            if value is not None and not 0 < value <= 1e7:
                raise ConfigError(f"{value} s is no time to wait", where=key, expected="more than 0 s")
        for key, number in (("count", count), ("queue", queue)):
            if number is not None and not 1 <= number <= 10**9:
                raise ConfigError(f"{key} is {number}", where=key, expected="1 or more")
        self.pv, self.beside, self.connect, self.idle, self.count = pv, dict(context or {}), connect, idle, count
        self.queue, self.within, self.initial, self._detector = queue, within, initial, detector
        self.source = detector.source if detector else "det"
        self.missed = self.reconnects = self.given_again = 0
        self.connected = False

    _protocol, _prefix, _addresses = "", "", ""

    @abstractmethod
    def _open(self) -> Pva | Ca:
        """A link that is not connected yet."""

    def _decoder(self) -> Decoder:
        d = self._detector
        return Decoder(
            source=self.source,
            pv=self.pv,
            dims=d.dims if d else (),
            shape=d.shape if d else None,
            dtype=d.dtype if d else None,
            unit=d.unit if d else "counts",
            wraps=bool(d and d.counter_bits),
            within_s=self.within,
        )

    def __call__(self) -> Generator[Arrival | Invalid | None]:
        self.missed = self.reconnects = self.given_again = 0
        updates, beside, decoder = Updates(self.queue), Beside(self.beside), self._decoder()
        links: dict[str, Pva | Ca] = {self._prefix: self._open()}
        try:
            for name, other in self.beside.items():
                prefix, _, bare = other.rpartition("://")
                prefix = prefix or self._prefix
                if prefix not in links:
                    links[prefix] = Ca() if prefix == "ca" else Pva((), 4)
                links[prefix].beside(name, bare, beside)
            yield from self._frames(list(links.values()), updates, beside, decoder)
        finally:
            self.connected = False
            for link in links.values():
                link.close()
            self.missed, self.given_again = updates.dropped, decoder.given_again
            if self.missed:
                log.warning("%s: %d updates found no room in the queue", self.pv, self.missed)

    def _frames(
        self, links: list[Pva | Ca], updates: Updates, beside: Beside, decoder: Decoder
    ) -> Generator[Arrival | Invalid | None]:
        link = links[0]
        link.frames(self.pv, updates)
        state = _State()
        while True:
            update = updates.get(_TICK)
            for other in links:
                if isinstance(other, Ca):
                    other.learn()
            if isinstance(link, Ca):
                decoder.unit = link.unit(self.pv) or decoder.unit
            if update is None or update.what != "value":
                self._connection(update, state, link, updates)
                yield None
                if self.idle is not None and state.quiet_s >= self.idle and state.known:
                    log.info("%s: nothing came for %g s", self.pv, self.idle)
                    return
                continue
            item = self._one(update, state, beside, decoder)
            if item is None:
                yield None
                continue
            state.begun = time.monotonic()
            yield item
            state.given += 1
            if state.given == self.count:
                return

    def _one(self, update: Update, state: _State, beside: Beside, decoder: Decoder) -> Arrival | Invalid | None:
        first, state.known = not state.known, True
        self.connected = True
        context, labels = beside.now()
        if state.lost_ns:
            away = (update.at_ns - state.lost_ns) / 1e9
            labels["connection"] = f"the PV had been away for {away:.1f} s before this frame"
        try:
            item = decoder(update.value, update.at_ns, context, labels)
        except WrongTypeError as e:
            if first:
                raise SourceError(
                    str(e),
                    where=self.source,
                    expected="an NTNDArray or a waveform of numbers",
                    remedy="Name the PV of the array, such as one that ends with Pva1:Image or :ArrayData",
                ) from e
            return decoder.invalid(str(e), np.frombuffer(repr(update.value).encode(), np.uint8))
        if state.away:
            state.away = False
            self.reconnects += 1
            log.warning("%s: connected again", self.pv)
        state.lost_ns = state.lost_ns if item is None and state.lost_ns else 0
        if not decoder.numbers.counts and not state.told_numbers:
            state.told_numbers = True
            log.warning("%s: uniqueId stands still: frames that are lost cannot be counted", self.pv)
        if first and not self.initial:
            return None  # what the PV held before we came
        return item

    def _connection(self, update: Update | None, state: _State, link: Pva | Ca, updates: Updates) -> None:
        """What happened to the connection; errors that waiting does not cure."""
        if update is not None:
            self.connected = update.what == "up"
        if update is not None and update.what == "up":
            state.known_to_be_there = True
        elif update is not None and update.what == "refused":
            state.why, state.again = str(update.value), time.monotonic() + _AGAIN
        if update is not None and update.what in ("down", "refused") and state.known and not state.away:
            state.away, state.lost_ns = True, state.lost_ns or update.at_ns
            log.warning("%s: the connection was lost (%s); waiting for it", self.pv, update.value)
        if state.again is not None and time.monotonic() >= state.again:
            state.again = None
            link.frames(self.pv, updates)
        if not state.known and not state.known_to_be_there and state.quiet_s >= self.connect:
            told = os.environ.get(self._addresses, "")
            raise SourceError(
                f"PV {self.pv} did not connect within {self.connect:g} s" + (f": {state.why}" if state.why else ""),
                where=self.source,
                expected=f"a PV that a server offers over {self._protocol}",
                remedy=f"Check its name, that its server runs, and {self._addresses} ({told or 'not set'})",
            )


class PvaFrames(_Reader):
    """Images (NTNDArray) or waveforms (NTScalarArray) of a PV over PV Access.

    `pv`: its name. `context`: {name: PV} of numbers and texts that belong to each frame (`ca://NAME` over Channel
    Access). `addresses`: servers besides those of the environment, such as "10.0.0.5". `connect`: how long the PV may
    take to connect. `idle`: ends when no frame came for so long. `count`: ends after so many. `queue`: updates that may
    wait. `clock_within`: how far the IOC's clock may be from ours. `initial`: the frame that the PV holds when we come
    counts too.
    """

    _protocol, _prefix, _addresses = "PV Access", "pva", "EPICS_PVA_ADDR_LIST"

    def __init__(
        self,
        pv: str,
        *,
        context: dict[str, str] | None = None,
        addresses: tuple[str, ...] = (),
        connect: Annotated[float, "s"] = 10.0,
        idle: Annotated[float, "s"] | None = None,
        count: int | None = None,
        queue: int = 100,
        clock_within: Annotated[float, "s"] = 5.0,
        initial: bool = False,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(pv, context, connect, idle, count, queue, clock_within, initial, detector)
        self.addresses = tuple(addresses)

    def _open(self) -> Pva:
        return Pva(self.addresses, self.queue)


class CaWaveforms(_Reader):
    """Waveforms, and images as waveforms, of a PV over Channel Access.

    Keys as for PV Access; where servers are is said by the environment alone. An image takes its shape from the
    detector file, and whole numbers their type, because Channel Access widens those without sign. It gives no frame
    numbers: what it leaves out is not noticed.
    """

    _protocol, _prefix, _addresses = "Channel Access", "ca", "EPICS_CA_ADDR_LIST"

    def __init__(
        self,
        pv: str,
        *,
        context: dict[str, str] | None = None,
        connect: Annotated[float, "s"] = 10.0,
        idle: Annotated[float, "s"] | None = None,
        count: int | None = None,
        queue: int = 100,
        clock_within: Annotated[float, "s"] = 5.0,
        initial: bool = False,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(pv, context, connect, idle, count, queue, clock_within, initial, detector)

    def _open(self) -> Ca:
        return Ca()


__all__ = ["CaWaveforms", "PvaFrames"]
