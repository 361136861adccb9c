"""A simulated area detector: powder rings computed from published structures, with faults on demand.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. Frame `i` is a pure function of the
settings, the seed, the source's name and `i`, so that two runs agree byte for byte:

    counts(pixel) ~ Poisson(t/t0 beam solid_angle polarisation (texture spots Bragg(two theta) + background) + dark)

Bragg sums pseudo-Voigt lines over the phases of the sample (`insitu.maths.diffraction.powder`, Lorentz factor only),
scaled so that the brightest point of the first pattern is `peak_counts` at normal incidence. Pixels between modules and
dead ones hold -1 and -2 (the largest number of an unsigned type), hot ones count too much, all clipped at `saturation`.
`AreaDetector.truth(i)` tells the true answers, `AreaDetector.poni()` the geometry as pyFAI reads it.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.maths.diffraction.phases import BATIO3_TRANSITION_K, SAMPLES, phases
from insitu.maths.diffraction.poni import read_poni
from insitu.maths.poisson import draw
from insitu.readers.faults import KINDS, active, arrival_order, source_number
from insitu.readers.simulated_image_powder import Look, PowderImage, Ring
from insitu.readers.simulated_image_settings import flat_detector, gaps, image_fault
from insitu.readers.simulated_settings import Settings, counter_top, first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTruth:
    """The true answers for one frame: `centre` where the beam hits the detector, (x, y) in pixels; `rings` of the
    unstrained sample in order of angle; `strain` along x; share of rings in `spots`; `texture` amplitude; `faults`."""

    index: int
    source_seq: int
    time_ns: int
    temperature_K: float
    exposure_s: float
    fractions: Mapping[str, float]
    rings: tuple[Ring, ...]
    centre: tuple[float, float]
    distance_m: float
    strain: float
    texture: float
    spots: float
    faults: tuple[str, ...]


class AreaDetector:
    """A reader that simulates an area detector behind a powder (see the head of this file).

    `frames`, `rate`, `exposure`, `start`, `temperature_*`, `counter_*`: as `simulated.diffractometer`. `shape`: rows
    and columns, default the detector's, else 1024 x 1024. Geometry: see `flat_detector`. `modules`, `gap`: pixels (y,
    x) of a module and between modules, 0 for one piece. `hot`, `dead`: how many such pixels. `strain`, `texture`,
    `spots` (share, of `grains` a ring): of the sample. `faults`: `insitu.readers.faults` and `IMAGE_KINDS`.

    >>> reader = AreaDetector(shape=(64, 80), frames=1)
    >>> arrival = next(reader())
    >>> arrival.data.shape, arrival.dims, arrival.labels["simulated"]
    ((64, 80), ('y', 'x'), 'true')
    """

    simulated = True

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        exposure: Annotated[float, "s"] = 0.1,
        start: str = "",
        sample: Literal["batio3", "ceo2", "si", "al2o3", "tio2"] = "ceo2",
        temperature_start: Annotated[float, "K"] = 295.65,
        temperature_step: Annotated[float, "K"] = 0.0,
        temperature_stop: Annotated[float, "K"] | None = None,
        transition: Annotated[float, "K"] = BATIO3_TRANSITION_K,
        shape: tuple[int, int] | None = None,
        distance: Annotated[float, "m"] | None = None,
        pixel_size: Annotated[float, "um"] | None = None,
        beam_x: float | None = None,
        beam_y: float | None = None,
        tilt_x: Annotated[float, "deg"] | None = None,
        tilt_y: Annotated[float, "deg"] | None = None,
        wavelength: Annotated[float, "angstrom"] | None = None,
        polarization: float = 0.99,
        peak_counts: float = 400.0,
        background_counts: float = 4.0,
        modules: tuple[int, int] = (195, 487),
        gap: tuple[int, int] = (17, 7),
        hot: int = 10,
        dead: int = 20,
        strain: float = 0.0,
        texture: float = 0.0,
        spots: float = 0.0,
        grains: int = 60,
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
        for name, value, low, high in (
            ("strain", strain, -0.05, 0.05),
            ("texture", texture, 0, 1),
            ("spots", spots, 0, 1),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}", where=name, expected=f"{low} to {high}")
        self.source = detector.source if detector else "det"
        self.sample, self.seed, self.transition = sample, seed, transition
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.faults = tuple(image_fault(text) for text in faults)
        self.shape = _shape(shape, detector)
        keys = {"distance": distance, "pixel_size": pixel_size, "beam_x": beam_x, "beam_y": beam_y}
        self.geometry = flat_detector(self.shape, {**keys, "tilt_x": tilt_x, "tilt_y": tilt_y}, detector)
        self.wavelength = positive(_wavelength(wavelength, detector), "wavelength", "angstrom")
        self.dtype, self.saturation = _counter(saturation, detector)
        self.counter_start = counter_start
        self.counter_bits = counter_bits or (detector.counter_bits if detector else None)
        self._sample = strain, texture, spots
        self._start = start
        first = first_time_ns(start, live=self.rate is not None)
        exposed = positive(exposure, "exposure", "s")
        self._settings = Settings(
            positive(temperature_start, "temperature_start", "K"),
            temperature_step,
            temperature_stop,
            exposed,
            rate,
            first,
        )
        self._peak = positive(peak_counts, "peak_counts")
        random = np.random.default_rng((seed, zlib.crc32(self.source.encode())))
        places = random.permutation(self.shape[0] * self.shape[1])
        self._dead, self._hot = places[:dead], places[dead : dead + hot]
        self._gaps = np.flatnonzero(gaps(self.shape, modules, gap)) if min(modules) > 0 else np.empty(0, np.int64)
        self._labels = {"simulated": "true", "sample": sample, "instrument": "simulated.area_detector"}
        self.powder = PowderImage(
            sample,
            self.geometry,
            self.wavelength,
            transition=transition,
            polarization=polarization,
            peak=self._peak,
            base=background_counts,
            temperature=temperature_start,
            grains=grains,
            seed=seed,
        )

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.rate is not None and self._start in ("", "now"):
            self._settings.start_at(time.time_ns())
        began, zero = time.monotonic(), self._settings.time_ns(0)
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind in KINDS], indices):
            if self.rate is not None:  # absolute deadlines: a late frame does not delay the ones after it
                due = (self._settings.time_ns(index) - zero) * 1e-9 + self._settings.exposure_s(index)
                while (left := began + due - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the detector gives it: a pure function of the settings."""
        now = active(self.faults, index)
        exposure = self._settings.exposure_s(index)
        seed = (self.seed, zlib.crc32(self.source.encode()), index)
        counts = draw(self.powder.expected(self._look(index, now)), seed)
        if "dead" in now:
            counts[:] = min(now["dead"], self.saturation)
        counts[self._hot] += int(20 * self._peak)
        data = empty(self.shape, self.dtype)
        np.minimum(counts.reshape(self.shape), self.saturation, out=data, casting="unsafe")
        flat = data.reshape(-1)
        top = np.iinfo(self.dtype).max if self.dtype.kind == "u" else None
        flat[self._dead] = -2 if top is None else top
        flat[self._gaps] = -1 if top is None else top
        if "flipped" in now:
            data[:] = data[::-1].copy()
        data.flags.writeable = False
        return Arrival(
            source=self.source,
            data=data,
            dims=("y", "x"),
            unit="counts",
            time_ns=self._settings.time_ns(index),
            duration_ns=round(exposure * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            context={
                "temperature": Feature(self._settings.temperature(index), "K"),
                "wavelength": Feature(self.wavelength, "angstrom"),
                "exposure_s": Feature(exposure, "s"),
            },
            labels=self._labels,
        )

    def truth(self, index: int) -> ImageTruth:
        """The true answers for frame `index`."""
        now = active(self.faults, index)
        look, g = self._look(index, now), self.geometry
        distance = g.distance - look.nearer_mm * 1e-3
        x = g.poni2 / g.pixel2 + look.shift - distance * np.tan(g.rot1) / g.pixel2
        y = g.poni1 / g.pixel1 + distance * np.tan(g.rot2) / np.cos(g.rot1) / g.pixel1
        return ImageTruth(
            index=index,
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            time_ns=self._settings.time_ns(index),
            temperature_K=look.temperature,
            exposure_s=self._settings.exposure_s(index),
            fractions={p.name: p.fraction for p in phases(self.sample, look.temperature, self.transition)},
            rings=self.powder.rings(look.temperature),
            centre=(float(x), float(y)),
            distance_m=distance,
            strain=look.strain,
            texture=look.texture,
            spots=look.spots,
            faults=tuple(kind for kind in now if kind not in KINDS or not KINDS[kind].transport),
        )

    def poni(self) -> str:
        """The geometry as a poni file has it (of the detector without faults)."""
        return self.geometry.poni(self.wavelength)

    def _look(self, index: int, now: Mapping[str, float]) -> Look:
        strain, aligned, spotty = self._sample
        beam = now.get("beam_loss", 1.0) * now.get("saturation", 1.0) * now.get("shutter", 1.0)
        relative = self._settings.exposure_s(index) / self._settings.first_exposure_s
        return Look(
            temperature=self._settings.temperature(index),
            shift=now.get("centre_drift", 0.0),
            nearer_mm=now.get("slipped", 0.0),
            strain=now.get("strain", strain),
            texture=now.get("texture", aligned),
            spots=now.get("spotty", spotty),
            lit=beam * relative * now.get("lost_phase", 1.0),
            rays=beam * relative,
            lost=1.0 - now.get("lost_phase", 1.0),
        )


def _shape(given: tuple[int, int] | None, detector: Detector | None) -> tuple[int, int]:
    known = detector.shape if detector else None
    shape = given or known or (1024, 1024)
    if len(shape) != 2 or min(shape) < 16 or (given and known and tuple(given) != tuple(known)):
        raise ConfigError(
            f"shape = {list(shape)} does not agree with the detector's {list(known or ())}",
            where="shape",
            expected="rows and columns, 16 or more",
        )
    return int(shape[0]), int(shape[1])


def _wavelength(given: float | None, detector: Detector | None) -> float:
    """As given, else the detector's calibration, else its poni file, else 0.4066 angstrom (30.5 keV)."""
    if given is not None:
        return given
    known = detector.calibration.get("wavelength") if detector else None
    if known is not None and known.value is not None:
        return float(known.value)
    if detector and detector.geometry and detector.geometry.poni:
        return read_poni(detector.geometry.poni).get("wavelength", 0.4066e-10) * 1e10
    return 0.4066


def _counter(saturation: float | None, detector: Detector | None) -> tuple[np.dtype, float]:
    """Type and largest count: signed by default, because gaps are negative."""
    if detector is None or not detector.dtype:
        known = saturation if saturation is not None else detector.saturation if detector else None
        return np.dtype("int32"), min(positive(1_000_000.0 if known is None else known, "saturation"), 2.0**31 - 1)
    return counter_top(1_000_000.0 if saturation is None and detector.saturation is None else saturation, detector)
