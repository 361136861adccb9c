"""What the attributes of an HDF5 file, and the single numbers in it, say about a dataset of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from insitu.readers.header import SECOND, read_time, zone
from insitu.readers.waveform_track import MOST_CHANNELS, rate_in

_STARTS = ("wf_start_time", "start_time", "starttime", "start", "timestamp", "datetime", "date", "t0", "time")
_NAMES = ("channels", "channel_names", "names", "labels", "columns", "channel")


def _pairs(item: Any, file: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    """Names and values about a dataset: its own attributes, then of its groups, and single numbers in those."""
    yield from item.attrs.items()
    group = item.parent
    for _ in range(32):
        yield from group.attrs.items()
        for name, other in list(group.items())[:1000]:
            if isinstance(other, h5py.Dataset) and other.size == 1 and other.dtype.kind in "iufSO":
                unit = text_of(other.attrs.get("units", ""))
                yield (f"{name} ({unit})" if unit else name), _single(other)
        if group.name == file.name:
            return
        group = group.parent


def rate_of(item: Any, file: Any, h5py: Any) -> float | None:
    """The sample rate in Hz that is told nearest to a dataset."""
    return rate_in((name, value) for name, value in _pairs(item, file, h5py))


def own_rate(item: Any) -> float | None:
    """The sample rate in Hz among its own attributes."""
    return rate_in(item.attrs.items())


def _single(item: Any) -> Any:
    return item[()] if item.shape == () else item[:].reshape(-1)[0]


def start_of(item: Any, file: Any, timezone: str) -> int | None:
    """The time of the first sample, ns since 1970 UTC."""
    group = item.parent
    for attributes in (item.attrs, group.attrs, file.attrs):
        for key, value in attributes.items():
            if key.lower().replace(" ", "_") not in _STARTS:
                continue
            text = text_of(value)
            if text and (found := read_time(text, zone(timezone))):
                return found[0]
            if isinstance(value, (int, float, np.number)) and 1e8 <= float(value) < 4e9:
                return round(float(value) * SECOND)
    return None


def titles_of(item: Any, channels: int, h5py: Any) -> tuple[str, ...]:
    """The names of its channels."""
    if item.ndim == 1:
        return (item.name.rsplit("/", 1)[-1],)
    for key in _NAMES:
        beside = item.parent.get(key)
        value = item.attrs.get(key, item.parent.attrs.get(key))
        if value is None and isinstance(beside, h5py.Dataset) and beside.size == channels and beside.dtype.kind in "SO":
            value = beside[()]
        told = texts(value)
        if len(told) == channels:
            return tuple(told)
    return tuple(f"c{k + 1}" for k in range(channels))


def texts(value: Any) -> Sequence[str]:
    """Texts of an attribute: an array of them, or one with commas or blanks between."""
    if value is None:
        return []
    if isinstance(value, np.ndarray):
        return [text_of(v) for v in value.reshape(-1)[:MOST_CHANNELS]]
    text = text_of(value)
    return [t.strip() for t in text.split(",")] if "," in text else [text] if text else []


def text_of(value: Any) -> str:
    """An attribute as text; nothing where it is none."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
