"""Which channels of a waveform frame an extractor measures, and what their keys are called.

Keys must be known before frame 0, the names of the channels are not. So channels are taken by place (`c1`, `c2`, ... in
the order of the frame, up to `n_channels`; the label `channels` of every frame tells which is which), or by name where
the recipe names them (`channels = ["ts1", "ce"]`). A frame with fewer channels has no value in the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.waveform import Wave, names, wave
from insitu.types import KEY, Frame

MOST = 1024


class Choice:
    """The channels of one entry of a recipe. `prefixes`: beginnings of the keys, in order."""

    def __init__(self, name: str, channels: list[str] | None, n_channels: int) -> None:
        if name and not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        if not 1 <= n_channels <= MOST:
            raise ConfigError(f"{n_channels} channels", where="n_channels", expected=f"1 to {MOST}")
        if channels is not None and (not channels or len(set(channels)) < len(channels)):
            raise ConfigError(
                "the channels are none, or repeat", where="channels", expected='different names, such as ["ts1", "ce"]'
            )
        wrong = next((c for c in channels or () if not KEY.fullmatch(c)), None)
        if wrong is not None:
            raise ConfigError(
                f"{wrong!r} is no name of a channel", where="channels", expected="a-z, then a-z, 0-9 or _ (TS1 is ts1)"
            )
        self._named = tuple(channels or ())
        told = self._named or tuple(f"c{k + 1}" for k in range(n_channels))
        self.prefixes = tuple(f"{name}_{c}" if name else c for c in told)

    def waves(self, frame: Frame) -> Iterator[tuple[str, Wave | str]]:
        """The beginning of the keys and the channel, or why there is none; values that are missing are not in it."""
        try:
            there: Sequence[str] = names(frame)
            first = "" if frame.data.ndim in (1, 2) else f"its dimensions are {', '.join(frame.dims)}"
        except (ValueError, IndexError) as error:
            there, first = (), str(error)
        for k, prefix in enumerate(self.prefixes):
            if first:
                yield prefix, f"this is no waveform: {first}"
                continue
            name = self._named[k] if self._named else there[k] if k < len(there) else ""
            if name not in there or not name:
                yield prefix, f"the frame has no channel {name!r}" if name else f"the frame has {len(there)} channels"
                continue
            yield prefix, wave(frame, name)


def finite(wave: Wave) -> np.ndarray:
    """The samples of a channel that hold a number, `(n,)`."""
    good = np.isfinite(wave.values)
    return wave.values if good.all() else wave.values[good]


def gone_of(frame: Frame, name: str, row: int | None = None) -> tuple[int, int]:
    """Samples of a channel without a number, and all that belong to it. Masked numbers are padding, and no samples;
    masked ones that are no number are missing."""
    row = names(frame).index(name) if row is None else row
    data = frame.data[row] if frame.data.ndim == 2 else frame.data
    good = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, bool)
    if frame.mask is None:
        return int(data.size - np.count_nonzero(good)), int(data.size)
    mask = frame.mask[row] if frame.data.ndim == 2 else frame.mask
    gone = int(np.count_nonzero(~good))
    return gone, int(np.count_nonzero(good & ~mask)) + gone
