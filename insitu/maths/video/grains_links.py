"""Which grain of one picture is which of the next, by the area that they share.

A grain goes on as the one that it shares most with, and that shares most with it. What is left over was born, or split
off; or it vanished, or was swallowed whole by another (merged).
"""

from typing import NamedTuple

import numpy as np


class Links(NamedTuple):
    """`follower` `(n_before,)`: the label after that each label before goes on as, 0 for none; for those without,
    `merged` `(n_before,)`: the label after that took them whole, 0 for none. `split` `(n_after,)`: for those without
    ancestor, the label before that they split off from, 0 for none. `shared` `(n_before,)`: pixels shared with the
    follower."""

    follower: np.ndarray
    merged: np.ndarray
    split: np.ndarray
    shared: np.ndarray


def link(before: np.ndarray, after: np.ndarray, *, overlap: float = 0.2, whole: float = 0.5) -> Links:
    """Links between two label pictures of the same shape, int `(y, x)`, 0 = no grain.

    `overlap`: the least share of the smaller of two grains that makes them one. `whole`: the share of a lost (or new)
    grain that must lie in another for it to be merged into (split off from) that one. ValueError for other shapes.

    >>> a = np.array([[1, 1, 2, 2]]); link(a, np.array([[1, 1, 1, 1]])).merged.tolist()
    [0, 1]
    """
    if before.shape != after.shape:
        raise ValueError(f"label pictures of {before.shape} and {after.shape} cannot be laid over each other")
    n, m = int(before.max(initial=0)), int(after.max(initial=0))
    both = (before > 0) & (after > 0)
    keys = before[both].astype(np.int64) * (m + 1) + after[both]
    pairs, shared = np.unique(keys, return_counts=True)
    a, b = pairs // (m + 1), pairs % (m + 1)
    area_a = np.bincount(before.reshape(-1), minlength=n + 1)
    area_b = np.bincount(after.reshape(-1), minlength=m + 1)
    follower, common = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    ancestor = np.zeros(m + 1, np.int64)
    for i in np.lexsort((b, a, -shared)):  # the largest shares first; ties by label
        enough = shared[i] >= overlap * min(area_a[a[i]], area_b[b[i]])
        if enough and not follower[a[i]] and not ancestor[b[i]]:
            follower[a[i]], ancestor[b[i]], common[a[i]] = b[i], a[i], shared[i]
    merged, split = np.zeros(n + 1, np.int64), np.zeros(m + 1, np.int64)
    for i in range(len(pairs)):
        if not follower[a[i]] and area_a[a[i]] and shared[i] >= whole * area_a[a[i]]:
            merged[a[i]] = b[i]
        if not ancestor[b[i]] and shared[i] >= whole * area_b[b[i]]:
            split[b[i]] = a[i]
    return Links(follower[1:], merged[1:], split[1:], common[1:])


def common_shift(before: np.ndarray, after: np.ndarray, reach: int = 16) -> tuple[int, int]:
    """The movement (y, x) in whole px, at most `reach`, after which the walls of two label pictures agree best.

    By the correlation of the wall pictures, summed over a coarse grid of shifts, then about the best one.
    """

    def walls(labels: np.ndarray) -> np.ndarray:
        out = np.zeros(labels.shape, np.float32)
        out[:, 1:] += labels[:, 1:] != labels[:, :-1]
        out[1:] += labels[1:] != labels[:-1]
        return np.minimum(out, 1.0)

    shape = before.shape[0] + reach, before.shape[1] + reach
    a, b = (walls(x) - float(walls(x).mean()) for x in (before, after))
    found = np.fft.irfft2(np.fft.rfft2(b, shape) * np.conj(np.fft.rfft2(a, shape)), shape)
    best, at = float(found[0, 0]), (0, 0)
    noise = 1e-6 * float(np.abs(found).max())  # a tie is no movement
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            value = float(found[dy % shape[0], dx % shape[1]])
            if value > best + noise:
                best, at = value, (dy, dx)
    return at


def moved(labels: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """`labels` moved by (y, x) px; 0 comes in from the edges.

    >>> moved(np.array([[1, 2]]), (0, 1)).tolist()
    [[0, 1]]
    """
    out = np.zeros_like(labels)
    height, width = labels.shape
    dy, dx = shift
    if abs(dy) < height and abs(dx) < width:
        to_y, to_x = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
        from_y, from_x = slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0))
        out[to_y, to_x] = labels[from_y, from_x]
    return out
