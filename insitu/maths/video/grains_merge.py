"""Grains joined across walls that are none: a picture parted too finely, and how strong each wall is on the whole.

A wall is judged by the mean of its pixels, not by its weakest one: a true wall may be interrupted by noise, and a
chance alignment of noise may close a false one. The weakest wall of all goes first, and the walls of the joined grain
are taken together: average linkage on a region adjacency graph (A. Tremeau, P. Colantoni, IEEE Trans. Image Process. 9,
735 (2000)). A mean never falls below both of its parts, so that two grains whose weakest wall is the one between them
may be joined at any time, many pairs at once: the order does not matter (F. Murtagh, Comput. J. 26, 354 (1983)).
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _edges(labels: np.ndarray, strength: np.ndarray, base: int, keys: np.ndarray, values: np.ndarray) -> int:
    """Each pair of neighbouring pixels with different labels a < b: `a base + b`, and the larger of their strengths."""
    rows, columns = labels.shape
    n = 0
    for y in range(rows):
        for x in range(columns):
            here = labels[y, x]
            for dy, dx in ((0, 1), (1, 0)):
                if y + dy < rows and x + dx < columns:
                    there = labels[y + dy, x + dx]
                    if there != here:
                        keys[n] = min(here, there) * base + max(here, there)
                        values[n] = max(strength[y, x], strength[y + dy, x + dx])
                        n += 1
    return n


def walls(labels: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs `(m, 2)` of labels 0, 1, ... that touch; sum of `strength` over the wall between them, and its length in
    pixel edges, `(m,)` each."""
    base = int(labels.max()) + 1
    keys, values = np.empty(2 * labels.size, np.int64), np.empty(2 * labels.size)
    n = _edges(np.ascontiguousarray(labels, np.int64), strength, base, keys, values)
    return _together(keys[:n], values[:n], np.ones(n), base)


def _together(
    keys: np.ndarray, sums: np.ndarray, counts: np.ndarray, base: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walls of the same pair taken together."""
    unique, which = np.unique(keys, return_inverse=True)
    pairs = np.column_stack([unique // base, unique % base])
    return pairs, np.bincount(which, sums, len(unique)), np.bincount(which, counts, len(unique))


def merged(labels: np.ndarray, strength: np.ndarray, level: float, least: int) -> tuple[np.ndarray, int]:
    """Labels int32 `(y, x)`, 1 to n in order of reading, and n: of int `labels` 1, 2, ..., joined across every wall
    whose mean `strength` is below `level`; a grain of fewer than `least` pixels is joined across its weakest wall
    anyway."""
    part = np.asarray(labels, np.int64) - 1
    count = int(part.max()) + 1
    area = np.bincount(part.ravel(), minlength=count).astype(np.float64)
    pairs, sums, lengths = walls(part, strength)
    name = np.arange(count)
    for small in (True, False):
        while len(pairs):
            mean = sums / lengths
            allowed = np.logical_or.reduce(area[pairs] < least, axis=1) if small else mean < level
            weakest = _weakest(pairs, mean, allowed, count)
            joined = pairs[weakest]
            if not len(joined):
                break
            # each grain is in one of these pairs at most
            new = np.arange(count)
            new[joined[:, 1]] = joined[:, 0]
            area[joined[:, 0]] += area[joined[:, 1]]
            name = new[name]
            moved = np.sort(new[pairs], axis=1)
            kept = moved[:, 0] != moved[:, 1]
            pairs, sums, lengths = _together(moved[kept, 0] * count + moved[kept, 1], sums[kept], lengths[kept], count)
    found = name[part]
    _, first, turned = np.unique(found.ravel(), return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first)) + 1
    return order[turned].reshape(labels.shape).astype(np.int32), len(first)


def _weakest(pairs: np.ndarray, mean: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Which of the allowed walls are the weakest of both of their grains, `(k,)`; of equal ones the first."""
    order = np.flatnonzero(allowed)
    order = order[np.argsort(mean[order], kind="stable")]
    rank = np.full(count, len(pairs), np.int64)
    for side in (0, 1):
        np.minimum.at(rank, pairs[order, side], np.arange(len(order)))
    at = np.arange(len(order))
    return order[(rank[pairs[order, 0]] == at) & (rank[pairs[order, 1]] == at)]
