"""Points of a scan that goes on, in the log: each entry holds the points that are new since the one before it.

A provisional frame has no row. Its points lie in the log, so that they outlive a kill, and so that what was said of
them can be derived again. They run along the last dimension, in the order in which they were taken.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from insitu.errors import StorageError
from insitu.maths.aligned import aligned
from insitu.store.canonical import feature_from, frame_body
from insitu.types import Axis, Frame

Bodies = Callable[[], Iterator[tuple[int, Mapping[str, Any]]]]


def points_of(frame: Any) -> int:
    """How many points of a scan a frame or an arrival holds."""
    return frame.data.shape[-1]


def cut(array: np.ndarray, first: int, last: int) -> np.ndarray:
    """The points `first` up to `last`, along the last dimension."""
    return array[..., first:last]


def extends(longer: Any, shorter: Any) -> bool:
    """Whether a frame or an arrival is of the same scan as another one, and holds its points before any others."""
    same = ("source_seq", "time_ns", "dims", "unit", "role")
    if longer.axes.keys() != shorter.axes.keys() or any(getattr(longer, a) != getattr(shorter, a) for a in same):
        return False
    k, along = points_of(shorter), shorter.dims[-1]
    return (
        points_of(longer) >= k
        and all(_begins(a, b, k) for a, b in zip(_beside(longer), _beside(shorter), strict=True))
        and all(_axis_begins(axis, shorter.axes[name], k, along=name == along) for name, axis in longer.axes.items())
    )


def _beside(frame: Any) -> tuple[np.ndarray | None, ...]:
    return frame.data, frame.sigma, frame.mask


def _begins(a: np.ndarray | None, b: np.ndarray | None, k: int) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape[:-1] == b.shape[:-1] and cut(a, 0, k).tobytes() == b.tobytes()


def _axis_begins(a: Axis, b: Axis, k: int, *, along: bool) -> bool:
    values = a.values[:k] if along else a.values
    return a.unit == b.unit and values.dtype == b.values.dtype and values.tobytes() == b.values.tobytes()


def growing_body(frame: Frame, since: int) -> dict[str, Any]:
    """The entry of a provisional frame: what its points are, and those from `since` on."""
    k = points_of(frame)
    arrays: dict[str, Any] = {"data": _packed(cut(frame.data, since, k))}
    for name in ("sigma", "mask"):
        array = getattr(frame, name)
        if array is not None:
            arrays[name] = _packed(cut(array, since, k))
    axes = {}
    for name, axis in frame.axes.items():
        along = name == frame.dims[-1]
        if along or not since:
            axes[name] = {"unit": axis.unit, **_packed(axis.values[since:k] if along else axis.values)}
    body = frame_body(frame, {}, refill=False)
    del body["arrays"]
    unit = list(frame.unit) if isinstance(frame.unit, tuple) else frame.unit
    return {**body, "k": k, "since": since, "dims": list(frame.dims), "unit": unit, "points": arrays, "axes": axes}


def _packed(array: np.ndarray) -> dict[str, Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": b64encode(little.tobytes()).decode()}


def _unpacked(packed: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(packed["dtype"]).newbyteorder("<")
    flat = np.frombuffer(b64decode(packed["base64"], validate=True), dtype)
    return flat.reshape(packed["shape"]).astype(dtype.newbyteorder("="))


class Growing:
    """Scans put together again from their entries, in order of the log."""

    def __init__(self) -> None:
        self._scans: dict[str, Frame] = {}

    def add(self, n: int, body: Mapping[str, Any]) -> Frame:
        """The provisional frame of an entry. Raises `StorageError` where its points do not follow on."""
        frame = _frame(n, body)
        before = self._scans.get(body["source"])
        if body["since"]:
            if before is None or before.seq != frame.seq or points_of(before) != body["since"]:
                raise StorageError(
                    f"the points of {body['source']}/{body['seq']} from {body['since']} on follow no others",
                    where=f"ledger.db: entry of n = {n}",
                    remedy="Restore the run from a backup",
                )
            frame = _joined(before, frame)
        self._scans[body["source"]] = frame
        return frame

    def ended(self, source: str, seq: int) -> None:
        """The frame of a scan is stored: its points are needed no more."""
        if source in self._scans and self._scans[source].seq == seq:
            del self._scans[source]

    def open(self) -> Iterator[Frame]:
        """Scans whose frame never came."""
        yield from self._scans.values()


def _frame(n: int, body: Mapping[str, Any]) -> Frame:
    arrays = {name: aligned(_unpacked(packed)) for name, packed in body["points"].items()}
    unit = body["unit"]
    return Frame(
        source=body["source"],
        seq=body["seq"],
        n=n,
        data=arrays["data"],
        dims=tuple(body["dims"]),
        unit=tuple(unit) if isinstance(unit, list) else unit,
        time_ns=body["time_ns"],
        duration_ns=body["duration_ns"],
        clock=body["clock"],
        clock_sigma_ns=body["clock_sigma_ns"],
        source_seq=body["source_seq"],
        sigma=arrays.get("sigma"),
        mask=arrays.get("mask"),
        axes={name: Axis(aligned(_unpacked(packed)), packed["unit"]) for name, packed in body["axes"].items()},
        context={k: feature_from(f) for k, f in body.get("context", {}).items()},
        labels=body.get("labels", {}),
        role=body["role"],
        source_run_uid=body.get("source_run_uid", ""),
        complete=False,
        provisional=True,
    )


def _joined(before: Frame, new: Frame) -> Frame:
    def both(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
        return None if a is None or b is None else aligned(np.concatenate((a, b), axis=-1))

    axes = dict(before.axes)
    for name, axis in new.axes.items():
        axes[name] = Axis(aligned(np.concatenate((before.axes[name].values, axis.values))), axis.unit)
    data = both(before.data, new.data)
    assert data is not None
    return replace(new, data=data, sigma=both(before.sigma, new.sigma), mask=both(before.mask, new.mask), axes=axes)
