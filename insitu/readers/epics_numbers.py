"""The numbers of areaDetector's frames.

`source_seq` is the NTNDArray's `uniqueId` (as 32 bits without sign): gaps are frames that were lost on the way. Where
the counter steps back while the time goes on, it was set back: 2**32 is added for every time, so that nothing is taken
for a frame that had come before. A counter that never counts is not believed at all.
"""

from __future__ import annotations

STANDING_STILL = 3
"""So many frames with one number one after the other: it is no counter."""


class Numbers:
    """The instrument's numbers of frames as ours may believe them; see the head of this file. `wraps`: the detector
    file says how wide the counter is, so a step back is its overflow."""

    def __init__(self, *, wraps: bool = False) -> None:
        self._wraps = wraps
        self._last: tuple[int, int | None] | None = None
        self._epoch = self._still = 0

    def repeated(self, unique_id: int, time_ns: int | None) -> bool:
        """Whether this is the frame that came last (a PV gives its value again after a new connection)."""
        return time_ns is not None and self._last == (unique_id & 0xFFFFFFFF, time_ns)

    def __call__(self, unique_id: int, time_ns: int | None) -> int | None:
        """`source_seq`. `time_ns`: of the frame, by the IOC."""
        now, last, self._last = unique_id & 0xFFFFFFFF, self._last, (unique_id & 0xFFFFFFFF, time_ns)
        if last is None:
            return now
        self._still = self._still + 1 if now == last[0] else 0 if self._still < STANDING_STILL else self._still
        if self._still >= STANDING_STILL:
            return None
        later = time_ns is None or last[1] is None or time_ns > last[1]
        if now <= last[0] and later and not self._wraps:
            self._epoch += 1
        return now + (self._epoch << 32)

    @property
    def counts(self) -> bool:
        """False once the numbers were found to stand still."""
        return self._still < STANDING_STILL
