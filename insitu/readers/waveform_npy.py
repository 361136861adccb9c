"""Arrays that numpy saved (.npy), read in pieces at their place: `(n,)`, `(n, channel)` or `(channel, n)`, or records
with named fields. Nothing is unpickled."""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_rows import interleaved, orientation, planar, size_of
from insitu.readers.waveform_track import (
    DAMAGED,
    MOST_CHANNELS,
    How,
    Recording,
    Track,
    checked_dtype,
)

MAGIC = b"\x93NUMPY"
TIMES = ("time", "t", "times", "time_s", "timestamps")
_MOST_ARRAYS = 10_000
_MOST_HEADER = 1 << 20


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Recording]:
    """The recording in a .npy file."""
    size = size_of(path, how.name)
    with open(path, "rb") as file:
        shape, fortran, dtype = header(file, how.name)
        offset = file.tell()
    count = math.prod(shape)
    if count < 1:
        raise Truncated("the array is empty", where=how.name, remedy="Record again, or remove the file")
    problem = None
    if dtype.names:
        track, problem = _fields(path, how, shape, dtype, offset, size)
    else:
        native = checked_dtype(dtype, how.name)
        samples, channels, rows = orientation(shape, how.layout, said(how), how.name)
        allow(channels, how.name)
        by_rows = rows != fortran and channels > 1
        there = (size - offset) // dtype.itemsize
        if there < count:
            problem = _cut(count, there, how.name)
            samples = samples if by_rows else min(samples, there // channels)  # planar: the last channels are missing
            if by_rows or samples == 0:
                raise problem
        form = planar if by_rows else interleaved
        blocks = form(path, how.name, offset=offset, samples=samples, channels=channels, dtype=dtype)
        track = Track(
            titles=tuple(f"c{k + 1}" for k in range(channels)), units=("",) * channels, dtype=native, blocks=blocks,
            length=samples,
        )  # fmt: skip
    with contextlib.closing(track.blocks):  # type: ignore[type-var]
        yield Recording(tracks=(track,), nameless=not dtype.names, certain=True, problem=problem)


def header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type of an array; the file then stands at its first byte."""
    start = file.read(10)
    if len(start) < 10:
        raise Truncated("the file ends in its header", where=name, remedy=DAMAGED)
    if start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise FormatError("this is no .npy file", where=name, expected="numpy's format 1 to 3", remedy=DAMAGED)
    length = int.from_bytes(start[8:10], "little")
    if start[6] > 1:
        length += int.from_bytes(file.read(2), "little") << 16
    text = file.read(length) if length <= _MOST_HEADER else b""
    if len(text) < length:
        raise Truncated("the file ends in its header", where=name, remedy=DAMAGED)
    try:
        told = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1").strip())
        shape, fortran, descr = told["shape"], told["fortran_order"], told["descr"]
        dtype = np.lib.format.descr_to_dtype(descr)
        right = type(shape) is tuple and all(type(n) is int and 0 <= n < 2**60 for n in shape)
        right = right and type(fortran) is bool and len(shape) <= 32 and math.prod(shape) < 2**62
    except (
        Exception
    ) as error:  # whatever a damaged literal makes: SyntaxError, MemoryError, RecursionError, KeyError ...
        raise FormatError(f"its header cannot be read ({error})"[:200], where=name, remedy=DAMAGED) from error
    if not right:
        raise FormatError("its header declares no shape that can be", where=name, remedy=DAMAGED)
    if dtype.hasobject:
        raise FormatError(
            "the array holds Python objects", where=name, expected="numbers", remedy="Save an array of numbers"
        )
    return shape, fortran, dtype


def _fields(
    path: Path, how: How, shape: tuple[int, ...], dtype: np.dtype, offset: int, size: int
) -> tuple[Track, FormatError | None]:
    """Records with named fields: each field is a channel."""
    names = tuple(dtype.names or ())
    kinds = [checked_dtype(dtype[n], how.name) for n in names]
    if len(shape) != 1:
        raise FormatError(f"the records have the shape {shape}"[:100], where=how.name, expected="one dimension")
    allow(len(names), how.name)
    common = checked_dtype(np.result_type(*kinds), how.name)
    there = (size - offset) // dtype.itemsize
    problem = _cut(shape[0], there, how.name) if there < shape[0] else None
    if problem is not None and there == 0:
        raise problem
    samples = min(there, shape[0])

    def blocks() -> Iterator[np.ndarray]:
        records = interleaved(path, how.name, offset=offset, samples=samples, channels=1, dtype=dtype)
        with contextlib.closing(records):  # type: ignore[type-var]
            for block in records:
                yield np.stack([block[0][n].astype(common) for n in names])

    return Track(titles=names, units=("",) * len(names), dtype=common, blocks=blocks(), length=samples), problem


def _cut(declared: int, there: int, name: str) -> FormatError:
    return Truncated(
        f"the header declares {declared} numbers, the file holds {there}",
        where=name,
        expected=f"{declared} numbers",
        remedy="The file was cut off: copy or record it again",
    )


def allow(channels: int, name: str) -> None:
    if channels > MOST_CHANNELS:
        raise FormatError(
            f"the array has {channels} channels", where=name, expected=f"at most {MOST_CHANNELS}",
            remedy='Set layout = "sample_channel" or "channel_sample" in the detector\'s [reader]',
        )  # fmt: skip


def said(how: How) -> int:
    """The number of channels, where names were given for all of them."""
    return len(how.wanted) if how.wanted and all(isinstance(w, str) for w in how.wanted) else 0
