"""Grain growth by the Potts model: areas that change so that the energy of the walls falls.

Anderson, Srolovitz, Grest and Sahni, Acta Metall. 32, 783 (1984); walls cost one unit per unlike pair among 24
neighbours (which makes the lattice nearly isotropic), at the temperature 1. Mean area then grows linearly in time, and
grains follow the law of von Neumann and Mullins.
"""

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11, _33 = (np.uint64(k) for k in (30, 27, 31, 11, 33))


@njit(cache=True, nogil=True)
def _mixed(state: np.ndarray) -> np.uint64:
    """The next random word of splitmix64 (Steele, Lea and Flood, OOPSLA 2014); the same on every machine."""
    state[0] += _STEP
    z = state[0]
    z = (z ^ (z >> _30)) * _A
    z = (z ^ (z >> _27)) * _B
    return z ^ (z >> _31)


@njit(cache=True, nogil=True)
def sweep(sites: np.ndarray, sweeps: int, state: np.ndarray, chance: np.ndarray) -> None:
    """`sweeps` tries per site of int32 `sites` `(y, x)` (periodic), in place. `state` `(1,)` uint64 is the randomness;
    `chance` `(25,)`: the chance of a step that costs so much."""
    rows, columns = sites.shape
    for _ in range(sweeps * rows * columns):
        word = _mixed(state)
        y = np.int64((word >> _33) % np.uint64(rows))
        x = np.int64((word & np.uint64(0x3FFFFFFF)) % np.uint64(columns))
        word = _mixed(state)
        k = np.int64(word & np.uint64(7))
        k += k >= 4
        mine = sites[y, x]
        other = sites[(y + k // 3 - 1) % rows, (x + k % 3 - 1) % columns]
        if mine == other:
            continue
        cost = 0
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                near = sites[(y + dy) % rows, (x + dx) % columns]
                cost += (near == mine) - (near == other)
        cost -= 1  # the site itself was counted
        if cost <= 0 or np.float64(word >> _11) * 2.0**-53 < chance[cost]:
            sites[y, x] = other


def voronoi(size: int, grains: int, seed: int) -> np.ndarray:
    """A periodic `(size, size)` int32 picture of `grains` cells about random points, labels 0 to grains - 1."""
    from scipy.spatial import KDTree

    points = np.random.default_rng(seed).random((grains, 2)) * size
    y, x = np.mgrid[:size, :size]
    places = np.column_stack([y.reshape(-1), x.reshape(-1)]).astype(np.float64)
    return KDTree(points, boxsize=size).query(places)[1].reshape(size, size).astype(np.int32)


CHANCE = np.exp(-np.arange(26.0))
"""Of a step that costs 0, 1, 2 ... at the temperature 1."""
