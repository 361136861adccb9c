"""Absorption spectra in columns, as beamlines and programs write them, with a header or without.

The column with the energy is the one that is called so (the achieved one before the requested one), else the one with
the angle of the monochromator, else the first that could be an energy in eV or keV; a column that counts rows is none.
All other columns are kept as channels under their own names. What a header says of sample, element, temperature and
time is taken where it is plain.

Sources of odd forms: SPEC manual (Certified Scientific Software); KEK-PF 9809 format (angles and blocks); SSRL EXAFS
data collector; FDMNES output (energies count from an edge that the header gives).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from insitu.errors import FormatError
from insitu.maths.numbers import TableError, read_table, row_position
from insitu.readers.header import read_header, read_time, zone
from insitu.readers.pattern import Truncated, cut_number, line_of, plain_lines, table_error
from insitu.readers.spectrum import (
    LEAST_EV,
    MOST_EV,
    How,
    Spectrum,
    clean,
    distinct,
    kelvin,
    ordered,
    scan_axis,
)
from insitu.readers.xafs_layout import Layout, layout, scans
from insitu.readers.xdi import SYMBOLS
from insitu.types import Axis, Feature

_UNIT = re.compile(r"[\[(/]\s*(k?e?v|deg|degrees|rad|mm|um)\s*[\])]?", re.I)
_ANGLES = re.compile(r"(bragg|mono)?_?(angle|theta|mono_theta)(_o)?", re.I)
_WAVENUMBERS = re.compile(r"k|k_1_a|wavenumber")
_SPACING = re.compile(r"\bD\s*=\s*(\d+\.\d+)\s*A\b")
_EDGE_ENERGY = re.compile(r"\s*(\d+\.\d+)\s.*=\s*E_edge")
_FIELD = re.compile(r"#%(\w+):\s*(\S.*)")
_TIMED = re.compile(r"time at start|start|created|\bdate\b|^#d |scan|\bon\b|^[A-Z][a-z]{2} [A-Z][a-z]{2}", re.I)
_MODES = {"1": "i0", "2": "itrans", "3": "ifluor"}


def decode(data: bytes, how: How = How()) -> list[Spectrum]:  # noqa: B008 (frozen)
    """The spectra in a file: one, or one for each scan of a SPEC file. Raises `FormatError` with the line;
    `Truncated` where the end is missing."""
    if data.startswith(b"EC-Lab ASCII FILE"):
        raise FormatError(
            "it is the log of a cell, no absorption spectrum", where=how.name, expected="energies and counts, or mu",
            remedy="Join it to the spectra: [[join]] in the detector file, with this path",
        )  # fmt: skip
    data = plain_lines(data, how.name)
    parts = scans(data)
    if not parts:
        raise Truncated("no scan in it has rows", where=how.name, remedy="Copy or measure the file again")
    return [_decode(part, how) for part in parts]


def _decode(data: bytes, how: How) -> Spectrum:
    found = layout(data, how.name)
    try:
        table = read_table(data, found.start, found.columns, separator=found.separator).values
    except TableError as error:
        raise table_error(data, error, how.name, found.columns) from error
    if cut_number(data, found.start):
        last = line_of(data, len(data.rstrip()))
        raise Truncated("the last number is cut", where=f"{how.name}:{last}", remedy="Copy or measure it again")
    columns = np.ascontiguousarray(table.T)
    titles = _kek_titles(found.header, found.titles)
    names = [clean(_UNIT.sub("", title)) for title in titles]
    at, dim, x, unit, warnings = _axis(columns, titles, names, found, how)

    def line(row: int) -> str:
        byte = row_position(data, found.start, found.columns, row, separator=found.separator)
        return f"{how.name}:{line_of(data, byte)}"

    kept = [i for i in range(found.columns) if i != at]
    x, values, down = ordered(x, columns[kept], line, energy=dim == "energy", as_taken=how.as_taken)
    spectrum = _told(found.header, how)
    spectrum.context.update(_kek_offsets(found.header, titles))
    if down:
        spectrum.labels["scan_direction"] = "down"
    if len(kept) == 1 and not names[kept[0]]:
        names[kept[0]] = "mu"
    return Spectrum(
        dim=dim,
        axis=Axis(np.ascontiguousarray(x, np.float64), unit),
        values=np.ascontiguousarray(values),
        names=distinct([names[i] or f"col{i + 1}" for i in kept]),
        units=("",) * len(kept),
        context=spectrum.context,
        labels=spectrum.labels,
        time_ns=spectrum.time_ns,
        clock_sigma_ns=spectrum.clock_sigma_ns,
        warnings=(*warnings, *spectrum.warnings),
    )


def _axis(
    columns: np.ndarray, titles: list[str], names: list[str], found: Layout, how: How
) -> tuple[int, str, np.ndarray, str, list[str]]:
    """Column, name, values (n,) and unit of the axis, and warnings."""
    wanted = _given(how.columns, "energy", titles, names, found.columns, how.name)
    at = wanted if wanted is not None else _named(names)
    edge = next((m for text in found.header if (m := _EDGE_ENERGY.match(text))), None)
    if at is None and any(names) and _WAVENUMBERS.fullmatch(names[0]):
        told = "the first column is k: this is chi(k), no absorption spectrum"
        return 0, "k", columns[0], "1/angstrom", [told]
    if at is None:
        at = _plausible(columns)
    if at is None:
        angle = next((i for i, n in enumerate(names) if _ANGLES.fullmatch(n)), None)
        at = 0 if angle is None else angle
    x, title = columns[at], titles[at]
    if edge and x[0] < LEAST_EV:
        return at, "energy", x + float(edge[1]), "eV", ["energies count from the edge that the header gives"]
    unit = m[1] if (m := _UNIT.search(title)) else ""
    if _ANGLES.fullmatch(names[at]):
        spacing = how.d_spacing or next((float(m[1]) for t in found.header if (m := _SPACING.search(t))), None)
        dim, x, unit, warning = scan_axis(x, "angle", unit, spacing, how.name)
    else:
        dim, x, unit, warning = scan_axis(x, "energy", unit if unit.lower() in ("ev", "kev") else "", None, how.name)
    return at, dim, x, unit, [warning] if warning else []


def _named(names: list[str]) -> int | None:
    """The column that is called energy, the achieved one first; else the angle, the observed one first."""
    energies = [i for i, n in enumerate(names) if re.search(r"energy|energie|^e$|^ev$|^en$", n)]
    if energies:
        return min(energies, key=lambda i: _rank(names[i]))
    angles = [i for i, n in enumerate(names) if _ANGLES.fullmatch(n)]
    return max(angles, key=lambda i: names[i].endswith("_o")) if angles else None


def _rank(name: str) -> int:
    """How good a name of an energy is: smaller is better."""
    if re.search(r"request|setpoint|_sp$|ring|drive|nominal", name):
        return 3
    return 0 if re.search(r"achiev|readback|_rbv|actual|encoder", name) else 1


def _plausible(columns: np.ndarray) -> int | None:
    """The first column that could be an energy: one way, in range, and no count of the rows."""
    for i, x in enumerate(columns):
        steps = np.diff(x)
        one_way = (steps >= 0).all() or (steps <= 0).all()
        if not one_way or x[0] == x[-1] or np.array_equal(x, x[0] + np.arange(x.size)):
            continue
        low, high = min(x[0], x[-1]), max(x[0], x[-1])
        if low >= LEAST_EV and high <= MOST_EV and high - low < 0.8 * high:
            return i
    return None


def _given(
    columns: Mapping[str, int | str], name: str, titles: list[str], names: list[str], count: int, where: str
) -> int | None:
    """The column that the detector file names, from 0; None where it names none."""
    said = columns.get(name)
    if said is None:
        return None
    if isinstance(said, int):
        if 1 <= said <= count:
            return said - 1
        raise FormatError(f"there is no column {said}", where=where, expected=f"1 to {count}")
    for i, (title, plain) in enumerate(zip(titles, names, strict=True)):
        if said in (title, plain):
            return i
    raise FormatError(
        f"no column is called {said!r}", where=where, expected=", ".join(t for t in titles if t) or "1, 2"
    )


def _kek_titles(header: list[str], titles: list[str]) -> list[str]:
    """Names of a KEK-PF file: below those of its columns stands a line with the modes of its counters."""
    rows = [line.split() for line in header]
    modes = next((words for words in rows if words[:1] == ["Mode"]), [])
    names = next((words for words in rows if words[:2] == ["Angle(c)", "Angle(o)"]), [])
    if not len(modes) == len(names) == len(titles):
        return titles
    return [_MODES.get(mode, name) if name.isdigit() else name for mode, name in zip(modes, names, strict=True)]


def _kek_offsets(header: list[str], titles: list[str]) -> dict[str, Feature]:
    """What the counters of a KEK-PF file count in the dark, per second."""
    words = next((line.split() for line in header if line.split()[:1] == ["Offset"]), [])
    if len(words) != len(titles) or "Angle(o)" not in titles:
        return {}
    pairs = zip(titles[3:], words[3:], strict=True)
    return {f"offset_{clean(t)}": Feature(float(w), "counts/s") for t, w in pairs if re.fullmatch(r"\d+\.?\d*", w)}


def _told(header: list[str], how: How) -> Spectrum:
    """What the header says of sample, temperature and time, in a spectrum without points."""
    head = read_header(header, how.timezone)
    labels = {k: v for k, v in head.labels.items() if k in ("sample", "composition", "comment", "title", "run_number")}
    context: dict[str, Feature] = {k: f for k, f in head.context.items() if k == "temperature"}
    for field in (m for text in header if (m := _FIELD.match(text))):
        key, value = field[1].lower(), field[2].strip()
        if key == "name":
            labels["sample"] = value[:200]
        elif key == "atom" and value.capitalize() in SYMBOLS:
            labels["element"] = value.capitalize()
        elif key == "edge":
            labels["edge"] = value.capitalize()
        elif key == "temp" and (t := kelvin(value)):
            context["temperature"] = t
    time_ns, sigma = head.time_ns, head.clock_sigma_ns
    timed = sorted((t for t in header if _TIMED.search(t)), key=lambda t: "time at start" not in t.lower())
    for text in timed if time_ns is None else ():
        if found := read_time(text, zone(how.timezone)):
            time_ns, sigma = found
            break
    none = np.empty(0)
    return Spectrum(
        dim="energy", axis=Axis(none, "eV"), values=none, names=(), units=(), context=context, labels=labels,
        time_ns=time_ns, clock_sigma_ns=sigma,
    )  # fmt: skip
