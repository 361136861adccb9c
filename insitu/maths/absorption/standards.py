"""Spectra of standards that a recipe names: XDI files, columns of numbers and Athena projects, to mu(E).

Read plainly, with the energy in the column that is called so (else the first one), in eV or keV; an angle of the
monochromator becomes one by its d-spacing, which the header gives (`Mono.d_spacing`, or as KEK-PF writes it). Channels
become mu as in the prepare `absorption`. Every group of a project is a standard, under its label.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError, FormatError
from insitu.maths.absorption.athena import groups_of, looks_like
from insitu.maths.absorption.channels import choose, merged, mu_of, sort_channels, unnamed_ways, ways
from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import edge_of
from insitu.maths.absorption.foil import HC, foil_mu
from insitu.maths.absorption.spectrum import NotMeasurable, checked

SUFFIXES = (".xdi", ".dat", ".txt", ".xmu", ".csv", ".nor", ".asc", ".prj")
_COLUMN = re.compile(r"column\.(\d+):\s*(\S+)\s*(\S*)", re.I)
_FIELD = re.compile(r"element\.(symbol|edge):\s*(\S+)", re.I)
_ENERGY = re.compile(r"(\w+_)?energy.*|e|ev|en|e_?e?v", re.I)
_ANGLE = re.compile(r"(bragg|mono)?_?(angle|theta)(_o)?", re.I)
_SPACING = re.compile(r"(?:mono\.d_spacing:\s*|\bD\s*=\s*)(\d+\.\d+)", re.I)
_KEK_MODES = {"1": "i0", "2": "itrans", "3": "ifluor"}
FEWEST = 10
_KEV = re.compile(r"[\[(]?kev[\])]?", re.I)


class Table(NamedTuple):
    """What a file holds: `energy` eV (n,) increasing, `values` (channels, n) under `names`; `title` of the group, of a
    project; element and edge where the file says."""

    energy: np.ndarray
    values: np.ndarray
    names: list[str]
    element: str
    edge: str
    title: str = ""


class Standard(NamedTuple):
    """`name`, as part of keys; `file`, for people; `energy` eV and `mu` (n,); element and edge where the file says."""

    name: str
    file: str
    energy: np.ndarray
    mu: np.ndarray
    element: str
    edge: str


def read_standards(paths: Path | list[Path], groups: list[str] | None = None) -> tuple[Standard, ...]:
    """All standards of files and folders, with names that differ; of Athena projects only the `groups` of these labels,
    if any are given. ConfigError with all that is wrong."""
    problems: list[ConfigError] = []
    found: list[Standard] = []
    titles: set[str] = set()
    for path in [paths] if isinstance(paths, Path) else paths:
        for file in _files(path, problems):
            try:
                tables = [t for t in read_tables(file) if not groups or not t.title or t.title in groups]
                titles.update(table.title for table in tables)
                found += [_standard(table, file) for table in tables]
            except ConfigError as e:
                problems.append(e)
    missing = [group for group in groups or [] if group not in titles]
    if missing and not problems:
        problems.append(_no_group(missing[0], paths))
    if problems:
        raise problems[0] if len(problems) == 1 else ConfigError(str(problems[0]), problems=tuple(problems))
    if not found:
        raise ConfigError("no standard is given", where="standards", expected="files of spectra, or a folder of them")
    return _distinct(found)


def _no_group(name: str, paths: Path | list[Path]) -> ConfigError:
    files = [file for path in ([paths] if isinstance(paths, Path) else paths) for file in _files(path, [])]
    there = [t.title for file in files if file.suffix.lower() == ".prj" for t in read_tables(file)]
    told = f"one of {', '.join(map(repr, there))}"[:300] if there else "an Athena project among the standards"
    return ConfigError(f"no Athena project has a group {name!r}", where="groups", expected=told)


def _files(path: Path, problems: list[ConfigError]) -> list[Path]:
    if path.is_file():
        return [path]
    within = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()) if path.is_dir() else []
    if not within:
        told = "holds no spectrum" if path.is_dir() else "is not there"
        problems.append(ConfigError(told, where=str(path), expected=f"files *{', *'.join(SUFFIXES)}, or one file"))
    return within


def read_tables(file: Path) -> list[Table]:
    """The table of a file, or of each group of an Athena project. ConfigError says what is wrong with it."""
    try:
        data = file.read_bytes()
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(file), expected="a file of columns") from e
    if file.suffix.lower() == ".prj" or looks_like(data):
        return _groups(data, str(file))
    return [_columns(data.decode("utf-8", "replace"), str(file))]


def _groups(data: bytes, file: str) -> list[Table]:
    try:
        groups = [g for g in groups_of(data, file) if g.is_mu]
    except FormatError as e:
        raise ConfigError(e.what, where=e.where, expected=e.expected, remedy=e.remedy) from e
    found = []
    for number, group in enumerate(groups, 1):
        title = str(group.told.get("label", f"group {number}"))
        x, y = (group.arrays.get(key, np.empty(0)) for key in "xy")
        if x.size != y.size or x.size < FEWEST:
            raise ConfigError(f"its group {title!r} has {x.size} energies and {y.size} values", where=file)
        element, edge = (str(group.told.get(key, "")).capitalize() for key in ("bkg_z", "fft_edge"))
        energy, mu = _in_order(x, y[np.newaxis])
        found.append(Table(energy, mu, ["mu"], element, edge, title))
    if not found:
        raise ConfigError("no group in it is mu(E)", where=file, expected="a project with absorption spectra")
    return found


def _columns(text: str, file: str) -> Table:
    header, rows = _split(text)
    widths = {len(row) for row in rows}
    if len(rows) < FEWEST or len(widths) != 1 or min(widths) < 2:
        raise ConfigError(
            f"holds {len(rows)} rows of numbers" if len(rows) < FEWEST else "its rows have different lengths",
            where=file,
            expected="a table of energy and mu, or energy and counts",
            remedy="Export the standard as columns of energy and mu",
        )
    table = np.array(rows).T
    names, unit = _titles(header, len(table))
    at = next((i for i, name in enumerate(names) if _ENERGY.fullmatch(name)), None)
    angles = [i for i, name in enumerate(names) if _ANGLE.fullmatch(name)]
    if at is None and angles:
        at = angles[-1]  # the observed one stands behind the calculated one
        energy = _energy_of(table[at], header, file)
    else:
        at = at or 0
        energy, low, high = table[at], float(table[at].min()), float(table[at].max())
        if _KEV.fullmatch(unit.get(at, "")) or (not unit.get(at) and 1.0 < low < high < 200.0 and names[at] != "k"):
            energy = 1000.0 * energy  # without a unit: no spectrum ends there in eV
    if not 30.0 <= energy.min() < energy.max() <= 200_000.0:
        raise ConfigError(
            f"its axis goes from {energy.min():g} to {energy.max():g}: these are no X-ray energies",
            where=file, expected="energies in eV or keV, from 30 eV to 200 keV",
        )  # fmt: skip
    told = {m[1].lower(): m[2] for line in header if (m := _FIELD.search(line))}
    energy, values = _in_order(energy, np.delete(table, at, axis=0))
    kept = [n for i, n in enumerate(names) if i != at]
    return Table(energy, values, kept, told.get("symbol", ""), told.get("edge", ""))


def _energy_of(angle: np.ndarray, header: list[str], file: str) -> np.ndarray:
    """Energies by Bragg's law, of angles in degrees."""
    spacing = next((float(m[1]) for line in header if (m := _SPACING.search(line))), 0.0)
    if not spacing > 0.0 or not ((angle > 0.0) & (angle < 90.0)).all():
        raise ConfigError(
            "its axis is an angle" + ("" if spacing > 0.0 else ", and the d-spacing of the monochromator is not told"),
            where=file,
            expected="Bragg angles in degrees, and a header line such as `# Mono.d_spacing: 3.1356`",
            remedy="Export the standard as columns of energy and mu",
        )
    return HC / (2.0 * spacing * np.sin(np.radians(angle)))


def _in_order(energy: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(energy, kind="stable")
    return merged(energy[order], values[:, order])


def _standard(table: Table, file: Path) -> Standard:
    """A table as mu(E)."""
    try:
        energy, mu = mu_of_table(table)
    except NotMeasurable as e:
        raise ConfigError(str(e), where=str(file), expected="columns of energy and mu, or energy and counts") from e
    name, told = (table.title, f"{file.name}: {table.title}") if table.title else (file.stem, file.name)
    return Standard(key_of(name), told, energy, mu, table.element, table.edge)


def _split(text: str) -> tuple[list[str], list[list[float]]]:
    """Lines of the header, and rows of numbers after it; a header may hold a table of its own, with other columns."""
    header: list[str] = []
    rows: list[list[float]] = []
    above: list[str] = []
    for line in text.splitlines():
        words = [w for w in re.split(r"[\s,;]+", line.strip()) if w]
        if not words:
            continue
        try:
            row = [float(w) for w in words]
        except ValueError:
            above.append(line.lstrip("#%!;/* \t"))  # of the header; or a comment, or text below the table
            continue
        if not rows or (len(row) != len(rows[0]) and above):
            header, rows, above = [*header, *above], [], []
        rows.append(row)
    return header, rows


def _titles(header: list[str], columns: int) -> tuple[list[str], dict[int, str]]:
    """A name for each column, "" where there is none, and units by column."""
    given = {int(m[1]) - 1: (m[2], m[3]) for line in header if (m := _COLUMN.search(line))}
    if given:
        names = [given.get(i, ("", ""))[0] for i in range(columns)]
        return [_plain(n) for n in names], {i: u for i, (_, u) in given.items()}
    last = header[-1].strip() if header else ""
    for words in (_kek_titles(header), re.split(r"\s{2,}|\t+", last), re.split(r"[\s,;]+", last)):
        if len(words) != columns:
            continue
        units = {i: w.rpartition("(")[2].rstrip(")") for i, w in enumerate(words) if "(" in w}
        return [_plain(w.partition("(")[0]) for w in words], units
    return [""] * columns, {}


def _kek_titles(header: list[str]) -> list[str]:
    """Names of the columns of a KEK-PF file: a line of them, and below it one with the modes of its counters."""
    rows = [line.split() for line in header]
    modes, names = (next((r for r in rows if r[:1] == [word]), []) for word in ("Mode", "Angle(c)"))
    return [_KEK_MODES.get(m, n) for m, n in zip(modes, names, strict=True)] if len(modes) == len(names) else []


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def mu_of_table(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Energy and mu (m,) of a table. Raises `NotMeasurable` where no column shows an edge."""
    energy, values, names, element, edge, _ = table
    if len(values) == 1:
        return checked(energy, values[0])
    try:
        near = edge_of(element, edge or "K").near if element else None
    except NotMeasurable:
        near = None
    candidates = ways(sort_channels(names, element), names) or list(unnamed_ways(energy, values, names))
    way = choose(energy, values, candidates, near) or choose(energy, values, candidates)
    if way is None:
        told = ", ".join(filter(None, names))[:100] or f"{len(values)} without names"
        raise NotMeasurable(f"none of its columns shows an absorption edge ({told})")
    return checked(energy, mu_of(values, way, names))


def read_foil(file: Path, group: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Energy and mu (n,) of the reference foil in a scan: of the one behind the sample, if it was measured, else of the
    sample. `group`: which one of an Athena project. ConfigError says what is wrong with it."""
    tables = [table for table in read_tables(file) if not group or table.title == group]
    if len(tables) != 1:
        titles = ", ".join(repr(table.title) for table in read_tables(file))[:300]
        raise ConfigError(
            f"holds {len(tables)} spectra{' called ' + repr(group) if group else ''}", where=str(file),
            expected="one scan of the foil", remedy=f"Name it with foil_group: {titles}",
        )  # fmt: skip
    table = tables[0]
    found = foil_mu(table.values, table.names, sort_channels(table.names, table.element))
    try:
        energy, mu = mu_of_table(table) if found is None else checked(table.energy, found)
        find_e0(energy, mu)
    except NotMeasurable as e:
        raise ConfigError(str(e), where=str(file), expected="a scan over the edge of the reference foil") from e
    return energy, mu


def key_of(text: str) -> str:
    """A file's stem as part of a key.

    >>> key_of("Fe2O3 (RT)")
    'fe2o3_rt'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "standard"


def _distinct(found: list[Standard]) -> tuple[Standard, ...]:
    taken: dict[str, int] = {}
    out = []
    for one in found:
        taken[one.name] = taken.get(one.name, 0) + 1
        out.append(one if taken[one.name] == 1 else one._replace(name=f"{one.name}_{taken[one.name]}"))
    return tuple(out)
