"""The preparation `image`: one grey image with its brightness normalised, whole or brought to a size.

Large images stay large: the extractor `onnx` cuts them into tiles that overlap and puts the results together.
"""

from typing import Literal

import numpy as np

from insitu.maths.resample import bin_means
from insitu.maths.video.grey import grey
from insitu.models.preparing import Prepared, given
from insitu.types import Frame

SMALLEST = 8


def image(
    frame: Frame,
    *,
    shrink: int = 1,
    size: tuple[int, int] | None = None,
    normalise: Literal["robust", "standard", "range", "none"] = "robust",
    percentiles: tuple[float, float] = (1.0, 99.0),
    flatten: int = 0,
    overlap: int = 0,
) -> Prepared:
    """float32 `(1, y, x)`: the image's own size, divided by `shrink` (means of squares; rows and columns that do not
    fill one are left out), or `size` = (y, x) by means over equal parts.

    `normalise`: `robust` brings the two `percentiles` to 0 and 1 (nothing is cut), `standard` mean 0 and standard
    deviation 1, `range` divides by the largest number of a whole-number type (floats: by their largest value).
    `flatten`: a mean over squares of so many pixels (after shrinking), drawn smooth between them, is taken off first,
    against uneven light; 0: not. Masked pixels become the median of the others. `overlap`: for who cuts the image into
    tiles: as far as this from a tile's border the network sees too little around a pixel (it does nothing here).
    """
    try:
        values = np.asarray(_filled(frame), np.float64)
    except ValueError as e:
        return Prepared(None, str(e))
    full = np.iinfo(frame.data.dtype).max if frame.data.dtype.kind in "iu" else float(np.abs(values).max())
    if size is not None:
        if values.shape[0] < size[0] or values.shape[1] < size[1]:
            return Prepared(None, f"the image has {values.shape[0]} x {values.shape[1]} pixels, fewer than {size}")
        values = bin_means(bin_means(values, size[1]).T, size[0]).T
    elif shrink > 1:
        values = shrunk(values, shrink)
    if min(values.shape) < SMALLEST:
        return Prepared(None, f"the image has {values.shape[0]} x {values.shape[1]} pixels, too few for the network")
    if flatten:
        values = values - uneven(values, flatten)
    if normalise == "range":
        return given((values / (full or 1.0))[None])
    level, spread = 0.0, 1.0
    if normalise == "robust":
        level, top = (float(v) for v in np.percentile(values, percentiles))
        spread = top - level
    elif normalise == "standard":
        level, spread = float(values.mean()), float(values.std())
    if not spread > 1e-9 * max(abs(level), 1e-300):
        return Prepared(None, "the image has one brightness only")
    return given(((values - level) / spread)[None])


def _filled(frame: Frame) -> np.ndarray:
    """The grey image with masked pixels filled in; ValueError with a sentence where it is no image."""
    picture = grey(frame)
    mask = np.zeros(picture.shape, bool)
    if frame.mask is not None:
        known = np.asarray(frame.mask, bool)
        mask = known if known.shape == picture.shape else known.reshape(*picture.shape, -1).any(axis=2)
    if picture.dtype.kind == "f":
        mask = mask | ~np.isfinite(picture)
    if not mask.any():
        return picture
    if np.count_nonzero(mask) * 2 > mask.size:
        raise ValueError("more than half of the pixels are masked or no numbers")
    return np.where(mask, np.median(picture[~mask]), picture)


def shrunk(values: np.ndarray, step: int) -> np.ndarray:
    """Means of squares of `step` pixels, `(y // step, x // step)`.

    >>> shrunk(np.arange(16.0).reshape(4, 4), 2).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    height, width = (n // step for n in values.shape)
    part = values[: height * step, : width * step]
    return part.reshape(height, step, width, step).mean(axis=(1, 3))


def uneven(values: np.ndarray, step: int) -> np.ndarray:
    """The slow part of an image: means of squares of `step` pixels, straight lines between their middles."""
    rows, columns = (max(1, n // step) for n in values.shape)
    coarse = bin_means(bin_means(values, columns).T, rows).T
    height, width = values.shape
    across = _between(coarse, width)
    return _between(across.T, height).T


def _between(coarse: np.ndarray, n: int) -> np.ndarray:
    """`(m, k)` values in the middles of k equal parts, drawn on `n` points, `(m, n)`; the lines go on at the ends."""
    k = coarse.shape[1]
    at = (np.arange(n) + 0.5) * k / n - 0.5
    below = np.clip(at.astype(np.int64), 0, max(k - 2, 0))
    part = at - below
    above = np.minimum(below + 1, k - 1)
    return coarse[:, below] * (1.0 - part) + coarse[:, above] * part
