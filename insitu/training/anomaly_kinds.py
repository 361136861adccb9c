"""What `insitu.training.anomaly` learns from: instruments, their simulators with drawn settings, and planted faults."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.training import anomaly_beams as beams
from insitu.training.anomaly_beams import Series
from insitu.types import Arrival, Extractor, Prepare


class Simulator(NamedTuple):
    """`make(random, seed, frames, faults)` gives a reader with settings of its own. `faults`: {fault: within how many
    frames it must be found}, each as text without its frames ("leak", "hum=0.2")."""

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
    prepare: Callable[[], Sequence[Prepare]] = tuple
    log: tuple[str, ...] = ()
    """Keys whose logarithm is taken."""
    readers: int = 1
    """So many different readers its simulators are; the others are the same one with another sample."""
    by: str = ""
    """A label: frames are learnt apart by it."""
    real: Callable[[Path], Iterator[Arrival]] | None = None
    """Good measured frames in the data folder, which take no part in learning or in the threshold."""


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
    """Loops of very different materials, by magnetometers as they are: the Hall probe's zero and the magnet's remanence
    are off by up to 5 mT, the moment drifts by up to half a per cent and has an offset, the slope of what holds the
    sample is up to 50 times its moment, points are few or many. Where the slope is steep, noise and drift are less: a
    sample that they hide has no good loop (`loop` says that its Ms is not known)."""
    from insitu.readers.simulated_loops import LoopSeries

    def log_uniform(low: float, high: float) -> float:
        return math.exp(random.uniform(math.log(low), math.log(high)))

    def either(low: float, high: float) -> float:
        return float(random.choice([-1.0, 1.0])) * log_uniform(low, high)

    k = log_uniform(0.002, 0.08)
    a = k * math.exp(random.uniform(-0.5, 0.7))
    field, steep = log_uniform(max(0.3, 8.0 * (a + k)), 2.0), log_uniform(0.02, 50.0)
    return LoopSeries(
        seed=seed, frames=frames, k=k, a=a, change=1.0, field=field, points=int(random.integers(200, 1600)),
        coupling=random.uniform(0.0, 0.5), reversible=random.uniform(0.0, 0.5), slope=steep / field,
        noise=log_uniform(2e-4, min(1e-2, 0.05 / steep)), field_offset=either(1e-5, 5e-3),
        moment_offset=either(1e-4, 0.05),
        faults=(f"drift@0={either(1e-5, min(5e-3, 0.1 / steep)):.6f}", *faults),
    )  # fmt: skip


def loop_features() -> Sequence[Extractor]:
    from insitu.features.loop import Loop

    return [Loop()]


def vsm(data: Path) -> Iterator[Arrival]:
    """Loops of rocks by a vibrating sample magnetometer, and their laboratory's own answers beside them."""
    from insitu.readers.loops import Loops

    for path in sorted((data / "magnetic" / "vsm").glob("hyst_*.csv")):
        yield from (a for a in Loops(str(path))() if isinstance(a, Arrival))


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
NOISE_KEYS = ("rms", "kurtosis", "noise", "hum", "envelope_peak", "pulse_rate")
NOISE_FAULTS = ("amplifier_off", "clipped", "hum", "loose_probe", "magnet_off")
CORE_KEYS = ("mu_real", "mu_imag", "b_peak", "h_peak", "frequency", "thd_b", "thd_h", "noise_b", "noise_h")
CORE_FAULTS = ("no_drive", "open", "clipped", "late", "hum", "unlocked", "cracked", "noisy")
RING_FAULTS = ("beam_loss", "shutter", "saturation", "slipped", "dead", "lost_phase", "centre_drift", "strain",
               "texture", "spotty", "flipped")  # fmt: skip
RING_KEYS = (
    "total", "n_rings", *_of(("ring",), ("wander", "centre_x", "centre_y", "strain")),
    *_of([f"ring{i + 1}" for i in range(beams.RINGS)], ("position", "strain", "texture", "spottiness")),
)  # fmt: skip
FILM_KEYS = ("energy_half", "edge_step", "white_line_height", "white_line_position", "mu_total", "mu_maximum", "noise")
FILM_FAULTS = ("beam_loss", "glitch", "energy_jump", "sample_moved", "saturated")
KINDS: dict[str, Kind] = {
    "area": Kind(
        "xrd", "rings of a standard (ceria, silicon, barium titanate) on one area detector: where, how round, even and "
        "strong",
        tuple(Simulator(f"{s} on an area detector", beams.area(s), dict.fromkeys(RING_FAULTS, 1))
              for s in ("ceo2", "si", "batio3")),
        beams.area_features, RING_KEYS, 20, 8,
    ),
    "film": Kind(
        "xafs", "edge, white line, level and noise of a magnetic iron film at L3 and L2, for either helicity",
        (Simulator("iron film", beams.film, dict.fromkeys(FILM_FAULTS, 1)),),
        beams.film_features, FILM_KEYS, 20, 5, prepare=beams.film_steps, log=("noise",), by="helicity",
    ),
    "line": Kind(
        "line", "level, scatter and gaps of temperature, pressure, flow, power and vibration of a production line",
        (Simulator("line", line, {"bearing_wear": 3, "leak": 3, "stuck": 2, "dropout": 1, "drift": 300}),),
        line_features, _of(LINE, ("mean", "std", "min", "max", "rough", "missing")), 1000,
    ),
    "barkhausen": Kind(
        "magnetic", "level, peakedness, pulses and hum of Barkhausen noise",
        (Simulator("Barkhausen noise", noise, dict.fromkeys(NOISE_FAULTS, 1) | {"loose_probe": 10}),),
        noise_features,
        _of(("mbn",), NOISE_KEYS),
        10, 10, log=_of(("mbn",), ("rms", "kurtosis", "envelope_peak", "pulse_rate")),
    ),
    "loops": Kind(
        "magnetic", "the centre, drift and noise of hysteresis loops, of whatever material",
        (Simulator("loops", loops, {"clipped": 1, "drift": 1, "spike": 1, "not_closed": 1, "small_field=0.002": 1}),),
        loop_features, ("squareness", "field_offset", "drift", "quality"), 12, 20, real=vsm,
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
        60, 8, 12, readers=3,
    ),
}  # fmt: skip
