"""A simulated microscope video of colloidal particles: Brownian motion of known D, drift, and faults on demand.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. Frame `i` is a pure function of the
settings, the seed, the source's name and `i`:

    pixel = exposure (level + contrast sum over particles and dust of exp(-r^2 / 2 width^2)) + noise

Particles step by normal numbers of variance 2 D / rate along each axis and by the common drift, and come in on the
other side where they leave the picture; dust stays where it is. `Colloid.truth(i)` tells the true answers. Faults:
those of the transport (`insitu.readers.faults`: missing, duplicate, reorder, reset) and `COLLOID_KINDS`.
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
from insitu.readers.faults import KINDS, Fault, Kind, active, arrival_order, parse_fault, source_number, with_transport
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1
COLLOID_KINDS: dict[str, Kind] = {
    "blur": Kind("out of focus: the picture is smoothed", "width in px", 3.0, 0.1, 50.0),
    "exposure": Kind("exposed for longer or shorter", "factor", 1.5, 0.01, 100.0),
    "shift": Kind("the stage has jumped along x", "px", 5.0, -1000.0, 1000.0),
    "burst": Kind("particles, bubbles or dust burst in for these frames", "how many", 100, 1, 100_000),
    "lost": Kind("the light is off: noise alone", "", 0.0, 0.0, 0.0),
}
ALLOWED = with_transport(COLLOID_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColloidTruth:
    """The true answers for one frame: `positions` `(particles, 2)` y, x in px, by particle; `drift` (y, x) in px since
    frame 0; `diffusion` in px^2/frame and in um^2/s; `faults` active."""

    index: int
    source_seq: int
    time_ns: int
    positions: np.ndarray
    drift: tuple[float, float]
    diffusion_px: float
    diffusion_um: float
    faults: tuple[str, ...]


class Colloid:
    """A reader that simulates a microscope above a colloid (see the head of this file).

    `frames`: how many (None: for ever); `rate`: frames per second; `paced`: wait between frames as a camera does.
    `shape`: rows and columns (default: the detector's, else 256 x 320). `particles`, `width` of their image in px,
    `contrast` (negative: dark) and `level` in grey levels, `noise` of a pixel. `diffusion` in um^2/s, `pixel_size`,
    `drift_x` and `drift_y` in px/frame, `dust`: specks that do not move. `depth`: bits of the camera.

    >>> reader = Colloid(frames=2, shape=(64, 80), particles=5)
    >>> arrival = next(reader())
    >>> arrival.data.shape, arrival.data.dtype.name, arrival.labels["simulated"]
    ((64, 80), 'uint8', 'true')
    """

    simulated = True

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] = 24.0,
        paced: bool = False,
        start: str = "",
        shape: tuple[int, int] | None = None,
        particles: int = 120,
        width: float = 2.0,
        contrast: float = -50.0,
        level: float = 130.0,
        noise: float = 1.5,
        diffusion: Annotated[float, "um**2/s"] = 0.4,
        pixel_size: Annotated[float, "um"] | None = None,
        drift_x: float = 0.0,
        drift_y: float = 0.0,
        dust: int = 0,
        depth: int = 8,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0 or particles < 0 or dust < 0 or diffusion < 0 or noise < 0:
            raise ConfigError("a number is negative", where="seed, particles, dust, diffusion, noise", expected="0 on")
        if not 8 <= depth <= 16:
            raise ConfigError(f"a camera of {depth} bits", where="depth", expected="8 to 16")
        self.source, self.unit = (detector.source, detector.unit) if detector else ("video", "counts")
        self.seed, self.frames, self.rate, self.paced = seed, frames, positive(rate, "rate", "Hz"), paced
        self.frames = None if frames is None else int(positive(frames, "frames"))
        known = detector.shape if detector else None
        self.shape = (int((shape or known or (256, 320))[0]), int((shape or known or (256, 320))[1]))
        if min(self.shape) < 32:
            raise ConfigError(f"shape = {list(self.shape)}", where="shape", expected="rows and columns, 32 or more")
        self.width, self.contrast, self.level = positive(width, "width", "px"), contrast, level
        self.noise, self.top = noise, 2**depth - 1
        self.dtype = np.dtype("uint8" if depth == 8 else "uint16")
        calibrated = detector.calibration.get("pixel_size") if detector else None
        if pixel_size is None and calibrated is not None and calibrated.value is not None and calibrated.unit == "um":
            pixel_size = float(calibrated.value)
        self.pixel_um = positive(0.35 if pixel_size is None else pixel_size, "pixel_size", "um")
        self.diffusion, self.drift = diffusion, (drift_y, drift_x)
        self.faults = tuple(colloid_fault(text) for text in faults)
        self._first_ns, self._start = first_time_ns(start, live=paced), start
        self._key = (seed, zlib.crc32(self.source.encode()))
        random = np.random.default_rng(self._key)
        self._places = [_apart(random, particles, self.shape, 7.0 * self.width)]
        self._dust = random.uniform(0.0, 1.0, (dust, 2)) * self.shape

    @property
    def diffusion_px(self) -> float:
        """The true diffusion coefficient, px^2/frame."""
        return self.diffusion / self.pixel_um**2 / self.rate

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.paced and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began = time.monotonic()
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind in KINDS], indices):
            while self.paced and (left := began + (index + 1) / self.rate - time.monotonic()) > 0.0:
                time.sleep(min(left, IDLE_S))
                if left > IDLE_S:
                    yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the camera gives it: a pure function of the settings."""
        now = self._now(index)
        random = np.random.default_rng((*self._key, 1, index))
        scene = np.full(self.shape, self.level)
        places = np.add(self.positions(index), (0.0, now.get("shift", 0.0)))
        if "burst" in now:
            places = np.concatenate([places, random.uniform(0.0, 1.0, (int(now["burst"]), 2)) * self.shape])
        _draw(scene, places, self.width, self.contrast)
        _draw(scene, self._dust, 1.5 * self.width, self.contrast)
        if "blur" in now:
            from scipy.ndimage import gaussian_filter

            scene = gaussian_filter(scene, now["blur"], mode="nearest")
        scene *= 0.0 if "lost" in now else now.get("exposure", 1.0)
        scene += random.normal(0.0, self.noise, self.shape) if self.noise else 0.0
        return Arrival(
            source=self.source,
            data=aligned(np.clip(np.rint(scene), 0, self.top).astype(self.dtype)),
            dims=("y", "x"),
            unit=self.unit,
            time_ns=self._time_ns(index),
            duration_ns=round(0.5e9 / self.rate),
            clock="ioc",
            source_seq=source_number(self.faults, index, 0, None),
            context={"pixel_size": Feature(self.pixel_um, "um")},
            labels={"simulated": "true", "instrument": "simulated.colloid"},
        )

    def truth(self, index: int) -> ColloidTruth:
        """The true answers for frame `index`."""
        shift = self._now(index).get("shift", 0.0)
        return ColloidTruth(
            index=index,
            source_seq=source_number(self.faults, index, 0, None),
            time_ns=self._time_ns(index),
            positions=np.add(self.positions(index), (0.0, shift)),
            drift=(index * self.drift[0], index * self.drift[1] + shift),
            diffusion_px=self.diffusion_px,
            diffusion_um=self.diffusion,
            faults=tuple(self._now(index)),
        )

    def positions(self, index: int) -> np.ndarray:
        """Where the particles are in frame `index` `(particles, 2)`, y and x in px, within the picture."""
        while len(self._places) <= index:  # a path is walked once; any frame can be asked for
            step = np.random.default_rng((*self._key, 2, len(self._places))).normal(size=self._places[0].shape)
            self._places.append(self._places[-1] + step * math.sqrt(2.0 * self.diffusion_px) + self.drift)
        return self._places[index] % self.shape

    def _time_ns(self, index: int) -> int:
        return self._first_ns + round(index * 1e9 / self.rate)

    def _now(self, index: int) -> dict[str, float]:
        return active([fault for fault in self.faults if fault.kind in COLLOID_KINDS], index)


def colloid_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that this video can have; without a range it is one frame.

    >>> colloid_fault("blur@20-25=2"), colloid_fault("burst@40").last
    (Fault(kind='blur', first=20, last=25, strength=2.0), 40)
    """
    return parse_fault(text, ALLOWED, of="a video", once=True)


def _apart(random: np.random.Generator, wanted: int, shape: tuple[int, int], least: float) -> np.ndarray:
    """Places `(wanted, 2)` at least `least` px apart, as far as there is room; then anywhere."""
    places = np.empty((0, 2))
    for _ in range(200 * wanted):
        if len(places) == wanted:
            break
        place = random.uniform(0.0, 1.0, 2) * shape
        if not len(places) or float(np.min(np.hypot(*(places - place).T))) >= least:
            places = np.concatenate([places, place[None]])
    rest = random.uniform(0.0, 1.0, (wanted - len(places), 2)) * shape
    return np.concatenate([places, rest])


def _draw(scene: np.ndarray, places: np.ndarray, width: float, contrast: float) -> None:
    """Add a Gaussian of `width` px at each place `(n, 2)`."""
    reach = math.ceil(5.0 * width)
    for y, x in places:
        top, left = max(0, round(y) - reach), max(0, round(x) - reach)
        part = scene[top : round(y) + reach + 1, left : round(x) + reach + 1]
        if part.size:
            down = np.exp(-((np.arange(top, top + part.shape[0]) - y) ** 2) / (2.0 * width**2))
            along = np.exp(-((np.arange(left, left + part.shape[1]) - x) ** 2) / (2.0 * width**2))
            part += contrast * np.outer(down, along)
