"""Faults of a simulated instrument, written as short texts: what happens, to which frames, and how strongly.

    beam_loss@120          from frame 120 to the end          missing@40         frame 40 alone
    beam_loss@120-140      frames 120 to 140, both included   missing@40-44      frames 40 to 44
    zero_shift@200=0.1     with a strength of its own         reorder@50=3       frame 50 comes 3 frames late

Frames are counted from 0 as the instrument takes them. Faults of the frame (beam, shutter, sample) change what is in
it; faults of the transport (duplicate, missing, reorder, reset) change which frames arrive, in what order and number.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from insitu.errors import ConfigError


class Kind(NamedTuple):
    """What a kind of fault does, what its strength means, its default and the range allowed."""

    text: str
    strength: str
    default: float
    low: float
    high: float
    transport: bool = False


KINDS: dict[str, Kind] = {
    "beam_loss": Kind("beam lost: monitor and counts fall to the dark level", "part of the beam left", 0.0, 0.0, 1.0),
    "shutter": Kind(
        "shutter closed: dark counts only, the monitor before it still counts", "part let through", 0, 0, 1
    ),
    "saturation": Kind(
        "beam far too strong: counts clipped at the counter's maximum, monitor up", "factor", 50, 1, 1e6
    ),
    "slipped": Kind("sample slipped: lines move with cos(theta), a third of the intensity left", "mm", -0.25, -5, 5),
    "zero_shift": Kind("zero of two theta moved: all lines move alike", "deg", 0.05, -2.0, 2.0),
    "dead": Kind("detector dead: the same value in every point, the monitor counts", "counts", 0, 0, 1e9),
    "lost_phase": Kind("the crystalline phase is lost: its lines fade into a broad ring", "part left", 0.02, 0, 1),
    "duplicate": Kind("a frame arrives again, with the same number", "times", 1, 1, 100, True),
    "missing": Kind("a frame never arrives, its number is skipped", "", 0, 0, 0, True),
    "reorder": Kind("a frame arrives late", "frames", 1, 1, 10_000, True),
    "reset": Kind("the instrument restarts its numbers", "first number", 0, 0, 2**63, True),
}

SYNTAX = re.compile(r"(?P<kind>\w+)@(?P<first>\d+)(?P<range>-(?P<last>\d+)?)?(?:=(?P<strength>[-+.\deE]+))?")


class Fault(NamedTuple):
    """One fault: `kind` (a key of `KINDS`), frames `first` to `last` (None: to the end), `strength`."""

    kind: str
    first: int
    last: int | None
    strength: float

    def covers(self, index: int) -> bool:
        """Whether frame `index` is affected."""
        return self.first <= index and (self.last is None or index <= self.last)


def with_transport(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """An instrument's own kinds of faults, and those of the transport, which any has."""
    return {**kinds, **{name: kind for name, kind in KINDS.items() if kind.transport}}


def parse_fault(text: str, kinds: Mapping[str, Kind] = KINDS, *, of: str = "", once: bool = False) -> Fault:
    """A fault from its text; what cannot be understood is refused with what is allowed.

    `kinds`: those that there are; `of`: what has them, such as "a loop"; `once`: a fault without a range is one frame.

    >>> parse_fault("beam_loss@120-140")
    Fault(kind='beam_loss', first=120, last=140, strength=0.0)
    >>> parse_fault("reorder@50=3")
    Fault(kind='reorder', first=50, last=50, strength=3.0)
    """
    match = SYNTAX.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"fault {text!r} cannot be read",
            where="faults",
            expected="kind@frame, kind@first-last or kind@first-last=strength",
            remedy="Write for instance 'beam_loss@120-140'.",
        )
    name, kind = match["kind"], kinds.get(match["kind"])
    if kind is None and of:
        raise ConfigError(
            f"fault {text!r} is of no kind that {of} has", where="faults", expected=f"one of {', '.join(kinds)}"
        )
    if kind is None:
        near = difflib.get_close_matches(name, kinds, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"fault {text!r} is of an unknown kind {name!r}",
            where="faults",
            expected=f"one of {', '.join(kinds)}",
            remedy=f"Did you mean {near!r}?",
        )
    first = int(match["first"])
    last = _last(text, match, first, once=once or kind.transport)
    return Fault(name, first, last, _strength(text, match["strength"], kind))


def _last(text: str, match: re.Match[str], first: int, *, once: bool) -> int | None:
    """The last frame affected. Without a range: `once`, as faults of the transport are, or on to the end."""
    if match["last"] is not None:
        last = int(match["last"])
        if last < first:
            raise ConfigError(f"fault {text!r} ends before it begins", where="faults", expected="first <= last")
        return last
    return first if once and match["range"] is None else None


def _strength(text: str, written: str | None, kind: Kind) -> float:
    if written is None:
        return kind.default
    try:
        value = float(written)
    except ValueError:
        value = float("nan")
    if not kind.low <= value <= kind.high:
        allowed = f"{kind.low:g} to {kind.high:g} ({kind.strength})" if kind.strength else "no strength for this kind"
        raise ConfigError(f"fault {text!r} has the strength {written!r}", where="faults", expected=allowed)
    return value


def active(faults: Sequence[Fault], index: int) -> dict[str, float]:
    """Faults that affect frame `index`, with their strength; of two of a kind the later written counts."""
    return {fault.kind: fault.strength for fault in faults if fault.covers(index)}


def arrival_order(faults: Sequence[Fault], indices: Iterable[int]) -> Iterator[int]:
    """The indices as they arrive: missing ones left out, duplicates again, reordered ones late.

    >>> list(arrival_order([parse_fault(t) for t in ("missing@1", "duplicate@2", "reorder@3")], range(6)))
    [0, 2, 2, 4, 3, 5]
    """
    transport = [fault for fault in faults if KINDS[fault.kind].transport]
    held: list[tuple[int, int, int]] = []
    for index in indices:
        now = active(transport, index)
        copies = 1 + int(now.get("duplicate", 0))
        if "missing" not in now:
            if "reorder" in now:
                held.append((index + int(now["reorder"]), index, copies))
            else:
                yield from [index] * copies
        for due, late, times in [entry for entry in held if entry[0] <= index]:
            held.remove((due, late, times))
            yield from [late] * times
    for _, late, times in sorted(held):
        yield from [late] * times


def source_number(faults: Sequence[Fault], index: int, start: int, bits: int | None) -> int:
    """The instrument's own number of frame `index`: counts from `start`, starts anew at a reset, wraps at 2**bits.

    >>> [source_number([parse_fault("reset@3")], i, 254, 8) for i in range(5)]
    [254, 255, 0, 0, 1]
    """
    number = start + index
    for fault in faults:
        if fault.kind == "reset" and fault.first <= index:
            number = int(fault.strength) + index - fault.first
    return number if bits is None else number % (1 << bits)
