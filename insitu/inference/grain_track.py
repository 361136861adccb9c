"""A model that follows grains or cells from frame to frame, and says which were born, vanished, merged and split.

A grain goes on as the one that it shares most area with in the next frame (`insitu.maths.video.grains_links`); a
movement that all share is taken off first. A lost grain that lies whole in another one has merged into it, unless it
had become small already (below `vanish` of the mean area): then it vanished, as grains do in coarsening. What comes in
or goes out at the edge of the picture is no event.

The law of von Neumann and Mullins (J. Appl. Phys. 27, 900 (1956)), dA/dt = k (n - 6) for a grain with n sides, is
checked over the last `window` frames: `law` is the correlation of dA/dt with n - 6 over the grains that were whole all
the time, `law_rate` is k, in px^2 per s.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from insitu.errors import ConfigError
from insitu.inference.track_events import Events
from insitu.maths.video.grains import neighbour_counts
from insitu.maths.video.grains_links import common_shift, link, moved
from insitu.maths.video.regions import measure
from insitu.types import Measurement, Verdict

FEWEST = 10
"""Grains that the law needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One frame: `identity` of each label `(n + 1,)`, area, neighbours, whether cut by the edge, and when."""

    labels: np.ndarray
    identity: np.ndarray
    area: np.ndarray
    sides: np.ndarray
    border: np.ndarray
    time_ns: int


class _Memory:
    """What is remembered of one source."""

    __slots__ = ("events", "frames")

    def __init__(self, window: int, events: Events) -> None:
        self.frames: deque[_Seen] = deque(maxlen=window + 1)
        self.events = events


class GrainTrack:
    """Verdicts `change` (merged, split, born or vanished grains), `normal`, or `unknown` (no labels).

    `labels`: key of the label picture (the extractor `grains` gives `grain_labels`). `overlap`: least share of the
    smaller grain. `vanish`: see the head of this file. `reach`: the largest common movement, px, 0 for none. `window`:
    frames over which the law is checked. `across`: px without label that may lie between neighbours. `persist`: frames
    that an event must last before it counts; 1 for labels without noise, more for those of real pictures.
    Scores: grains, kept (share of the grains before that go on, those that left at the edge not counted), born,
    vanished, merged, split, law, law_rate.
    """

    def __init__(
        self,
        *,
        labels: str = "grain_labels",
        source: str | None = None,
        overlap: float = 0.2,
        vanish: float = 0.25,
        reach: int = 16,
        window: int = 10,
        across: int = 12,
        persist: int = 1,
        name: str = "grain_track",
        units: Mapping[str, str] | None = None,
    ) -> None:
        for key, value, low, high in (
            ("overlap", overlap, 0.01, 1.0),
            ("vanish", vanish, 0.0, 1.0),
            ("reach", reach, 0, 200),
            ("window", window, 1, 1000),
            ("across", across, 0, 1000),
            ("persist", persist, 1, 1000),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{key} = {value} cannot be used", where=key, expected=f"{low} to {high}")
        beside = labels.removesuffix("_labels") + "_count"  # numbers have units here, pictures of labels have not
        if units is not None and labels not in units and beside not in units:
            near = ", ".join(
                key.removesuffix("_sides_mean") + "_labels" for key in units if key.endswith("_sides_mean")
            )
            raise ConfigError(f"no feature gives {labels!r}", where="labels", expected=near or "the feature `grains`")
        self.name, self.key, self.source = name, labels, source
        self.overlap, self.vanish, self.reach, self.window, self.across = overlap, vanish, reach, window, across
        self.persist = persist
        self._memory: dict[str, _Memory] = {}
        neighbour_counts(np.eye(4, dtype=np.int32), 1)  # compile before a frame waits
        measure(np.eye(4, dtype=np.int32), 1)

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        found = measurement.arrays.get(self.key)
        if found is None:
            missing = measurement.features.get(self.key)
            if missing is None and self.source is None:
                return None
            why = missing.why if missing is not None else "it was not measured"
            return Verdict(label="unknown", reason=f"{self.key} is not known: {why}")
        memory = self._memory.setdefault(measurement.source, _Memory(self.window, Events(self.persist, self.overlap)))
        labels = found.values
        last = memory.frames[-1] if memory.frames else None
        if last is None or last.labels.shape != labels.shape:
            memory.frames.clear()
            seen = self._seen(labels, measurement.time_ns)
            fresh = memory.events.begin(labels.shape, seen.area.size)
            memory.frames.append(self._named(seen, fresh))
            return Verdict(
                label="normal", reason=f"{fresh.size} grains, the first frame", scores={"grains": fresh.size}
            )
        return self._follow(memory, last, self._seen(labels, measurement.time_ns))

    def identities(self, source: str) -> np.ndarray:
        """The identity of each label of the last frame of a source, `(n,)`; the same grain keeps its own."""
        return self._memory[source].frames[-1].identity.copy()

    def _seen(self, labels: np.ndarray, time_ns: int) -> _Seen:
        count = int(labels.max(initial=0))
        found = measure(np.ascontiguousarray(labels, np.int32), count)
        sides = neighbour_counts(found.labels, count, self.across)
        none = np.zeros(count, np.int64)
        return _Seen(
            labels=found.labels, identity=none, area=found.area, sides=sides, border=found.border, time_ns=time_ns
        )

    @staticmethod
    def _named(seen: _Seen, identity: np.ndarray) -> _Seen:
        return _Seen(
            labels=seen.labels,
            identity=identity,
            area=seen.area,
            sides=seen.sides,
            border=seen.border,
            time_ns=seen.time_ns,
        )

    def _follow(self, memory: _Memory, last: _Seen, now: _Seen) -> Verdict:
        shift = common_shift(last.labels, now.labels, self.reach) if self.reach else (0, 0)
        before = moved(last.labels, shift)
        links = link(before, now.labels, overlap=self.overlap)
        n, m = last.area.size, now.area.size
        # grains that the movement took out of sight have no label in the moved picture
        follower, merged, split = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(m, np.int64)
        follower[: links.follower.size], merged[: links.merged.size] = links.follower, links.merged
        split[: links.split.size] = links.split
        identity = np.zeros(m, np.int64)
        going = follower > 0
        identity[follower[going] - 1] = last.identity[going]
        small = last.area < self.vanish * float(last.area.mean()) if n else np.zeros(0, bool)
        losses: dict[int, tuple[str, int]] = {}
        for i in np.flatnonzero(~going).tolist():
            into = int(identity[merged[i] - 1]) if merged[i] else 0
            kind = "merged" if merged[i] and not small[i] else "vanished"
            losses[i + 1] = ("" if last.border[i] else kind, into)
        arrivals: dict[int, tuple[str, int]] = {}
        for i in np.flatnonzero(identity == 0).tolist():
            # one that splits off small has grown up out of a corner: born
            large = now.area[i] >= self.vanish * float(now.area.mean())
            source = int(last.identity[split[i] - 1]) if split[i] else 0
            arrivals[i + 1] = ("" if now.border[i] else "split" if source and large else "born", source)
        identity, counted = memory.events.step(
            before, now.labels, shift, last.identity, losses=losses, arrivals=arrivals, named=identity
        )
        memory.frames.append(self._named(now, identity))
        kept = float(going[~last.border | going].mean()) if n else 1.0
        scores: dict[str, float] = {"grains": m, "kept": kept, **counted}
        scores |= self._law(memory)
        return self._say(scores)

    def _law(self, memory: _Memory) -> dict[str, float]:
        """Correlation of dA/dt with n - 6, and the slope, over the frames in memory."""
        first, last = memory.frames[0], memory.frames[-1]
        seconds = (last.time_ns - first.time_ns) * 1e-9
        if len(memory.frames) <= self.window or not seconds > 0.0:
            return {}
        sums: dict[int, list[float]] = {}
        for seen in memory.frames:
            for name, sides, border in zip(seen.identity, seen.sides, seen.border, strict=True):
                if not border:
                    entry = sums.setdefault(int(name), [0, 0])
                    entry[0] += 1
                    entry[1] += int(sides)
        began = dict(zip(first.identity.tolist(), first.area.tolist(), strict=True))
        x, y = [], []
        for name, area in zip(last.identity.tolist(), last.area.tolist(), strict=True):
            times, sides = sums.get(name, (0, 0))
            if times == len(memory.frames) and name in began:
                x.append(sides / times - 6.0)
                y.append((area - began[name]) / seconds)
        if len(x) < FEWEST or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
            return {}
        slope = float(np.polyfit(x, y, 1)[0])
        return {"law": float(np.corrcoef(x, y)[0, 1]), "law_rate": slope}

    def _say(self, scores: dict[str, float]) -> Verdict:
        events = [f"{scores[key]:.0f} {key}" for key in ("merged", "split", "born", "vanished") if scores[key]]
        reason = f"{scores['grains']:.0f} grains, {100 * scores['kept']:.1f} % of those before go on"
        if events:
            reason += ": " + ", ".join(events)
        if "law" in scores:
            reason += f"; growth goes with the number of sides, correlation {scores['law']:.2f}"
        label = "change" if events else "normal"
        return Verdict(label=label, score=scores["kept"], scores=scores, reason=reason)
