"""A simulated powder diffractometer: patterns computed from published structures, with faults on demand.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. Frame `i` is a pure function of the
settings, the seed, the source's name and `i`, so that two runs agree byte for byte:

    counts(2 theta) ~ Poisson((t/t0) (beam (Bragg(T) + background) + dark)),    T = T_start + i step

Bragg(T) sums pseudo-Voigt lines of Caglioti width over the phases of the sample (`insitu.maths.diffraction.powder`),
scaled so that the strongest point of the first pattern is `peak_counts` at the exposure t0 first set.
`Diffractometer.truth(i)` tells the true answers. `adapt` may change `exposure_s` and `temperature_step` later.

Default: barium titanate heated from 320 K through its transition (393 K, frame 183) to 450 K, where it stays.
"""

import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ActionRefusedError, ConfigError
from insitu.maths.aligned import empty
from insitu.maths.diffraction.phases import BATIO3_TRANSITION_K, SAMPLES
from insitu.maths.diffraction.powder import Width, amorphous_hump, background
from insitu.readers.faults import KINDS, active, arrival_order, parse_fault, source_number
from insitu.readers.heated_sample import Geometry, HeatedSample, Truth
from insitu.readers.simulated_settings import Settings, angles, counter_top, first_time_ns, positive, wavelength_of
from insitu.types import Arrival, Axis, Detector, Feature

DARK_COUNTS = 0.5
"""Dark counts per point in the exposure first set."""
SLIPPED_PART = 0.35
"""Part of the intensity left when the sample has slipped out of the beam's centre."""
RING_PART = 0.05
"""Height of the broad ring of the lost phase, over `peak_counts`."""
IDLE_S = 0.1
"""Longest sleep between two looks while waiting for the next frame."""


class Diffractometer:
    """A reader that simulates a powder diffractometer on a furnace (see the head of this file).

    `frames`: how many, None without end. `rate`: frames a second of real time, None as fast as they are taken; the
    time from frame to frame is the longer of `exposure` and 1/`rate`. `start`: ISO time of the first frame, "now", or
    "" for "now" when paced by `rate` and 2026-01-01 otherwise. `points`: default the detector's shape, else 4096.
    `temperature_start`, `temperature_step` (a frame), `temperature_stop`: default a heating ramp for batio3, 295.65 K
    for the others. `counter_start`, `counter_bits`: the instrument's own numbers. `faults`: `insitu.readers.faults`.

    >>> reader = Diffractometer(frames=2, faults=("dead@1",))
    >>> first, second = (arrival for arrival in reader() if arrival is not None)
    >>> first.labels["simulated"], int(first.data.max()) > 1000, int(second.data.max())
    ('true', True, 0)
    """

    simulated = True
    labels = ("simulated", "sample", "instrument")

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        exposure: Annotated[float, "s"] = 0.04,
        start: str = "",
        sample: Literal["batio3", "ceo2", "si", "al2o3", "tio2"] = "batio3",
        temperature_start: Annotated[float, "K"] | None = None,
        temperature_step: Annotated[float, "K"] | None = None,
        temperature_stop: Annotated[float, "K"] | None = None,
        transition: Annotated[float, "K"] = BATIO3_TRANSITION_K,
        points: int | None = None,
        two_theta_start: Annotated[float, "deg"] = 20.0,
        two_theta_stop: Annotated[float, "deg"] = 60.95,
        wavelength: Annotated[float, "angstrom"] | None = None,
        peak_counts: float = 5000.0,
        background_counts: float = 40.0,
        monitor_counts: float = 100_000.0,
        saturation: float | None = None,
        counter_start: int = 0,
        counter_bits: int | None = None,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        if sample not in SAMPLES:
            raise ConfigError(
                f"sample {sample!r} is not known", where="sample", expected=f"one of {', '.join(SAMPLES)}"
            )
        self.source = detector.source if detector else "det"
        self.sample = sample
        self.seed, self.frames = seed, None if frames is None else int(positive(frames, "frames"))
        self.faults = tuple(parse_fault(text) for text in faults)
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.wavelength = wavelength_of(wavelength, detector)
        self.two_theta = angles(two_theta_start, two_theta_stop, points, detector)
        self.dtype, self.saturation = counter_top(saturation, detector)
        self.counter_start = counter_start
        self.counter_bits = counter_bits or (detector.counter_bits if detector else None)
        self.monitor_counts = positive(monitor_counts, "monitor_counts")
        self._limits = detector.limits if detector else {}
        self._start = start
        self._axes = {"two_theta": Axis(self.two_theta, "deg")}
        self._labels = {"simulated": "true", "sample": sample, "instrument": "simulated.diffractometer"}
        ramp = (320.0, 0.4, 450.0) if sample == "batio3" else (295.65, 0.0, None)
        begin = ramp[0] if temperature_start is None else positive(temperature_start, "temperature_start", "K")
        step = ramp[1] if temperature_step is None else temperature_step
        stop = temperature_stop if temperature_stop is not None else ramp[2] if temperature_step is None else None
        if stop is not None and (stop - begin) * step < 0.0:
            raise ConfigError(
                f"steps of {step:g} K lead away from {stop:g} K, starting at {begin:g} K", where="temperature_step"
            )
        first = first_time_ns(start, live=self.rate is not None)
        self._settings = Settings(begin, step, stop, positive(exposure, "exposure", "s"), self.rate, first)
        self._powder = HeatedSample(sample, self.two_theta, self.wavelength, transition, Width())
        self._scale = positive(peak_counts, "peak_counts") / float(self._powder.curve(begin, Geometry()).max())
        self._background = background_counts * background(self.two_theta)
        self._ring = RING_PART * peak_counts * amorphous_hump(self.two_theta, self.wavelength)
        self._lock, self._next = threading.Lock(), 0

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        self._next = 0
        if self.rate is not None and self._start in ("", "now"):
            self._settings.start_at(time.time_ns())
        began, zero = time.monotonic(), self._settings.time_ns(0)
        for index in arrival_order(self.faults, self._claimed()):
            if self.rate is not None:  # absolute deadlines: a late frame does not delay the ones after it
                due = (self._settings.time_ns(index) - zero) * 1e-9 + self._settings.exposure_s(index)
                while (left := began + due - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the instrument gives it: a pure function of the settings so far."""
        exposure, temperature = self._settings.exposure_s(index), self._settings.temperature(index)
        relative = exposure / self._settings.first_exposure_s
        now = active(self.faults, index)
        # the source's name is part of the seed: two detectors of one seed do not count the same noise
        random = np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index))
        monitor = random.poisson(self.monitor_counts * relative * self._beam(now))
        data = empty(self.two_theta.shape, self.dtype)
        if "dead" in now:
            data[:] = min(now["dead"], self.saturation)
        else:
            counts = random.poisson(relative * self._expected(temperature, now))
            np.minimum(counts, self.saturation, out=data, casting="unsafe")
        data.flags.writeable = False
        return Arrival(
            source=self.source,
            data=data,
            dims=("two_theta",),
            unit="counts",
            time_ns=self._settings.time_ns(index),
            duration_ns=round(exposure * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            axes=self._axes,
            context={
                "temperature": Feature(temperature, "K"),
                "wavelength": Feature(self.wavelength, "angstrom"),
                "exposure_s": Feature(exposure, "s"),
                "monitor": Feature(int(monitor), "counts"),
            },
            labels=self._labels,
        )

    def truth(self, index: int) -> Truth:
        """The true answers for frame `index`: temperature, phases, lines as this frame has them, faults."""
        exposure, temperature = self._settings.exposure_s(index), self._settings.temperature(index)
        now = active(self.faults, index)
        scale = self._scale * exposure / self._settings.first_exposure_s * self._lit(now)
        return Truth(
            index=index,
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            time_ns=self._settings.time_ns(index),
            temperature_K=temperature,
            exposure_s=exposure,
            fractions=self._powder.fractions(temperature),
            peaks=self._powder.peaks(temperature, _geometry(now), scale),
            faults=tuple(kind for kind in now if not KINDS[kind].transport),
        )

    def adapt(self, params: Mapping[str, Feature]) -> None:
        """Change `exposure_s` (s) or `temperature_step` (K) from the next frame on; anything else is refused whole."""
        units = {"exposure_s": "s", "temperature_step": "K"}
        values: dict[str, float] = {}
        for name, wanted in params.items():
            if name not in units:
                raise ActionRefusedError(
                    f"the simulated diffractometer cannot set {name!r}",
                    where=name,
                    expected=f"one of {', '.join(units)}",
                )
            if wanted.value is None or wanted.unit != units[name]:
                raise ActionRefusedError(f"{name} cannot be {wanted}", where=name, expected=f"a value in {units[name]}")
            limit = self._limits.get(name)
            if limit is not None and not limit.low <= wanted.value <= limit.high:
                raise ActionRefusedError(
                    f"{name} = {wanted.value:g} {wanted.unit} is out of limits",
                    where=name,
                    expected=f"{limit.low:g} to {limit.high:g} {limit.unit}",
                )
            values[name] = float(wanted.value)
        if values.get("exposure_s", 1.0) <= 0.0:
            raise ActionRefusedError("an exposure must be over 0 s", where="exposure_s", expected="a positive time")
        with self._lock:
            self._settings.change(self._next, **values)

    def _claimed(self) -> Iterator[int]:
        """Indices in order; one that is given out is taken with the settings of that moment (`adapt` comes after)."""
        while self.frames is None or self._next < self.frames:
            with self._lock:
                index = self._next
                self._next += 1
            yield index

    def _beam(self, now: Mapping[str, float]) -> float:
        """Beam at the monitor, over the normal one."""
        return now.get("beam_loss", 1.0) * now.get("saturation", 1.0)

    def _lit(self, now: Mapping[str, float]) -> float:
        """What the sample's lines have left of their normal intensity."""
        part = 0.0 if "dead" in now else self._beam(now) * now.get("shutter", 1.0) * now.get("lost_phase", 1.0)
        return part * SLIPPED_PART if "slipped" in now else part

    def _expected(self, temperature: float, now: Mapping[str, float]) -> np.ndarray:
        """Expected counts `(n,)` in the exposure first set."""
        rays = self._beam(now) * now.get("shutter", 1.0)
        expected = self._powder.curve(temperature, _geometry(now))
        expected *= self._scale * self._lit(now)
        expected += rays * self._background
        if "lost_phase" in now:
            expected += rays * (1.0 - now["lost_phase"]) * self._ring
        expected += DARK_COUNTS
        return expected


def _geometry(now: Mapping[str, float]) -> Geometry:
    return Geometry(zero_deg=now.get("zero_shift", 0.0), height_mm=now.get("slipped", 0.0))
