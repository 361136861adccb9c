"""Images to masks: smoothing, local thresholds, and the cleaning of what comes out.

`smooth` and `local_mean` give what scikit-image's `gaussian` (mode nearest, truncated at 4 sigma) and
`threshold_local(method="mean")` give, in double precision; masks made with them are the same pixel by pixel. The extra
`video` holds OpenCV; it runs one thread here.
"""

from types import ModuleType

import numpy as np
from numba import njit

from insitu.errors import MissingExtraError
from insitu.maths.video import runs


def opencv(purpose: str) -> ModuleType:
    """OpenCV on one thread, or MissingExtraError that names the extra."""
    try:
        import cv2
    except ImportError as e:
        raise MissingExtraError("opencv-python-headless", "video", purpose=purpose) from e
    cv2.setNumThreads(1)
    return cv2


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of `sigma` px over `(y, x)`, edges repeated; float64. `sigma` 0 changes nothing but the type."""
    if sigma <= 0.0:
        return np.ascontiguousarray(image, np.float64)
    reach = int(4.0 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights /= weights[0] + 2.0 * weights[1:].sum()
    return _smooth(np.ascontiguousarray(image), weights)


@njit(cache=True, nogil=True)
def _smooth(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The image smoothed along both axes; `weights`: the middle one, then those on either side. Whole lines are added,
    so that the compiler works on many columns at once."""
    height, width = image.shape
    reach = weights.size - 1
    out, line = np.empty((height, width)), np.empty(width + 2 * reach)
    for y in range(height):
        here, middle = line[reach : reach + width], image[y]
        for x in range(width):
            here[x] = middle[x] * weights[0]
        for k in range(1, reach + 1):
            above, below, weight = image[max(y - k, 0)], image[min(y + k, height - 1)], weights[k]
            for x in range(width):
                here[x] += (np.float64(above[x]) + np.float64(below[x])) * weight
        for k in range(reach):
            line[k], line[reach + width + k] = line[reach], line[reach + width - 1]
        row = out[y]
        for x in range(width):
            row[x] = here[x] * weights[0]
        for k in range(1, reach + 1):
            left, right, weight = line[reach - k :], line[reach + k :], weights[k]
            for x in range(width):
                row[x] += (left[x] + right[x]) * weight
    return out


def local_mean(image: np.ndarray, block: int) -> np.ndarray:
    """Mean over `block` x `block` px about each pixel, edges mirrored; float64 `(y, x)`."""
    cv2 = opencv("a local threshold")
    return cv2.boxFilter(image, -1, (block, block), borderType=cv2.BORDER_REFLECT)


def edge_level(image: np.ndarray, window: int, power: float = 4.0) -> np.ndarray:
    """The level at which edges near each pixel are crossed: mean of the image weighted with its slope ** `power`.

    Where a large bright or dark area has no edge in sight, its own mean over two windows stands in, so that the area
    is not cut up by noise only by chance: weights never vanish. Two passes of a box of `window` px.
    After Yanowitz and Bruckstein, Comput. Vis. Graph. Image Process. 46, 82 (1989), with means instead of a fitted
    surface.
    """
    cv2 = opencv("an edge-led threshold")
    data = np.ascontiguousarray(image, np.float32)
    across, down = cv2.Sobel(data, cv2.CV_32F, 1, 0), cv2.Sobel(data, cv2.CV_32F, 0, 1)
    weight = across * across
    weight += down * down
    top = float(weight.max())
    if top <= 0.0:
        return data.astype(np.float64)
    weight /= top
    weight **= 0.5 * power
    weight += np.float32(1e-12)
    # about the mean: what is summed stays small against the rounding of float32
    middle = np.float32(data.mean())
    above, below = (data - middle) * weight, weight
    for _ in range(2):
        above = cv2.boxFilter(above, cv2.CV_64F, (window, window), borderType=cv2.BORDER_REFLECT)
        below = cv2.boxFilter(below, cv2.CV_64F, (window, window), borderType=cv2.BORDER_REFLECT)
    above /= below
    above += float(middle)
    return above


def otsu(image: np.ndarray, bins: int = 256) -> float:
    """The level that parts the pixels into two classes of the largest variance between them.

    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), on a histogram of `bins` from the smallest to the largest value;
    the same as scikit-image's `threshold_otsu`. ValueError where all pixels are equal.

    >>> bool(1.0 < otsu(np.array([[1.0, 1.1, 5.0, 5.2]])) < 5.0)
    True
    """
    low, high = float(image.min()), float(image.max())
    if not low < high:
        raise ValueError("all pixels are equal, so that no threshold parts them")
    counts, edges = np.histogram(image, bins, (low, high))
    middles = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1].astype(float)
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(middles[int(np.nanargmax(between))])


def opened(mask: np.ndarray, size: int) -> np.ndarray:
    """`mask` without what an ellipse of `size` px does not fit into; `size` below 2 changes nothing."""
    if size < 2:
        return mask
    cv2 = opencv("cleaning a mask")
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, element).astype(bool)


@njit(cache=True, nogil=True)
def _areas(labels: np.ndarray, area: np.ndarray) -> None:
    """Adds the pixels of each label to `area`, run by run of equal labels along x."""
    for y in range(labels.shape[0]):
        row = labels[y]
        first = 0
        for x in range(1, row.size + 1):
            if x == row.size or row[x] != row[first]:
                area[row[first]] += x - first
                first = x


def components(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Labels int32 `(y, x)`, 0 outside `mask`, and the pixels of each label `(n + 1,)`. Order of OpenCV."""
    cv2 = opencv("labelling")
    count, labels = cv2.connectedComponents(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S
    )
    area = np.zeros(count, np.int64)
    _areas(labels, area)  # OpenCV's own statistics take ten times longer
    return labels, area


def without_small(mask: np.ndarray, least: int, most: int | None = None) -> np.ndarray:
    """`mask` without the regions (8 neighbours) of fewer than `least` or more than `most` pixels."""
    if least <= 1 and most is None:
        return mask
    found = runs.runs_of(mask)
    out = np.zeros(mask.shape, bool)
    runs.painted(out, *found[:4], (found.area >= least) & (found.area <= (most or mask.size)))
    return out


def filled(mask: np.ndarray, most: int) -> np.ndarray:
    """`mask` with its holes of fewer than `most` pixels filled; what touches the border of the image is no hole."""
    if most <= 0:
        return mask
    found = runs.runs_of(mask, inside=False, connectivity=4)
    out = np.ones(mask.shape, bool)
    runs.painted(out, *found[:4], (found.area < most) & ~found.border)
    return out
