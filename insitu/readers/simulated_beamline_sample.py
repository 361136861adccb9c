"""What stands in the beam of a bench beamline: one of the simulators' samples, or a stored series played back.

Everything is a function of the furnace's temperature (or of where another motor stands, for a series that is played by
it), of the light, and of chance. Simulated samples count

    counts ~ Poisson(exposure (lit sample + rays background + dark))

A stored series is what was measured, between two temperatures the linear mixture of both neighbours: nothing is drawn
anew, so that at the temperature of a file the array is the file's, whatever its unit.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu import units
from insitu.errors import ConfigError, UnitError
from insitu.maths.absorption.model_samples import REACTIONS
from insitu.maths.diffraction.phases import SAMPLES
from insitu.maths.diffraction.powder import Width, background
from insitu.readers.heated_sample import Geometry, HeatedSample
from insitu.readers.simulated_beamline_motion import HOT, Drive
from insitu.readers.simulated_beamline_settings import INDEX, TEMPERATURE, BenchSettings
from insitu.readers.simulated_image_powder import Look, PowderImage
from insitu.readers.simulated_image_settings import flat_detector
from insitu.readers.simulated_xas_beam import Beam, Chambers
from insitu.readers.simulated_xas_sample import Specimen
from insitu.readers.simulated_xas_settings import Reaction
from insitu.types import Arrival, Axis, Frame

POINTS = 4096
PEAK, BASE, DARK = 5000.0, 40.0, 0.5
COUNTER_TOP = 100_000
"""Most counts of a point."""
XAS_WIDE_K = 60.0
"""A reaction takes so many K around the transition."""
WHOLE_S = 5.0
"""A motor that plays a series goes through all of it in so long."""
GRAINS_PER_K = 0.5
"""Frames of grain growth per K above the start."""


class Light(NamedTuple):
    """What falls on the sample: `lit`, the part of the normal beam that meets it; `rays`, that passes the shutter;
    `exposure`, over the usual one."""

    lit: float
    rays: float
    exposure: float


class Sample(ABC):
    """`dims`, `unit`, `dtype` and `shape` of its arrays; `top`: the largest value; `start_K`, `low_K`, `high_K`: where
    its furnace begins and may go; `axis`: of the last dimension, None where there is none; `follows`: the name of the
    drive that it depends on, `own`: that drive, where no bench has it."""

    name: str
    simulated: bool
    dims: tuple[str, ...]
    unit: str
    dtype: np.dtype
    shape: tuple[int, ...]
    top: float
    start_K: float
    low_K: float
    high_K: float
    axis: Axis | None = None
    follows: str = HOT
    own: Drive | None = None

    @abstractmethod
    def array(self, temperature: float, light: Light, random: np.random.Generator) -> np.ndarray:
        """What the detector gives."""


def specimen(settings: BenchSettings) -> Sample:
    """The sample of the settings; `ConfigError` where there is none of that name, or no temperature to play by."""
    if settings.play:
        return Played(settings)
    if settings.sample in SAMPLES:
        return Picture(settings) if settings.image else Pattern(settings)
    if settings.image:
        raise ConfigError(f"of {settings.sample} there is no image", where="image", remedy="Leave the option out")
    if settings.sample in REACTIONS:
        return Spectrum(settings)
    if settings.sample == "grains":
        return Micrograph(settings)
    known = ", ".join((*SAMPLES, *REACTIONS, "grains"))
    raise ConfigError(f"sample {settings.sample!r} is not known", where="sample", expected=f"one of {known}")


class _Simulated(Sample):
    """What samples that are computed share."""

    simulated = True
    unit, dtype, top = "counts", np.dtype("int32"), float(COUNTER_TOP)
    low_K, high_K = 100.0, 1500.0

    def __init__(self, settings: BenchSettings, start_K: float) -> None:
        self.name = settings.sample
        self.start_K = start_K if settings.start_K is None else settings.start_K

    def counts(self, expected: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.minimum(random.poisson(np.maximum(expected, 0.0)), 2**31 - 1).astype(self.dtype)


class Pattern(_Simulated):
    """A powder pattern, `(4096,)`, 20 to 60.95 deg, Cu K-alpha1."""

    dims = ("two_theta",)
    shape = (POINTS,)

    def __init__(self, settings: BenchSettings) -> None:
        super().__init__(settings, 320.0 if settings.sample == "batio3" else 295.65)
        two_theta = np.linspace(20.0, 60.95, POINTS)
        self.axis = Axis(two_theta, "deg")
        self._powder = HeatedSample(settings.sample, two_theta, 1.5406, settings.transition_K, Width())
        self._scale = PEAK / float(self._powder.curve(self.start_K, Geometry()).max())
        self._background = BASE * background(two_theta)

    def array(self, temperature: float, light: Light, random: np.random.Generator) -> np.ndarray:
        bragg = (light.lit * self._scale) * self._powder.curve(temperature, Geometry())
        return self.counts(light.exposure * (bragg + light.rays * self._background + DARK), random)


class Picture(_Simulated):
    """Powder rings, `(y, x)`, 0.4066 angstrom."""

    dims = ("y", "x")

    def __init__(self, settings: BenchSettings) -> None:
        super().__init__(settings, 320.0 if settings.sample == "batio3" else 295.65)
        assert settings.image is not None
        self.shape = settings.image
        keys = ("distance", "pixel_size", "beam_x", "beam_y", "tilt_x", "tilt_y")
        size = 172.0 * 1024.0 / max(self.shape)  # um: a small one sees as much as a large one
        geometry = flat_detector(self.shape, {**dict.fromkeys(keys), "pixel_size": size}, None)
        self._powder = PowderImage(
            settings.sample, geometry, 0.4066, transition=settings.transition_K, polarization=0.99, peak=PEAK,
            base=BASE, temperature=self.start_K, grains=60, seed=settings.seed,
        )  # fmt: skip

    def array(self, temperature: float, light: Light, random: np.random.Generator) -> np.ndarray:
        seen = Look(round(temperature, 1), 0.0, 0.0, 0.0, 0.0, 0.0, light.lit, light.rays, 0.0)
        return self.counts(light.exposure * (self._powder.image(seen) + DARK), random)


class Spectrum(_Simulated):
    """Quick absorption spectra, `(channel, energy)` of i0, itrans, irefer; what the furnace does is a reaction. Its
    energy motor stands for a step scan: `at` tells what the counters count there."""

    dims = ("channel", "energy")
    top = 2.0**31 - 1

    def __init__(self, settings: BenchSettings) -> None:
        super().__init__(settings, 300.0)
        reaction = Reaction("sigmoid", settings.transition_K - XAS_WIDE_K / 2, XAS_WIDE_K)
        self._specimen = Specimen(settings.sample, {}, reaction)
        self.edge = self._specimen.edge
        self._beam = Beam(lifetime_s=1e12, refill_s=1e12, glitches=(), depth=0.0, harmonics=0.0)
        self._chambers = Chambers(
            photons=1e6, edge_step=1.0, foil_step=1.0, elements=0, dead=0, fluorescence_yield=0.05, self_absorption=0.0
        )
        energy = np.linspace(self.edge - 150.0, self.edge + 850.0, 1000)
        self.axis, self.shape = Axis(energy, "eV"), (3, energy.size)

    def array(self, temperature: float, light: Light, random: np.random.Generator) -> np.ndarray:
        assert self.axis is not None
        return self.counts(self._mean(self.axis.values, temperature, light), random)

    def at(self, energy: float, temperature: float, light: Light) -> dict[str, float]:
        """What i0, itrans and irefer count on average at one energy (eV)."""
        rows = self._mean(np.asarray([energy]), temperature, light)
        return dict(zip(("i0", "itrans", "irefer"), rows[:, 0].tolist(), strict=True))

    def _mean(self, energy: np.ndarray, temperature: float, light: Light) -> np.ndarray:
        beside = 1.0 - light.lit / light.rays if light.rays > 0.0 else 0.0
        now = {"sample_moved": min(max(beside, 0.0), 1.0)}
        lit, times = np.full(energy.size, light.rays), np.full(energy.size, temperature)
        counts = self._specimen.counts(lit, energy, times, 0.0, self._beam, self._chambers, now)
        return light.exposure * (counts + DARK)


class Micrograph(_Simulated):
    """Grains that have grown as far as the furnace has heated, `(y, x)` of 8 bits."""

    dims, dtype, top = ("y", "x"), np.dtype("uint8"), 255.0

    def __init__(self, settings: BenchSettings) -> None:
        super().__init__(settings, 300.0)
        from insitu.readers.simulated_grains import Grains  # it compiles: only for who wants it

        self._grains = Grains(seed=settings.seed, size=128, grains=60, sweeps=2)
        self.shape = (128, 128)
        self._index, self._scene = -1, np.empty(0)

    def array(self, temperature: float, light: Light, random: np.random.Generator) -> np.ndarray:
        index = max(0, round((temperature - self.start_K) * GRAINS_PER_K))
        if index > self._index:  # grains do not shrink again as it cools
            self._index, self._scene = index, self._grains.arrival(index).data.astype(np.float64)
        seen = self._scene * light.lit * light.exposure + random.normal(0.0, 1.0, self.shape)
        return np.clip(np.rint(seen), 0.0, 255.0).astype(self.dtype)


class Played(Sample):
    """A stored series, by its temperatures or another number. Shape, dims and unit are those of all its arrays, the
    axis is the first one's."""

    low_K, high_K = 1.0, 1500.0

    def __init__(self, settings: BenchSettings) -> None:
        place = Path(settings.play).expanduser()
        frames = list(_frames(place, settings.reader))
        if not frames:
            raise ConfigError("there is nothing to play", where=str(place), expected="at least one frame")
        places = [_place(frame, k, settings.along, place) for k, frame in enumerate(frames)]
        order = np.argsort([at for at, _ in places], kind="stable")
        first = frames[order[0]]
        for frame in frames:
            if frame.data.shape != first.data.shape:
                raise ConfigError(
                    f"arrays of {list(first.data.shape)} and of {list(frame.data.shape)}",
                    where=str(place),
                    expected="one size",
                    remedy="Name a folder or a pattern of files of one kind",
                )
        self._at = np.asarray([places[k][0] for k in order])
        self._arrays = [np.asarray(frames[k].data, np.float64) for k in order]
        self.name, self.simulated = first.labels.get("sample", "") or place.name, "simulated" in first.labels
        self.dims, self.shape = first.dims, first.data.shape
        self.unit = first.unit if isinstance(first.unit, str) else first.unit[0]
        self.dtype = first.data.dtype if first.data.dtype.kind == "f" else np.dtype("float32")
        self.top = 2.0 * max(float(np.nanmax(array)) for array in self._arrays)
        self.axis = first.axes.get(first.dims[-1])
        low, high = float(self._at[0]), float(self._at[-1])
        if settings.along == TEMPERATURE:
            self.low_K, self.high_K = max(1.0, low - 50.0), high + 50.0
            self.start_K = low if settings.start_K is None else settings.start_K
        else:
            self.start_K, self.follows = settings.start_K or 295.65, settings.along
            speed = max(high - low, 1e-9) / WHOLE_S
            self.own = Drive(low, velocity=speed, low=low, high=high, unit=places[0][1])

    def array(self, temperature: float, light: Light, random: np.random.Generator) -> np.ndarray:
        k = int(np.searchsorted(self._at, temperature))
        if k in (0, len(self._at)):
            mixed = self._arrays[min(k, len(self._at) - 1)]
        else:
            part = (temperature - self._at[k - 1]) / (self._at[k] - self._at[k - 1])
            mixed = (1.0 - part) * self._arrays[k - 1] + part * self._arrays[k]
        return (mixed * (light.lit * light.exposure)).astype(self.dtype)


def _frames(place: Path, reader: str) -> Iterable[Arrival | Frame]:
    """The frames of a stored run, or of files."""
    from insitu.readers import READERS
    from insitu.readers.stored import Stored
    from insitu.store.runs import is_run

    if is_run(place):
        return Stored(str(place))()
    if reader not in READERS:
        raise ConfigError(f"no reader is called {reader!r}", where="reader", expected=f"one of {', '.join(READERS)}")
    module, _, name = READERS[reader].partition(":")
    made: Any = getattr(importlib.import_module(module), name)
    return [frame for frame in made(str(place))() if isinstance(frame, Arrival)]


def _place(frame: Arrival | Frame, index: int, along: str, place: Path) -> tuple[float, str]:
    """Where a frame belongs in the series, and in which unit."""
    if along == INDEX:
        return float(index), ""
    found = frame.context.get(along)
    if found is None or found.value is None:
        raise ConfigError(
            f"{frame.labels.get('file', f'frame {index}')} has no {along}",
            where=str(place),
            expected=f"with each frame a number that it is played by; it has {', '.join(frame.context) or 'none'}",
            remedy=f"Play it along another one, or along {INDEX}",
        )
    if along != TEMPERATURE:
        return float(found.value), found.unit
    try:
        return units.convert(float(found.value), found.unit or "K", "K"), "K"
    except UnitError as e:
        raise ConfigError(str(e), where=str(place)) from e


__all__ = ["Light", "Sample", "Spectrum", "specimen"]
