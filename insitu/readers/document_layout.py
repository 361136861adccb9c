"""How the frames of one event lie in an array: what a data key, its resource and the detector file say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = (3, 4)
LEAST = 5
"""A picture with colours is at least so high and wide; less is a burst of odd frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one index of a resource is: `each` frames with `rank` dimensions (None: nobody knows), the first `rows`
    long. `stacked`: it is one row of the array; False: as many rows as frames; None: the array's dimensions tell.
    `per_file`: frames in one file of a sequence."""

    each: int = 1
    rank: int | None = None
    rows: int = 1
    stacked: bool | None = None
    per_file: int = 1


def is_colour(shape: Sequence[int]) -> bool:
    """Whether an array is one picture, its colours in the last dimension.

    >>> is_colour((480, 640, 3)), is_colour((100, 4, 3)), is_colour((3, 480, 640))
    (True, False, False)
    """
    return len(shape) == 3 and shape[2] in COLOURS and min(shape[:2]) >= LEAST


def is_burst(shape: Sequence[int], rank: int = 0) -> bool:
    """Whether the first dimension of an array counts frames. `rank`: dimensions of a frame, by the detector file."""
    if rank and len(shape) in (rank, rank + 1):
        return len(shape) == rank + 1
    return len(shape) == 4 or (len(shape) == 3 and not is_colour(shape))


def burst(shape: Sequence[Any], rank: int = 0) -> int:
    """How many frames one event holds, by the shape that its data key has."""
    sizes = [int(n) for n in shape if n]
    return sizes[0] if is_burst(sizes, rank) else 1


def part_of(shape: Sequence[Any], parameters: Mapping[str, Any], rank: int = 0) -> Part:
    """What an index of a `stream_resource` is. `shape`: of its data key."""
    if any(n is None for n in shape):
        return Part()
    sizes = [int(n) for n in shape if n]  # areaDetector says 0 for a dimension that it has not
    chunk = list(parameters.get("chunk_shape") or ())
    stacked, counts = None, is_burst(sizes, rank)
    if many := int(parameters.get("multiplier") or 0):
        stacked, counts = False, is_burst(sizes, rank) or (sizes[:1] == [many] and len(sizes) > 1)
        sizes = sizes if counts else [many, *sizes]
        counts = True
    elif (join := parameters.get("join_method")) in ("stack", "concat") or chunk:
        stacked = join == "stack" if join else len(chunk) > len(sizes)
        image = rank == len(sizes) or (len(sizes) == 2 and chunk[:1] == sizes[:1] != [1])
        counts = counts if stacked else len(sizes) > 1 and not image
    counts = counts or (len(sizes) == 2 and sizes[0] == 1 and rank != 2)  # one spectrum, and no picture of one row
    each = sizes[0] if counts else 1
    frame = sizes[1:] if counts else sizes
    per_file = int(chunk[0]) if chunk and len(chunk) == len(sizes) and counts and not stacked else 1
    return Part(
        each=each, rank=len(frame) or None, rows=frame[0] if frame else 1, stacked=stacked, per_file=max(1, per_file)
    )
