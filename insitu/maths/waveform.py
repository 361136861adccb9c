"""The channels of a waveform frame, by name: values, rate and unit.

What readers of waveforms agree on: the data are `(sample,)` or `(channel, sample)`; the label `channels` holds the
names in the order of the rows, with blanks between them; the context `sample_rate` is in Hz, or `rate_NAME` for a
channel that has another one; values that are masked are not there (channels of a lower rate end before the row does).
"""

from dataclasses import dataclass

import numpy as np

from insitu.maths.aligned import empty
from insitu.types import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """One channel of one frame: `values` `(n,)` float64 in `unit`, a copy; `rate` in Hz, None where nobody knows it."""

    name: str
    values: np.ndarray
    unit: str
    rate: float | None


def names(frame: Frame) -> tuple[str, ...]:
    """The names of the channels; `c1`, `c2`, ... where the frame does not tell."""
    told = tuple(frame.labels.get("channels", "").split())
    n = frame.data.shape[0] if frame.data.ndim == 2 else 1
    return told if len(told) == n else tuple(f"c{k + 1}" for k in range(n))


def wave(frame: Frame, name: str = "") -> Wave:
    """One channel: the one called `name`, or the only one, or the first.

    Raises `ValueError` with the names there are where there is no such channel, or where the frame is no waveform.
    """
    if frame.data.ndim not in (1, 2):
        raise ValueError(f"this is no waveform: its dimensions are {', '.join(frame.dims)}")
    there = names(frame)
    if name and name not in there:
        raise ValueError(f"there is no channel {name!r}: there are {', '.join(there)}")
    row = there.index(name) if name else 0
    data = frame.data[row] if frame.data.ndim == 2 else frame.data
    if frame.mask is not None:
        data = data[~(frame.mask[row] if frame.data.ndim == 2 else frame.mask)]
    rate = frame.context.get(f"rate_{there[row]}", frame.context.get("sample_rate"))
    unit = frame.unit if isinstance(frame.unit, str) else frame.unit[row]
    known = None if rate is None or rate.value is None or rate.value <= 0 else float(rate.value)
    values = empty(data.shape, np.dtype(np.float64))  # one kind of array, so that kernels are compiled for it once
    values[...] = data
    return Wave(there[row], values, unit, known)
