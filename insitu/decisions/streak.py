"""Counting frames in a row: what the rules share to act on what lasts, and not on one odd frame."""

from collections import deque
from collections.abc import Collection
from typing import Literal

from insitu.errors import ConfigError

UnknownIs = Literal["ignore", "count", "reset"]


class Streak:
    """Trips when `count` of the last `within` labels are in `on` (default: `count` in a row), and clears after
    `clear_after` labels in a row that are not.

    An "unknown" label that is not in `on` is left out as if its frame had not been (`unknown = "ignore"`), counts like
    those in `on` ("count"), or counts like "normal" ("reset").

    >>> streak = Streak(on=("anomaly",), count=2)
    >>> for n, label in enumerate(["anomaly", "normal", "anomaly", "unknown", "anomaly"]):
    ...     streak.see(n, label)
    >>> streak.tripped, streak.span()
    (True, '2 frames (n 2 to 4)')
    """

    def __init__(
        self,
        *,
        on: Collection[str],
        count: int = 1,
        within: int | None = None,
        clear_after: int = 1,
        unknown: UnknownIs = "ignore",
    ) -> None:
        _check(on, count, within, clear_after, unknown)
        self.on = {*on, "unknown"} if unknown == "count" else set(on)
        self.count, self.clear_after, self.unknown = count, clear_after, unknown
        self._recent: deque[tuple[int, str]] = deque(maxlen=within or count)
        self.tripped = False
        self.hit = False
        """Whether the last label seen is one of `on`."""
        self.cleared = False
        """Whether the last label seen cleared it."""
        self.clean = 0
        """Labels in a row that are not in `on`."""
        self.hits = self.first = self.last = 0
        """Since it tripped (counted from the first hit): how many hits, and the `n` of the first and the last one."""
        self.labels: dict[str, None] = {}
        """The labels of these hits, in order of appearance."""

    def see(self, n: int, label: str, *, anew: bool = False) -> None:
        """The label of frame `n`. `anew`: one that is not in `on` clears at once."""
        self.hit, self.cleared = label in self.on, False
        if label == "unknown" and not self.hit and self.unknown == "ignore":
            return
        self._recent.append((n, label if self.hit else ""))
        self.clean = 0 if self.hit else self.clean + 1
        if self.tripped:
            if self.hit:
                self.hits, self.last = self.hits + 1, n
                self.labels[label] = None
            elif anew or self.clean >= self.clear_after:
                self.tripped, self.cleared = False, True
                self._recent.clear()
        elif self.hit:
            hits = [(n, label) for n, label in self._recent if label]
            if len(hits) >= self.count:
                self.tripped, self.hits, self.first, self.last = True, len(hits), hits[0][0], n
                self.labels = dict.fromkeys(label for _, label in hits)

    def span(self) -> str:
        """The hits for people, e.g. "3 frames (n 118 to 120)"."""
        if self.hits == 1:
            return f"1 frame (n {self.last})"
        return f"{self.hits} frames (n {self.first} to {self.last})"


def _check(on: Collection[str], count: int, within: int | None, clear_after: int, unknown: UnknownIs) -> None:
    if not on:
        raise ConfigError("no label is counted", where="on", expected='labels such as ["anomaly", "change"]')
    if count < 1:
        raise ConfigError(f"a count of {count} is met by nothing", where="count", expected="1 or more")
    if clear_after < 1:
        raise ConfigError(f"{clear_after} frames clear nothing", where="clear_after", expected="1 or more")
    if within is not None and within < count:
        raise ConfigError(
            f"{count} frames never lie within {within}", where="within", expected=f"at least count, {count}"
        )
    if "unknown" in on and unknown == "reset":
        raise ConfigError(
            'on counts "unknown", and unknown = "reset" does not', where="unknown", expected="leave out one of the two"
        )
