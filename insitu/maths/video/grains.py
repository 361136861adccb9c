"""Grains and cells of a micrograph: walls found as dark or bright lines, the image parted along them, and what is said
of the parts.

`ridges`: the largest response of elongated second-derivative filters over directions, of unit noise gain, positive on
a line (Steger, IEEE Trans. Pattern Anal. Mach. Intell. 20, 113 (1998), has the profile; elongation averages noise along
the line). `watershed`: the flooding of Vincent and Soille, IEEE Trans. Pattern Anal. Mach. Intell. 13, 583 (1991), done
by union-find over sorted levels; two basins that meet become one unless both are deeper than `height` below the pass
(their dynamics) and larger than `least` pixels.
"""

import math

import numpy as np
from numba import njit

from insitu.maths.video.grains_merge import merged
from insitu.maths.video.segment import components, opencv

LEVELS = 16
"""Steps of the flooding per unit."""
FINER = 0.4
"""Basins are parted by passes of this part of the strength that a wall needs on the whole."""


def ridges(image: np.ndarray, width: float, length: float, directions: int = 12) -> np.ndarray:
    """How much of a dark line passes through each pixel, float32 `(y, x)`: bright lines give it for `-image`.

    `width`, `length`: sigmas of the filter across and along a line, px. Noise of sigma 1 gives about 1.
    """
    cv2 = opencv("finding walls")
    reach = math.ceil(3.0 * max(width, length))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    data, best = np.ascontiguousarray(image, np.float32), None
    for k in range(directions):
        angle = math.pi * k / directions
        u = x * math.cos(angle) + y * math.sin(angle)
        v = y * math.cos(angle) - x * math.sin(angle)
        kernel = ((u / width) ** 2 - 1.0) * np.exp(-0.5 * ((u / width) ** 2 + (v / length) ** 2))
        kernel -= kernel.mean()
        kernel /= math.sqrt(float((kernel**2).sum()))
        found = cv2.filter2D(data, cv2.CV_32F, kernel.astype(np.float32), borderType=cv2.BORDER_REFLECT)
        best = found if best is None else np.maximum(best, found)
    assert best is not None
    return best


@njit(cache=True, nogil=True)
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _flood(level: np.ndarray, order: np.ndarray, height: int, least: int, labels: np.ndarray) -> int:
    """Floods int32 `level` `(y, x)` in `order` of rising level; writes labels 1..n in order of reading, gives n."""
    rows, columns = level.shape
    flat = level.reshape(-1)
    parent = np.full(flat.size, -1, np.int32)
    lowest, area = np.zeros(flat.size, np.int32), np.zeros(flat.size, np.int32)
    for q in range(flat.size):
        i = order[q]
        y, x = i // columns, i % columns
        mine = -1
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                yy, xx = y + dy, x + dx
                if yy < 0 or yy >= rows or xx < 0 or xx >= columns or parent[yy * columns + xx] < 0:
                    continue
                other = _root(parent, yy * columns + xx)
                if mine < 0:
                    mine = other
                elif other != mine:
                    deep, shallow = mine, other
                    if lowest[deep] > lowest[shallow] or (lowest[deep] == lowest[shallow] and deep > shallow):
                        deep, shallow = shallow, deep
                    if flat[i] - lowest[shallow] < height or area[shallow] < least:
                        parent[shallow] = deep
                        area[deep] += area[shallow]
                        mine = deep
                    elif area[other] > area[mine]:
                        mine = other
        if mine < 0:
            mine = i
            lowest[i] = flat[i]
        parent[i] = mine
        area[mine] += 1
    names = np.zeros(flat.size, np.int32)
    count = 0
    out = labels.reshape(-1)
    for i in range(flat.size):
        r = _root(parent, i)
        if names[r] == 0:
            count += 1
            names[r] = count
        out[i] = names[r]
    return count


def watershed(relief: np.ndarray, height: float, least: int) -> tuple[np.ndarray, int]:
    """Labels int32 `(y, x)`, 1 to n and no pixel without, and n. `height` in the unit of `relief`."""
    scale = LEVELS / max(height, 1e-12)
    level = np.clip(np.rint((relief - relief.min()) * scale), 0, 2**30).astype(np.int32)
    labels = np.empty(relief.shape, np.int32)
    order = np.argsort(level.reshape(-1), kind="stable").astype(np.int32)
    return labels, _flood(level, order, LEVELS, least, labels)


def pixel_noise(image: np.ndarray) -> float:
    """Standard deviation of noise that differs from pixel to pixel, in the image's unit.

    From second differences along both axes (Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996)), the largest quarter
    left out: those are edges. Whole numbers are never quieter than their rounding, 1/sqrt(12).
    """
    cv2 = opencv("noise")
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6.0
    found = np.abs(cv2.filter2D(np.ascontiguousarray(image, np.float32), cv2.CV_32F, kernel)).reshape(-1)
    kept = np.partition(found, (3 * found.size) // 4)[: (3 * found.size) // 4 + 1]
    # 0.5149: mean size of the smaller three quarters of normal numbers
    sigma = float(kept.mean(dtype=np.float64)) / 0.5149
    return sigma if image.dtype.kind == "f" else max(sigma, 12.0**-0.5)


def by_lines(
    image: np.ndarray, *, width: float, length: float, strength: float, share: float, least: int, dark: bool = True
) -> tuple[np.ndarray, int]:
    """Grains between lines: the watershed of `ridges`, joined across the walls that do not count.

    A wall counts where its mean response is `strength` times the noise of the pixels, and `share` of what the clearest
    walls have (the 99.5th percentile of `ridges`). Brightness and contrast of the image do not matter. ValueError where
    all pixels are equal.
    """
    noise = pixel_noise(image)
    response = ridges(image if dark else -image.astype(np.float32), width, length)
    clearest = float(np.percentile(response, 99.5))
    if float(np.ptp(response)) < 1e-6 * max(1.0, float(np.abs(image).max())):
        raise ValueError("the image shows nothing: all pixels are equal")
    level = max(strength * noise, share * clearest)
    labels, _ = watershed(response, FINER * level, 1)
    return merged(labels, response, level, least)


def by_level(mask: np.ndarray, *, least: int, most: int | None, reach: float) -> tuple[np.ndarray, int]:
    """Cells that are the regions (4 neighbours) of `mask`, of `least` to `most` pixels, grown by up to `reach` px.

    Each pixel within reach goes to the nearest cell; 0 elsewhere. Labels int32 `(y, x)` in order of reading, and n.
    """
    cv2 = opencv("cells")
    found, area = components(mask, connectivity=4)
    keep = (area >= least) & (area <= (most or mask.size))
    keep[0] = False
    names = np.cumsum(keep) * keep
    seeds = names[found].astype(np.int32)
    count = int(keep.sum())
    if reach > 0.0 and count:
        outside = (seeds == 0).astype(np.uint8)
        distance, nearest = cv2.distanceTransformWithLabels(
            outside, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        owner = np.zeros(int(nearest.max()) + 1, np.int32)
        inside = seeds > 0
        owner[nearest[inside]] = seeds[inside]
        seeds = np.where(distance <= reach, owner[nearest], 0).astype(np.int32)
    return seeds, count


@njit(cache=True, nogil=True)
def _pairs(labels: np.ndarray, across: int, out: np.ndarray) -> int:
    """Pairs of labels a < b with at most `across` px of nothing between them along y or x, with repeats."""
    rows, columns = labels.shape
    n = 0
    for turn in range(2):
        lines, steps = (rows, columns) if turn == 0 else (columns, rows)
        for i in range(lines):
            last, at = 0, -1
            for j in range(steps):
                now = labels[i, j] if turn == 0 else labels[j, i]
                if now <= 0:
                    continue
                if last > 0 and now != last and j - at - 1 <= across and n < out.shape[0]:
                    out[n, 0], out[n, 1] = min(now, last), max(now, last)
                    n += 1
                last, at = now, j
    return n


def neighbours(labels: np.ndarray, across: int = 0, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Pairs `(m, 2)` of labels that touch along at least `least` pixel edges, and along how many, `(m,)`.

    `across`: so many px without label may lie between (walls). Two that touch along less are no neighbours: at a point
    where four grains seem to meet, on a pixel lattice, two of them touch by chance.
    """
    room = np.empty((2 * labels.size, 2), np.int32) if labels.size < 1 << 16 else np.empty((labels.size, 2), np.int32)
    found = room[: _pairs(labels, across, room)].astype(np.int64)
    if not len(found):
        return np.empty((0, 2), np.int64), np.empty(0, np.int64)
    base = int(labels.max()) + 1
    keys, edges = np.unique(found[:, 0] * base + found[:, 1], return_counts=True)
    keep = edges >= least
    return np.column_stack([keys[keep] // base, keys[keep] % base]), edges[keep]


def neighbour_counts(labels: np.ndarray, count: int, across: int = 0, least: int = 2) -> np.ndarray:
    """How many neighbours each of the labels 1 to `count` has, `(count,)`; see `neighbours`."""
    pairs, _ = neighbours(labels, across, least)
    return np.bincount(pairs.reshape(-1), minlength=count + 1)[1 : count + 1]


def mean_intercept(labels: np.ndarray) -> float | None:
    """Mean length, px, between walls along rows and columns: length of the lines / walls crossed (ASTM E112).

    Only length within labels counts. None where no wall is crossed.
    """
    crossed, length = 0, 0
    for lines in (labels, labels.T):
        crossed += int(np.count_nonzero((lines[:, 1:] != lines[:, :-1]) & (lines[:, 1:] > 0)))
        length += int(np.count_nonzero(lines > 0))
    return length / crossed if crossed else None


def astm_number(mean_area_mm2: float) -> float:
    """ASTM E112 grain size number from the mean grain area in the plane, mm^2: log2(1/area) - 2.954.

    >>> round(astm_number(0.0645 / 2**5), 2)  # 5 + 1 by definition: 32 grains per square inch at 100 times
    6.0
    """
    return -3.321928 * math.log10(mean_area_mm2) - 2.954
