"""Samples that lie in a file as plain numbers, read in pieces at their place (never mapped: a file that is cut while it
is mapped kills the process)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_track import DAMAGED, per_block


def interleaved(
    path: Path, name: str, *, offset: int, samples: int, channels: int, dtype: np.dtype
) -> Iterator[np.ndarray]:
    """Blocks `(channel, k)` of a table whose rows are samples, `(samples, channels)` in C order."""
    size = channels * dtype.itemsize
    step = per_block(channels, dtype.itemsize)
    with open(path, "rb", buffering=0) as file:
        for first in range(0, samples, step):
            k = min(step, samples - first)
            raw = _read(file, offset + first * size, k * size, name)
            yield np.frombuffer(raw, dtype).reshape(k, channels).T


def planar(path: Path, name: str, *, offset: int, samples: int, channels: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Blocks `(channel, k)` of a table whose rows are channels, `(channels, samples)` in C order."""
    step, size = per_block(channels, dtype.itemsize), dtype.itemsize
    with open(path, "rb", buffering=0) as file:
        for first in range(0, samples, step):
            k = min(step, samples - first)
            block = np.empty((channels, k), dtype)
            for c in range(channels):
                at = offset + (c * samples + first) * size
                block[c] = np.frombuffer(_read(file, at, k * size, name), dtype)
            yield block


def wide24(path: Path, name: str, *, offset: int, samples: int, channels: int) -> Iterator[np.ndarray]:
    """Blocks `(channel, k)` of int32 from samples of three bytes, the lowest first: -8,388,608 to 8,388,607."""
    size, step = 3 * channels, per_block(channels, 4)
    with open(path, "rb", buffering=0) as file:
        for first in range(0, samples, step):
            k = min(step, samples - first)
            raw = np.frombuffer(_read(file, offset + first * size, k * size, name), np.uint8).reshape(-1, 3)
            padded = np.zeros((k * channels, 4), np.uint8)
            padded[:, 1:] = raw  # in the upper three bytes, so that the sign is in its place
            yield (padded.view("<i4").reshape(k, channels) >> 8).astype(np.int32, copy=False).T


def _read(file: BinaryIO, offset: int, size: int, name: str) -> bytearray:
    """So many bytes at a place; `Truncated` where the file has become shorter."""
    file.seek(offset)
    raw = bytearray(size)
    view, got = memoryview(raw), 0
    while got < size:
        n = file.readinto(view[got:])  # type: ignore[attr-defined]
        if not n:
            raise Truncated(
                f"the file ends at byte {offset + got} while it is read", where=name, expected=f"{size} bytes more",
                remedy=DAMAGED,
            )  # fmt: skip
        got += n
    return raw


def size_of(path: Path, name: str) -> int:
    """Bytes of a file; an empty one is refused."""
    size = path.stat().st_size
    if size == 0:
        raise Truncated("the file is empty", where=name, remedy="Record again, or remove the file")
    return size


def orientation(shape: tuple[int, ...], layout: str, channels: int, name: str) -> tuple[int, int, bool]:
    """(samples, channels, whether rows are channels) of a table. A recording has more samples than channels; where the
    number of channels that are `wanted` by name fits one side, that one is the channel.

    >>> orientation((40000, 4), "auto", 0, "a"), orientation((4, 40000), "auto", 0, "a")
    ((40000, 4, False), (40000, 4, True))
    """
    if len(shape) == 1:
        return shape[0], 1, False
    if len(shape) != 2:
        raise FormatError(
            f"the array has {len(shape)} dimensions, {shape}"[:100],
            where=name,
            expected="(sample), (sample, channel) or (channel, sample)",
            remedy="Write each recording to a file of its own",
        )
    a, b = shape
    by_name = channels in shape and a != b
    if layout == "auto" and not by_name and a == b and a > 1:
        raise FormatError(
            f"the array is {a} x {b}: which side is the channel cannot be told",
            where=name,
            expected="more samples than channels",
            remedy='Set layout = "sample_channel" or "channel_sample" in the detector\'s [reader]',
        )
    rows = layout == "channel_sample" if layout != "auto" else a == channels if by_name else a < b
    return (b, a, True) if rows else (a, b, False)
