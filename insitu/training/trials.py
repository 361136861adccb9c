"""Simulated instruments as frames and measurements, clean or with planted faults, and what a score says of them."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from insitu.training.metrics import Figure, wilson
from insitu.types import Arrival, Extractor, Feature, Frame, Measurement, Prepare

Input = Callable[[Frame], np.ndarray | None]
"""A frame as the network gets it; None where it cannot be prepared (the edge then says `unknown`)."""


class Trial(NamedTuple):
    """Scores of frames; those that could not be prepared are NaN: no good frame either."""

    name: str
    scores: np.ndarray

    def alarms(self, threshold: float) -> int:
        """Frames that are not called normal."""
        return int(np.count_nonzero(~(self.scores <= threshold)))

    def found(self, threshold: float) -> Figure:
        """Share of the frames that are not called normal."""
        return wilson(self.alarms(threshold), self.scores.size)


def frames(reader: Any, first: int = 0, count: int = 1, step: int = 1) -> Iterator[Frame]:
    """Frames of a simulator with `arrival(index)`."""
    for i in range(first, first + count * step, step):
        yield frame_of(reader.arrival(i), i)


def frame_of(arrival: Arrival, number: int) -> Frame:
    """An arrival with its numbers."""
    return Frame(seq=number, n=number, **{f.name: getattr(arrival, f.name) for f in dataclasses.fields(arrival)})


def measurement(
    frame: Frame, prepare: Sequence[Prepare], extractors: Sequence[Extractor], kept: Sequence[Frame] = ()
) -> Measurement:
    """What the extractors find in a frame, as a pipeline does it; `kept`: the frames before it."""
    prepared = frame
    why = ""
    for step in prepare:
        try:
            prepared = step(prepared, {})
        except ValueError as e:
            why = str(e)
            break
    features: dict[str, Feature] = {}
    for extractor in extractors:
        raw = getattr(extractor, "raw", False)
        if why and not raw:
            features |= {key: Feature(None, output.unit, why=why) for key, output in extractor.outputs.items()}
            continue
        before = int(getattr(extractor, "before", 0))
        found = extractor(frame if raw else prepared, {}, kept[-before:] if before else ())
        features |= {key: f for key, f in found.items() if isinstance(f, Feature)}
    return Measurement(
        source=frame.source, seq=frame.seq, n=frame.n, time_ns=frame.time_ns, features=features, context=frame.context,
        labels=frame.labels,
    )  # fmt: skip


def inputs(some: Iterable[Frame], prepare: Input) -> tuple[np.ndarray, int]:
    """Inputs `(k, ...)` of the frames that can be prepared, and how many cannot."""
    made = [prepare(frame) for frame in some]
    good = [x for x in made if x is not None]
    return (np.stack(good) if good else np.zeros((0, 0), np.float32)), len(made) - len(good)


def trial(name: str, some: Iterable[Frame], prepare: Input, score: Callable[[np.ndarray], np.ndarray]) -> Trial:
    """Scores of frames."""
    out = []
    for frame in some:
        x = prepare(frame)
        out.append(float("nan") if x is None else float(np.asarray(score(x[None])).reshape(-1)[0]))
    return Trial(name, np.array(out))


def table(trials: Sequence[Trial], threshold: float, *, data: str, split: str) -> list[Mapping[str, Any]]:
    """Metrics of planted faults: `found_NAME`, the share of frames with the fault that is not called normal."""
    return [t.found(threshold).metric(f"found_{t.name}", data=data, split=split) for t in trials]


def false_alarms(trials: Sequence[Trial], threshold: float, *, data: str, split: str) -> Mapping[str, Any]:
    """The metric of clean frames."""
    n = sum(t.scores.size for t in trials)
    figure = wilson(sum(t.alarms(threshold) for t in trials), n)
    return figure.metric("false_alarms", data=data, split=split, note=f"{n} clean frames")
