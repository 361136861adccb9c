"""A simulated magnetometer: hysteresis loops of a sample that changes, with faults on demand.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. Loop `i` is a pure function of settings,
the seed, the source's name and `i`: the settled loop of the model of Jiles and Atherton
(`insitu.maths.magnetic.jiles_atherton`) between +-`field`, whose pinning `k`, and with it the coercive field, goes from
1 to `change` times its value between the frames `change_at` and `change_at + over` (annealing, ageing, stress); beneath
it a `slope`, above it noise. Every `backfield_every`-th frame is a backfield curve instead. `LoopSeries.truth(i)` tells
the true answers.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.maths.magnetic.jiles_atherton import MU0, Material, coercive_field, remanences, settled_loop
from insitu.readers.faults import Fault, Kind, active, arrival_order, parse_fault, source_number, with_transport
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

LOOP_KINDS: dict[str, Kind] = {
    "clipped": Kind("the amplifier clips", "largest moment shown, as a part of the true one", 0.7, 0.05, 1.0),
    "drift": Kind("the moment drifts evenly", "by this part of the largest moment", 0.1, -10.0, 10.0),
    "spike": Kind("a point stands out", "by this part of the largest moment", 0.2, -10.0, 10.0),
    "not_closed": Kind(
        "the sweep ends before the loop is closed", "part of the points that is missing", 0.3, 0.01, 0.9
    ),
    "small_field": Kind("the magnet does not reach its field", "part of it that is reached", 0.05, 0.001, 1.0),
}
"""Faults of loops; beside them those of the transport (`faults.KINDS`)."""
ALLOWED = with_transport(LOOP_KINDS)
BACK_POINTS = 61
IDLE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTruth:
    """What is true of frame `index`: `bc` in T, `mr`, `ms` in A m^2/kg, of the sample without faults; which faults it
    has."""

    index: int
    curve: str
    bc: float
    mr: float
    ms: float
    faults: tuple[str, ...]


def loop_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that a loop can have.

    >>> loop_fault("clipped@20=0.5")
    Fault(kind='clipped', first=20, last=None, strength=0.5)
    """
    return parse_fault(text, ALLOWED, of="a loop")


class LoopSeries:
    """A reader that simulates a magnetometer (see the head of this file).

    `frames`, `rate`, `start`, `counter_*`, `faults`: as `simulated.diffractometer`. `points` of a loop, from +`field`
    to -`field` and back. `ms` of the sample in A m^2/kg; `a`, `k` of the model as fields; `coupling`: alpha Ms/(3 a), 0
    to less than 1; `reversible`: its c. `slope` in A m^2/kg/T. `noise` (rms) as a part of `ms`. `field_offset`,
    `moment_offset` (part of `ms`). `loop_time` of a loop. `temperature` of the first loop, `temperature_step` from loop
    to loop, in K.

    >>> first = next(iter(LoopSeries(frames=1)()))
    >>> first.data.shape, first.unit, first.labels["curve"], first.labels["simulated"]
    ((2, 802), ('T', 'A m^2/kg'), 'loop', 'true')
    """

    simulated = True
    labels = ("simulated", "sample", "instrument", "channels", "curve")

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        start: str = "",
        points: int = 802,
        field: Annotated[float, "T"] = 1.0,
        ms: float = 1.0,
        a: Annotated[float, "T"] = 0.03,
        k: Annotated[float, "T"] = 0.03,
        coupling: float = 0.2,
        reversible: float = 0.2,
        slope: float = 0.1,
        noise: float = 1e-3,
        field_offset: Annotated[float, "T"] = 0.0,
        moment_offset: float = 0.0,
        change: float = 1.3,
        change_at: int = 40,
        over: int = 20,
        backfield_every: int = 0,
        loop_time: Annotated[float, "s"] = 60.0,
        temperature: Annotated[float, "K"] = 300.0,
        temperature_step: float = 0.0,
        counter_start: int = 0,
        counter_bits: int | None = None,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        if points < 40:
            raise ConfigError(f"{points} points make no loop", where="points", expected="40 or more")
        for name, value, most in (
            ("coupling", coupling, 0.99), ("reversible", reversible, 0.99), ("noise", noise, 10.0), ("over", over, 1e9),
            ("change_at", change_at, 1e9), ("backfield_every", backfield_every, 1e9),
        ):  # fmt: skip
            if not 0 <= value <= most:
                raise ConfigError(f"{name} is {value}", where=name, expected=f"0 to {most:g}")
        self.source = detector.source if detector else "vsm"
        self.seed, self.points, self.field = seed, points, positive(field, "field", "T")
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.ms, self.a, self.k = positive(ms, "ms"), positive(a, "a", "T"), positive(k, "k", "T")
        self.coupling, self.reversible, self.slope, self.noise = coupling, reversible, slope, noise
        self.field_offset, self.moment_offset = field_offset, moment_offset
        self.change, self.change_at, self.over = positive(change, "change"), change_at, over
        self.backfield_every, self.loop_time_s = backfield_every, positive(loop_time, "loop_time", "s")
        self.temperature, self.temperature_step = positive(temperature, "temperature", "K"), temperature_step
        self.faults = tuple(loop_fault(text) for text in faults)
        self.counter_start = counter_start
        self.counter_bits = counter_bits or (detector.counter_bits if detector else None)
        self._start, self._first_ns = start, first_time_ns(start, live=self.rate is not None)
        self._period_s = max(self.loop_time_s, 0.0 if self.rate is None else 1.0 / self.rate)

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.rate is not None and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began = time.monotonic()
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind not in LOOP_KINDS], indices):
            if self.rate is not None:  # absolute deadlines: a late loop does not delay the ones after it
                due = began + (index + 1) / self.rate
                while (left := due - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the magnetometer gives it: a pure function of the settings."""
        now = active(self.faults, index)
        random = np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index))
        back = self.is_backfield(index)
        b, m = self._backfield(index) if back else self._loop(index, self.field * now.get("small_field", 1.0))
        m = m + self.noise * self.ms * random.standard_normal(m.size)
        b, m = self._spoilt(b, m, now, random)
        data = empty((2, b.size), np.dtype(np.float64))
        data[0], data[1] = b, m
        data.flags.writeable = False
        temperature = self.temperature + index * self.temperature_step
        return Arrival(
            source=self.source,
            data=data,
            dims=("channel", "point"),
            unit=("T", "A m^2/kg"),
            time_ns=self._first_ns + round(index * self._period_s * 1e9),
            duration_ns=round(self.loop_time_s * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            context={"temperature": Feature(temperature, "K")},
            labels={
                "simulated": "true",
                "sample": "simulated",
                "instrument": "simulated magnetometer",
                "channels": "field moment",
                "curve": "backfield" if back else "loop",
            },
        )

    def is_backfield(self, index: int) -> bool:
        """Whether frame `index` is a backfield curve."""
        return self.backfield_every > 0 and index % self.backfield_every == self.backfield_every - 1

    def material(self, index: int) -> Material:
        """The sample as frame `index` finds it, with a saturation of 1 A/m: the model does not depend on its size."""
        progress = float(np.clip((index - self.change_at) / self.over, 0.0, 1.0)) if self.over else float(
            index >= self.change_at
        )  # fmt: skip
        k = self.k * (1.0 + (self.change - 1.0) * progress)
        return Material(ms=1.0, a=self.a / MU0, k=k / MU0, alpha=3.0 * self.a / MU0 * self.coupling, c=self.reversible)

    def truth(self, index: int) -> LoopTruth:
        """The true answers for frame `index`."""
        material, top = self.material(index), self.field / MU0
        path = np.array([top, 0.0, -top, 0.0, top])
        return LoopTruth(
            index=index,
            curve="backfield" if self.is_backfield(index) else "loop",
            bc=MU0 * coercive_field(material, top),
            mr=self.ms * float(settled_loop(path, material)[1]),
            ms=self.ms,
            faults=tuple(kind for kind in active(self.faults, index) if kind in LOOP_KINDS),
        )

    def _loop(self, index: int, top: float) -> tuple[np.ndarray, np.ndarray]:
        """Field as the instrument tells it and moment, without noise."""
        b, m = _settled(self.material(index), top, self.points)
        return b + self.field_offset, self.ms * m + self.slope * b + self.moment_offset * self.ms

    def _backfield(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Fields against the saturation, closer together where they are small, and what remains after each."""
        b = -self.field * np.linspace(0.0, 1.0, BACK_POINTS) ** 2
        return b, self.ms * remanences(b / MU0, self.material(index), self.field / MU0)

    def _spoilt(
        self, b: np.ndarray, m: np.ndarray, now: dict[str, float], random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Field and moment with the faults of this frame."""
        largest = float(np.abs(m).max())
        if "drift" in now:
            m = m + now["drift"] * largest * np.linspace(0.0, 1.0, m.size)
        if "spike" in now:
            m = m.copy()
            m[int(random.integers(m.size // 8, m.size // 3))] += now["spike"] * largest
        if "clipped" in now:
            m = np.clip(m, -now["clipped"] * largest, now["clipped"] * largest)
        if "not_closed" in now:
            kept = max(int(m.size * (1.0 - now["not_closed"])), 4)
            b, m = b[:kept], m[:kept]
        return b, m


@lru_cache(maxsize=4)
def _settled(material: Material, top: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Field in T and moment over saturation; a sample that does not change has the same loop in every frame."""
    half = points // 2
    b = np.concatenate([np.linspace(top, -top, half), np.linspace(-top, top, points - half)])
    return b, settled_loop(b / MU0, material)
