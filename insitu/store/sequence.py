"""From the instrument's own frame numbers to ours: losses, duplicates, late and reordered arrivals, new epochs.

Pure: numbers in, places out. `seq` counts the rows of a source from 0; every number that the instrument must have
given since the first one has a row, so that the counts balance at every instant.
"""

from dataclasses import dataclass
from typing import Literal

KEEP_LOST_RANGES = 4096
"""Lost ranges remembered, to tell a late frame from a new epoch."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What an arrival is. `seq`: its row (None for late, duplicate); `lost`: rows (first, count) found missing just
    before it; `refill`: it takes a row that had been counted as lost; `epoch`: numbers were restarted."""

    kind: Literal["frame", "duplicate", "late"]
    seq: int | None
    lost: tuple[int, int] | None = None
    refill: bool = False
    epoch: bool = False


class Sequencer:
    """Places the arrivals of one source.

    `reorder`: how far behind the newest an arrival may still take its row. `max_gap`: a larger jump is a new epoch
    and fills nothing, as is a number further back than `reorder` that is not among the lost ones. `counter_bits`:
    width of the instrument's counter, if it wraps around.

    >>> s = Sequencer()
    >>> [s.place(k).seq for k in (100, 101, 104)]
    [0, 1, 4]
    >>> s.place(102)
    Placement(kind='frame', seq=2, lost=None, refill=True, epoch=False)
    >>> s.place(102).kind, s.place(104).kind
    ('duplicate', 'duplicate')
    """

    def __init__(self, *, reorder: int = 8, max_gap: int = 1000, counter_bits: int | None = None) -> None:
        self.reorder, self.max_gap = reorder, max_gap
        self._modulus = None if counter_bits is None else 1 << counter_bits
        self._next = 0  # the next row
        self._number: int | None = None  # the instrument's number of row `_next - 1`
        self._epoch_start = 0  # first row of this epoch
        self._lost: list[tuple[int, int]] = []  # [first, end) rows of this epoch without a frame, ascending

    def place(self, number: int | None) -> Placement:
        """The place of an arrival with the instrument's `number` (None: it has none, and is taken for the next)."""
        if self._number is None:
            return self._new(number, skip=0, epoch=False)
        if number is None:
            following = self._number + 1
            return self._new(following % self._modulus if self._modulus else following, skip=0, epoch=False)
        ahead = self._ahead(number, self._number)
        if ahead > 0:
            if ahead - 1 > self.max_gap:
                return self._restart(number)
            return self._new(number, skip=ahead - 1, epoch=False)
        return self._behind(number, -ahead)

    def _ahead(self, number: int, newest: int) -> int:
        """How far `number` is ahead of `newest` (negative: behind), the short way round a counter that wraps."""
        ahead = number - newest
        if self._modulus is None:
            return ahead
        ahead %= self._modulus
        return ahead - self._modulus if ahead > self._modulus // 2 else ahead

    def _new(self, number: int | None, *, skip: int, epoch: bool) -> Placement:
        lost = (self._next, skip) if skip else None
        if lost:
            self._lost.append((self._next, self._next + skip))
            del self._lost[:-KEEP_LOST_RANGES]
        seq = self._next + skip
        self._next = seq + 1
        if number is not None:
            self._number = number
        return Placement("frame", seq, lost=lost, epoch=epoch)

    def _restart(self, number: int) -> Placement:
        self._lost.clear()
        self._epoch_start = self._next
        return self._new(number, skip=0, epoch=True)

    def _behind(self, number: int, back: int) -> Placement:
        row = self._next - 1 - back
        k = next((i for i, (a, b) in enumerate(self._lost) if a <= row < b), None)
        if k is None:
            if back > self.reorder:
                return self._restart(number)
            return Placement("late" if row < self._epoch_start else "duplicate", None)
        if back > self.reorder:
            return Placement("late", None)
        a, b = self._lost[k]
        self._lost[k : k + 1] = [r for r in ((a, row), (row + 1, b)) if r[0] < r[1]]
        return Placement("frame", row, refill=True)
