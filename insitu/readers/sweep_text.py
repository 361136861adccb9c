"""Frequency sweeps from text: rows of numbers under a line of titles, such as `Frequency (kHz), mu', mu''`.

Where the frequency turns back, a new sweep begins. Three columns without titles are taken for f, mu', mu''.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from insitu.errors import FormatError
from insitu.readers.sweep_names import FEWEST, REMEDY, Column, Sweep, in_si, known, sweep_of


def from_text(data: bytes, name: str, columns: Mapping[str, int | str]) -> list[Sweep]:
    """The sweeps of a text file. Raises `FormatError` naming the line."""
    titles, rows = _rows(data, name)
    numbers = np.array(rows)
    named = _named(titles, numbers.shape[1], columns, name)
    found = [Column(own, unit, numbers[:, at]) for own, unit, at in named]
    frequency = next((c for c in found if c.name == "frequency"), None)
    if frequency is None:
        told = ", ".join(titles) or f"{numbers.shape[1]} columns without titles"
        raise FormatError(f"no column is a frequency: {told}", where=name, remedy=REMEDY)
    f = in_si(frequency, name)
    return [sweep_of(f[part], [c._replace(values=c.values[part]) for c in found], name) for part in _parts(f)]


def _rows(data: bytes, name: str) -> tuple[list[str], list[list[float]]]:
    """Titles (none: empty) and rows of equal length."""
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    titles: list[str] = []
    rows: list[list[float]] = []
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip().lstrip("#%!").strip()
        if not bare:
            continue
        words = _words(bare)
        values = _numbers(words)
        if values is not None and len(values) >= 2 and not line.lstrip().startswith("#"):
            if rows and len(values) != len(rows[0]):
                raise FormatError(
                    f"{len(values)} numbers in a table of {len(rows[0])} columns", where=f"{name}:{number}",
                    expected="rows of equal length", remedy="Correct the line, or export the file again",
                )  # fmt: skip
            rows.append(values)
        elif not rows:
            titles = words if len(words) >= 2 else titles
        else:
            raise FormatError("this is no row of numbers", where=f"{name}:{number}", expected=f"{len(rows[0])} numbers")
    if len(rows) < FEWEST:
        raise FormatError(f"{len(rows)} rows of numbers are no sweep", where=name, expected="a table of numbers")
    return (titles if len(titles) == len(rows[0]) else []), rows


def _words(line: str) -> list[str]:
    """Cells of a line: by semicolon (then a comma may be the decimal mark), tab, comma, or blanks."""
    for separator in (";", "\t", ","):
        if separator in line:
            cells = [cell.strip() for cell in line.split(separator)]
            while cells and not cells[-1]:
                cells.pop()
            return [re.sub(r"^([-+]?\d+),(\d+)", r"\1.\2", cell) for cell in cells] if separator != "," else cells
    return line.split()


def _numbers(words: list[str]) -> list[float] | None:
    try:
        return [float(word.replace("D", "E").replace("d", "e")) if word else np.nan for word in words]
    except ValueError:
        return None


def _named(titles: list[str], many: int, columns: Mapping[str, int | str], name: str) -> list[tuple[str, str, int]]:
    """(own name, unit, column from 0) of every column that is wanted."""
    if columns:
        out = []
        for own, where in columns.items():
            at = where - 1 if isinstance(where, int) else next((i for i, t in enumerate(titles) if t == where), -1)
            if not 0 <= at < many:
                raise FormatError(f"there is no column {where!r} for {own}", where=name, expected=f"1 to {many}")
            out.append((own, known(titles[at])[1] if titles else "", at))
        return out
    if not titles:
        if many == 3:  # what a table of a permeability is without a word: f, mu', mu''
            return [("frequency", "Hz", 0), ("mu_real", "", 1), ("mu_imag", "", 2)]
        return []
    out, seen = [], set()
    for at, title in enumerate(titles):
        own, unit = known(title)
        while own in seen:
            own += "_2"
        seen.add(own)
        out.append((own, unit, at))
    return out


def _parts(f: np.ndarray) -> list[slice]:
    """Where one sweep ends and the next begins: the frequency turns back."""
    steps = np.sign(np.diff(f))
    parts, begin = [], 0
    way = steps[0] if steps.size else 1.0
    for i in range(1, f.size):
        step = steps[i - 1]
        if i > begin + 1 and step != way:
            parts.append(slice(begin, i))
            begin = i
        elif i == begin + 1:
            way = step
    parts.append(slice(begin, f.size))
    return [part for part in parts if part.stop - part.start >= FEWEST]
