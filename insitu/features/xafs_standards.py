"""Spectra of standards that a recipe names: XDI files and columns of numbers, to mu(E).

Read plainly, with the energy in the column that is called so (else the first one), in eV or keV. Channels become mu as
in the prepare `absorption`. For anything else (Athena projects, angles), export energy and mu as columns.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.absorption.channels import choose, merged, mu_of, sort_channels, unnamed_ways, ways
from insitu.maths.absorption.edges import edge_of
from insitu.maths.absorption.spectrum import NotMeasurable, checked

SUFFIXES = (".xdi", ".dat", ".txt", ".xmu", ".csv", ".nor", ".asc")
_COLUMN = re.compile(r"column\.(\d+):\s*(\S+)\s*(\S*)", re.I)
_FIELD = re.compile(r"element\.(symbol|edge):\s*(\S+)", re.I)
_ENERGY = re.compile(r"(mono_?)?energy.*|e|ev|en|e_?e?v", re.I)
_KEV = re.compile(r"[\[(]?kev[\])]?", re.I)


class Standard(NamedTuple):
    """`name`, as part of keys; `file`, for people; `energy` eV and `mu` (n,); element and edge where the file says."""

    name: str
    file: str
    energy: np.ndarray
    mu: np.ndarray
    element: str
    edge: str


def read_standards(paths: Path | list[Path]) -> tuple[Standard, ...]:
    """All standards of files and folders, with names that differ. ConfigError with all that is wrong."""
    problems: list[ConfigError] = []
    found: list[Standard] = []
    for path in [paths] if isinstance(paths, Path) else paths:
        for file in _files(path, problems):
            try:
                found.append(read_standard(file))
            except ConfigError as e:
                problems.append(e)
    if problems:
        raise problems[0] if len(problems) == 1 else ConfigError(str(problems[0]), problems=tuple(problems))
    if not found:
        raise ConfigError("no standard is given", where="standards", expected="files of spectra, or a folder of them")
    return _distinct(found)


def _files(path: Path, problems: list[ConfigError]) -> list[Path]:
    if path.is_file():
        return [path]
    within = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()) if path.is_dir() else []
    if not within:
        told = "holds no spectrum" if path.is_dir() else "is not there"
        problems.append(ConfigError(told, where=str(path), expected=f"files *{', *'.join(SUFFIXES)}, or one file"))
    return within


def read_standard(file: Path) -> Standard:
    """One file. ConfigError says what is wrong with it."""
    try:
        text = file.read_bytes().decode("utf-8", "replace")
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(file), expected="a file of columns") from e
    header, rows = _split(text)
    widths = {len(row) for row in rows}
    if len(rows) < 10 or len(widths) != 1 or min(widths) < 2:
        raise ConfigError(
            f"holds {len(rows)} rows of numbers" if len(rows) < 10 else "its rows have different lengths",
            where=str(file),
            expected="a table of energy and mu, or energy and counts",
            remedy="Export the standard as columns of energy and mu",
        )
    table = np.array(rows).T
    names, unit = _titles(header, len(table))
    at = next((i for i, name in enumerate(names) if _ENERGY.fullmatch(name)), 0)
    energy = table[at] * (1000.0 if _KEV.fullmatch(unit.get(at, "")) else 1.0)
    told = {m[1].lower(): m[2] for line in header if (m := _FIELD.search(line))}
    element, edge = told.get("symbol", ""), told.get("edge", "")
    try:
        energy, mu = _mu(
            energy, np.delete(table, at, axis=0), [n for i, n in enumerate(names) if i != at], element, edge
        )
    except NotMeasurable as e:
        raise ConfigError(str(e), where=str(file), expected="columns of energy and mu, or energy and counts") from e
    return Standard(key_of(file.stem), file.name, energy, mu, element, edge)


def _split(text: str) -> tuple[list[str], list[list[float]]]:
    """Lines of the header, and rows of numbers after it."""
    header: list[str] = []
    rows: list[list[float]] = []
    for line in text.splitlines():
        words = [w for w in re.split(r"[\s,;]+", line.strip()) if w]
        if not words:
            continue
        try:
            rows.append([float(w) for w in words])
        except ValueError:
            if rows:
                continue  # a comment, or text below the table
            header.append(line.lstrip("#%!;/* \t"))
    return header, rows


def _titles(header: list[str], columns: int) -> tuple[list[str], dict[int, str]]:
    """A name for each column, "" where there is none, and units by column."""
    given = {int(m[1]) - 1: (m[2], m[3]) for line in header if (m := _COLUMN.search(line))}
    if given:
        names = [given.get(i, ("", ""))[0] for i in range(columns)]
        return [_plain(n) for n in names], {i: u for i, (_, u) in given.items()}
    words = re.split(r"[\s,;]+", header[-1].strip()) if header else []
    if len(words) == columns:
        units = {i: w.rpartition("(")[2].rstrip(")") for i, w in enumerate(words) if "(" in w}
        return [_plain(w.partition("(")[0]) for w in words], units
    return [""] * columns, {}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _mu(
    energy: np.ndarray, values: np.ndarray, names: list[str], element: str, edge: str
) -> tuple[np.ndarray, np.ndarray]:
    """Energy (m,) increasing and mu (m,)."""
    order = np.argsort(energy, kind="stable")
    energy, values = merged(energy[order], values[:, order])
    if len(values) == 1:
        return checked(energy, values[0])
    try:
        near = edge_of(element, edge or "K").near if element else None
    except NotMeasurable:
        near = None
    candidates = ways(sort_channels(names, element), names) or list(unnamed_ways(energy, values, names))
    way = choose(energy, values, candidates, near) or choose(energy, values, candidates)
    if way is None:
        raise NotMeasurable(f"no column shows an absorption edge ({', '.join(names)[:100]})")
    return checked(energy, mu_of(values, way, names))


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
