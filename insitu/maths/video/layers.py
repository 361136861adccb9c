"""A layer of a cross-section that runs across the picture: its upper and lower limits, and the cracks through it.

The upper limit is the path from left to right along the strongest step in brightness, the lower one the path below it
along the clearest line or step. Both are shortest paths through a cost, by dynamic programming. Then what lies at the
upper limit and is not like the layer (pores, and the matter above, wider than cracks) is taken off it.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.video.segment import opencv

COARSE = 4
"""The limits are looked for in a picture so many times smaller."""
FAR = 9.0
"""The cost where a path must not go; others are 3.3 at most."""


class Layer(NamedTuple):
    """`upper`, `lower` `(x,)`: rows of the limits, px. `inside` bool `(y, x)`: the layer, with what it encloses.
    `level`: its median brightness."""

    upper: np.ndarray
    lower: np.ndarray
    inside: np.ndarray
    level: float

    @property
    def thickness(self) -> np.ndarray:
        """Pixels of the layer in each column, `(x,)`."""
        return self.inside.sum(0).astype(np.float64)


@njit(cache=True, nogil=True)
def shortest_path(cost: np.ndarray, bend: float) -> np.ndarray:
    """Rows `(x,)` int64 of the path from left to right with the least sum of `cost` `(y, x)` float64.

    From column to column it moves by at most 2 rows, each at the cost `bend`.
    """
    rows, columns = cost.shape
    total = cost[:, 0].copy()
    came = np.zeros((rows, columns), np.int8)
    for x in range(1, columns):
        fresh = np.empty(rows, np.float64)
        for y in range(rows):
            best, step = total[y], 0
            for d in (-1, 1, -2, 2):
                if 0 <= y + d < rows and total[y + d] + bend * abs(d) < best:
                    best, step = total[y + d] + bend * abs(d), d
            fresh[y] = best + cost[y, x]
            came[y, x] = step
        total = fresh
    path = np.empty(columns, np.int64)
    path[columns - 1] = np.argmin(total)
    for x in range(columns - 1, 0, -1):
        path[x - 1] = path[x] + came[path[x], x]
    return path


def _line_strength(image: np.ndarray, length: int = 21, clip: float = 8.0) -> np.ndarray:
    """Mean size of the second difference along y over a line of `length` px, the largest over slopes up to 40 deg.

    Single bright or dark spots are clipped at `clip` times the median: a limit is long, not strong.
    """
    cv2 = opencv("layers")
    curve = np.abs(cv2.Sobel(cv2.GaussianBlur(image, (0, 0), 1.0), cv2.CV_32F, 0, 2))
    curve = np.minimum(curve, clip * max(float(np.median(curve)), 1e-6))
    half, best = length // 2, None
    for degrees in range(-40, 41, 10):
        kernel = np.zeros((length, length), np.float32)
        along = np.linspace(-half, half, 4 * length)
        turn = math.radians(degrees)
        rows = np.rint(half + along * math.sin(turn)).astype(int)
        kernel[rows, np.rint(half + along * math.cos(turn)).astype(int)] = 1.0
        found = cv2.filter2D(curve, cv2.CV_32F, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        best = found if best is None else np.maximum(best, found)
    assert best is not None
    return best


def _cost(strength: np.ndarray, allowed: np.ndarray, typical: float) -> np.ndarray:
    cost = 1.0 / (0.3 + strength.astype(np.float64) / max(typical, 1e-12))
    cost[~allowed] = FAR
    return cost


def find_layer(
    image: np.ndarray, *, margin: float = 0.05, thinnest: int = 48, tolerance: float = 0.08, widest: float = 0.08
) -> Layer:
    """The layer of a cross-section `(y, x)`, 128 px or more each way.

    `margin`: part of the height, at both ends, where no limit is looked for. `thinnest`: px between the limits at
    least. `tolerance`: what differs from the layer's brightness by more than this part of it is not like the layer.
    `widest`: cracks and pores of up to this part of the thickness belong to the layer. ValueError where the picture is
    too small, or nothing is seen.
    """
    cv2 = opencv("layers")
    height, width = image.shape
    if min(image.shape) < 128 or height < 4 * thinnest:
        raise ValueError(f"a picture of {height} x {width} px is too small to find a layer in")
    data = np.ascontiguousarray(image, np.float32)
    low, high = (float(v) for v in np.percentile(data, [0.1, 99.9]))
    if not low < high:
        raise ValueError("the image shows nothing: all pixels are equal")
    grey = np.clip((data - low) * (255.0 / (high - low)), 0, 255)
    # medians at full scale want bytes
    size = width // COARSE, height // COARSE
    small = cv2.medianBlur(cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8), 11)
    step = np.abs(cv2.Sobel(cv2.GaussianBlur(small.astype(np.float32), (0, 0), 2.0), cv2.CV_32F, 0, 1))
    rows = np.arange(size[1])[:, None]
    edge = round(size[1] * margin)
    sight = (rows >= edge) & (rows < size[1] - edge) & np.ones(size[0], bool)
    first = shortest_path(_cost(step, sight, float(step.mean())), 0.1)
    half = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    line = cv2.resize(_line_strength(half), size, interpolation=cv2.INTER_AREA)
    below = sight & (rows > first[None] + math.ceil(thinnest / COARSE))
    if not below.any(axis=0).all():
        raise ValueError("there is no room for a layer below the strongest step in brightness")
    second = shortest_path(_cost(line, below, float(np.median(line[below]))), 0.1)
    x = np.arange(width)
    places = (np.arange(size[0]) + 0.5) * width / size[0] - 0.5
    upper, lower = (np.interp(x, places, (p + 0.5) * height / size[1] - 0.5) for p in (first, second))
    return _without_pores(grey, upper, lower, tolerance, widest, (high - low) / 255.0, low)


def _without_pores(
    grey: np.ndarray, upper: np.ndarray, lower: np.ndarray, tolerance: float, widest: float, scale: float, low: float
) -> Layer:
    """The layer between two limits, without what reaches in from above and is unlike it: pores, the matter above."""
    cv2 = opencv("layers")
    rows = np.arange(grey.shape[0])[:, None]
    band = (rows >= upper) & (rows <= lower)
    thick = float((lower - upper).mean())
    level = float(np.median(grey[band]))
    calm = cv2.medianBlur(grey.astype(np.uint8), 11).astype(np.float32)
    beyond = grey[(rows < upper - COARSE) & (rows > upper - 0.5 * thick)]
    allowed = tolerance * max(level, 1.0)
    # pores are dark; what is bright is the matter above reaching in, but only where that is bright
    unlike = calm < level - allowed
    if beyond.size and float(np.median(beyond)) > level + allowed:
        unlike |= calm > level + allowed
    unlike &= rows < upper + 0.5 * thick
    outside = ((unlike & band) | (rows < upper)).astype(np.uint8)
    across = max(3, round(widest * thick) | 1)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    outside = cv2.morphologyEx(outside, cv2.MORPH_OPEN, element)
    _, names = cv2.connectedComponents(outside, connectivity=4)
    above = np.unique(names[0])
    inside = band & ~(np.isin(names, above[above > 0]))
    return Layer(upper, lower, inside, level * scale + low)
