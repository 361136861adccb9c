"""Where the table of an absorption file begins, how many columns it has, and what they are called.

Beamlines write what their program writes: header lines with or without a mark, names in the last of them, in a line
that begins `#L` (SPEC), one to a line (SSRL), in quotes (CLS), or nowhere. The table is the longest run of lines that
hold the same number of numbers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated

FEWEST_ROWS = 5
_SPLIT = re.compile(rb"[\s,]+")
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?")
_QUOTED = re.compile(r'"([^"]*)"')
_WORD = re.compile(r"[-+]?[\d.,:/]+(?:[eE][-+]?\d+)?")
_TWO_WORDS = re.compile(
    r"\b(shifted|requested|achieved|mono|abs|absolute|bragg|encoder|real|photon|actual|relative) (energy|angle)\b", re.I
)


class Layout(NamedTuple):
    """`header` lines before the table, which begins at byte `start` and has `columns`; `separator` is b"," or b"";
    `titles` of the columns, "" where one has none."""

    header: list[str]
    start: int
    columns: int
    separator: bytes
    titles: list[str]


def layout(data: bytes, name: str) -> Layout:
    """The layout of one scan. Raises `FormatError` where there is no table."""
    best, run = (0, 0, 0, 0), (0, 0, 0, 0)  # rows, columns, first byte, first line
    lines, position = data.split(b"\n"), 0
    for number, line in enumerate(lines):
        count = _numbers(line)
        if count > 1 and count == run[1]:
            run = (run[0] + 1, *run[1:])
        elif count > 1:
            run = (1, count, position, number)
        elif count == 0 and line.strip() and not line.lstrip().startswith(b"#"):
            run = (0, 0, 0, 0)
        best = max(best, run, key=lambda r: r[0])
        position += len(line) + 1
    rows, columns, start, first = best
    if rows < FEWEST_ROWS:
        problem = Truncated if rows else FormatError
        raise problem(
            "there is no table of numbers", where=name, expected="rows with an energy and at least one signal"
        )
    header = [line.decode("utf-8", "replace").rstrip("\r") for line in lines[:first]]
    separator = b"," if b"," in data[start : start + 4096].partition(b"\n")[0] else b""
    return Layout(header, start, columns, separator, _titles(header, columns))


def scans(data: bytes) -> list[bytes]:
    """The scans of a SPEC file, each with the file's own head before it; anything else is one scan."""
    starts = [m.start() for m in re.finditer(rb"(?m)^#S ", data)]
    if not starts:
        return [data]
    parts = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    return [data[: starts[0]] + part for part in parts if sum(_numbers(line) > 1 for line in part.split(b"\n")) > 4]


def _numbers(line: bytes) -> int:
    """How many numbers a line holds; 0 where anything else is in it."""
    words = [w for w in _SPLIT.split(line.partition(b"#")[0].strip()) if w]
    return len(words) if all(_NUMBER.fullmatch(w) for w in words) else 0


def _titles(header: list[str], columns: int) -> list[str]:
    """What the columns are called; "" for those that have no name."""
    spec = [line[2:].strip() for line in header if line.startswith("#L")]
    if spec:
        found = re.split(r"\s{2,}|\t", spec[-1])
        if len(found) == columns:
            return found
    bare = [line.strip() for line in header if line.strip()]
    one_each = _one_to_a_line(bare, columns)
    if one_each:
        return one_each
    for line in reversed(bare[-12:]):
        quoted = _QUOTED.findall(line)
        if len(quoted) == columns:
            return quoted
    for line in reversed(bare[-4:]):
        found = _words(line, columns)
        if found:
            return found
    return [""] * columns


def _one_to_a_line(lines: list[str], columns: int) -> list[str]:
    """Names that stand one to a line after `Data:`."""
    at = next((i for i, line in enumerate(lines) if line.rstrip(":").strip().lower() == "data"), None)
    found = [] if at is None else lines[at + 1 : at + 1 + columns]
    return found if len(found) == columns and at is not None and len(lines) == at + 1 + columns else []


def _words(line: str, columns: int) -> list[str]:
    """The names in a line, if it is one of names: as many as there are columns, or fewer that begin with an energy."""
    text = line.lstrip("#%;! \t").strip()
    if not text or _QUOTED.search(text) or set(text) <= set("-=_#* "):
        return []
    text = _TWO_WORDS.sub(r"\1_\2", text.replace("* ", "  "))
    for found in (re.split(r"\s{2,}|\t+", text), [w for w in re.split(r"[\s,]+", text) if w]):
        if any(_WORD.fullmatch(w) for w in found[:2]) or sum(bool(_WORD.fullmatch(w)) for w in found) * 2 > len(found):
            continue
        if len(found) == columns:
            return [w.strip() for w in found]
        if 1 < len(found) < columns and re.match(r"e(nergy)?\b|.*energy", found[0], re.I):
            return [w.strip() for w in found] + [""] * (columns - len(found))
    return []
