"""The tables of magnetometers: where rows begin, which column is the field and which one the moment, in which units.

    tables with a head     `B_T,M_Am2_per_kg`; `Field (Oe)  Moment (emu)`; `H [kA/m]; M`; units in a line below the
    names tables without one     two columns, the field first; nobody knows the units then, unless the recipe tells them
    Quantum Design         `[Header]` with `INFO,value,KEY` lines, `[Data]`, one line of names, rows with empty cells
    MicroMag 2900/3900     a first line that says so, `Units of measure`, rows in segments, a last line that says `ends`

Sources: files and readers of these formats that laboratories have published (RockPy, PmagPy).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from dataclasses import field as made

import numpy as np

from insitu.errors import FormatError
from insitu.maths.magnetic.units import FIELDS, MOMENTS, unit_of
from insitu.readers.loop_columns import (
    FEWEST_ROWS,
    PARENTHESES,
    REMEDY,
    TEMPERATURE,
    How,
    first_row,
    kelvin_of,
    number_of,
    pick,
    plain_title,
    rows_of,
    temperature_of,
    titles_of,
)
from insitu.readers.pattern import Truncated, decode_line, plain_lines
from insitu.types import Feature

_POINTS = re.compile(r"^\s*(?:Number of data|NData)\s*[:=]?\s+=?\s*(\d+)\s*$", re.I)
_INFO = re.compile(r"^INFO\s*,\s*(.*?)\s*,\s*([^,]*?)\s*$", re.I)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """`field` and `moment` `(n,)` as the file has them, in their units; `hint`: "loop", "backfield" or "" by what is
    written; `whole`: the file itself says where it ends."""

    field: np.ndarray
    moment: np.ndarray
    units: tuple[str, str]
    hint: str = ""
    context: dict[str, Feature] = made(default_factory=dict)
    labels: dict[str, str] = made(default_factory=dict)
    warnings: tuple[str, ...] = ()
    whole: bool = False


def decode(data: bytes, how: How = How()) -> Curve:  # noqa: B008 (frozen)
    """The curve of a file. `FormatError` names the line; `Truncated` where the end is missing.

    >>> curve = decode(b"Field (Oe),Moment (emu)\\n100,1e-3\\n0,5e-4\\n-100,-1e-3\\n")
    >>> curve.units, curve.moment.tolist()
    (('Oe', 'emu'), [0.001, 0.0005, -0.001])
    """
    lines = [decode_line(line).rstrip("\r") for line in plain_lines(data, how.name).split(b"\n")]
    first = next((line.strip() for line in lines if line.strip()), "")
    ended = data.endswith((b"\n", b"\r"))
    if first.startswith("MicroMag"):
        return _micromag(lines, how)
    start = next((i for i, line in enumerate(lines) if line.strip().lower() == "[data]"), None)
    if start is not None:
        return _quantum_design(lines, start, how, ended)
    return _table(lines, how, ended)


def _table(lines: list[str], how: How, ended: bool) -> Curve:
    """A table with a head or without one."""
    start, separator, width = first_row(lines, how)
    head = lines[:start]
    titles, units = titles_of(head, separator, width)
    rows, numbers = rows_of(lines, start, separator, width, how, ended)
    at, moment = pick(titles, how, width)
    told = "\n".join(head)
    return _curve(rows, (at, moment), titles, units, how, told, temperature_of(titles, units, rows), {}, numbers)


def _quantum_design(lines: list[str], start: int, how: How, ended: bool) -> Curve:
    """`[Header]`, `[Data]`, names, and rows some cells of which are empty."""
    at = next((i for i in range(start + 1, len(lines)) if lines[i].strip()), None)
    if at is None:
        raise Truncated("nothing follows [Data]", where=f"{how.name}:{start + 1}", expected="a line of names, and rows")
    titles = [cell.strip() for cell in lines[at].split(",")]
    units = [unit_of(m[2]) if (m := PARENTHESES.match(title)) else "" for title in titles]
    one, two = pick(titles, how, len(titles))
    warm = next((i for i, title in enumerate(titles) if TEMPERATURE.fullmatch(plain_title(title)[0])), None)
    rows, numbers, widths = [], [], len(titles)
    last = max(i for i, line in enumerate(lines) if line.strip())
    for i in range(at + 1, len(lines)):
        if not lines[i].strip():
            continue
        cells = lines[i].split(",")
        if len(cells) < max(one, two) + 1 or (i == last and not ended and len(cells) < widths):
            kind = Truncated if i == last else FormatError
            raise kind(f"the row has {len(cells)} cells of {widths}", where=f"{how.name}:{i + 1}", remedy=REMEDY)
        if not (cells[one].strip() and cells[two].strip()):
            continue
        row = [number_of(cells[one], i, how, separator=","), number_of(cells[two], i, how, separator=",")]
        row.append(
            number_of(cells[warm], i, how, separator=",") if warm is not None and cells[warm].strip() else math.nan
        )
        rows.append(row)
        numbers.append(i + 1)
    if len(rows) < FEWEST_ROWS:
        raise Truncated(f"{len(rows)} rows have field and moment", where=how.name, expected="a curve")
    values = np.array(rows)
    context: dict[str, Feature] = {}
    warmth = values[:, 2][np.isfinite(values[:, 2])]
    if warmth.size:
        context["temperature"] = kelvin_of(float(np.median(warmth)), titles[warm or 0])
    labels = {"instrument": "Quantum Design"}
    pairs = [m for line in lines[:start] if (m := _INFO.match(line.strip()))]
    for match in pairs:
        if match[2].upper() in ("APPNAME", "SAMPLE_MATERIAL", "SAMPLE_COMMENT") and match[1]:
            labels[match[2].lower()] = match[1][:200]
    return _curve(
        values, (0, 1), [titles[one], titles[two]], [units[one], units[two]], how, "", context, labels, numbers
    )


def _micromag(lines: list[str], how: How) -> Curve:
    """Segments of rows between blank lines; the last line says that the file ends there."""
    end = max(i for i, line in enumerate(lines) if line.strip())
    if not lines[end].strip().endswith("ends"):
        raise Truncated(
            "the last line is not 'MicroMag ... Data File ends'", where=f"{how.name}:{end + 1}",
            remedy="The file was cut off: copy or measure it again",
        )  # fmt: skip
    kind = next((line.strip() for line in lines[1:] if line.strip()), "")
    if re.search(r"first-order|forc|versus temp|vs\. temp|time", kind, re.I):
        raise FormatError(
            f"this is {kind[:60]!r}", where=f"{how.name}:2", expected="a hysteresis loop or a backfield curve"
        )
    text = "\n".join(lines)
    start, separator, width = first_row(lines, how)
    titles, units = titles_of(lines[:start], separator, width)
    if not any(titles):
        titles = ["Field", "Moment", *[""] * (width - 2)]
    if not any(units):
        system = re.search(r"Units of measure\s*:?\s*(.*)", text)
        known = {"cgs": ("Oe", "emu"), "hybrid si": ("T", "A m^2"), "si": ("A/m", "A m^2")}
        units = [*known.get(system[1].strip().lower() if system else "", ("", "")), *[""] * (width - 2)]
    rows, numbers = rows_of(lines[:end], start, separator, width, how, True)
    declared = next((m for line in lines[:start] if (m := _POINTS.match(line))), None)
    if declared and int(declared[1]) != len(rows):
        raise (Truncated if len(rows) < int(declared[1]) else FormatError)(
            f"the file has {len(rows)} rows, its header declares {declared[1]}", where=f"{how.name}:{end + 1}",
            remedy="The file was cut off or put together: copy or measure it again",
        )  # fmt: skip
    columns = pick(titles, how, width)
    context = temperature_of(titles, units, rows)
    return _curve(rows, columns, titles, units, how, kind, context, {"instrument": "MicroMag"}, numbers, whole=True)


def _curve(
    rows: np.ndarray, columns: tuple[int, int], titles: list[str], units: list[str], how: How, told: str,
    context: dict[str, Feature], labels: dict[str, str], numbers: list[int], *, whole: bool = False,
) -> Curve:  # fmt: skip
    """Field and moment out of the rows; their units from the recipe, or the file."""
    at, moment = columns
    for column, what in ((at, "field"), (moment, "moment")):
        bad = np.flatnonzero(~np.isfinite(rows[:, column]))
        if bad.size:
            raise FormatError(
                f"the {what} is no number", where=f"{how.name}:{numbers[int(bad[0])]}", expected="finite numbers",
                remedy=REMEDY,
            )  # fmt: skip
    one = how.field_unit or (units[at] if units[at] in FIELDS else "")
    two = how.moment_unit or (units[moment] if units[moment] in MOMENTS else "")
    warnings = []
    if not one:
        warnings.append("nothing says the unit of the field: tell it in the detector file, as field_unit")
    if not two:
        warnings.append("nothing says the unit of the moment: tell it in the detector file, as moment_unit")
    return Curve(
        field=np.ascontiguousarray(rows[:, at]), moment=np.ascontiguousarray(rows[:, moment]), units=(one, two),
        hint=hint(" ".join([told, titles[at], titles[moment]])), context=context, labels=labels,
        warnings=tuple(warnings), whole=whole,
    )  # fmt: skip


def hint(text: str) -> str:
    """What a text says that a curve is: "loop", "backfield", or "".

    >>> hint("B_applied_T M_rem"), hint("Remanence curves: DCD"), hint("Hysteresis loop"), hint("run 7")
    ('backfield', 'backfield', 'loop', '')
    """
    if re.search(r"back[ _-]?field|\bdcd\b|(^|[^a-z])bcr([^a-z]|$)|m_?rem|remanence|b_applied", text, re.I):
        return "backfield"
    return "loop" if re.search(r"hyst|loop|(^|[^a-z])m[ _-]?h([^a-z]|$)|m[ _-]?vs", text, re.I) else ""
