"""Detector files to sources: what a detector is, what may be done to it, and how it is read."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from insitu.config import calibration, tables
from insitu.config.document import At, Document, Problems, read
from insitu.config.overrides import Inputs, Override, apply, for_detector, parse_inputs, unclaimed
from insitu.config.roles import Entry, read_entry
from insitu.config.roles import find as find_factory
from insitu.config.schema import Files, construct, keys_of, read_table
from insitu.config.settings import Source
from insitu.errors import ConfigError, SourceError, UsageError
from insitu.types import Detector, Geometry, Limit, Reader

Purpose = Literal["run", "check", "replay"]
INPUT = "--input"
Find = Callable[[str, Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """Where a detector's table stands; `name` is how the recipe calls it."""

    name: str
    at: At

    @property
    def table(self) -> Any:
        """The table as it is now."""
        node: Any = self.at.document.data
        for part in self.at.path:
            node = node[part]
        return node


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadSource:
    """A source, its resolved table, and whether nothing real is behind it."""

    name: str
    source: Source
    resolved: Mapping[str, Any]
    simulated: bool
    at: At


def find_origins(
    names: Sequence[Any], at: At, given: Mapping[str, Mapping[str, Any]], find: Find, near: Path, problems: Problems
) -> list[Origin]:
    """The tables of the detectors that a recipe names: given ones, else files. Twice the same one is refused."""
    origins: list[Origin] = []
    for i, text in enumerate(names):
        with problems.gather():
            origin = _origin(text, at / i, given, find, near)
            if any(o.name == origin.name for o in origins):
                raise (at / i).wrong(f'the detector "{origin.name}" is named twice', expected="each once")
            origins.append(origin)
    return origins


def _origin(text: str, at: At, given: Mapping[str, Mapping[str, Any]], find: Find, near: Path) -> Origin:
    if text in given:
        table = given[text]
        data = {text: copied(table)}
        return Origin(name=text, at=At(Document(name=f"detector {text}", data=data), (text,)))
    try:
        path = find(text, near)
    except ConfigError as e:
        raise at.adopt(e) from e
    except UsageError as e:  # not found: the problem is the recipe's
        raise at.wrong(e.what, expected=e.expected, remedy=e.remedy) from e
    return Origin(name=path.stem, at=At(read(path)))


def copied(value: Any) -> Any:
    """Plain dicts and lists, ours to change."""
    if isinstance(value, Mapping):
        return {str(k): copied(v) for k, v in value.items()}
    return [copied(v) for v in value] if isinstance(value, (list, tuple)) else value


def override(origins: Sequence[Origin], sets: Sequence[Override], problems: Problems) -> list[Origin]:
    """The origins with `--set detector....` applied."""
    names = [o.name for o in origins]
    for problem in unclaimed(sets, names):
        problems.add(problem)
    changed = []
    for origin in origins:
        with problems.gather():
            mine = for_detector(sets, origin.name, names)
            document = apply(origin.at.document, mine, origin.at.path) if mine else origin.at.document
            origin = replace(origin, at=replace(origin.at, document=document))
        changed.append(origin)
    return changed


def with_inputs(origins: Sequence[Origin], inputs: Inputs, problems: Problems) -> list[Origin]:
    """The origins with the paths of `--input` in their readers' tables."""
    readers = {o.table["source"]: o for o in origins if isinstance(o.table, dict) and _names_source(o.table)}
    changed = list(origins)
    with problems.gather():
        for source, path in parse_inputs(inputs, list(readers)).items():
            origin = readers[source]
            if isinstance(origin.table.get("reader"), dict):
                said = Override(("reader", "path"), path, f"{INPUT} {path}")
                document = apply(origin.at.document, [said], origin.at.path)
                changed[changed.index(origin)] = replace(origin, at=replace(origin.at, document=document))
    return changed


def _names_source(table: Mapping[str, Any]) -> bool:
    return isinstance(table.get("source"), str)


def read_source(origin: Origin, purpose: Purpose, files: Files) -> ReadSource:
    """One detector; all that is wrong with it is told at once. The files of its geometry are added to `files`."""
    at, table, problems = origin.at, origin.table, Problems()
    keys = keys_of(tables.detector, at)
    if isinstance(table, dict):
        check_format(table, at)
    parts = None
    with problems.gather():
        parts = read_table(table, keys, at)
    limits: dict[str, Limit] = {}
    geometry: Geometry | None = None
    detector: Detector | None = None
    if parts is not None:
        with problems.gather():
            limits = _limits(parts.values.get("limits", {}), at / "limits")
        with problems.gather():
            if parts.values.get("geometry"):
                table_of = read_table(
                    parts.values["geometry"], keys_of(tables.geometry, at), at / "geometry", files=files
                )
                parts.resolved["geometry"] = table_of.resolved
                geometry = construct(tables.geometry, table_of.values, at / "geometry")
        with problems.gather():
            made: Detector = construct(tables.detector, parts.values, at)
            known = calibration.checked(made.calibration, at / "calibration")
            detector = replace(made, name=origin.name, limits=limits, calibration=known, geometry=geometry)
    entry, joins = None, []
    raw = table.get("reader") if isinstance(table, dict) else None
    if purpose != "replay" and isinstance(raw, dict):
        with problems.gather():
            entry = _reader(raw, table, at, purpose)
            joins = _joins(table.get("join", []), at / "join") if parts is not None else []
    if purpose == "check" and entry is not None and detector is not None and not entry.missing:
        with problems.gather():  # `run` makes it in a moment; `check` has to find out what it refuses
            must_exist(entry.values)
            entry.make(detector=detector, name=detector.name)
            for values, place in joins:
                construct(_join(), {**values, "detector": detector}, place)
    problems.stop()
    assert detector is not None and parts is not None  # noqa: PT018 - problems.stop has raised where one is not
    resolved = {**parts.resolved, "reader": dict(entry.resolved) if entry else parts.resolved["reader"]}
    simulated = bool(getattr(entry.factory, "simulated", False)) if entry else _says_simulated(resolved["reader"])
    source = Source(detector=detector, reader=_make_reader(entry, joins, detector, at))
    return ReadSource(name=origin.name, source=source, resolved=resolved, simulated=simulated, at=at)


def check_format(table: Mapping[str, Any], at: At) -> None:
    """Refuse a file of a newer format before anything else is said about it."""
    found = table.get("format")
    if type(found) is int and found != tables.FORMAT:
        remedy = "Install a newer insitu" if found > tables.FORMAT else ""
        raise (at / "format").wrong(f"this file has format {found}", expected=f"{tables.FORMAT}", remedy=remedy)


def _limits(table: Mapping[str, Any], at: At) -> dict[str, Limit]:
    problems, limits = Problems(), {}
    for signal, row in table.items():
        with problems.gather():
            parts = read_table(row, keys_of(tables.limit, at), at / signal)
            limits[signal] = construct(tables.limit, parts.values, at / signal)
    problems.stop()
    return limits


def _reader(raw: dict[str, Any], table: Mapping[str, Any], at: At, purpose: Purpose) -> Entry:
    """The reader's entry. What the detector file says elsewhere for the reader (`clock`, `[assemble]`) is its too."""
    _refuse_input(raw, at / "reader")
    extra = {key: table[key] for key in ("clock", "assemble") if table.get(key) and key not in raw}
    entry = read_entry(raw, "reader", at / "reader", optional=frozenset(["path", *extra]))
    taken = keys_of(entry.factory, at)
    for key in (key for key in extra if key not in taken):
        expected = f"no {key}; the reader takes {', '.join(taken)}"
        raise (at / key).wrong(f'the reader "{raw["use"]}" takes no "{key}"', expected=expected)
    if extra:
        entry = read_entry({**raw, **extra}, "reader", at / "reader", optional=frozenset(["path"]))
    if entry.missing and purpose == "run":
        raise (at / "reader" / "path").wrong(
            "nothing says what to read", expected="a file or folder", remedy="Say it with --input PATH"
        )
    return entry


def _refuse_input(raw: Mapping[str, Any], at: At) -> None:
    """Refuse `--input` where the reader reads no files, in other words than those of a key that is misspelt."""
    option = at.document.given.get((*at.path, "path"), "")
    use = raw.get("use")
    if not option.startswith(INPUT) or not isinstance(use, str):
        return
    if "path" not in keys_of(find_factory(use, "reader", at / "use"), at):
        raise ConfigError(
            f'the reader "{use}" of this source reads no files',
            where=option.rpartition(": ")[0],
            expected="--input for a source that reads files",
            remedy="Leave --input out, or choose another recipe, such as xrd_1d",
        )


def _join() -> Callable[..., Any]:
    from insitu.readers.join import Join

    return Join


def _joins(rows: Sequence[Any], at: At) -> list[tuple[dict[str, Any], At]]:
    """What `[[join]]` says of each log, and where it stands. A log of files must be there."""
    problems, found = Problems(), []
    keys = {k: v for k, v in keys_of(_join(), at).items() if k != "detector"} if rows else {}
    for i, row in enumerate(rows):
        with problems.gather():
            found.append((read_table(row, keys, at / i).values, at / i))
    problems.stop()
    return found


def _make_reader(
    entry: Entry | None, joins: Sequence[tuple[dict[str, Any], At]], detector: Detector, at: At
) -> Callable[[], Reader]:
    def make() -> Reader:
        if entry is None:
            raise UsageError("a stored run is not read from its instrument again", where=str(at))
        if entry.missing:
            raise UsageError("nothing says what to read", where=str(at), remedy="Say it with --input PATH")
        must_exist(entry.values)
        reader = entry.make(detector=detector, name=detector.name)
        if not joins:
            return reader
        from insitu.readers.join import Joined

        return Joined(reader, [construct(_join(), {**values, "detector": detector}, place) for values, place in joins])

    return make


def must_exist(values: Mapping[str, Any]) -> None:
    """Refuse a path to nothing before a run begins; what is followed may still come."""
    path = values.get("path")
    if not isinstance(path, str) or values.get("follow") or glob.has_magic(path) or "://" in path:
        return
    if path and not Path(path).expanduser().exists():
        raise SourceError(
            "there is no such file or folder",
            where=path,
            expected="a file, a folder, or a glob such as 'run7/*'",
            remedy="Check the path, and that its disk is mounted",
        )


def _says_simulated(reader: Any) -> bool:
    return isinstance(reader, dict) and str(reader.get("use", "")).startswith("simulated.")
