"""How the command line speaks: one JSON object for machines on stdout, sentences for people, numbers with units."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

GONE = 141
"""Exit status where the reader of our output went away: 128 + SIGPIPE."""


class Aside(io.TextIOBase):
    """Stands in for stdout while a command answers in JSON: what others print goes to stderr, `emit` to `real`."""

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def write(self, text: str, /) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def emit(body: Mapping[str, Any]) -> None:
    """Prints one JSON object with sorted keys on stdout."""
    import orjson

    say(orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode())


def say(text: str) -> None:
    """Prints on stdout. Where its reader has gone (`| head`), the process ends quietly, as other tools do."""
    out = sys.stdout.real if isinstance(sys.stdout, Aside) else sys.stdout
    try:
        print(text, file=out, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # or the interpreter complains as it closes
        raise SystemExit(GONE) from None


def note(text: str) -> None:
    """Prints text for people on stderr."""
    print(text, file=sys.stderr, flush=True)


def answer(body: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Prints what was asked for: `body` for machines, or `text` for people."""
    if as_json:
        emit(body)
    else:
        say(text)


def quantity(feature: Mapping[str, Any]) -> str:
    """A feature of a record as people write it: two digits of the uncertainty, then the unit.

    >>> quantity({"value": 28.441234, "unit": "deg", "sigma": 0.0021})
    '28.4412 ± 0.0021 deg'
    >>> quantity({"value": None, "unit": "deg", "why": "no peak in the window"})
    'no value: no peak in the window'
    """
    value, sigma, unit = feature.get("value"), feature.get("sigma"), feature.get("unit") or ""
    if value is None:
        return f"no value: {feature.get('why') or 'not measured'}"
    if isinstance(value, int) and not sigma:
        text = f"{value:,}"
    elif not sigma:
        text = f"{value:.6g}"
    else:
        text = _with_sigma(value, sigma)
    return f"{text} {unit}".rstrip()


def _with_sigma(value: float, sigma: float) -> str:
    """Value and sigma with two digits of sigma; powers of ten where plain digits would be unreadable."""
    decimals = 1 - math.floor(math.log10(sigma))
    if decimals > 9 or abs(value) >= 1e9:
        return f"{value:.6g} ± {sigma:.2g}"
    decimals = max(decimals, 0)
    return f"{value:,.{decimals}f} ± {sigma:,.{decimals}f}"


def clock(time_ns: int | None) -> str:
    """A time in UTC, to the millisecond.

    >>> clock(1_700_000_000_123_456_789)
    '2023-11-14 22:13:20.123 UTC'
    """
    from datetime import UTC, datetime

    if time_ns is None:
        return "unknown time"
    whole = datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{time_ns % 1_000_000_000 // 1_000_000:03d} UTC"


def span(seconds: float) -> str:
    """A duration for people.

    >>> span(0.0123), span(75), span(7322)
    ('12.3 ms', '1 min 15 s', '2 h 02 min')
    """
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes for people, in powers of ten.

    >>> size(512_000_000), size(40)
    ('512 MB', '40 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"


def table(rows: Iterable[Sequence[str]], *, indent: str = "  ") -> str:
    """Rows of text as aligned columns (the last column is left as it is)."""
    kept = [list(row) for row in rows]
    if not kept:
        return ""
    widths = [max(len(row[i]) for row in kept if i < len(row)) for i in range(max(map(len, kept)))]
    lines = ("  ".join([*(c.ljust(w) for c, w in zip(row[:-1], widths, strict=False)), row[-1]]) for row in kept)
    return "\n".join(indent + line.rstrip() for line in lines)


def trouble(frames: Mapping[str, int], analysis: Mapping[str, int]) -> str:
    """The counts that should be zero and are not, as one phrase; empty when all is well.

    >>> trouble({"invalid": 2, "lost": 0, "dropped": 0}, {"shed": 1})
    '2 invalid, 1 shed'
    """
    watched = [(frames, k) for k in ("invalid", "dropped", "lost", "duplicates", "late")]
    watched += [(analysis, k) for k in ("shed", "skipped")]
    return ", ".join(f"{counts[key]:,} {key}" for counts, key in watched if counts.get(key))
