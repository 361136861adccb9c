"""Simulated grain growth: micrographs of a polycrystal that coarsens.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. The grains are those of the Potts model
(`insitu.maths.video.grains_potts`): mean area grows linearly in time, small grains vanish. Frame `i` depends on the
settings and the seed only. A grain has a grey level of its own, walls are dark lines; `Grains.truth(i)` tells the true
answers.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.video.grains_potts import CHANCE, sweep, voronoi
from insitu.readers.faults import KINDS, active, arrival_order, source_number
from insitu.readers.simulated_grains_camera import camera_fault, take
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1
SETTLE = 20
"""Sweeps before frame 0: the cells about random points take the shapes of grains."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrainTruth:
    """The true answers for one frame: `labels` int32 `(y, x)`, which grain is where; how many there are in the periodic
    picture; their mean area in px; `faults`."""

    index: int
    labels: np.ndarray
    count: int
    area_mean: float
    faults: tuple[str, ...]


class Grains:
    """A reader that simulates grain growth under a microscope (see the head of this file).

    `size`: rows and columns, even. `grains`: at the beginning. `sweeps`: of the model, between frames: more is faster
    growth. `interval`: between frames. `contrast`: how much grains differ in brightness, `wall`: how much darker walls
    are, both in parts of the mean level. `blur` px, `noise` in parts of the mean level. `bits`: of the camera. `start`,
    `rate`, `frames`, `seed`: as `simulated.diffractometer`. `faults`: see `simulated_grains_camera`.

    >>> reader = Grains(size=64, grains=12, frames=1)
    >>> arrival = next(reader())
    >>> arrival.data.shape, arrival.dims, reader.truth(0).count <= 12
    ((64, 64), ('y', 'x'), True)
    """

    simulated = True

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        interval: Annotated[float, "s"] = 10.0,
        start: str = "",
        size: int = 512,
        grains: int = 400,
        sweeps: int = 8,
        contrast: float = 0.1,
        wall: float = 0.45,
        blur: float = 1.0,
        noise: float = 0.02,
        bits: Literal[8, 16] = 8,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        if size < 32 or size % 2:
            raise ConfigError(f"size is {size}", where="size", expected="an even number, 32 or more")
        if not 2 <= grains <= (size // 2) ** 2 // 16:
            raise ConfigError(
                f"{grains} grains", where="grains", expected=f"2 to {(size // 2) ** 2 // 16} for this size"
            )
        if sweeps < 1:
            raise ConfigError(f"{sweeps} sweeps", where="sweeps", expected="1 or more")
        for key, value, high in (("contrast", contrast, 1), ("wall", wall, 1), ("blur", blur, 50), ("noise", noise, 1)):
            if not 0 <= value <= high:
                raise ConfigError(f"{key} is {value}", where=key, expected=f"0 to {high}")
        self.source = detector.source if detector else "video"
        self.seed, self.size, self.sweeps = seed, size, sweeps
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.interval = positive(interval, "interval", "s") if self.rate is None else 1.0 / self.rate
        self.faults = tuple(camera_fault(text) for text in faults)
        self._first_ns, self._start = first_time_ns(start, live=self.rate is not None), start
        self._contrast, self._wall, self._blur, self._noise = contrast, wall, blur, noise
        self._dtype = np.dtype(f"uint{bits}")
        self._level = 150.0 if bits == 8 else 20_000.0
        self._begin = voronoi(size // 2, grains, seed)
        # brightness by grain; neighbours differ by chance only, as in channelling contrast
        self._bright = np.random.default_rng((seed, 1)).uniform(-1.0, 1.0, grains)
        pixel = detector.calibration.get("pixel_size") if detector else None
        self._context = {} if pixel is None else {"pixel_size": pixel}
        self._restart()

    def _restart(self) -> None:
        self._at, self._sites = 0, self._begin.copy()
        self._random = np.array([(self.seed * 2654435761 + 1) % 2**63], np.uint64)
        sweep(self._sites, SETTLE, self._random, CHANCE)

    def _grown(self, index: int) -> np.ndarray:
        """The grains of frame `index`, int32 `(size / 2, size / 2)`: the model runs on from where it is."""
        if index < self._at:
            self._restart()
        if index > self._at:
            sweep(self._sites, (index - self._at) * self.sweeps, self._random, CHANCE)
            self._at = index
        return self._sites

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.rate is not None and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began = time.monotonic()
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind in KINDS], indices):
            if self.rate is not None:  # absolute deadlines: a late frame does not delay the ones after it
                while (left := began + (index + 1) * self.interval - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Frame `index` as the camera gives it."""
        sites = self._grown(index)
        labels = sites.repeat(2, 0).repeat(2, 1)
        scene = self._level * (1.0 + self._contrast * self._bright[labels])
        walls = np.zeros(labels.shape, bool)
        walls[:, :-1] |= labels[:, :-1] != labels[:, 1:]
        walls[:-1] |= labels[:-1] != labels[1:]
        walls[:, 1:] |= walls[:, :-1].copy()
        scene = np.where(walls, scene * (1.0 - self._wall), scene)
        seed = (self.seed, zlib.crc32(self.source.encode()), index)
        now = active(self.faults, index)
        data = take(scene, now, blur=self._blur, noise=self._noise * self._level, dtype=self._dtype, seed=seed)
        return Arrival(
            source=self.source,
            data=data,
            dims=("y", "x"),
            unit="counts",
            time_ns=self._first_ns + round(index * self.interval * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, 0, None),
            context={"frame_index": Feature(index, ""), **self._context},
            labels={"simulated": "true", "sample": "grain growth", "instrument": "simulated.grains"},
        )

    def truth(self, index: int) -> GrainTruth:
        """The true answers for frame `index`."""
        sites = self._grown(index)
        there = np.unique(sites).size
        now = active(self.faults, index)
        return GrainTruth(
            index=index,
            labels=sites.repeat(2, 0).repeat(2, 1),
            count=there,
            area_mean=self.size**2 / there,
            faults=tuple(kind for kind in now if kind not in KINDS or not KINDS[kind].transport),
        )
