"""Windows cut from a stream of samples, over all blocks and files of a recording, so that no sample is lost at a seam.

Window k begins at sample k * step of the channels with the highest rate and holds `window` of them; a channel of a
lower rate, q times the highest, gives the samples ceil(q * first) up to ceil(q * last): each belongs to one step
exactly. Its row is filled from the left, and what follows is masked. The last window is as long as what is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from insitu.maths.aligned import empty


class TooLarge(ValueError):
    """A window would hold more than is believed; the argument is the number of bytes."""


class Window(NamedTuple):
    """Number of its `first` sample in the recording, `data` `(channel, n)`, read-only, and `mask` where a row is not
    full; `whole`: it has the length that was asked for."""

    first: int
    data: np.ndarray
    mask: np.ndarray | None
    whole: bool


class _Held:
    """Samples of one track that are still needed: blocks in order; `begin` and `end` count from its start."""

    def __init__(self, rows: Sequence[int], share: Fraction) -> None:
        rows = tuple(rows)
        dense = rows == tuple(range(rows[0], rows[0] + len(rows)))
        self.rows = slice(rows[0], rows[0] + len(rows)) if dense else list(rows)
        self.channels, self.share = len(rows), share
        self.pieces: deque[np.ndarray] = deque()
        self.begin = self.end = 0
        self.done = False

    def upto(self, sample: int) -> int:
        """The first sample of this track at or after a sample of the fastest one."""
        return -(-sample * self.share.numerator // self.share.denominator)

    def reach(self) -> int:
        """How many samples of the fastest track there must be where this one has so many."""
        return (self.end - 1) * self.share.denominator // self.share.numerator + 1 if self.end else 0

    def push(self, block: np.ndarray) -> None:
        if block.shape[1]:
            self.pieces.append(block)
            self.end += block.shape[1]

    def copy(self, out: np.ndarray, first: int, last: int) -> int:
        """Put samples first to last (as far as they are there) into the rows of `out`; how many they were."""
        last, position = min(last, self.end), self.begin
        for piece in self.pieces:
            a, b = max(first, position), min(last, position + piece.shape[1])
            if a < b:
                out[self.rows, a - first : b - first] = piece[:, a - position : b - position]
            position += piece.shape[1]
            if position >= last:
                break
        return max(0, last - first)

    def drop(self, before: int) -> None:
        """Forget blocks that end before a sample."""
        while self.pieces and self.begin + self.pieces[0].shape[1] <= before:
            self.begin += self.pieces.popleft().shape[1]


class Windows:
    """Cuts windows: `feed` takes the blocks of one file, `rest` gives what is left when the recording ends.

    `rows`: which rows each track fills; `shares`: its rate as a share of the highest; `window`: samples, None for all
    that there is in one; `overlap`: samples that a window shares with the next.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        shares: Sequence[Fraction],
        dtype: np.dtype,
        *,
        window: int | None,
        overlap: int = 0,
        largest: int = 2**30,
    ) -> None:
        self._tracks = [_Held(r, s) for r, s in zip(rows, shares, strict=True)]
        self._dtype, self._window, self._overlap, self._largest = dtype, window, overlap, largest
        self._channels = sum(t.channels for t in self._tracks)
        self._first, self._covered = 0, 0
        if window is not None:
            self._allow(window)

    @property
    def even(self) -> bool:
        """Whether all tracks end together, so that another file can go on."""
        return all(t.end == t.upto(self.samples) for t in self._tracks)

    @property
    def samples(self) -> int:
        """Samples of the fastest track so far."""
        return max(t.reach() for t in self._tracks)

    def feed(self, blocks: Sequence[Iterator[np.ndarray]]) -> Iterator[Window | None]:
        """Windows that are full, while the blocks of one file last; None where it took a while."""
        for track in self._tracks:
            track.done = False
        while True:
            due = None if self._window is None else self._first + self._window
            lacking = [i for i, t in enumerate(self._tracks) if not t.done and (due is None or t.end < t.upto(due))]
            if lacking:
                for i in lacking:
                    block = next(blocks[i], None)
                    if block is None:
                        self._tracks[i].done = True
                    else:
                        self._tracks[i].push(block)
                if due is None:
                    self._allow(max(t.end for t in self._tracks))
                yield None
            elif due is not None and self.samples >= due:
                yield self._cut(due)
            else:
                return

    def rest(self) -> Iterator[Window]:
        """What is left: shorter windows, so that every sample was given."""
        while self.samples > self._covered:
            due = self.samples if self._window is None else min(self.samples, self._first + self._window)
            yield self._cut(due)

    def _cut(self, last: int) -> Window:
        first, n = self._first, last - self._first
        out = empty((self._channels, n), self._dtype)
        mask: np.ndarray | None = None
        for track in self._tracks:
            filled = track.copy(out, track.upto(first), track.upto(last))
            if filled < n:
                mask = np.zeros(out.shape, np.bool_) if mask is None else mask
                out[track.rows, filled:] = 0
                mask[track.rows, filled:] = True
        self._covered = last
        if self._window is not None:
            self._first += self._window - self._overlap
        for track in self._tracks:
            track.drop(track.upto(self._first if self._window is not None else last))
        out.flags.writeable = False
        if mask is not None:
            mask.flags.writeable = False
        return Window(first, out, mask, self._window is None or n == self._window)

    def _allow(self, samples: int) -> None:
        nbytes = samples * self._channels * self._dtype.itemsize
        if nbytes > self._largest:
            raise TooLarge(nbytes)
