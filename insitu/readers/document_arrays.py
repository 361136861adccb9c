"""An array of a document as frames: its dims, its axes, and a burst of frames taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from insitu.maths.aligned import owned
from insitu.readers.document_layout import COLOURS, is_burst, is_colour
from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival


class Arrays:
    """`dims`: names as the detector file has them, for arrays of as many dimensions; `axes`: what it says of them."""

    def __init__(self, dims: tuple[str, ...], axes: StaticAxes) -> None:
        self.dims, self.axes = dims, axes

    @property
    def rank(self) -> int:
        """Dimensions of a frame, where the detector file says."""
        return len(self.dims)

    def parts(self, array: np.ndarray) -> np.ndarray:
        """`(frames, ...)` of an array that may hold one frame or several."""
        return array if is_burst(array.shape, self.rank) else array[np.newaxis]

    def __call__(self, parts: np.ndarray, head: Arrival) -> Iterator[tuple[Arrival, str]]:
        """The frames `(frames, ...)` of one event, each with why it is none (""). `head` has the number of the first,
        and all but the data."""
        first = head.source_seq or 0
        for k, part in enumerate(parts):
            dims, why, axes = self._dims(part.shape), wrong(part), head.axes
            try:
                axes = self.axes(dims, part.shape)
            except ValueError as e:
                why = str(e)
            yield replace(head, data=own(part), dims=dims, axes=axes, source_seq=first + k), why

    def _dims(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        if len(self.dims) == len(shape):
            return self.dims
        if len(shape) == 3 and (is_colour(shape) or shape[0] in COLOURS):
            return ("y", "x", "channel") if is_colour(shape) else ("channel", "y", "x")
        return {0: (), 1: ("x",), 2: ("y", "x")}.get(len(shape), tuple(f"d{k}" for k in range(len(shape))))


def own(part: np.ndarray) -> np.ndarray:
    """A copy that nobody writes to, in the layout of frames where it may become one."""
    return owned(np.asarray(part)) if part.dtype.kind in "biufc" else np.array(part)


def wrong(part: np.ndarray) -> str:
    """Why an array is no frame, or nothing."""
    if part.dtype.kind not in "biuf":
        return f"it holds {part.dtype}, and a frame is made of numbers"
    if not part.ndim:
        return "it is one number and no array: scans of numbers need [assemble] in the detector file"
    return "" if part.size else f"it is empty: its shape is {list(part.shape)}"


def array_of(value: object, key_dtype: object) -> np.ndarray:
    """The array of an event: as it came, or a list in the type that its data key names where that holds its values.

    >>> array_of([1, 2], "<u2").dtype, array_of([1.5, 2], "<u2").dtype, array_of([-1, 2], "<u2").dtype
    (dtype('uint16'), dtype('float64'), dtype('int64'))
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        found = np.asarray(value)
    except ValueError as e:
        raise ValueError(f"its rows are not of one length: {e}") from e
    if not isinstance(key_dtype, str):
        return found
    try:
        with np.errstate(all="ignore"):
            named = found.astype(key_dtype)
    except (TypeError, ValueError):
        return found
    same = named.dtype.kind in "biuf" and found.dtype.kind in "biuf" and np.array_equal(named, found, equal_nan=True)
    return named if same or named.dtype.kind == found.dtype.kind == "f" else found
