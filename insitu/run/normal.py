"""An arrival in the one form that everyone sees and the store can keep, or why it cannot be kept.

Nothing of what is kept here is shared with the reader: arrays that anybody could still write to, and tables of context
and labels, are copied, so that a reader may use its buffers again at once.
"""

import io
import operator
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args

import numpy as np

from insitu.maths.aligned import is_aligned, owned
from insitu.store.canonical import text
from insitu.types import KEY, Arrival, Axis, Clock, Detector, Feature, Invalid, Role

RESERVED = frozenset(
    {"frame", "frames", "sigma", "mask", "time", "exposure", "clock_sigma", "source_seq", "state", "c"}
)
"""Names that a segment's folder uses itself: no dimension and no axis may have one of them."""

STORABLE = frozenset(
    ["bool"]
    + [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    + ["float16", "float32", "float64", "complex64", "complex128"]
)
_INT64 = range(-(2**63) + 1, 2**63)  # the smallest one stands for "not a time"


class Unfit(ValueError):
    """This is no frame; the text says why."""


class Normal:
    """Arrivals of one detector in the one form. `normal(arrival)` raises `Unfit` where the store could not keep it."""

    def __init__(self, detector: Detector) -> None:
        self._source, self._calibration = detector.source, detector.calibration
        self._axes: dict[str, Axis] = {}  # the last axis of each name, as kept

    def __call__(self, a: Arrival) -> Arrival:
        data = kept(a.data, "data")
        if not data.size:
            raise Unfit(f"it holds no values: its shape is {list(data.shape)}")
        if problem := _names(tuple(a.dims), tuple(a.axes), tuple(a.context)):
            raise Unfit(problem)
        if len(a.dims) != data.ndim:
            raise Unfit(f"its shape is {list(data.shape)}, but its dims are {list(a.dims)}")
        if a.provisional and not data.ndim:
            raise Unfit("it is a single value: the points of a scan run along the last dimension")
        if a.role not in get_args(Role) or a.clock not in get_args(Clock):
            raise Unfit(f"role {a.role!r} or clock {a.clock!r} is none that is known")
        if bad := [k for k, f in a.context.items() if not isinstance(f, Feature)]:
            raise Unfit(f"context {bad[0]!r} is no Feature: a number and its unit")
        return replace(
            a,
            source=self._source,  # the detector file names it, whatever the reader calls itself
            data=data,
            dims=tuple(a.dims),
            unit=tuple(map(text, a.unit)) if isinstance(a.unit, tuple) else text(a.unit),
            sigma=None if a.sigma is None else _beside(a.sigma, "sigma", data),
            mask=None if a.mask is None else _beside(a.mask, "mask", data),
            axes={name: self._axis(name, axis, a.dims, data) for name, axis in a.axes.items()},
            context={**a.context, **self._calibration},
            labels={text(k): text(v) for k, v in a.labels.items()},
            time_ns=whole(a.time_ns, "time_ns"),
            duration_ns=whole(a.duration_ns, "duration_ns"),
            clock_sigma_ns=whole(a.clock_sigma_ns, "clock_sigma_ns"),
            source_seq=None if a.source_seq is None else whole(a.source_seq, "source_seq"),
        )

    def _axis(self, name: str, axis: Axis, dims: tuple[str, ...], data: np.ndarray) -> Axis:
        """An axis in the one layout; the same object again while its values stay the same (compared, not assumed:
        a reader may have changed them in place)."""
        values, unit = axis
        last = self._axes.get(name)
        if last is not None and last.unit == unit and (values is last.values or _same(values, last.values)):
            axis = last
        else:
            axis = self._axes[name] = Axis(kept(values, f"axis {name}"), text(unit))
        if axis.values.ndim != 1 or not axis.values.size:
            raise Unfit(f"axis {name!r} has shape {list(axis.values.shape)}: one dimension is needed")
        if name in dims and len(axis.values) != data.shape[dims.index(name)]:
            raise Unfit(f"axis {name!r} has {len(axis.values)} values, the data {data.shape[dims.index(name)]}")
        return axis


@lru_cache(maxsize=256)
def _names(dims: tuple[str, ...], axes: tuple[str, ...], context: tuple[str, ...]) -> str:
    """What is wrong with the names; "" where nothing is."""
    for name in (*dims, *axes, *context):
        if not isinstance(name, str) or not KEY.fullmatch(name):
            return f"the name {text(name)!r} does not match [a-z][a-z0-9_]*"
    if len(set(dims)) != len(dims):
        return f"two of its dims have one name: {list(dims)}"
    if taken := sorted(RESERVED.intersection((*dims, *axes))):
        return f"the run folder itself uses the name {taken[0]!r}: the reader must call its dimension or axis otherwise"
    return ""


def kept(array: Any, what: str) -> np.ndarray:
    """`array` aligned and read-only; a copy unless nobody can write to it any more."""
    if not isinstance(array, np.ndarray):
        raise Unfit(f"{what} is of type {type(array).__name__}, not a numpy array")
    if array.dtype.name not in STORABLE:
        raise Unfit(f"{what} is of dtype {array.dtype}, which cannot be stored (bool, int, float or complex can)")
    if is_aligned(array) and _frozen(array):
        return array
    return owned(array)


def _frozen(array: np.ndarray) -> bool:
    """Whether the memory behind a read-only array belongs to it, and nothing writable looks into it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return not array.flags.writeable and (array.base is None or isinstance(array.base, bytes))


def _same(given: Any, last: np.ndarray) -> bool:
    if not isinstance(given, np.ndarray) or given.dtype.newbyteorder("=") != last.dtype:
        return False
    return np.array_equal(given, last, equal_nan=last.dtype.kind in "fc")


def _beside(array: Any, what: str, data: np.ndarray) -> np.ndarray:
    array = kept(array, what)
    if array.shape != data.shape:
        raise Unfit(f"{what} has shape {list(array.shape)}, the data {list(data.shape)}")
    return array


def whole(number: Any, what: str) -> int:
    """A 64-bit integer."""
    try:
        plain = operator.index(number)
    except TypeError:
        raise Unfit(f"{what} is {text(number)}, not an integer") from None
    if plain not in _INT64:
        raise Unfit(f"{what} is {plain}, which does not fit into 64 bits")
    return plain


def invalid(a: Arrival, error: Unfit, source: str) -> Invalid:
    """An arrival that cannot be kept as a frame, with its data as far as they can be written as bytes."""
    try:
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(a.data), allow_pickle=False)
        payload = buffer.getvalue()
    except (ValueError, TypeError):
        payload = repr(a.data).encode("utf-8", "backslashreplace")
    labels: Mapping[str, Any] = a.labels if isinstance(a.labels, Mapping) else {}
    return Invalid(
        source=source,
        reason=f"this arrival cannot be stored as a frame: {error}",
        payload=payload,
        name=text(labels.get("file", "")),
        source_seq=a.source_seq,
    )


def plain_invalid(item: Invalid) -> Invalid:
    """An `Invalid` whose parts can be written."""
    try:
        number = None if item.source_seq is None else whole(item.source_seq, "source_seq")
    except Unfit:
        number = None
    try:
        payload = bytes(item.payload)
    except TypeError:
        payload = repr(item.payload).encode("utf-8", "backslashreplace")
    return replace(item, source_seq=number, payload=payload, reason=text(item.reason), name=text(item.name))
