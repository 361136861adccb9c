"""XDI, the X-ray absorption data interchange format (Ravel and Newville, version 1.0): header fields, then columns.

    # XDI/1.0 GSE/1.0                the version, and those of the programs that wrote it
    # Column.1: energy eV            Family.Key: Value
    # ///                            what follows are the user's comments
    # -----                          end of the header
    # energy i0 itrans               names of the columns; the header's own win

What the format forbids is refused with its line: no version, a header line that is no field, a table that is no table
of numbers. What it only asks for (element and edge, the end of the header, valid dates and units) is a warning.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.maths.numbers import TableError, read_table, row_position
from insitu.readers.header import SECOND, read_time, zone
from insitu.readers.pattern import Truncated as Truncated
from insitu.readers.pattern import cut_number, line_of, plain_lines, table_error
from insitu.readers.spectrum import How, Spectrum, clean, distinct, kelvin, ordered, scan_axis
from insitu.types import Axis, Feature

_VERSION = re.compile(r"#\s*XDI/(\d+)\.(\d+)\S*\s*(.*)")
_FIELD = re.compile(r"([A-Za-z]\w*)\.(\w+)\s*:\s*(\S.*)?")
_USER, _END = re.compile(r"/{3,}"), re.compile(r"-{3,}")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?")
_COMMENTS = (b"#", b"%", b";", b"!", b"*")
_SCANNED = {"symbol": "element", "edge": "edge"}
_EDGES = ("K", "L", "L1", "L2", "L3", "M", "M1", "M2", "M3", "M4", "M5", "N", "N1", "N2", "N3", "N4", "N5", "N6", "N7")
_LABELS = {
    "sample.name": "sample",
    "sample.formula": "composition",
    "facility.name": "facility",
    "beamline.name": "beamline",
    "mono.name": "monochromator",
    "scan.uid": "scan_uid",
}
SYMBOLS = frozenset(
    """H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb
    Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg
    Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts
    Og""".split()  # noqa: SIM905
)
RECOMMENDED = ("Facility.name", "Facility.xray_source", "Beamline.name", "Scan.start_time")


class Field(NamedTuple):
    """The value of a header field and its line."""

    value: str
    line: int


class Head(NamedTuple):
    """`fields` by `family.key` in small letters; `names` in the line after the header; `start`: the table's byte."""

    fields: dict[str, Field]
    comments: list[str]
    names: list[str]
    warnings: list[str]
    start: int


def looks_like(data: bytes) -> bool:
    """Whether the first line says XDI."""
    return bool(_VERSION.match(data[:200].lstrip(b"\xef\xbb\xbf").decode("latin-1")))


def decode(data: bytes, how: How = How()) -> list[Spectrum]:  # noqa: B008 (frozen)
    """The spectrum in the file. Raises `FormatError` naming the line; `Truncated` where the end is missing."""
    data = plain_lines(data, how.name)
    head = _head(data, how.name)
    columns = _width(data, head.start, how.name)
    try:
        table = read_table(data, head.start, columns).values
    except TableError as error:
        raise table_error(data, error, how.name, columns) from error
    if not len(table):
        raise Truncated("there are no rows after the header", where=how.name, remedy="Copy or measure the file again")
    if cut_number(data, head.start):
        last = line_of(data, len(data.rstrip()))
        raise Truncated("the last number is cut", where=f"{how.name}:{last}", remedy="Copy or measure it again")
    return [_spectrum(data, head, np.ascontiguousarray(table.T), how)]


def _head(data: bytes, name: str) -> Head:
    """All lines before the table."""
    first = data.partition(b"\n")[0].decode("utf-8", "replace")
    if not _VERSION.match(first):
        raise FormatError(
            f"the first line is {first[:40]!r}", where=f"{name}:1", expected="# XDI/1.0", remedy="Is this XDI?"
        )
    head = Head({}, [], [], [], 0)
    position, state, number, last = len(first.encode("utf-8", "replace")) + 1, "fields", 1, ""
    position = data.find(b"\n") + 1 or len(data)
    while position < len(data):
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position:end].decode("utf-8", "replace").rstrip("\r")
        number += 1
        if line.strip() and not line.lstrip().startswith("#"):
            if not line.lstrip().startswith(tuple(c.decode() for c in _COMMENTS)):
                break
            head.warnings.append(f"line {number}: {line.strip()[:1]!r} begins no comment in XDI; it is passed over")
        else:
            text = line.strip().lstrip("#").strip()
            state = _header_line(text, state, number, head, name)
            last = text or last
        position = end + 1
    if lacking := [key for key in RECOMMENDED if key.lower() not in head.fields]:
        head.warnings.append(f"the header lacks {', '.join(lacking)} (recommended)")
    if state != "names":
        head.warnings.append("no line of dashes ends the header")
        head.names[:] = last.split() if last and not _FIELD.fullmatch(last) and state == "fields" else []
    return head._replace(start=min(position, len(data)))


def _header_line(text: str, state: str, number: int, head: Head, name: str) -> str:
    """Take one line of the header; the state after it."""
    if not text:
        return state
    if state in ("fields", "comments") and _END.match(text):
        return "names"
    if state == "fields" and _USER.match(text):
        return "comments"
    if state == "comments":
        head.comments.append(text)
    elif state == "names":
        head.names[:] = text.split()
    elif state == "fields":
        field = _FIELD.fullmatch(text)
        if field is None or field[3] is None:
            raise FormatError(
                f"{text[:60]!r} is no header field" if field is None else f"{text[:60]!r} has no value",
                where=f"{name}:{number}",
                expected="Family.Key: Value, the family beginning with a letter",
                remedy="Correct the line, or put comments after a line of ///",
            )
        head.fields[f"{field[1]}.{field[2]}".lower()] = Field(field[3].strip(), number)
    return state


def _width(data: bytes, start: int, name: str) -> int:
    """How many columns the first row has."""
    end = data.find(b"\n", start)
    words = data[start : None if end < 0 else end].partition(b"#")[0].split()
    if not words:
        raise Truncated("there are no rows after the header", where=name, remedy="Copy or measure the file again")
    if not _NUMBER.fullmatch(words[0].decode("latin-1")):
        where = f"{name}:{line_of(data, start)}"
        raise FormatError(f"{words[0].decode('latin-1')!r} is no number", where=where, expected="rows of numbers")
    return len(words)


def _columns(head: Head, count: int) -> list[tuple[str, str]]:
    """Name and unit of each column: of the fields `Column.N`, else of the line of names, else `colN`."""
    known = {int(k[7:]): f.value for k, f in head.fields.items() if re.fullmatch(r"column\.\d{1,4}", k)}
    found = []
    for i in range(1, count + 1):
        words = re.split(r"\|\||#", known.get(i, ""))[0].split()
        if not words and i not in known and len(head.names) == count:
            words = [head.names[i - 1]]
        found.append((words[0] if words else f"col{i}", words[1] if len(words) > 1 else ""))
    odd = sorted(i for i in known if not 1 <= i <= count)
    if odd or len(known) not in (0, count):
        head.warnings.append(f"the header names {len(known)} columns, the table has {count}")
    return found


def _spectrum(data: bytes, head: Head, table: np.ndarray, how: How) -> Spectrum:
    columns, fields = _columns(head, len(table)), head.fields
    context, d = _context(head, how)
    (name, unit), where = columns[0], f"{how.name}:{line_of(data, head.start)}"
    dim, x, x_unit, warning = scan_axis(table[0], name, unit, d, where)
    if warning:
        head.warnings.append(warning)
    labels = {label: fields[key].value[:200] for key, label in _LABELS.items() if key in fields}
    labels |= _element(head, wanted=dim == "energy")
    if head.comments:
        labels["comment"] = " ".join(head.comments)[:200]
    if "outer.name" in fields:
        outer = fields["outer.name"].value
        head.warnings.append(f"this is one row of a map over {outer!r}: no single spectrum of a sample")
        labels["outer"] = f"{outer} = {fields.get('outer.value', Field('?', 0)).value}"[:200]

    def line(row: int) -> str:
        return f"{how.name}:{line_of(data, row_position(data, head.start, len(table), row))}"

    x, values, down = ordered(x, table[1:], line, energy=dim == "energy", as_taken=how.as_taken)
    if down:
        labels["scan_direction"] = "down"
    time_ns, sigma, duration = _times(head, how)
    return Spectrum(
        dim=dim,
        axis=Axis(np.ascontiguousarray(x, np.float64), x_unit),
        values=np.ascontiguousarray(values),
        names=distinct([clean(n) or "col" for n, _ in columns[1:]]),
        units=tuple(_unit(u) for _, u in columns[1:]),
        context=context,
        labels=labels,
        time_ns=time_ns,
        clock_sigma_ns=sigma,
        duration_ns=duration,
        warnings=tuple(head.warnings),
    )


def _unit(text: str) -> str:
    """The unit of a channel; "" where it is none that matters here."""
    return {"counts": "counts", "cts": "counts", "sec": "s", "seconds": "s", "s": "s"}.get(text.lower(), "")


def _element(head: Head, *, wanted: bool) -> dict[str, str]:
    """Element and edge, where the header has valid ones; a warning where it has not."""
    found = {}
    for key, known in (("symbol", SYMBOLS), ("edge", _EDGES)):
        field = head.fields.get(f"element.{key}") or head.fields.get(f"scanparameters.{_SCANNED[key]}")
        value = field.value.split()[0].capitalize() if field else ""
        if value in known:
            found["element" if key == "symbol" else "edge"] = value
        elif wanted:
            said = f"{field.value[:20]!r} in line {field.line} is none" if field else "the header has none"
            head.warnings.append(f"Element.{key}: {said}")
    return found


def _context(head: Head, how: How) -> tuple[dict[str, Feature], float | None]:
    """Numbers of the header, and the d-spacing in angstrom."""
    context: dict[str, Feature] = {}
    d = how.d_spacing
    spacing = head.fields.get("mono.d_spacing") or head.fields.get("mono.dspacing")
    if spacing is not None:
        match = _NUMBER.match(spacing.value)
        value = float(match[0]) if match else 0.0
        if 0.1 < value < 100.0:
            d = d or value
        else:
            head.warnings.append(f"Mono.d_spacing in line {spacing.line}: {spacing.value[:20]!r} is none in angstrom")
    if d is not None:
        context["d_spacing"] = Feature(d, "angstrom")
    temperature = head.fields.get("sample.temperature")
    if temperature is not None:
        value_k = kelvin(temperature.value)
        if value_k is None:
            said = f"Sample.temperature in line {temperature.line}: {temperature.value[:20]!r} is no temperature"
            head.warnings.append(said)
            context["temperature"] = Feature(None, "K", why=said)
        else:
            context["temperature"] = value_k
    for key, units in (("energy", ("gev", "mev")), ("current", ("ma", "a"))):
        field = head.fields.get(f"facility.{key}")
        words = field.value.split() if field else []
        if field and not (len(words) == 2 and _NUMBER.fullmatch(words[0]) and words[1].lower() in units):
            head.warnings.append(
                f"Facility.{key} in line {field.line}: {field.value[:30]!r} is no number with its unit"
            )
    return context, d


def _times(head: Head, how: How) -> tuple[int | None, int, int]:
    """Start in ns, its uncertainty, and the duration in ns."""
    found: dict[str, tuple[int, int] | None] = {}
    for key in ("start_time", "end_time"):
        field = head.fields.get(f"scan.{key}")
        if field is None:
            continue
        try:
            datetime.fromisoformat(field.value.replace(" ", "T", 1).replace("Z", "+00:00"))
            found[key] = read_time(field.value, zone(how.timezone))
        except ValueError:
            found[key] = None
        if found[key] is None:
            head.warnings.append(f"Scan.{key} in line {field.line}: {field.value[:30]!r} is no ISO time")
    start, end = found.get("start_time"), found.get("end_time")
    if start is None:
        return None, 0, 0
    duration = end[0] - start[0] if end is not None and end[0] > start[0] else 0
    return start[0], start[1], duration if duration < 30 * 86400 * SECOND else 0
