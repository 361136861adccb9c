"""A TOML document with a name for every place in it, so that each problem says file, line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from insitu.config.lines import KeyPath, line_of, lines
from insitu.errors import ConfigError, NotFoundError, UnitError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """`name`: the file, as people know it. `given`: {key path: how it was given}, for keys of the command line."""

    name: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    given: Mapping[KeyPath, str] = field(default_factory=dict)
    folder: Path | None = None

    def where(self, path: KeyPath) -> str:
        """`file:line: key`, or the option of the command line that set the key."""
        for i in range(len(path), 0, -1):
            if path[:i] in self.given:
                return self.given[path[:i]]
        line = line_of(path, self.lines)
        made = (told for key, told in self.given.items() if path and key[: len(path)] == path)
        if path not in self.lines and (told := next(made, "")):  # a table that is not in the file
            return told
        file = self.name if line is None else f"{self.name}:{line}"
        return f"{file}: {dotted(path)}" if path else file


def dotted(path: KeyPath) -> str:
    """A key path as `--set` takes it: `models.0.low`.

    >>> dotted(("calibration", "odd key"))
    'calibration."odd key"'
    """
    parts = (str(part) for part in path)
    return ".".join(p if re.fullmatch(r"[A-Za-z0-9_-]+", p) else f'"{p}"' for p in parts)


@dataclass(frozen=True, slots=True)
class At:
    """A place in a document: `at / "budget" / "latency"`."""

    document: Document
    path: KeyPath = ()

    def __truediv__(self, part: str | int) -> At:
        return replace(self, path=(*self.path, part))

    def __str__(self) -> str:
        return self.document.where(self.path)

    def wrong(self, what: str, *, expected: str = "", remedy: str = "") -> ConfigError:
        """A problem at this place."""
        return ConfigError(what, where=str(self), expected=expected, remedy=remedy)

    def adopt(self, error: ConfigError) -> ConfigError:
        """The error of a factory, moved here: `error.where` is the key it is about, or nothing."""
        key, _, _ = error.where.partition("[")
        at = self / key if re.fullmatch(r"[a-z_][a-z0-9_]*", key) else self
        extra = "" if at is not self or not error.where else f"{error.where}: "
        kind = UnitError if isinstance(error, UnitError) else ConfigError
        return kind(f"{extra}{error.what}", where=str(at), expected=error.expected, remedy=error.remedy)


class Problems:
    """Gathers what is wrong, so that all of it is told at once."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, error: ConfigError) -> None:
        """One more problem, or all those that an error carries; the same one counts once."""
        known = {str(p) for p in self.found}
        self.found.extend(p for p in error.problems if str(p) not in known)

    @contextmanager
    def gather(self) -> Iterator[None]:
        """What is raised inside is kept, and the next thing is looked at."""
        try:
            yield
        except ConfigError as error:
            self.add(error)

    def stop(self) -> None:
        """Raises one `ConfigError` for all that was found, by file and line; returns where there was nothing."""
        if self.found:
            raise together(sorted(self.found, key=_order))


def _order(problem: ConfigError) -> tuple[str, int]:
    file, _, rest = problem.where.partition(":")
    line, _, _ = rest.partition(":")
    return file, int(line) if line.isdigit() else 0


def together(problems: Iterable[ConfigError]) -> ConfigError:
    """One error for one or several."""
    found = tuple(problems)
    if len(found) == 1:
        return found[0]
    first = found[0]
    return ConfigError(first.what, where=first.where, expected=first.expected, remedy=first.remedy, problems=found)


def read(path: Path) -> Document:
    """The document in a file; `ConfigError` with the line where it is no TOML."""
    name = shown(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as e:
        raise NotFoundError(f"cannot be read: {e.strerror}", where=name, expected="a readable TOML file") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"is not UTF-8 text (byte {e.start})", where=name, expected="a TOML file") from e
    return parse(text, name, path.parent)


def parse(text: str, name: str, folder: Path | None = None) -> Document:
    """The document in a text; `ConfigError` with the line where it is no TOML."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(e))
        what = str(e)[: place.start()] if place else str(e)
        line = int(place[1]) if place and place[1] else text.rstrip().count("\n") + 1
        column = f", column {place[2]}" if place and place[2] else ""
        raise ConfigError(
            f"this is not valid TOML{column}: {what}",
            where=f"{name}:{line}",
            remedy=_toml_remedy(what),
        ) from e
    return Document(name=name, data=data, lines=lines(text), folder=folder)


def _toml_remedy(what: str) -> str:
    if "overwrite" in what or "twice" in what:
        return "The same key or table stands twice: keep one of them; entries of a list stand in [[double brackets]]"
    return 'Texts and numbers with units stand in quotes: latency = "50 ms"'


def shown(path: Path) -> str:
    """A path as people know it: relative to the current folder where it lies inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def text(table: Mapping[str, Any]) -> str:
    """A table as TOML."""
    import tomli_w

    return tomli_w.dumps(table)
