"""Poisson counts for many pixels, reproducible to the bit, several times faster than one call of a library per frame.

A Poisson number of mean m + d is the sum of two independent ones of means m and d. With m the whole part of the mean,
the first comes from a table for each whole m (inversion: the cumulated distribution in steps of 2^-32), the second, of
mean below 1, by inversion from exp(-d). Means from `TOP` on are left to numpy's generator. The random numbers
of pixel i are splitmix64 of (key + i), so that pixels do not depend on each other. Tails below 2^-32 are cut: the
largest count of a mean of 100 is 170.

Sources: L. Devroye, Non-Uniform Random Variate Generation (1986), chapters III.2 and X.3; G. Steele, D. Lea, C. Flood,
OOPSLA 2014 (splitmix64).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numba
import numpy as np

TOP = 512
"""Means from here on are drawn by numpy."""
WIDE = 320
"""Counts that a table spans, at most: 14 standard deviations of the largest mean."""


class Means(NamedTuple):
    """Expected counts of n pixels, taken apart: whole part (TOP where it is larger), exp of minus the rest; indices
    and means of the bright pixels."""

    whole: np.ndarray
    none: np.ndarray
    bright: np.ndarray
    bright_mean: np.ndarray


def means(expected: np.ndarray) -> Means:
    """Expected counts, any shape, 0 or more, as `draw` needs them (flat)."""
    flat = np.ascontiguousarray(expected, dtype=np.float64).ravel()
    whole = np.minimum(np.floor(flat), TOP).astype(np.uint16)
    bright = np.flatnonzero(whole == TOP)
    return Means(whole, np.exp(whole - flat), bright, flat[bright])


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each whole mean: least count, cumulated probability times 2^32 from there on, and where to begin to look for
    each value of the first 8 bits."""
    low = np.zeros(TOP, np.int32)
    steps = np.full((TOP, WIDE), np.uint32(0xFFFFFFFF), np.uint32)
    guide = np.zeros((TOP, 256), np.uint16)
    for m in range(1, TOP):
        low[m] = max(0, int(m - 7.0 * math.sqrt(m)))
        k = np.arange(0, low[m] + WIDE, dtype=np.float64)
        logs = k * math.log(m) - m - np.array([math.lgamma(x + 1.0) for x in k])
        cumulated = np.cumsum(np.exp(logs))[low[m] :]
        steps[m] = np.minimum(np.round(cumulated * 2.0**32), 2.0**32 - 1).astype(np.uint32)
        guide[m] = np.searchsorted(steps[m], np.arange(256, dtype=np.uint64) << 24, side="right")
    steps[0] = 0xFFFFFFFF
    return low, steps, np.minimum(guide, WIDE - 1)


@numba.njit(cache=True)
def _draw(whole, none, key, low, steps, guide, out):
    golden = np.uint64(0x9E3779B97F4A7C15)
    for i in range(whole.size):
        z = key + np.uint64(i + 1) * golden
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        m = whole[i]
        if m == TOP:
            continue
        first, second = np.uint32(z >> np.uint64(32)), np.uint32(z & np.uint64(0xFFFFFFFF))
        count = 0
        if m > 0:
            at = guide[m, first >> np.uint32(24)]
            while at < WIDE - 1 and first >= steps[m, at]:
                at += 1
            count = low[m] + at
        u = (np.float64(second) + 0.5) * (1.0 / 4294967296.0)
        p = none[i]
        if u > p:
            rest, d, k = u - p, -math.log(p), 1
            p *= d
            while rest > p and k < 32:
                rest -= p
                k += 1
                p *= d / k
            count += k
        out[i] = count


def draw(given: Means, seed: tuple[int, ...]) -> np.ndarray:
    """Counts `(n,)`, int32, of pixels with the given means; the same seed gives the same counts.

    >>> draw(means(np.array([0.0, 3.5, 2000.0])), (1, 2)).shape
    (3,)
    """
    out = np.zeros(given.whole.size, np.int32)
    sequence = np.random.SeedSequence(seed)
    key = np.uint64(sequence.generate_state(1, np.uint64)[0])
    _draw(given.whole, given.none, key, *_tables(), out)
    if given.bright.size:
        out[given.bright] = np.random.default_rng(sequence).poisson(given.bright_mean)
    return out
