"""Rows and names of a magnetometer's table: cells, numbers, and which column is the field and which one the moment.

The cells of one file are separated by commas, semicolons, tabs or blanks; between semicolons and tabs a comma may be
the decimal sign. Names carry units in brackets, behind a bar or an underscore, or in a line of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from insitu.errors import FormatError
from insitu.maths.magnetic.units import unit_of
from insitu.readers.pattern import Truncated
from insitu.types import Feature

FEWEST_ROWS = 3
FIELD = re.compile(
    r"b|h|mu0h|u0h|field|.*\bfield|feld|.*magnetfeld|b applied|h applied|applied|b ext|h ext|treat dc field"
    r"|meas field dc"
)
MOMENT = re.compile(
    r"m|moment|.*\bmoment(?: fixed ctr| free ctr)?|.*magneti[sz]ation|m rem|mrem|remanence|sigma|m corr"
    r"|magn(?: mass| moment| volume)?"
)
LESSER = re.compile(r"std|err|quad|ac|drift|range|raw|direct|target|set|fit|min|max|trans")
TEMPERATURE = re.compile(r"temp|temperature|sample temperature|meas temp|t sample")
PARENTHESES = re.compile(r"^(.*?)[\s_]*[(\[<]([^()\[\]<>]*)[)\]>]\s*$")
REMEDY = "Correct the line, or export the file again"


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What the reader knows beforehand. `columns`: {"field" or "moment": number from 1, or title}."""

    name: str = "loop"
    columns: dict[str, int | str] = field(default_factory=dict)
    field_unit: str = ""
    moment_unit: str = ""


def cells_of(line: str, separator: str) -> list[str]:
    """The cells of a row."""
    text = line.strip()
    if separator == " ":
        return text.split()
    cells = [cell.strip() for cell in text.split(separator)]
    return cells[:-1] if len(cells) > 2 and not cells[-1] else cells


def separator_of(line: str) -> str:
    return next((s for s in (";", "\t", ",") if s in line.strip()), " ")


def _value(cell: str, separator: str) -> float:
    """A cell as a number; ValueError where it is none. Between semicolons and tabs a comma is a decimal sign."""
    text = cell.replace(",", ".") if separator in ";\t" and cell.count(",") == 1 and "." not in cell else cell
    if "_" in text:
        raise ValueError(cell)
    return float(text.replace("D", "E").replace("d", "e") if "n" not in text.lower() else text)


def number_of(cell: str, row: int, how: How, *, separator: str) -> float:
    try:
        value = _value(cell.strip(), separator)
    except ValueError as error:
        raise FormatError(
            f"{cell.strip()[:30]!r} is no number", where=f"{how.name}:{row + 1}", remedy=REMEDY
        ) from error
    return value


def _is_row(line: str) -> int:
    """How many numbers a line holds; 0 where anything else is in it."""
    if not line.strip() or line.lstrip().startswith(("#", "%", "!", ";")):
        return 0
    separator = separator_of(line)
    try:
        return len([_value(cell, separator) for cell in cells_of(line, separator)])
    except ValueError:
        return 0


def first_row(lines: list[str], how: How) -> tuple[int, str, int]:
    """The first line of the longest run of rows, its separator, and its width."""
    best, run = (0, 0, 0), (0, 0, 0)  # rows, first line, width
    ended: list[tuple[int, int, int]] = []
    for i, line in enumerate(lines):
        width = _is_row(line)
        if width > 1:
            run = (run[0] + 1, run[1], width) if width == run[2] else (1, i, width)
        elif line.strip():
            ended.append(run)
            run = (0, 0, 0)
        best = run if run[0] > best[0] else best
    # a line that is no row parts a table in two: it begins where the first part does, and that line is told
    best = next((r for r in ended if r[0] >= 2 * FEWEST_ROWS and r[2] == best[2] and r[1] < best[1]), best)
    rows, start, width = best
    if rows < FEWEST_ROWS:
        problem = Truncated if rows else FormatError
        raise problem(
            "there is no table of field and moment", where=how.name, expected="rows of two numbers or more",
        )  # fmt: skip
    return start, separator_of(lines[start]), width


def rows_of(
    lines: list[str], start: int, separator: str, width: int, how: How, ended: bool
) -> tuple[np.ndarray, list[int]]:
    """All rows (n, width) from `start` on, and their line numbers. Blank lines and comments are passed over."""
    rows, numbers = [], []
    last = max(i for i, line in enumerate(lines) if line.strip())
    for i in range(start, last + 1):
        text = lines[i].strip()
        if not text or text.startswith(("#", "%", "!")):
            continue
        cells = cells_of(text, separator)
        cut = i == last and not ended
        if len(cells) != width:
            raise (Truncated if cut else FormatError)(
                f"the row {text[:40]!r} has {len(cells)} cells", where=f"{how.name}:{i + 1}", expected=f"{width}",
                remedy=REMEDY,
            )  # fmt: skip
        try:
            rows.append([_value(cell, separator) for cell in cells])
        except ValueError as error:
            raise (Truncated if cut else FormatError)(
                f"the row {text[:40]!r} is no row of numbers", where=f"{how.name}:{i + 1}", remedy=REMEDY
            ) from error
        numbers.append(i + 1)
    return np.array(rows), numbers


# ---- Names and units -----------------------------------------------------------------------------------------------


def plain_title(title: str) -> tuple[str, str]:
    """A column's name in small letters and blanks, and its unit: `M_Am2_per_kg` is ("m", "A m^2/kg")."""
    text = title.strip().strip("#\"'%! ").strip()
    match = PARENTHESES.match(text)
    if match and match[1].strip():
        return _words(match[1]), unit_of(match[2])
    for mark in ("/", ",", "_", " "):
        name, found, rest = text.partition(mark)
        while found:
            if name.strip() and (unit := unit_of(rest)):
                return _words(name), unit
            more, found, rest = rest.partition(mark)
            name = f"{name}{mark}{more}"
    return _words(text), ""


def _words(text: str) -> str:
    return " ".join(
        re.sub(r"[^a-z0-9]+", " ", text.lower().replace("μ", "u").replace("µ", "u").replace("₀", "0")).split()
    )


def titles_of(head: list[str], separator: str, width: int) -> tuple[list[str], list[str]]:
    """Names and units of the columns, from the last lines before the rows; "" where there are none."""
    units = [""] * width
    for line in reversed([line for line in head if line.strip()][-6:]):
        cells = _split_title(line, separator, width)
        if len(cells) != width:
            continue
        bare = [unit_of(cell.strip("()[] \"'")) for cell in cells]
        if sum(bool(u) for u in bare) >= 2 and not any(
            FIELD.fullmatch(plain_title(cell)[0]) and len(cell) > 2 for cell in cells
        ):
            units = bare
            continue
        found = [plain_title(cell) for cell in cells]
        if any(FIELD.fullmatch(name) for name, _ in found) or any(MOMENT.fullmatch(name) for name, _ in found):
            return cells, [own or below for (_, own), below in zip(found, units, strict=True)]
    return [""] * width, units


def _split_title(line: str, separator: str, width: int) -> list[str]:
    """A line of names in cells: by the separator of the rows, or by two blanks and more."""
    text = line.strip().lstrip("#%! ").strip()
    choices = [
        [c.strip().strip("\"'") for c in text.split(mark)] for mark in (separator, ",", "\t", ";") if mark != " "
    ]
    choices += [
        re.split(r"\s{2,}|\t+", text),
        re.findall(r"[^\s(\[]+(?:\s*[(\[][^)\]]*[)\]])?|[(\[][^)\]]*[)\]]", text),
    ]
    return next((c for c in choices if len(c) == width and all(c)), [])


def pick(titles: list[str], how: How, width: int) -> tuple[int, int]:
    """Which column is the field and which one the moment."""
    names = [plain_title(title)[0] for title in titles]
    given = {key: _given(how.columns[key], titles, names, width, how) for key in how.columns}
    at = given.get("field", _best(names, FIELD))
    moment = given.get("moment", _best(names, MOMENT, but=at))
    if at is None and moment is None and width == 2:
        return 0, 1
    if at is None or moment is None or at == moment:
        what = "field" if at is None else "moment"
        called = ", ".join(repr(t) for t in titles if t) or f"{width} columns without names"
        raise FormatError(
            f"no column is the {what}: there are {called}",
            where=how.name,
            expected="columns such as Field (Oe), Moment (emu)",
            remedy='Say which in the detector file: columns = { field = 1, moment = 2 }',
        )  # fmt: skip
    return at, moment


def _best(names: list[str], form: re.Pattern[str], but: int | None = None) -> int | None:
    """The first column that is called so; one whose name says error, set point or raw value only where there is no
    other."""
    fits = [i for i, name in enumerate(names) if i != but and form.fullmatch(name)]
    good = [i for i in fits if not any(LESSER.match(word) for word in names[i].split())]
    return (good or fits or [None])[0]


def _given(wanted: int | str, titles: list[str], names: list[str], width: int, how: How) -> int:
    """The column that the recipe names, from 0."""
    if isinstance(wanted, int):
        if 1 <= wanted <= width:
            return wanted - 1
    else:
        for i, title in enumerate(titles):
            if wanted.strip().lower() in (title.strip().lower(), names[i]):
                return i
    raise FormatError(
        f"there is no column {wanted!r}", where=how.name,
        expected=", ".join(t for t in titles if t) or f"1 to {width}", remedy="Correct columns in the detector file",
    )  # fmt: skip


def temperature_of(titles: list[str], units: list[str], rows: np.ndarray) -> dict[str, Feature]:
    """The median of a column of temperatures."""
    for i, title in enumerate(titles):
        if TEMPERATURE.fullmatch(plain_title(title)[0]):
            values = rows[:, i][np.isfinite(rows[:, i])]
            return {"temperature": kelvin_of(float(np.median(values)), title)} if values.size else {}
    return {}


def kelvin_of(value: float, title: str) -> Feature:
    celsius = re.search(r"[(\[]\s*°?\s*(deg)?c(elsius)?\s*[)\]]", title, re.I)
    value += 273.15 if celsius else 0.0
    return Feature(value, "K") if 0.0 <= value < 1e5 else Feature(None, "K", why=f"{value:g} K is no temperature")
