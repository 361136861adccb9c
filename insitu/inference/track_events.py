"""Which births, deaths, mergers and splits of regions are to be believed: those that last.

Segmentation is noisy: a faint wall is seen in one picture and not in the next, a region near the smallest size that
counts comes and goes. An event is therefore held back until it has lasted `persist` frames; what comes back before at
its place takes its old name back, and nothing has happened. A region that came back has shown that it cannot be seen
for sure: from then on four times as many frames are asked for, and four times as many again each time. What is lost
must have been there for `persist` frames before, what is born must have been absent for as many (so that the first
`persist` frames of a recording tell what is there). With `persist = 1` everything counts at once.
"""

from dataclasses import dataclass

import numpy as np

from insitu.maths.video.grains_links import moved

KINDS: tuple[str, ...] = ("born", "vanished", "merged", "split")
TIMES, MOST = 4, 4
"""By how much more is asked for after each return, and after how many no more."""
KEPT = 8
"""For how many times `persist` frames the place of a lost region is remembered, once its loss has counted."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """A region by its name: the frame at which it appeared, how often it came back, and what is still to be counted."""

    since: int
    returns: int = 0
    pending: str = ""


@dataclass(slots=True, kw_only=True)
class _Ghost:
    """A lost region: the frame of its loss, what that is to count as, its area, and the region that took it."""

    known: _Known
    lost: int
    pending: str
    area: int
    into: int


class Events:
    """Names of regions from frame to frame, and the events that are believed: see the head of this file."""

    def __init__(self, persist: int, overlap: float) -> None:
        self.persist, self.overlap = persist, overlap
        self._frame, self._next = -1, 1
        self._known: dict[int, _Known] = {}
        self._ghosts: dict[int, _Ghost] = {}
        self._places = np.zeros((0, 0), np.int32)

    def begin(self, shape: tuple[int, ...], count: int) -> np.ndarray:
        """Names `(count,)` of the regions of a first frame."""
        self._frame, self._known, self._ghosts = 0, {}, {}
        self._places = np.zeros(shape, np.int32)
        names = self._fresh(count)
        self._known = {int(name): _Known(since=0) for name in names}
        return names

    def step(
        self, before: np.ndarray, after: np.ndarray, shift: tuple[int, int], names: np.ndarray, *,
        losses: dict[int, tuple[str, int]], arrivals: dict[int, tuple[str, int]], named: np.ndarray,
    ) -> tuple[np.ndarray, dict[str, int]]:  # fmt: skip
        """Names `(m,)` of the regions of the next frame, and how many events of each of `KINDS` now count.

        `before` (already moved by `shift`) and `after`: labels int `(y, x)`; `names` `(n,)` of the labels before,
        `named` `(m,)` of those after, 0 for new ones. `losses`: label before -> kind of event ("" for none, as at the
        edge) and name of the region that took it (0 for none). `arrivals`: label after -> kind, and name of the region
        that it split off from.
        """
        self._frame += 1
        counted: dict[str, int] = dict.fromkeys(KINDS, 0)
        named = named.copy()
        if self.persist > 1:
            self._places = moved(self._places, shift)
            self._come_back(after, named, arrivals)
            for label, (kind, into) in losses.items():
                self._lose(before == label, int(names[label - 1]), kind, into)
        else:
            for kind, _ in (*losses.values(), *arrivals.values()):
                if kind:
                    counted[kind] += 1
        new = np.flatnonzero(named == 0)
        named[new] = self._fresh(new.size)
        if self.persist > 1:
            for i in new.tolist():
                kind = arrivals.get(i + 1, ("", 0))[0] if self._frame >= self.persist else ""
                self._known[int(named[i])] = _Known(since=self._frame, pending=kind)
            self._count(counted, set(named.tolist()))
        return named, counted

    def _fresh(self, count: int) -> np.ndarray:
        self._next += count
        return np.arange(self._next - count, self._next)

    def _asked(self, known: _Known) -> int:
        """Frames that an event of this region must last."""
        return self.persist * TIMES ** min(known.returns, MOST)

    def _lose(self, where: np.ndarray, name: int, kind: str, into: int) -> None:
        known = self._known.pop(name)
        seen = self._frame - known.since
        # what was never sure to be there cannot be sure to be gone
        pending = kind if seen >= self._asked(known) and not known.pending else ""
        self._ghosts[name] = _Ghost(
            known=known, lost=self._frame, pending=pending, area=int(np.count_nonzero(where)), into=into
        )
        self._places[where] = name

    def _come_back(self, after: np.ndarray, named: np.ndarray, arrivals: dict[int, tuple[str, int]]) -> None:
        """Gives new regions at the place of a lost one its name; `named` is changed."""
        if not self._ghosts:
            return
        new = np.append(False, named == 0)
        both = (self._places > 0) & new[after]
        pairs, shared = np.unique(
            np.stack([after[both].astype(np.int64), self._places[both].astype(np.int64)]), axis=1, return_counts=True
        )
        area = np.bincount(after.reshape(-1), minlength=new.size)
        for i in np.lexsort((pairs[1], pairs[0], -shared)):
            label, name = int(pairs[0, i]), int(pairs[1, i])
            ghost = self._ghosts.get(name)
            if ghost and not named[label - 1] and shared[i] >= self.overlap * min(area[label], ghost.area):
                named[label - 1] = self._return(name, ghost)
        for label, (_, source) in arrivals.items():  # the larger part of what splits again may have the other's name
            taken = [name for name, ghost in self._ghosts.items() if source and ghost.into == source]
            if not named[label - 1] and taken:
                named[label - 1] = self._return(taken[0], self._ghosts[taken[0]])

    def _return(self, name: int, ghost: _Ghost) -> int:
        """The region of a ghost is there again, under its name."""
        known = ghost.known
        known.returns += 1
        if self._frame - ghost.lost >= self._asked(known):
            known.since = self._frame
        self._known[name] = known
        self._forget(name)
        return name

    def _forget(self, name: int) -> None:
        del self._ghosts[name]
        self._places[self._places == name] = 0

    def _count(self, counted: dict[str, int], there: set[int]) -> None:
        """Counts what has lasted, this frame included."""
        for name in there:
            known = self._known[name]
            if known.pending and self._frame - known.since + 1 >= self._asked(known):
                counted[known.pending] += 1
                known.pending = ""
        for name, ghost in list(self._ghosts.items()):
            gone = self._frame - ghost.lost + 1
            if ghost.pending and gone >= self._asked(ghost.known):
                counted[ghost.pending] += 1
                ghost.pending = ""
            elif not ghost.pending and gone > KEPT * self._asked(ghost.known):
                self._forget(name)
