"""A simulated magnetic core under a sinusoidal drive: B and H, or voltage and current, swept in frequency or amplitude.

SIMULATED AND PARAMETRIC, NOT MEASURED: every arrival carries the label `simulated = "true"`. Frame `i` is a pure
function of the settings, the seed, the source's name and `i`, so that two runs agree byte for byte:

    B(t) = sum_k Re(B_k e^(jk w t)),   H_k = B_k / (mu0 mu(k f, B)) + harmonics of the material
    v = turns area dB/dt,   i = H length / turns                  (`simulated_core_settings.Material` gives mu)

The phase of the drive is another one in every frame, and the window holds no whole number of periods. What a channel
reads is off by a phase, a delay, noise, and by what faults do. `DrivenCore.truth(i)` tells the true answers.

Default: a ferrite like MnZn at 100 kHz and 50 mT, 1 ms at 10 MS/s.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator
from itertools import count
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.maths.magnetic.permeability import MU0
from insitu.readers.faults import KINDS, active, arrival_order, source_number
from insitu.readers.simulated_core_settings import CORE_KINDS, CoreTruth, Material, core_fault
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1
MAINS_HZ = 50.0


class DrivenCore:
    """A reader that simulates a core (see the head of this file).

    `frames`, `rate`, `start`, `counter_*`: as `simulated.diffractometer`. `frequency`, `amplitude` (peak of B): fixed;
    or swept in `steps` frames, in equal ratios, to `frequency_stop`, `amplitude_stop`, over and over. `sample_rate`,
    `window`: of a frame. `channels`: "b h", or "v i" with `turns`, `area`, `length`. `noise`: rms of each channel over
    its peak. `phase_error`, `delay`: by which B is read too late. `harmonics` of H (third, fifth, ...; over its first),
    which cost no power; `distortion` of B (second, third, ...; over its peak). `walls` ... `rayleigh`: the material.
    Faults: `insitu.readers.simulated_core_settings`.

    >>> reader = DrivenCore(frames=2)
    >>> first = next(reader())
    >>> first.data.shape, first.dims, first.labels["channels"], first.unit
    ((2, 10000), ('channel', 'sample'), 'b h', ('T', 'A/m'))
    """

    simulated = True
    labels = ("simulated", "instrument", "channels", "sample")

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        start: str = "",
        frequency: Annotated[float, "Hz"] = 100e3,
        frequency_stop: Annotated[float, "Hz"] | None = None,
        amplitude: Annotated[float, "T"] = 0.05,
        amplitude_stop: Annotated[float, "T"] | None = None,
        steps: int = 20,
        sample_rate: Annotated[float, "Hz"] = 10e6,
        window: Annotated[float, "s"] = 1e-3,
        channels: Literal["b h", "v i"] = "b h",
        turns: float = 10.0,
        area: Annotated[float, "m^2"] = 5e-5,
        length: Annotated[float, "m"] = 0.06,
        noise: float = 1e-3,
        phase_error: Annotated[float, "deg"] = 0.0,
        delay: Annotated[float, "s"] = 0.0,
        harmonics: list[float] | None = None,
        distortion: list[float] | None = None,
        walls: float = 1400.0,
        walls_at: Annotated[float, "Hz"] = 1.3e6,
        damping: float = 0.8,
        spins: float = 700.0,
        spins_at: Annotated[float, "Hz"] = 4e6,
        rayleigh: float = 1.3e4,
        counter_start: int = 0,
        counter_bits: int | None = None,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        for name, value in (("noise", noise), ("walls", walls), ("spins", spins), ("rayleigh", rayleigh)):
            if not value >= 0:
                raise ConfigError(f"{name} is {value}", where=name, expected="0 or more")
        self.source = detector.source if detector else "core"
        self.seed, self.noise, self.steps = seed, noise, int(positive(steps, "steps"))
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.sample_rate = positive(sample_rate, "sample_rate", "Hz")
        self._frequency = _ends(frequency, frequency_stop, "frequency", "Hz")
        self._amplitude = _ends(amplitude, amplitude_stop, "amplitude", "T")
        if not max(self._frequency) < 0.4 * sample_rate:
            raise ConfigError(
                f"{max(self._frequency):g} Hz is too fast for {sample_rate:g} samples a second",
                where="sample_rate", expected="at least 2.5 times the frequency",
            )  # fmt: skip
        self.samples = round(positive(window, "window", "s") * sample_rate)
        if self.samples < 16:
            raise ConfigError(f"{self.samples} samples make no window", where="window", expected="16 or more")
        self.channels = channels
        self.turns, self.area, self.length = (
            positive(turns, "turns"), positive(area, "area", "m^2"), positive(length, "length", "m")
        )  # fmt: skip
        self._late = math.radians(phase_error), delay
        self._harmonics, self._distortion = tuple(harmonics or ()), tuple(distortion or ())
        self.material = Material(
            walls=walls, walls_at=positive(walls_at, "walls_at", "Hz"), damping=positive(damping, "damping"),
            spins=spins, spins_at=positive(spins_at, "spins_at", "Hz"), rayleigh=rayleigh,
        )  # fmt: skip
        self.faults = tuple(core_fault(text) for text in faults)
        self.counter_start = counter_start
        self.counter_bits = counter_bits or (detector.counter_bits if detector else None)
        self._start, self._first_ns = start, first_time_ns(start, live=self.rate is not None)
        self._window_s = self.samples / self.sample_rate
        self._period_s = max(self._window_s, 0.0 if rate is None else 1.0 / rate)
        self.dtype = np.dtype((detector.dtype if detector else None) or "float64")
        if self.dtype.kind != "f":
            raise ConfigError(f"B and H cannot be stored as {self.dtype}", where="dtype", expected="a float type")

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.rate is not None and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began = time.monotonic()
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind not in CORE_KINDS], indices):
            if self.rate is not None:  # absolute deadlines: a late frame does not delay the ones after it
                due = began + index * self._period_s + self._window_s
                while (left := due - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the instrument gives it: a pure function of the settings."""
        truth, now = self.truth(index), active(self.faults, index)
        random = np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index))
        b, h = self._lines(truth, random.uniform(0.0, 2.0 * math.pi), now)
        k = np.arange(1, b.size + 1)
        if self.channels == "v i":
            b = b * 2j * math.pi * truth.frequency * k * self.turns * self.area
            h = h * self.length / self.turns
        b = b * np.exp(-1j * (self._late[0] + math.radians(now.get("late", 0.0)) + self._turns_late(truth) * k))
        turns = truth.frequency / self.sample_rate * np.arange(self.samples)
        wave = np.exp(2j * math.pi * (turns - np.rint(turns)))
        data = np.empty((2, self.samples))
        for row, lines in zip(data, (b, h), strict=True):
            row[:] = np.real(np.polyval([*lines[::-1], 0.0], wave))
        peaks = np.abs([b[0], h[0]])
        data *= now.get("no_drive", 1.0)
        data[0] *= now.get("open", 1.0)
        t = truth.time_ns * 1e-9 % 1.0 + np.arange(self.samples) / self.sample_rate
        data[1] += now.get("hum", 0.0) * peaks[1] * np.sin(2.0 * math.pi * MAINS_HZ * t)
        data += (self.noise * now.get("noisy", 1.0) * peaks)[:, None] * random.standard_normal(data.shape)
        if "clipped" in now:
            data[1] = np.clip(data[1], -now["clipped"] * peaks[1], now["clipped"] * peaks[1])
        given = empty(data.shape, self.dtype)
        given[...] = data
        given.flags.writeable = False
        return Arrival(
            source=self.source,
            data=given,
            dims=("channel", "sample"),
            unit=("T", "A/m") if self.channels == "b h" else ("V", "A"),
            time_ns=truth.time_ns,
            duration_ns=round(self._window_s * 1e9),
            clock="ioc",
            source_seq=truth.source_seq,
            context={
                "sample_rate": Feature(self.sample_rate, "Hz"),
                "first_sample": Feature(index * self.samples, ""),
                "frequency": Feature(truth.declared, "Hz"),
            },
            labels={
                "channels": self.channels, "simulated": "true", "instrument": "simulated.core", "sample": "ferrite",
            },
        )  # fmt: skip

    def truth(self, index: int) -> CoreTruth:
        """The true answers for frame `index`."""
        now = active(self.faults, index)
        declared, b_peak = (self._at(ends, index) for ends in (self._frequency, self._amplitude))
        frequency = declared * (1.0 + now.get("unlocked", 0.0))
        mu = complex(self.material.permeability(frequency, b_peak, now.get("cracked", 0.0)))
        late = self._late[0] + 2.0 * math.pi * frequency * self._late[1] + math.radians(now.get("late", 0.0))
        return CoreTruth(
            index=index,
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            time_ns=self._first_ns + round(index * self._period_s * 1e9),
            frequency=frequency,
            declared=declared,
            mu_real=mu.real,
            mu_imag=-mu.imag,
            loss=-math.pi * frequency * b_peak**2 * mu.imag / (MU0 * abs(mu) ** 2),
            b_peak=b_peak,
            h_peak=b_peak / (MU0 * abs(mu)),
            phase_error=late,
            faults=tuple(kind for kind in now if kind not in KINDS or not KINDS[kind].transport),
        )

    def _turns_late(self, truth: CoreTruth) -> float:
        return 2.0 * math.pi * truth.frequency * self._late[1]

    def _at(self, ends: tuple[float, float], index: int) -> float:
        """Where a sweep is in frame `index`."""
        share = index % self.steps / max(self.steps - 1, 1)
        return ends[0] * (ends[1] / ends[0]) ** share

    def _lines(self, truth: CoreTruth, phase: float, now: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Complex amplitudes of B and H, harmonics 1 to K below half of the sample rate."""
        most = max(min(2 * len(self._harmonics) + 1, 99), len(self._distortion) + 1)
        order = max(min(most, int(0.49 * self.sample_rate / truth.frequency)), 1)
        k = np.arange(1, order + 1)
        shape = np.zeros(order, complex)
        shape[0] = 1.0
        shape[1:] += np.asarray(self._distortion[: order - 1] + (0.0,) * max(order - 1 - len(self._distortion), 0))
        b = truth.b_peak * shape * np.exp(1j * k * phase)
        mu = self.material.permeability(truth.frequency * k, truth.b_peak, now.get("cracked", 0.0))
        h = b / (MU0 * mu)
        for i, part in enumerate(self._harmonics):
            if 2 * i + 3 <= order:
                h[2 * i + 2] += part * truth.h_peak * np.exp(1j * (2 * i + 3) * phase)
        return b, h


def _ends(first: float, last: float | None, where: str, unit: str) -> tuple[float, float]:
    positive(first, where, unit)
    return first, first if last is None else positive(last, f"{where}_stop", unit)
