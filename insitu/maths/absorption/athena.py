"""Athena project files (`.prj`) taken apart: Perl assignments, one group after another, plain or packed by gzip; or, of
newer versions, one JSON object.

    $old_group = 'abcd';
    @args = ('bkg_z','Cu', 'label','cu010k.dat', ...);      names and values in turn
    @x = ('8786.2', ...);   @y = ('1.01', ...);             energy in eV and mu(E)
    [record]

Nothing in the file is run: strings and numbers are read, anything else is refused.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import FormatError

MOST_BYTES = 512_000_000
"""More is no project: a few packed bytes can unpack to anything."""

_ASSIGNED = re.compile(rb"(?m)^([@$])(\w+) = (.*);\s*$")
_ITEM = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|(-?[\d.]+(?:[eE][-+]?\d+)?)|(\[[^\]]*\])|(\{[^}]*\}))\s*(?:,|=>|$)")


class Group(NamedTuple):
    """One group of a project: `told` by Athena's own names, and `arrays` (n,) named x, y, i0, signal, stddev."""

    told: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def is_mu(self) -> bool:
        """Whether it is mu(E): neither chi(k), nor a detector alone."""
        return str(self.told.get("is_xmu", "1")) == "1" and str(self.told.get("is_chi", "0")) != "1"


class Cut(FormatError):
    """The project ends too early."""


def looks_like(data: bytes) -> bool:
    """Whether this is an Athena project."""
    head = _unpacked(data, 4096) if data[:2] == b"\x1f\x8b" else data[:4096]
    return b"Athena project file" in head[:400]


def groups_of(data: bytes, name: str) -> list[Group]:
    """All groups of a project, whose file is called `name`. Raises `FormatError`; `Cut` where the end is missing."""
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data, MOST_BYTES, name)
    if not looks_like(data):
        raise FormatError("it is no Athena project", where=name, expected="# Athena project file")
    return _json_groups(data, name) if data.lstrip()[:1] == b"{" else _perl_groups(data, name)


def _json_groups(data: bytes, name: str) -> list[Group]:
    """The groups of a project that was saved as JSON, in its own order."""
    try:
        project = json.loads(data)
    except (ValueError, RecursionError) as e:
        cut = not data.rstrip().endswith(b"}")
        raise (Cut if cut else FormatError)(f"it is no JSON: {e}", where=name, remedy="Save it again") from e
    order = project.get("_____order")
    keys = [k for k in (order if isinstance(order, list) else project) if isinstance(k, str) and k[:5] != "_____"]
    found = []
    for number, key in enumerate(keys, 1):
        body, where = project.get(key), f"{name}: group {number}"
        if not isinstance(body, dict) or not isinstance(body.get("args", {}), dict):
            raise FormatError(f"{key!r} is no group", where=where, expected="a table with args, x and y")
        arrays = {
            k: _floats(body[k], f"{where}, {k}") for k in ("x", "y", "i0", "signal") if isinstance(body.get(k), list)
        }
        found.append(Group(body.get("args", {}), arrays))
    return found


def _perl_groups(data: bytes, name: str) -> list[Group]:
    """The groups of a project that was saved as Perl."""
    parts = re.split(rb"(?m)^\[record\]", data)
    if len(parts) == 1:
        raise Cut("no group in it is complete", where=name, remedy="Save the project again")
    if rest := [m for m in _ASSIGNED.finditer(parts[-1]) if m[2] == b"x"]:
        raise Cut("its last group is cut", where=f"{name}:{_line(data, rest[0][0])}", remedy="Save it again")
    found = []
    for number, part in enumerate(parts[:-1], 1):
        where = f"{name}: group {number}"
        lists = {m[2].decode(): m[3].decode("utf-8", "replace") for m in _ASSIGNED.finditer(part) if m[1] == b"@"}
        items = _items(lists.get("args", "()"), where)
        told = dict(zip(items[::2], items[1::2], strict=False))
        arrays = {
            k: _floats(_items(lists[k], where), f"{where}, {k}") for k in ("x", "y", "i0", "signal") if k in lists
        }
        found.append(Group(told, arrays))
    return found


def _items(text: str, where: str) -> list[str]:
    """The strings, numbers and (as text) lists of a Perl list in brackets."""
    inner, position, found = text.strip()[1:-1].strip(), 0, []
    while position < len(inner):
        match = _ITEM.match(inner, position)
        if match is None or match.end() == position:
            raise FormatError(
                f"{inner[position : position + 40]!r} is no value", where=where, expected="'text' or number"
            )
        quoted, number, *nested = match.groups()
        found.append(
            re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else number or next(filter(None, nested), "")
        )
        position = match.end()
    return found


def _floats(items: list[Any], where: str) -> np.ndarray:
    """Numbers, as texts or as such, (n,) float64."""
    try:
        values = np.array([float(item) for item in items])
    except (TypeError, ValueError) as e:
        raise FormatError(f"{e}", where=where, expected="numbers") from e
    if not np.isfinite(values).all():
        raise FormatError("a value is not a finite number", where=where, expected="numbers")
    return values


def _unpacked(data: bytes, most: int, name: str = "") -> bytes:
    """The content of a gzip file, at most `most` bytes of it where `name` is empty."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        out = unpack.decompress(data, most)
    except zlib.error as e:
        if not name:
            return b""
        raise FormatError(f"it cannot be unpacked: {e}", where=name, remedy="Save the project again") from e
    if name and unpack.unconsumed_tail:
        raise FormatError(f"it unpacks to more than {most:,} bytes", where=name, expected="an Athena project")
    if name and not unpack.eof:
        raise Cut("it ends too early", where=name, remedy="Copy the file again")
    return out


def _line(data: bytes, part: bytes) -> int:
    return data.count(b"\n", 0, max(0, data.find(part))) + 1
