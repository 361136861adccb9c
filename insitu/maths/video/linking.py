"""Points of one frame linked to those of the frames before: which one is which.

Each point belongs to at most one track. Of all ways to pair points with tracks not further apart than `reach`, the one
with the least sum of squared distances is taken, where a track that finds no point costs `reach`^2 (J. C.
Crocker and D. G. Grier, J. Colloid Interface Sci. 179 (1996) 298). Only points within reach of each other compete, so
the problem falls into small groups, each solved exactly. A track that finds no point stays for `memory` frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

LARGEST_GROUP = 400
"""Points and tracks of a group solved exactly; in larger ones (reach too long) the nearest pairs go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The tracks of the points of a frame `(n,)`; `born` `(n,)`: True for the first point of a track; `step` `(n, 2)`:
    from the track's last point, NaN for the first; `gap` `(n,)`: frames since that point; `lost`: tracks that ended for
    good."""

    track: np.ndarray
    born: np.ndarray
    step: np.ndarray
    gap: np.ndarray
    lost: np.ndarray


class Linker:
    """Remembers the tracks that are alive: where each was seen last, and when.

    `reach`: px that a point may move between two frames; `memory`: frames that a track may be missing.

    >>> linker = Linker(reach=5.0, memory=1)
    >>> linker.link(0, np.array([[10.0, 10.0], [20.0, 20.0]])).track
    array([0, 1])
    >>> linker.link(1, np.array([[21.0, 20.0], [50.0, 50.0]])).track
    array([1, 2])
    """

    def __init__(self, *, reach: float, memory: int) -> None:
        self.reach, self.memory = reach, memory
        self._place = np.empty((0, 2))
        self._track = np.empty(0, np.int64)
        self._seen = np.empty(0, np.int64)
        self._next = 0

    def link(self, tick: int, points: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> Linked:
        """The tracks of `points` `(n, 2)` of frame `tick`; `shift`: how far everything moved since the last frame."""
        self._place = self._place + np.asarray(shift)
        old = tick - self._seen > self.memory + 1
        ended = self._track[old]
        self._place, self._track, self._seen = self._place[~old], self._track[~old], self._seen[~old]
        partner = assign(points, self._place, self.reach)
        born = partner < 0
        track = np.empty(len(points), np.int64)
        track[~born] = self._track[partner[~born]]
        track[born] = self._next + np.arange(np.count_nonzero(born))
        self._next += int(np.count_nonzero(born))
        step = np.full((len(points), 2), np.nan)
        step[~born] = points[~born] - self._place[partner[~born]] + np.asarray(shift)
        gap = np.zeros(len(points), np.int64)
        gap[~born] = tick - self._seen[partner[~born]]
        alone = np.ones(len(self._track), bool)
        alone[partner[~born]] = False
        self._place = np.concatenate([points, self._place[alone]])
        self._track = np.concatenate([track, self._track[alone]])
        self._seen = np.concatenate([np.full(len(points), tick, np.int64), self._seen[alone]])
        return Linked(track=track, born=born, step=step, gap=gap, lost=ended)


def assign(points: np.ndarray, places: np.ndarray, reach: float) -> np.ndarray:
    """The place `(n,)` that belongs to each of `points` `(n, 2)`, by its row in `places` `(m, 2)`; -1 for none."""
    partner = np.full(len(points), -1, np.int64)
    if not len(points) or not len(places):
        return partner
    near = KDTree(points).sparse_distance_matrix(KDTree(places), reach, output_type="ndarray")
    if not near.size:
        return partner
    near = np.sort(near, order=["i", "j"])
    a, b, square = near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"] ** 2
    single = (np.bincount(a, minlength=len(points))[a] == 1) & (np.bincount(b, minlength=len(places))[b] == 1)
    partner[a[single]] = b[single]
    a, b, square = a[~single], b[~single], square[~single]
    if a.size:
        _groups(a, b, square, len(points), len(places), reach**2, partner)
    return partner


def _groups(
    a: np.ndarray, b: np.ndarray, square: np.ndarray, n: int, m: int, alone: float, partner: np.ndarray
) -> None:
    """Solve each group of points that compete."""
    graph = coo_array((np.ones(a.size), (a, n + b)), shape=(n + m, n + m))
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label[a], kind="stable")
    edges = np.flatnonzero(np.diff(label[a][order])) + 1
    for rows in np.split(order, edges):
        _solve(a[rows], b[rows], square[rows], alone, partner)


def _solve(a: np.ndarray, b: np.ndarray, square: np.ndarray, alone: float, partner: np.ndarray) -> None:
    """The cheapest pairing of one group; every point may also stay alone."""
    points, i = np.unique(a, return_inverse=True)
    places, j = np.unique(b, return_inverse=True)
    if points.size + places.size > LARGEST_GROUP:
        taken: set[int] = set()
        for k in np.lexsort((b, a, square)):
            if partner[a[k]] < 0 and int(b[k]) not in taken:
                partner[a[k]] = b[k]
                taken.add(int(b[k]))
        return
    gain = np.zeros((points.size, places.size))
    gain[i, j] = alone - square
    for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if gain[row, column] > 0.0:
            partner[points[row]] = places[column]
