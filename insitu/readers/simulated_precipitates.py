"""Simulated precipitates: micrographs of dark particles that grow in a bright matrix.

SIMULATED, NOT MEASURED: every arrival carries the label `simulated = "true"`. Particles are ellipses that do not touch;
each begins at a time of its own and grows by diffusion, r = r_end sqrt((t - t0) / (t_end - t0)) (Zener, J. Appl. Phys.
20, 950 (1949)), until the frame `grown`. Light is uneven, and what `simulated_grains_camera` does is done to the
picture. Frame `i` is a pure function of the settings, the seed and `i`; `Precipitates.truth(i)` tells the true answers.
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
from insitu.readers.faults import KINDS, active, arrival_order, source_number
from insitu.readers.simulated_grains_camera import camera_fault, take
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.types import Arrival, Detector, Feature

IDLE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrecipitateTruth:
    """The true answers for one frame: `mask` bool `(y, x)`, `count` of particles with a radius of 1 px or more,
    `area_fraction` of the mask, `diameter_mean` (equivalent circles, px), `faults`."""

    index: int
    mask: np.ndarray
    count: int
    area_fraction: float
    diameter_mean: float
    faults: tuple[str, ...]


class Precipitates:
    """A reader that simulates precipitation under a microscope (see the head of this file).

    `size`: rows and columns. `particles`: how many at most (fewer where there is no room). `radius`: mean radius when
    grown, px. `grown`: the frame at which they are. `contrast`: of particles, `shading`: of the light, in parts of the
    mean level. `interval`: between frames. `drift`: px per frame along x. Others: as `simulated.grains`.

    >>> reader = Precipitates(size=64, particles=5, radius=5.0, frames=1)
    >>> arrival = next(reader())
    >>> arrival.data.shape, arrival.data.dtype.name
    ((64, 64), 'uint8')
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
        particles: int = 120,
        radius: float = 12.0,
        grown: int = 50,
        contrast: float = 0.35,
        shading: float = 0.2,
        drift: float = 0.0,
        blur: float = 1.0,
        noise: float = 0.02,
        bits: Literal[8, 16] = 8,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        if size < 32:
            raise ConfigError(f"size is {size}", where="size", expected="32 or more")
        if particles < 1 or grown < 1:
            raise ConfigError(
                f"{particles} particles, grown at frame {grown}", where="particles", expected="1 or more of both"
            )
        shares = ("contrast", contrast, 1), ("shading", shading, 1), ("blur", blur, 50), ("noise", noise, 1)
        for key, value, high in shares:
            if not 0 <= value <= high:
                raise ConfigError(f"{key} is {value}", where=key, expected=f"0 to {high}")
        self.source = detector.source if detector else "video"
        self.seed, self.size, self.grown, self.drift = seed, size, grown, drift
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.interval = positive(interval, "interval", "s") if self.rate is None else 1.0 / self.rate
        self.faults = tuple(camera_fault(text) for text in faults)
        self._first_ns, self._start = first_time_ns(start, live=self.rate is not None), start
        self._contrast, self._shading, self._blur, self._noise = contrast, shading, blur, noise
        self._dtype = np.dtype(f"uint{bits}")
        self._level = 150.0 if bits == 8 else 20_000.0
        self._particles = _placed(particles, positive(radius, "radius", "px"), size, seed)
        pixel = detector.calibration.get("pixel_size") if detector else None
        self._context = {} if pixel is None else {"pixel_size": pixel}

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
        mask, _ = self._scene(index)
        y, x = np.mgrid[: self.size, : self.size] / self.size - 0.5
        light = self._level * (1.0 + self._shading * (x + 0.5 * y - x * y))
        scene = light * np.where(mask, 1.0 - self._contrast, 1.0)
        now = active(self.faults, index)
        seed = (self.seed, zlib.crc32(self.source.encode()), index)
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
            labels={"simulated": "true", "sample": "precipitates", "instrument": "simulated.precipitates"},
        )

    def truth(self, index: int) -> PrecipitateTruth:
        """The true answers for frame `index`."""
        mask, diameters = self._scene(index)
        now = active(self.faults, index)
        return PrecipitateTruth(
            index=index,
            mask=mask,
            count=diameters.size,
            area_fraction=float(mask.mean()),
            diameter_mean=float(diameters.mean()) if diameters.size else 0.0,
            faults=tuple(kind for kind in now if kind not in KINDS or not KINDS[kind].transport),
        )

    def _scene(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Which pixels are particle, and the equivalent diameters of those that are there."""
        mask = np.zeros((self.size, self.size), bool)
        diameters = []
        for cy, cx, radius, ratio, turn, born in self._particles:
            grown = (index - born * self.grown) / (self.grown * (1.0 - born))
            r = radius * min(max(grown, 0.0), 1.0) ** 0.5
            cx = cx + self.drift * index
            reach = int(1.5 * r) + 2
            top, left = max(int(cy) - reach, 0), max(int(cx) - reach, 0)
            bottom, right = int(cy) + reach + 1, int(cx) + reach + 1
            if r < 1.0 or top >= self.size or left >= self.size or bottom <= 0 or right <= 0:
                continue
            part = mask[top:bottom, left:right]
            y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
            inside = (u / ratio) ** 2 + (v * ratio) ** 2 <= r * r
            if inside.any():
                part |= inside
                diameters.append(np.sqrt(4.0 * np.count_nonzero(inside) / np.pi))
        return mask, np.array(diameters)


def _placed(particles: int, radius: float, size: int, seed: int) -> np.ndarray:
    """Rows of y, x, radius, root of the aspect ratio, direction and time of birth (part of the growth), by random
    sequential addition: none comes nearer to another than a gap of 3 px."""
    random = np.random.default_rng((seed, 2))
    placed: list[tuple[float, ...]] = []
    for _ in range(200 * particles):
        if len(placed) == particles:
            break
        r = radius * float(np.clip(random.normal(1.0, 0.25), 0.4, 1.8))
        ratio, turn, born = (float(v) for v in random.uniform((1.0, 0.0, 0.0), (1.2, np.pi, 0.5)))
        long = r * ratio
        cy, cx = (float(v) for v in random.uniform(long + 3.0, max(size - long - 3.0, long + 4.0), 2))
        if all((cy - p[0]) ** 2 + (cx - p[1]) ** 2 > (long + p[2] * p[3] + 3.0) ** 2 for p in placed):
            placed.append((cy, cx, r, ratio, turn, born))
    return np.array(placed).reshape(-1, 6)
