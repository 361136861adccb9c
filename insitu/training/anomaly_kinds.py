"""What `insitu.training.anomaly` learns from: instruments, their simulators with drawn settings, and planted faults."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from insitu.types import Arrival, Extractor

Series = Callable[[], Iterator[Arrival | None]]


class Simulator(NamedTuple):
    """`make(random, seed, frames, faults)` gives a reader with settings of its own. `faults`: {fault: for how many
    frames}, each as text without its frames ("leak", "hum=0.2")."""

    name: str
    make: Callable[[np.random.Generator, int, int, Sequence[str]], Series]
    faults: Mapping[str, int]


class Kind(NamedTuple):
    """One bundle: features `keys` of the `extractors` on frames of the simulators; `frames` of each series."""

    modality: str
    about: str
    simulators: tuple[Simulator, ...]
    extractors: Callable[[], Sequence[Extractor]]
    keys: tuple[str, ...]
    frames: int
    more: int = 1
    """Times as many series: where settings differ from one to the next, few would not tell how much."""
    skip: int = 0
    """Frames at the beginning of a series that are not judged: nothing has grown yet that could be seen."""


LINE = ("temperature", "pressure", "flow", "power", "vibration")


def line(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    from insitu.readers.simulated_line import Line

    del random
    return Line(seed=seed, frames=frames, faults=list(faults))


def line_features() -> Sequence[Extractor]:
    from insitu.features.channels import Channels

    return [Channels(channels=list(LINE))]


def noise(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    """Windows of two cycles at 200 kHz; the sample differs from series to series by some per cent."""
    from insitu.readers.simulated_barkhausen import Barkhausen

    c, peak, width, height = np.exp(random.normal(0.0, 0.05, 4))
    return Barkhausen(
        seed=seed, frames=frames, samples=20_000, sample_rate=2e5, c=0.8 * c, peak_field=600.0 * peak,
        width=700.0 * width, amplitude=0.05 * height, full_scale=2.0, faults=tuple(faults),
    )  # fmt: skip


def noise_features() -> Sequence[Extractor]:
    from insitu.features.barkhausen import Barkhausen

    return [Barkhausen(low=1e3)]


def loops(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    """Loops of very different materials."""
    from insitu.readers.simulated_loops import LoopSeries

    k = math.exp(random.uniform(math.log(0.005), math.log(0.08)))
    return LoopSeries(
        seed=seed, frames=frames, k=k, a=k * math.exp(random.uniform(-0.5, 0.7)), change=1.0,
        coupling=random.uniform(0.0, 0.5), reversible=random.uniform(0.0, 0.5), slope=random.uniform(0.0, 0.4),
        noise=math.exp(random.uniform(math.log(2e-4), math.log(2e-3))), faults=tuple(faults),
    )  # fmt: skip


def loop_features() -> Sequence[Extractor]:
    from insitu.features.loop import Loop

    return [Loop()]


def core(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    from insitu.readers.simulated_core import DrivenCore

    del random
    return DrivenCore(seed=seed, frames=frames, faults=tuple(faults))


def core_features() -> Sequence[Extractor]:
    from insitu.features.permeability import CorePermeability

    return [CorePermeability()]


def grains(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    from insitu.readers.simulated_grains import Grains

    return Grains(
        seed=seed, frames=frames, size=192, grains=60, contrast=random.uniform(0.08, 0.12), faults=tuple(faults)
    )


def precipitates(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    from insitu.readers.simulated_precipitates import Precipitates

    return Precipitates(
        seed=seed,
        frames=frames,
        size=192,
        particles=25,
        grown=10,
        contrast=random.uniform(0.3, 0.4),
        faults=tuple(faults),
    )


def colloid(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    from insitu.readers.simulated_colloid import Colloid

    del random
    return Colloid(seed=seed, frames=frames, shape=(192, 192), faults=tuple(faults))


def video_features() -> Sequence[Extractor]:
    from insitu.features.video_drift import Drift
    from insitu.features.video_quality import Quality

    return [Quality(), Drift()]


def _of(prefixes: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{p}_{k}" for p in prefixes for k in keys)


CAMERA: dict[str, int] = {"blur": 1, "shift": 1, "exposure": 1, "dust": 1}
NOISE_KEYS = ("rms", "kurtosis", "noise", "hum", "envelope_peak", "peak_field", "fwhm", "pulse_rate", "psd_slope")
NOISE_FAULTS = ("amplifier_off", "clipped", "hum", "loose_probe", "magnet_off")
CORE_KEYS = ("mu_real", "mu_imag", "b_peak", "h_peak", "frequency", "thd_b", "thd_h", "noise_b", "noise_h")
CORE_FAULTS = ("no_drive", "open", "clipped", "late", "hum", "unlocked", "cracked", "noisy")
KINDS: dict[str, Kind] = {
    "line": Kind(
        "line", "level, scatter and gaps of temperature, pressure, flow, power and vibration of a production line",
        (Simulator("line", line, {"bearing_wear": 3, "leak": 3, "stuck": 2, "dropout": 1, "drift": 300}),),
        line_features, _of(LINE, ("mean", "std", "min", "max", "rough", "missing")), 1000,
    ),
    "barkhausen": Kind(
        "magnetic", "level, shape, pulses and spectrum of Barkhausen noise",
        (Simulator("Barkhausen noise", noise, dict.fromkeys(NOISE_FAULTS, 1)),),
        noise_features,
        _of(("mbn",), NOISE_KEYS),
        10, 10,
    ),
    "loops": Kind(
        "magnetic", "the centre, drift and noise of hysteresis loops, of whatever material",
        (Simulator("loops", loops, {"clipped": 1, "drift": 1, "spike": 1, "not_closed": 1, "small_field=0.01": 1}),),
        loop_features, ("squareness", "field_offset", "drift", "quality"), 4, 10,
    ),
    "core": Kind(
        "magnetic", "permeability, amplitudes, distortion and noise of a driven core",
        (Simulator("core", core, dict.fromkeys(CORE_FAULTS, 1)),), core_features, CORE_KEYS, 100,
    ),
    "video": Kind(
        "video", "sharpness, exposure, noise, movement and change of a microscope's video",
        (
            Simulator("grains", grains, CAMERA),
            Simulator("precipitates", precipitates, CAMERA),
            Simulator("colloid", colloid, {"blur": 1, "exposure": 1, "shift": 1, "burst": 1, "lost": 1}),
        ),
        video_features,
        (*_of(("video",), ("focus", "brightness", "contrast", "saturated_fraction", "noise")),
         *_of(("drift",), ("x", "y", "correlation", "changed"))),
        60, 1, 12,
    ),
}  # fmt: skip
