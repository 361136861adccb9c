"""An array of a document as frames: its dims, its axes, and a burst of frames taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival


class Arrays:
    """`dims`: names as the detector file has them, for arrays of as many dimensions; `axes`: what it says of them."""

    def __init__(self, dims: tuple[str, ...], axes: StaticAxes) -> None:
        self.dims, self.axes = dims, axes

    def __call__(self, array: np.ndarray, head: Arrival) -> Iterator[tuple[Arrival, str]]:
        """The frames of one event, each with why it is none (""): `(frames, y, x)` holds as many as it has rows.
        `head` has the number of the first, and all but the data."""
        parts = array if array.ndim == 3 else array[np.newaxis]
        first = head.source_seq or 0
        for k, part in enumerate(parts):
            own = np.array(part)
            own.flags.writeable = False
            frame = replace(head, data=own, dims=self._dims(own.ndim), source_seq=first + k)
            try:
                yield replace(frame, axes=self.axes(frame.dims, own.shape)), ""
            except ValueError as e:
                yield frame, str(e)

    def _dims(self, ndim: int) -> tuple[str, ...]:
        if len(self.dims) == ndim:
            return self.dims
        return {0: (), 1: ("x",), 2: ("y", "x")}.get(ndim, tuple(f"d{k}" for k in range(ndim)))
