"""A simulated production line: five sensors at different rates, load cycles that vary, and faults on demand.

SIMULATED AND PARAMETRIC, NOT MEASURED: every arrival carries the label `simulated = "true"`. Cycle `i` is a pure
function of the settings, the seed, the source's name and `i`. With the load L of the cycle, and its course p(t):

    temperature = 45 + 0.3 slow(t) + 0.15 white        flow  = (2 + 18 L p(t)) (1 + 0.5 leak)
    pressure    = (2 + 4 L p(t)) (1 - leak)           power = 0.5 + 3 L p(t) (1 + 0.3 leak)
    vibration   = 2 L (sin(2 pi f t) + 0.4 sin(4 pi f t)) + noise + bursts of the bearing

f is the shaft's frequency. L = 1 + `load_noise` (white from cycle to cycle) + `load_drift` (slow). Bursts repeat at the
defect frequency with 1 % of jitter and ring at a resonance. `Line.truth(i)` tells load, faults and the clean levels.
Frames have dims (channel, sample) as reader `line` gives them: rows are padded, the padding is masked.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.readers.faults import active, arrival_order, source_number
from insitu.readers.simulated_line_settings import CHANNELS, LINE_KINDS, line_fault, profile, wander
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1
PERIODS_S = (300.0, 477.0, 1110.0)
"""Of what is slow: the shop's temperature, the material."""
RESONANCE_HZ, RINGING_S, JITTER = 170.0, 0.01, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTruth:
    """The true answers for one cycle: its load, the faults in it, the strength of each, and the temperature without
    the sensor's drift."""

    index: int
    source_seq: int
    time_ns: int
    load: float
    temperature_degC: float
    faults: dict[str, float]


class Line:
    """A reader that simulates a production line (see the head of this file).

    `frames`, `rate` (of frames, for a live line), `start`, `counter_start`: as `simulated.diffractometer`.
    `cycle_time`: of a cycle, which is a frame. `shaft`, `defect`: frequencies. `load_noise`, `load_drift`: how the load
    varies, relative. `noise`: factor on the noise of all sensors. Faults: `insitu.readers.simulated_line_settings`.

    >>> reader = Line(frames=3, faults=["leak@2"])
    >>> first = next(iter(reader()))
    >>> first.data.shape, first.labels["channels"], reader.truth(2).faults
    ((5, 512), 'temperature pressure flow power vibration', {'leak': 0.15})
    """

    simulated = True
    labels = ("simulated", "channels")

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        start: str = "",
        cycle_time: Annotated[float, "s"] = 1.0,
        shaft: Annotated[float, "Hz"] = 29.7,
        defect: Annotated[float, "Hz"] = 107.3,
        load_noise: float = 0.03,
        load_drift: float = 0.02,
        noise: float = 1.0,
        counter_start: int = 0,
        faults: list[str] | None = None,
        detector: Detector | None = None,
    ) -> None:
        for name, value, most in (
            ("load_noise", load_noise, 0.2),
            ("load_drift", load_drift, 0.5),
            ("noise", noise, 1e3),
        ):
            if not 0.0 <= value <= most:
                raise ConfigError(f"{name} is {value}", where=name, expected=f"0 to {most:g}")
        self.source = detector.source if detector else "line"
        self.seed, self.counter_start = seed, counter_start
        self.counter_bits = detector.counter_bits if detector else None
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.cycle_time_s = positive(cycle_time, "cycle_time", "s")
        if min(c.rate_Hz for c in CHANNELS) * self.cycle_time_s < 2 or self.cycle_time_s > 3600:
            raise ConfigError(f"cycle_time is {cycle_time:g} s", where="cycle_time", expected="0.25 s to 1 h")
        self.shaft, self.defect = positive(shaft, "shaft", "Hz"), positive(defect, "defect", "Hz")
        self._loads, self.noise = (load_noise, load_drift), noise
        self.faults = tuple(line_fault(text) for text in faults or ())
        self._start, self._first_ns = start, first_time_ns(start, live=self.rate is not None)
        self._phases = self._random(0, 1).uniform(0.0, 2.0 * np.pi, (2, len(PERIODS_S)))
        self._context = {"sample_rate": Feature(max(c.rate_Hz for c in CHANNELS), "Hz")}
        self._context |= {
            f"rate_{c.name}": Feature(c.rate_Hz, "Hz") for c in CHANNELS if c.rate_Hz != CHANNELS[-1].rate_Hz
        }

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.rate is not None and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began = time.monotonic()
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind not in LINE_KINDS], indices):
            if self.rate is not None:  # absolute deadlines: a late cycle does not delay the ones after it
                while (left := began + (index + 1) / self.rate - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def truth(self, index: int) -> LineTruth:
        """The true answers for cycle `index`."""
        now = {k: v for k, v in active(self.faults, index).items() if k in LINE_KINDS}
        return LineTruth(
            index=index,
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            time_ns=self._time_ns(index),
            load=self._load(index),
            temperature_degC=self._temperature(index),
            faults=now,
        )

    def arrival(self, index: int) -> Arrival:
        """Cycle `index` as the line gives it: a pure function of the settings."""
        channels = self._channels(index)
        data = empty((len(CHANNELS), max(len(c) for c in channels)), np.dtype(np.float32))
        mask = np.zeros(data.shape, bool)
        for row, values in enumerate(channels):
            data[row, : len(values)], data[row, len(values) :] = values, 0.0
            mask[row, len(values) :] = True
        mask |= ~np.isfinite(data)
        data.flags.writeable = False
        return Arrival(
            source=self.source,
            data=data,
            dims=("channel", "sample"),
            unit=tuple(c.unit for c in CHANNELS),
            time_ns=self._time_ns(index),
            duration_ns=round(self.cycle_time_s * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            mask=mask,
            context=self._context,
            labels={"simulated": "true", "channels": " ".join(c.name for c in CHANNELS)},
        )

    def _channels(self, index: int) -> list[np.ndarray]:
        """The values of each channel in cycle `index`, at its own rate."""
        now, random, truth = active(self.faults, index), self._random(index, 0), self.truth(index)
        leak, load = now.get("leak", 0.0), truth.load
        times = [np.arange(round(c.rate_Hz * self.cycle_time_s)) / c.rate_Hz for c in CHANNELS]
        loads = [load * profile(t / self.cycle_time_s) for t in times]
        begins = index * self.cycle_time_s
        turn = 2.0 * np.pi * self.shaft * (begins + times[4])
        found = [
            np.full(times[0].size, truth.temperature_degC),
            (2.0 + 4.0 * loads[1]) * (1.0 - leak),
            (2.0 + 18.0 * loads[2]) * (1.0 + 0.5 * leak),
            0.5 + 3.0 * loads[3] * (1.0 + 0.3 * leak),
            2.0 * load * (np.sin(turn) + 0.4 * np.sin(2.0 * turn)),
        ]
        found = [
            x + self.noise * c.noise * random.standard_normal(x.size) for x, c in zip(found, CHANNELS, strict=True)
        ]
        if (peak := now.get("bearing_wear", 0.0)) > 0.0:
            found[4] = found[4] + peak * CHANNELS[4].noise * self._bursts(begins, times[4])
        if "drift" in now:
            first = max(f.first for f in self.faults if f.kind == "drift" and f.covers(index))
            found[0] = found[0] + now["drift"] * (index - first + 1) / 100.0
        if "stuck" in now:
            first = max(f.first for f in self.faults if f.kind == "stuck" and f.covers(index))
            found[1] = np.full(found[1].size, self._before(first))
        if (part := now.get("dropout", 0.0)) > 0.0:
            found[2][: max(round(part * found[2].size), 1)] = np.nan
        return found

    def _before(self, first: int) -> float:
        """The last value of the pressure before cycle `first`; at the very beginning, that without load."""
        if first == 0:
            return 2.0
        random, load = self._random(first - 1, 2), self._load(first - 1)
        return 2.0 + 4.0 * load * float(profile(np.array([0.85]))[0]) + self.noise * CHANNELS[1].noise * random.normal()

    def _bursts(self, begins: float, times: np.ndarray) -> np.ndarray:
        """Bursts of unit height: each rings at the resonance and dies away; their times jitter with the slip."""
        first, last = int(begins * self.defect) - 2, int((begins + self.cycle_time_s) * self.defect) + 1
        out = np.zeros(times.size)
        for k in range(max(first, 0), last + 1):
            slip = JITTER * np.random.default_rng((self.seed, 7, k)).standard_normal()
            after = begins + times - (k + slip) / self.defect
            ringing = after >= 0.0
            out[ringing] += np.exp(-after[ringing] / RINGING_S) * np.sin(2.0 * np.pi * RESONANCE_HZ * after[ringing])
        return out - out.mean() if out.size else out  # a burst shakes, it pushes nothing away

    def _load(self, index: int) -> float:
        noise, drift = self._loads
        white = float(np.clip(self._random(index, 3).standard_normal(), -4.0, 4.0))
        return 1.0 + noise * white + drift * wander(index * self.cycle_time_s, self._phases[0], PERIODS_S)

    def _temperature(self, index: int) -> float:
        slow = wander(index * self.cycle_time_s, self._phases[1], PERIODS_S)
        return 45.0 + 0.3 * slow + 0.15 * float(self._random(index, 4).standard_normal())

    def _time_ns(self, index: int) -> int:
        period = self.cycle_time_s if self.rate is None else 1.0 / self.rate
        return self._first_ns + round(index * period * 1e9)

    def _random(self, index: int, what: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index, what))
