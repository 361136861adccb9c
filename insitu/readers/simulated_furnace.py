"""Instruments beside a simulated furnace: each detector file shows one view of the same experiment.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. All views of one `seed` share the truth
(`insitu.readers.simulated_furnace_truth`); each has noise, disturbances and a clock of its own:

    camera        image (y, x) in counts: thermal radiation (Wien) with a texture that damage makes rougher
    diffraction   pattern of ceria over two_theta in counts: lines move with the temperature, damage takes intensity
    load          force in N over sample: thermal expansion pushes, damage makes it noisier

What damage does is `strength` times the scatter from frame to frame, in each of them. Frame `i` is a pure function of
the settings and `i`.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import aligned
from insitu.maths.diffraction.powder import Width, background
from insitu.readers.heated_sample import Geometry, HeatedSample
from insitu.readers.simulated_furnace_truth import Experiment, View
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Axis, Detector, Feature

IDLE_S = 0.1
SCATTER = {"camera": 0.10, "diffraction": 0.03, "load": 0.10}
"""Relative scatter, from frame to frame, of what damage changes: texture, intensity, noise of the force."""
DISTURBANCE = {"camera": 1.6, "diffraction": 0.85, "load": 1.6}
"""Factor on the same while the instrument is disturbed."""
WIEN = 14388.0 / 0.65
"""Second radiation constant over a wavelength of 0.65 um, K."""
IMAGE, LEVEL, TEXTURE = (24, 32), 2000.0, 60.0
TWO_THETA, WAVELENGTH, PEAK, BACKGROUND = (27.2, 29.4, 221), 1.5406, 20_000.0, 200.0
SAMPLES, RATE_HZ, FORCE, SHAKE, N_PER_K = 128, 512.0, 500.0, 2.0, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FurnaceTruth:
    """The true answers for one frame: true time of its middle (s since the start), temperature, damage (0 to 1),
    whether this instrument is disturbed, and what must be added to the frame's time to get the true one."""

    index: int
    time_s: float
    temperature_K: float
    damage: float
    disturbed: bool
    clock_offset_s: float


class Furnace:
    """A reader that simulates one instrument beside a furnace (see the head of this file).

    `view`: which instrument. `duration`, `rate`: of the experiment, and frames a second in it; `speed`: how many times
    faster than life frames come (None: as fast as they are taken). `exposure`: of a frame. `temperature`, `swing`: mean
    and rms. `onset`: when damage begins (None: never), `strength`: what it does, in sigma of single frames.
    `quiet`: how long nothing is disturbed. Its clock: ahead of true time by `clock_ahead` at the start, gaining
    `clock_drift` (ppm), off by `clock_jitter` (rms) at random.

    >>> camera = Furnace(view="camera", duration=3.0, rate=2.0)
    >>> [arrival.data.shape for arrival in camera() if arrival is not None]
    [(24, 32), (24, 32), (24, 32), (24, 32), (24, 32), (24, 32)]
    """

    simulated = True

    def __init__(
        self,
        *,
        view: View,
        seed: int = 0,
        duration: Annotated[float, "s"] = 300.0,
        rate: Annotated[float, "Hz"] = 1.0,
        exposure: Annotated[float, "s"] = 0.0,
        speed: float | None = None,
        start: str = "",
        temperature: Annotated[float, "K"] = 1100.0,
        swing: Annotated[float, "K"] = 8.0,
        onset: Annotated[float, "s"] | None = None,
        strength: float = 1.6,
        quiet: Annotated[float, "s"] = 130.0,
        disturbances: bool = True,
        clock_ahead: Annotated[float, "s"] = 0.0,
        clock_drift: float = 0.0,
        clock_jitter: Annotated[float, "s"] = 0.0,
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        for name, value in (
            ("exposure", exposure),
            ("swing", swing),
            ("strength", strength),
            ("clock_jitter", clock_jitter),
        ):
            if not value >= 0.0:
                raise ConfigError(f"{name} is {value}", where=name, expected="0 or more")
        self.source = detector.source if detector else view
        self.view: View = view
        self.frames = max(1, math.floor(positive(duration, "duration", "s") * positive(rate, "rate", "Hz") + 1e-9))
        self.rate, self.exposure_s, self.strength = rate, exposure, strength
        self.speed = None if speed is None else positive(speed, "speed")
        self.clock = (clock_ahead, clock_drift * 1e-6, clock_jitter)
        self.seed, self.experiment = seed, Experiment(
            seed=seed, kelvin=positive(temperature, "temperature", "K"), swing=swing, onset_s=onset, quiet_s=quiet,
            disturbances=disturbances,
        )  # fmt: skip
        self._first_ns = first_time_ns(start, live=self.speed is not None)
        self._labels = {"simulated": "true", "sample": "ceria", "instrument": f"simulated.furnace {view}"}
        self._show = {"camera": self._image, "diffraction": self._pattern, "load": self._force}[view]
        if view == "diffraction":
            self._two_theta = aligned(np.linspace(*TWO_THETA))
            self._powder = HeatedSample("ceo2", self._two_theta, WAVELENGTH, 1e4, Width())
            self._scale = PEAK / float(self._powder.curve(temperature, Geometry()).max())

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in order; None while waiting for the next."""
        began = time.monotonic()
        for index in count():
            if index >= self.frames:
                return
            if self.speed is not None:
                due = began + (index / self.rate + self.exposure_s) / self.speed
                while (left := due - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index`: a pure function of the settings."""
        truth, random = self._moment(index)
        relative = 1.0 + SCATTER[self.view] * float(np.clip(random.standard_normal(), -4.0, 4.0))
        sign = -1.0 if self.view == "diffraction" else 1.0
        relative *= 1.0 + sign * self.strength * SCATTER[self.view] * truth.damage
        if truth.disturbed:
            relative *= DISTURBANCE[self.view]
        data, dims, unit, axes, context = self._show(truth.temperature_K, max(relative, 0.05), random)
        return Arrival(
            source=self.source,
            data=data,
            dims=dims,
            unit=unit,
            time_ns=self._first_ns + round((index / self.rate - truth.clock_offset_s) * 1e9),
            duration_ns=round(self.exposure_s * 1e9),
            clock="ioc",
            clock_sigma_ns=round(self.clock[2] * 1e9),
            source_seq=index,
            axes=axes,
            context=context,
            labels=self._labels,
        )

    def truth(self, index: int) -> FurnaceTruth:
        """The true answers for frame `index`."""
        return self._moment(index)[0]

    def _moment(self, index: int) -> tuple[FurnaceTruth, np.random.Generator]:
        """The truth of a frame, and what its noise is drawn from."""
        random = np.random.default_rng((self.seed, zlib.crc32(self.view.encode()), index))
        begin = index / self.rate
        middle, (ahead, drift, jitter) = begin + 0.5 * self.exposure_s, self.clock
        off = ahead + drift * begin + jitter * float(random.standard_normal())
        truth = FurnaceTruth(
            index=index,
            time_s=middle,
            temperature_K=self.experiment.temperature(middle),
            damage=self.experiment.damage(middle),
            disturbed=self.experiment.disturbed(self.view, middle),
            clock_offset_s=-off,
        )
        return truth, random

    def _image(self, kelvin: float, roughness: float, random: np.random.Generator):
        level = LEVEL * math.exp(WIEN / self.experiment.kelvin - WIEN / kelvin)
        grey = level + TEXTURE * roughness * random.standard_normal(IMAGE)
        data = aligned(np.clip(np.rint(grey), 0, 65535).astype(np.uint16))
        return data, ("y", "x"), "counts", {}, {}

    def _pattern(self, kelvin: float, intensity: float, random: np.random.Generator):
        expected = intensity * self._scale * self._powder.curve(kelvin, Geometry())
        counts = random.poisson(expected + BACKGROUND * background(self._two_theta))
        axes = {"two_theta": Axis(self._two_theta, "deg")}
        context = {"wavelength": Feature(WAVELENGTH, "angstrom")}
        return aligned(counts.astype(np.uint32)), ("two_theta",), "counts", axes, context

    def _force(self, kelvin: float, noise: float, random: np.random.Generator):
        force = FORCE + N_PER_K * (kelvin - self.experiment.kelvin) + SHAKE * noise * random.standard_normal(SAMPLES)
        return aligned(force), ("sample",), "N", {}, {"sample_rate": Feature(RATE_HZ, "Hz")}
