"""Measurements to learn from: the arrivals of a reader through extractors, and features as rows of numbers.

Nothing else than what the edge does: the same readers, the same extractors, and the preparation `features`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from insitu.models.preparing import preparation
from insitu.training import trials
from insitu.types import Arrival, Extractor, Frame, Invalid, Measurement, Prepare


class Rows(NamedTuple):
    """Features `x` float64 `(n, k)`, and `of` which measurements they are of (a measurement without one of them is not
    there)."""

    x: np.ndarray
    of: np.ndarray


def measurements(
    arrivals: Iterable[Arrival | Invalid | None], extractors: Sequence[Extractor], prepare: Sequence[Prepare] = ()
) -> Iterator[Measurement]:
    """One for each arrival, as the pipeline measures it; extractors may look at frames before, as they arrived."""
    kept: list[Frame] = []
    most = max((int(getattr(e, "before", 0)) for e in extractors), default=0)
    seq = 0
    for arrival in arrivals:
        if not isinstance(arrival, Arrival):
            continue
        frame = trials.frame_of(arrival, seq)
        yield trials.measurement(frame, prepare, extractors, kept)
        kept = [*kept, frame][-most:] if most else []
        seq += 1


def rows(of: Iterable[Measurement], params: Mapping[str, Any]) -> Rows:
    """The numbers that a network gets, by the preparation `features` with its parameters."""
    prepare = preparation("features", params)
    found = [(k, made.input) for k, m in enumerate(of) if (made := prepare(m)).input is not None]
    width = len(params["keys"])
    x = np.array([row for _, row in found], np.float64).reshape(-1, width)
    return Rows(x, np.array([k for k, _ in found], np.int64))
