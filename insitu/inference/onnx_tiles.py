"""Large images through a network of a fixed size: tiles that overlap, and each pixel taken from one of them.

A pixel near a tile's border is judged with too little around it; so `overlap` pixels on each inner side are context
only. Tiles begin at multiples of `tile - 2 overlap` from the image's first pixel; where that is a multiple of what the
network pools by, and `overlap` no less than what it looks around, the result is that of the whole image at once, to the
last bit. At the end the image is continued by its mirror image until the last tile is full.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError


class Cut(NamedTuple):
    """One direction: where tiles begin in the continued image of `full` pixels, and which pixels are taken of each."""

    full: int
    starts: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]


def cut(size: int, tile: int, overlap: int) -> Cut:
    """Tiles of `tile` pixels for `size` pixels.

    >>> cut(10, 6, 1)
    Cut(full=10, starts=(0, 4), first=(0, 5), last=(5, 10))
    """
    stride = tile - 2 * overlap
    if stride < 1:
        raise ConfigError(f"an overlap of {overlap} in tiles of {tile}", where="overlap", expected="less than half")
    count = 1 + max(0, -(-(size - tile) // stride))
    starts = tuple(k * stride for k in range(count))
    borders = tuple(start + overlap for start in starts[1:])
    return Cut(starts[-1] + tile, starts, (0, *borders), (*borders, size))


def tiles(image: np.ndarray, shape: tuple[int, int], overlap: int) -> tuple[list[np.ndarray], Cut, Cut]:
    """The tiles `(channel, y, x)` of an image `(channel, y, x)`, C-contiguous, row by row, and how it was cut."""
    rows, columns = (cut(n, t, overlap) for n, t in zip(image.shape[1:], shape, strict=True))
    more = [(0, 0), (0, max(0, rows.full - image.shape[1])), (0, max(0, columns.full - image.shape[2]))]
    whole = np.pad(image, more, mode="symmetric") if any(b for _, b in more) else image
    made = [
        np.ascontiguousarray(whole[:, y : y + shape[0], x : x + shape[1]]) for y in rows.starts for x in columns.starts
    ]
    return made, rows, columns


def stitched(results: Iterator[np.ndarray], rows: Cut, columns: Cut, size: tuple[int, int]) -> np.ndarray:
    """Results `(c, tile_y, tile_x)` of the tiles, in their order, as one `(c, y, x)` of the image's `size`."""
    out: np.ndarray | None = None
    for y, y0, y1 in zip(rows.starts, rows.first, rows.last, strict=True):
        for x, x0, x1 in zip(columns.starts, columns.first, columns.last, strict=True):
            result = next(results)
            if out is None:
                out = np.empty((result.shape[0], *size), result.dtype)
            out[:, y0:y1, x0:x1] = result[:, y0 - y : y1 - y, x0 - x : x1 - x]
    assert out is not None
    return out


def whole(
    image: np.ndarray, shape: tuple[int, int], overlap: int, run: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """What `run`, `(channel, tile_y, tile_x)` to `(c, tile_y, tile_x)`, gives for a whole image `(channel, y, x)`."""
    made, rows, columns = tiles(image, shape, overlap)
    return stitched((run(tile) for tile in made), rows, columns, (image.shape[1], image.shape[2]))
