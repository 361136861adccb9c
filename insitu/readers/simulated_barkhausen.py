"""Simulated Barkhausen noise: a domain wall driven by a triangular field, an amplifier, and faults on demand.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. Frame `i` is a pure function of the
settings, the seed, the source's name and `i`:

    noise = amplitude v(t) sign(dH/dt), high-passed, + white noise of the amplifier
    v(t): the ABBM model stepped exactly with the driving rate c(H), `insitu.maths.magnetic.abbm`

The velocity at the start of a frame is drawn from its stationary law; the field goes on from frame to frame. The
driving rate has a peak at `peak_field` in up sweeps and at `-peak_field` in down sweeps (`Activity`). From frame
`change_frame` on driving rate, peak field and amplitude are multiplied by `change_c`, `change_peak` and
`change_amplitude`: what stress does (under tension a steel of positive magnetostriction makes more noise, at lower
fields). The envelope lags behind the driving rate by about a correlation time; `truth(i)` leaves that out.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.maths.magnetic.abbm import velocity
from insitu.readers.faults import KINDS, active, arrival_order, source_number
from insitu.readers.simulated_barkhausen_settings import (
    BARKHAUSEN_KINDS,
    Activity,
    BarkhausenTruth,
    barkhausen_fault,
    triangle,
)
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1
SAMPLES = 100_000
MAINS_HZ = 50.0


class Barkhausen:
    """A reader that simulates Barkhausen noise (see the head of this file).

    `frames`: how many (None: for ever); `paced`: wait between frames as an instrument does. `samples` of a frame
    (default: the detector's shape, else 100,000) at `sample_rate`. `frequency` and `field`: of the magnetising field,
    with `field_unit`; `with_field = false` leaves its channel out. `c`, `peak_field`, `width`, `background`,
    `amplitude`: `Activity`. `correlation_time` of the wall. `coupling`: corner of the high-pass, 0: none. `full_scale`
    of the converter. `field_noise`: of the field's channel, in parts of its amplitude.

    >>> arrival = next(Barkhausen(frames=1, samples=2000, sample_rate=2e5)())
    >>> arrival.data.shape, arrival.unit, arrival.labels["channels"], arrival.labels["simulated"]
    ((2, 2000), ('V', 'A/m'), 'noise field', 'true')
    """

    simulated = True
    labels = ("simulated", "instrument", "channels")

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        paced: bool = False,
        start: str = "",
        samples: int | None = None,
        sample_rate: Annotated[float, "Hz"] = 1e6,
        frequency: Annotated[float, "Hz"] = 20.0,
        field: float = 2000.0,
        field_unit: Literal["A/m", "T"] = "A/m",
        with_field: bool = True,
        c: float = 0.8,
        peak_field: float = 600.0,
        width: float = 700.0,
        background: float = 1e-3,
        amplitude: Annotated[float, "V"] = 0.05,
        correlation_time: Annotated[float, "s"] = 2e-5,
        coupling: Annotated[float, "Hz"] = 1000.0,
        amplifier_noise: Annotated[float, "V"] = 2e-3,
        field_noise: float = 1e-3,
        full_scale: Annotated[float, "V"] = 1.0,
        change_frame: int | None = None,
        change_c: float = 1.25,
        change_peak: float = 0.9,
        change_amplitude: float = 1.1,
        counter_start: int = 0,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        for name, value in (("amplifier_noise", amplifier_noise), ("field_noise", field_noise), ("coupling", coupling)):
            if not value >= 0.0:
                raise ConfigError(f"{name} is {value}", where=name, expected="0 or more")
        known = detector.shape[-1] if detector and detector.shape else None
        self.samples = int(samples or known or SAMPLES)
        if self.samples < 64:
            raise ConfigError(f"{self.samples} samples make no window", where="samples", expected="64 or more")
        self.dtype = np.dtype((detector.dtype if detector else None) or "float32")
        if self.dtype.kind != "f":
            raise ConfigError(f"volts cannot be stored as {self.dtype}", where="dtype", expected="a float type")
        self.source = detector.source if detector else "mbn"
        self.seed, self.paced, self.faults = seed, paced, tuple(barkhausen_fault(text) for text in faults)
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.sample_rate = positive(sample_rate, "sample_rate", "Hz")
        self.frequency, self.field = positive(frequency, "frequency", "Hz"), positive(field, "field", field_unit)
        self.field_unit, self.with_field, self.counter_start = field_unit, with_field, counter_start
        before = Activity(
            positive(c, "c"), peak_field, positive(width, "width", field_unit), positive(background, "background"),
            positive(amplitude, "amplitude", "V"),
        )  # fmt: skip
        after = before._replace(
            c=c * positive(change_c, "change_c"), peak=peak_field * change_peak,
            amplitude=amplitude * positive(change_amplitude, "change_amplitude"),
        )  # fmt: skip
        self.change_frame, self._activities = change_frame, (before, after)
        self._noise, self._full, self._coupling = (amplifier_noise, field_noise), full_scale, coupling
        positive(full_scale, "full_scale", "V")
        self.step = 1.0 / (self.sample_rate * positive(correlation_time, "correlation_time", "s"))
        self._start, self._first_ns = start, first_time_ns(start, live=paced)
        self._high_pass = self._designed()

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.paced and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began, duration = time.monotonic(), self.samples / self.sample_rate
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind in KINDS], indices):
            while self.paced and (left := began + (index + 1) * duration - time.monotonic()) > 0.0:
                time.sleep(min(left, IDLE_S))
                if left > IDLE_S:
                    yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the instrument gives it: a pure function of the settings."""
        now = active(self.faults, index)
        random = np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index))
        field, noise = self._waves(index, now, random)
        data = empty((2, self.samples) if self.with_field else (self.samples,), self.dtype)
        rows = data if self.with_field else data[None]
        np.clip(noise, -self._full, self._full, out=rows[0], casting="unsafe")
        if self.with_field:
            rows[1] = field + random.normal(0.0, self._noise[1] * self.field, self.samples)
        data.flags.writeable = False
        channels = "noise field" if self.with_field else "noise"
        return Arrival(
            source=self.source,
            data=data,
            dims=("channel", "sample") if self.with_field else ("sample",),
            unit=("V", self.field_unit) if self.with_field else "V",
            time_ns=self._time_ns(index),
            duration_ns=round(self.samples / self.sample_rate * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, self.counter_start, None),
            context={
                "sample_rate": Feature(self.sample_rate, "Hz"),
                "first_sample": Feature(index * self.samples, ""),
                "frequency": Feature(self.frequency, "Hz"),
            },
            labels={"simulated": "true", "instrument": "simulated.barkhausen", "channels": channels},
        )

    def truth(self, index: int) -> BarkhausenTruth:
        """The true answers for frame `index`."""
        activity, kept = self._activity(index), 1.0
        if self._coupling:
            # a first-order high-pass leaves this part of the variance of a process with one correlation time
            kept = 1.0 / (1.0 + 2.0 * math.pi * self._coupling / (self.step * self.sample_rate))
        square = activity.c * kept + (0.0 if self._coupling else activity.c**2)
        return BarkhausenTruth(
            index=index,
            source_seq=source_number(self.faults, index, self.counter_start, None),
            time_ns=self._time_ns(index),
            c=activity.c,
            peak_field=activity.peak,
            fwhm=activity.width if self._coupling else self._width_with_mean(activity),
            height=activity.amplitude * math.sqrt(square),
            changed=activity is self._activities[1],
            faults=tuple(kind for kind in active(self.faults, index) if kind in BARKHAUSEN_KINDS),
        )

    def _activity(self, index: int) -> Activity:
        return self._activities[self.change_frame is not None and index >= self.change_frame]

    def _time_ns(self, index: int) -> int:
        return self._first_ns + round(index * self.samples / self.sample_rate * 1e9)

    def _waves(
        self, index: int, now: Mapping[str, float], random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """True field and noise `(samples,)` before the converter."""
        at = (index * self.samples + np.arange(self.samples)) / self.sample_rate
        wave, up = triangle(at * self.frequency)
        strength, activity = now.get("magnet_off", 1.0), self._activity(index)
        field = self.field * strength * wave
        volts = np.zeros(self.samples)
        if strength > 0.0:
            rate = activity.rate(field, up) * strength
            v = velocity(rate, self.step, random)
            volts = self._coupled(activity.amplitude * np.where(up, v, -v), activity.amplitude * rate[0], bool(up[0]))
        if "loose_probe" in now:
            volts *= _contact(self.samples, now["loose_probe"], random)
        hum = now.get("hum", 0.0)
        if hum:
            turns = 2.0 * math.pi * MAINS_HZ * at
            volts += hum * (np.sin(turns) + 0.3 * np.sin(3.0 * turns + 1.0))
        volts += random.normal(0.0, self._noise[0], self.samples) if self._noise[0] else 0.0
        if "amplifier_off" in now:
            volts = random.normal(0.0, self._noise[0], self.samples) * now["amplifier_off"]
        return field, volts * now.get("clipped", 1.0)

    def _designed(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Coefficients and start values of the high-pass; None without one."""
        from scipy import signal

        if not self._coupling:
            return None
        if self._coupling >= 0.5 * self.sample_rate:
            raise ConfigError(
                f"coupling is {self._coupling:g} Hz", where="coupling", expected="less than half the sample rate"
            )
        sos = np.asarray(signal.butter(1, self._coupling, "high", fs=self.sample_rate, output="sos"))
        return sos, np.asarray(signal.sosfilt_zi(sos))

    def _coupled(self, volts: np.ndarray, mean: float, up: bool) -> np.ndarray:
        """Volts `(n,)` behind the high-pass, which has seen the mean before."""
        from scipy import signal

        if self._high_pass is None:
            return volts
        sos, start = self._high_pass
        return np.asarray(signal.sosfilt(sos, volts, zi=start * (mean if up else -mean))[0])

    def _width_with_mean(self, activity: Activity) -> float:
        """Full width at half height of sqrt(c + c^2), which the RMS with its mean follows."""
        quarter = 0.25 * (activity.c + activity.c**2)
        there = 0.5 * (math.sqrt(1.0 + 4.0 * quarter) - 1.0)
        return activity.width * math.sqrt(math.log(activity.c / there) / math.log(4.0))


def _contact(n: int, lost: float, random: np.random.Generator) -> np.ndarray:
    """1 where the probe touches `(n,)`, 0 where not: 50 stretches of random length, of which a part is lost."""
    ends = np.sort(random.integers(0, n, 49))
    touches = random.random(50) >= lost
    return np.repeat(touches.astype(np.float64), np.diff(np.concatenate([[0], ends, [n]])))
