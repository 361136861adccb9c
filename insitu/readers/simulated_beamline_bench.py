"""A bench beamline without sockets: drives, beam, shutter, sample, counters, and what goes wrong."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from insitu.readers.faults import Fault, active, source_number
from insitu.readers.simulated_beamline_motion import HOT, Drive
from insitu.readers.simulated_beamline_sample import Light, Spectrum, specimen
from insitu.readers.simulated_beamline_settings import BenchSettings

FULL_mA = 100.0
I0, THROUGH = 100_000.0, 0.6
"""Counts of the first counter in the usual exposure, and the part of the beam that the sample lets pass."""
SAMPLE_MM = 1.5
"""Standard deviation of the sample across the beam."""


class Shot(NamedTuple):
    """One exposure: the array, what the counters counted, and what stood where."""

    array: np.ndarray
    counters: dict[str, int]
    places: dict[str, float]


class Bench:
    """The state of a bench beamline, and what it counts. Safe to call from several threads. `now` is in s, of a clock
    that does not step back. `wrong`: faults that are switched on, with their strength; those of the settings come by
    the number of the frame."""

    def __init__(self, settings: BenchSettings) -> None:
        self.settings, self.sample = settings, specimen(settings)
        self.shutter = True
        self.wrong: dict[str, float] = {}
        self._faults: tuple[Fault, ...] = settings.wrong()
        self._lock = threading.Lock()
        sample = self.sample
        self.drives: dict[str, Drive] = {
            "x": Drive(0.0, velocity=settings.motor_mm_s, low=-10.0, high=10.0, unit="mm"),
            HOT: Drive(
                sample.start_K, velocity=settings.ramp_K_s, low=sample.low_K, high=sample.high_K, unit="K",
                lag_s=settings.lag_s, deadband=max(0.05, 2.0 * settings.noise_K),
            ),
        }  # fmt: skip
        if isinstance(sample, Spectrum):
            self.drives["energy"] = Drive(
                sample.edge, velocity=500.0, low=sample.edge - 500.0, high=sample.edge + 1500.0, unit="eV"
            )
        if sample.own is not None:
            self.drives[sample.follows] = sample.own
        self._chance = np.random.default_rng((settings.seed, 1))

    @property
    def counters(self) -> tuple[str, ...]:
        """Names of the point detectors."""
        return ("i0", "itrans", "irefer") if isinstance(self.sample, Spectrum) else ("i0", "itrans")

    def now_wrong(self, index: int) -> dict[str, float]:
        """What goes wrong at frame `index`, with its strength; what is switched on comes first."""
        return {**active(self._faults, index), **self.wrong}

    def clock_s(self, index: int) -> float:
        """How much later than it is the IOC says that it is."""
        return self.now_wrong(index).get("clock", 0.0)

    def number(self, index: int) -> int:
        """The detector's own number of frame `index`: from 1 on."""
        return source_number(self._faults, index, 1, 31)

    def where(self, name: str, now: float) -> float:
        """Where a drive truly is."""
        with self._lock:
            return self.drives[name].at(now)

    def reading(self, name: str, now: float) -> float:
        """What a drive says: a furnace's thermometer has noise."""
        with self._lock:
            true = self.drives[name].at(now)
            noise = self.settings.noise_K if name == HOT else 0.0
            return true + noise * float(self._chance.standard_normal()) if noise else true

    def go(self, name: str, target: float, now: float) -> None:
        with self._lock:
            self.drives[name].go(target, now)

    def stop(self, name: str, now: float) -> float:
        """Where it has stopped."""
        with self._lock:
            self.drives[name].stop(now)
            return self.drives[name].value

    def arrived(self, name: str, index: int) -> bool:
        """Whether a drive says that it is done; with the fault `early` it says so before it is."""
        drive, early = self.drives[name], self.now_wrong(index).get("early")
        return drive.done or (early is not None and drive.left <= early)

    def beam(self, wrong: Mapping[str, float]) -> float:
        """The beam, over the normal one."""
        return wrong.get("beam_loss", 1.0)

    def current_mA(self, index: int) -> float:
        """Of the ring."""
        return FULL_mA * self.beam(self.now_wrong(index))

    def expose(self, index: int, exposure_s: float, now: float) -> Shot:
        """Frame `index`, exposed for so long, with everything as it is now."""
        wrong = self.now_wrong(index)
        places = {name: self.where(name, now) for name in self.drives}
        light = self._light(wrong, places["x"], exposure_s)
        random = np.random.default_rng((self.settings.seed, 2, index))
        array = self.sample.array(places[self.sample.follows], light, random)
        if "dead" in wrong:
            array = np.full_like(array, min(wrong["dead"], self.sample.top))
        if "shape" in wrong:
            array = array[: max(1, round(wrong["shape"] * len(array)))]
        np.minimum(array, array.dtype.type(self.sample.top), out=array)
        return Shot(array, self._counted(wrong, places, light, random), places)

    def count(self, index: int, exposure_s: float, now: float) -> dict[str, int]:
        """What the point detectors count in so long."""
        wrong = self.now_wrong(index)
        places = {name: self.where(name, now) for name in self.drives}
        light = self._light(wrong, places["x"], exposure_s)
        with self._lock:
            return self._counted(wrong, places, light, self._chance)

    def _light(self, wrong: Mapping[str, float], x_mm: float, exposure_s: float) -> Light:
        rays = self.beam(wrong) * wrong.get("saturation", 1.0)
        rays *= wrong.get("shutter", 1.0) if self.shutter else 0.0
        there = math.exp(-0.5 * (x_mm / SAMPLE_MM) ** 2) * wrong.get("lost_sample", 1.0)
        return Light(rays * there, rays, exposure_s / self.settings.exposure_s)

    def _counted(
        self, wrong: Mapping[str, float], places: Mapping[str, float], light: Light, random: np.random.Generator
    ) -> dict[str, int]:
        if isinstance(self.sample, Spectrum):
            mean = self.sample.at(places["energy"], places[HOT], light)
        else:
            before = self.beam(wrong) * wrong.get("saturation", 1.0)  # the first counter stands before the shutter
            mean = {"i0": before, "itrans": light.rays - (1.0 - THROUGH) * light.lit}
            mean = {name: I0 * light.exposure * part for name, part in mean.items()}
        return {name: int(random.poisson(max(0.0, value))) for name, value in mean.items()}
