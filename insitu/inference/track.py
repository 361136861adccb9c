"""A model that follows particles from frame to frame: tracks, drift, diffusion, and frames in which something happened.

It takes the positions that `particles` found, links them to tracks (`insitu.maths.video.linking`), and keeps sums of
their displacements (`insitu.maths.video.msd`), from which follow the drift that all share, the mean squared
displacement without it, its power law `MSD = coefficient t^exponent`, and the diffusion coefficient.

`anomaly`: frames are missing before this one; or one of these departs from its own baseline (`insitu.maths.rolling`):
the number of particles, the part of them found again, the number of new ones, the length of their steps (longer where
frames are missing without a word, or the picture shook).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from insitu.errors import ConfigError
from insitu.inference.track_clock import Clock, Moment, micrometres
from insitu.maths.rolling import Baseline
from insitu.maths.video.linking import Linker
from insitu.maths.video.msd import Displacements
from insitu.maths.watch import at_least, quantity
from insitu.types import Measurement, Verdict

X, Y, MASS, SIZE, ECC = range(5)
"""Columns of the positions (`insitu.features.particles`)."""
SEEN = {
    "particles": "number of particles",
    "again": "part of the particles found again",
    "born": "number of new particles, of those that count",
    "step": "length of their steps (rms, px)",
}
FEWEST = 5
"""Steps that have a typical length."""
SHARED = 3.0
"""The number of particles found again must be this many times its counting error off, too."""


class _Memory:
    """What is remembered of one source."""

    __slots__ = ("baselines", "before", "clock", "displacements", "linker")

    def __init__(self, linker: Linker, displacements: Displacements, baselines: dict[str, Baseline]) -> None:
        self.clock, self.linker, self.displacements, self.baselines = Clock(), linker, displacements, baselines
        self.before = 0


class Track:
    """Verdicts `normal`, `anomaly` or `unknown` about the particles of each frame.

    `particles`: the name of the `particles` entry. `search_range`: px that a particle may move between two frames;
    `memory`: frames that it may be missing. Tracks of `min_length` points count for drift and diffusion, with points
    of more than `min_mass`, smaller than `max_size` (px), and rounder than `max_ecc`. `max_lag`: frames.
    `drift`: the name of a `video.drift` entry: where the whole picture jumps by more than a quarter of the search
    range, particles are looked for where it jumped to. `deviation`: sigma off the baseline that is an anomaly;
    baselines are learnt for `warm_up` frames. `share`: departures by less than this part of the baseline are none.

    Scores: `particles`, `linked` (to tracks), `born`, `lost`, `tracks` (long ones), `step` (rms, px), `drift_x`,
    `drift_y`, `drift_sigma` (px since the first frame), `msd_exponent`, `msd_coefficient`, `diffusion` with `_sigma`
    (in um^2 and s where the size of a pixel and the times are known, else px^2 and frames), `position_error` (px).
    """

    def __init__(
        self,
        *,
        particles: str = "particle",
        source: str | None = None,
        search_range: float = 5.0,
        memory: int = 3,
        min_length: int = 25,
        min_mass: float = 0.0,
        max_size: float = math.inf,
        max_ecc: float = 1.0,
        max_lag: int = 100,
        drift: str = "",
        remove_drift: bool = True,
        deviation: float = 6.0,
        warm_up: int = 12,
        share: float = 0.1,
        name: str = "track",
        units: Mapping[str, str] | None = None,
    ) -> None:
        for value, least, where in (
            (search_range, 0.1, "search_range"),
            (memory, 0, "memory"),
            (min_length, 2, "min_length"),
            (max_lag, 2, "max_lag"),
            (deviation, 1.0, "deviation"),
            (warm_up, 3, "warm_up"),
            (share, 0.0, "share"),
        ):
            at_least(value, least, where)
        self.name, self.source, self._drift = name, source, drift
        self._key, self._count_key = f"{particles}_positions", f"{particles}_count"
        if units is not None and self._key not in units and self._count_key not in units:
            raise ConfigError(
                f'no [[features]] with use = "particles" is named {particles!r}',
                where="particles",
                expected="the name of such an entry (default: particle)",
            )
        if units is not None and drift and f"{drift}_x" not in units:
            raise ConfigError(
                f'no [[features]] with use = "video.drift" is named {drift!r}',
                where="drift",
                expected="the name of such an entry, or nothing",
            )
        self.search_range, self.memory, self.min_length = search_range, memory, min_length
        self.min_mass, self.max_size, self.max_ecc, self.max_lag = min_mass, max_size, max_ecc, max_lag
        self.remove_drift, self.deviation, self.warm_up, self.share = remove_drift, deviation, warm_up, share
        self._memory: dict[str, _Memory] = {}
        self._new().displacements.add(0, np.zeros(2, np.int64), np.zeros((2, 2)), np.ones(2, bool))  # compiles

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        found = measurement.arrays.get(self._key)
        missing = measurement.features.get(self._key)
        memory = self._memory.get(measurement.source)
        if found is None and missing is None and memory is None:
            return None
        if memory is None:
            memory = self._memory[measurement.source] = self._new()
        moment = memory.clock(measurement)
        if found is None:
            why = "the frame carries no positions" if missing is None else missing.why
            return Verdict(label="unknown", reason=f"particles are not known: {why}")
        table = np.asarray(found.values, np.float64)
        table = table[np.isfinite(table[:, X])]
        return self._follow(memory, moment, table, measurement)

    def _new(self) -> _Memory:
        keep = {"max_lag": self.max_lag, "min_length": self.min_length, "memory": self.memory}
        learn = {"window": max(50, self.warm_up), "warm_up": self.warm_up, "deviation": self.deviation}
        return _Memory(
            Linker(reach=self.search_range, memory=self.memory),
            Displacements(drift=self.remove_drift, **keep),
            {key: Baseline(**learn, relearn_after=self.warm_up) for key in SEEN},
        )

    def _follow(self, memory: _Memory, moment: Moment, table: np.ndarray, measurement: Measurement) -> Verdict:
        points = table[:, [Y, X]]
        shift = self._jump(measurement)
        linked = memory.linker.link(moment.tick, points, shift)
        good = (table[:, MASS] > self.min_mass) & (table[:, SIZE] < self.max_size) & (table[:, ECC] < self.max_ecc)
        memory.displacements.add(moment.tick, linked.track, points, good)
        memory.displacements.forget(linked.lost)
        steps = linked.step[(linked.gap == 1) & good]
        apart = steps - steps.mean(axis=0) if len(steps) >= FEWEST else np.zeros((0, 2))
        step = math.sqrt(float(np.mean(np.sum(apart**2, axis=1)))) if len(apart) else None
        again = int(np.count_nonzero(~linked.born))
        before, memory.before = memory.before, len(points)
        scores = {
            "particles": float(len(points)),
            "linked": float(again),
            "born": float(len(points) - again),
            "lost": float(len(linked.lost)),
            "tracks": float(np.count_nonzero(memory.displacements.length(linked.track) >= self.min_length)),
        }
        if step is not None:
            scores["step"] = step
        told = self._motion(memory, moment, measurement, scores)
        reasons = [f"{moment.missing} frame(s) missing before this one"] if moment.missing else []
        if shift != (0.0, 0.0):
            reasons.append(f"the whole picture jumped by x {shift[1]:.1f}, y {shift[0]:.1f} px")
        seen = {
            "particles": float(len(points)),
            "again": again / before if before else None,
            "born": float(np.count_nonzero(linked.born & good)) if before else None,
            "step": step,
        }
        worst, said = self._departures(memory, seen, before, bool(moment.missing))
        reasons += said
        sentence = f"{len(points)} particles, {again} linked{told}"
        return Verdict(
            label="anomaly" if reasons else "normal",
            score=worst,
            scores=scores,
            reason=f"{'; '.join(reasons)} ({sentence})" if reasons else sentence,
        )

    def _jump(self, measurement: Measurement) -> tuple[float, float]:
        """How far the whole picture moved, (y, x) px, where that is far and well known; else nothing."""
        y, x, alike = (measurement.features.get(f"{self._drift}_{key}") for key in ("y", "x", "correlation"))
        if not self._drift or y is None or x is None or y.value is None or x.value is None:
            return (0.0, 0.0)
        if alike is None or alike.value is None or alike.value < 0.5:
            return (0.0, 0.0)
        far = math.hypot(y.value, x.value)
        known = max(y.sigma or 0.0, x.sigma or 0.0) < 0.2 * far
        return (float(y.value), float(x.value)) if far > self.search_range / 4.0 and known else (0.0, 0.0)

    def _departures(
        self, memory: _Memory, seen: Mapping[str, float | None], before: int, gap: bool
    ) -> tuple[float, list[str]]:
        """The largest departure from the baselines in sigma, and what departs, in words."""
        worst, reasons = 0.0, []
        for key, value in seen.items():
            baseline = memory.baselines[key]
            if value is None or (gap and key != "particles"):
                continue
            found = baseline.departure(value)
            if found is None:
                baseline.accept(value)
                continue
            worst = max(worst, abs(found.t))
            off = abs(value - found.mean)
            # counts scatter by themselves, and a part of few particles scatters more
            counts = max(found.mean, 1.0)
            counting = {"particles": counts, "born": counts, "again": 0.25 / max(before, 1), "step": 0.0}[key]
            matters = off > self.share * abs(found.mean) and off > SHARED * math.sqrt(counting)
            if abs(found.t) > found.allowed and matters:
                baseline.reject(value)
                side = "above" if found.t > 0 else "below"
                mean = quantity(found.mean, "", found.sigma)
                reasons.append(f"the {SEEN[key]}, {quantity(value)}, is {abs(found.t):.1f} sigma {side} its {mean}")
            elif found.belongs or not matters:
                baseline.accept(value)
            else:
                baseline.reject(value)
        return worst, reasons

    def _motion(self, memory: _Memory, moment: Moment, measurement: Measurement, scores: dict[str, float]) -> str:
        """Drift, power law and diffusion into `scores`; a sentence on them."""
        sums, said = memory.displacements, ""
        scores["drift_y"], scores["drift_x"], scores["drift_sigma"] = sums.moved()
        size, interval = micrometres(measurement), moment.interval_s
        known = size is not None and interval is not None
        area, frame = (size**2, interval) if size is not None and interval is not None else (1.0, 1.0)
        unit = "um^2/s" if known else "px^2/frame"
        law, diffusion = sums.power_law(), sums.diffusion()
        if diffusion is not None:
            scores["diffusion"] = diffusion.value * area / frame
            scores["diffusion_sigma"] = diffusion.sigma * area / frame
            scores["position_error"] = diffusion.position_error
            said = f", D {quantity(scores['diffusion'], unit, scores['diffusion_sigma'])}"
        if law is not None:
            scores["msd_exponent"], scores["msd_exponent_sigma"] = law.exponent, law.exponent_sigma
            factor = area / frame**law.exponent
            scores["msd_coefficient"] = law.coefficient * factor
            scores["msd_coefficient_sigma"] = law.coefficient_sigma * factor
            said += f", MSD {scores['msd_coefficient']:.4g} t^{law.exponent:.3f} ({unit.replace('/', ', ')})"
        return said
