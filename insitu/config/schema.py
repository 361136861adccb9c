"""Signatures as schemas: what a table may hold is what its factory takes.

One rule for everything: a recipe's own tables (`tables.py`) and every role are keyword arguments of a function.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from insitu.config.convert import convert, to_toml, words
from insitu.config.document import At, Problems
from insitu.errors import ConfigError, InsituError, ModelError
from insitu.units import did_you_mean

REQUIRED = inspect.Parameter.empty
FOLDER = "files/"
"""Where a run keeps the files that its recipe names."""

MOST_FILES, MOST_BYTES = 10_000, 512_000_000
_KINDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Key:
    """What may be written for one key. `default` is REQUIRED where there is none."""

    annotation: Any
    default: Any = REQUIRED


class Table(NamedTuple):
    """A table that was read: `values` for the factory, and `resolved` as TOML with every default written out."""

    values: dict[str, Any]
    resolved: dict[str, Any]


class Files:
    """The files that a recipe names, each under a name of its own in the run's `files/`."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self._taken: dict[str, Path] = {}

    def add(self, path: Path, at: At) -> str:
        """The name under which a run keeps the file, `files/<name>`, or the folder with all files in it."""
        if not path.exists():
            raise at.wrong(f"there is no file {path}", expected="a file", remedy=self._nearby(at))
        name, i = path.name or "folder", 1
        while self._taken.get(name, path) != path:
            i += 1
            name = f"{path.stem}_{i}{path.suffix}"
        self._taken[name] = path
        if path.is_dir():
            self._add_folder(path, name, at)
        else:
            self.paths[name] = path
        return f"{FOLDER}{name}"

    def _add_folder(self, folder: Path, name: str, at: At) -> None:
        """All files of a folder; none of its hidden ones, and no folders in it."""
        found = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        size = sum(p.stat().st_size for p in found)
        if not found or len(found) > MOST_FILES or size > MOST_BYTES:
            raise at.wrong(
                f"the folder {folder} holds {len(found)} files, {size:,} bytes",
                expected=f"1 to {MOST_FILES:,} files, at most {MOST_BYTES:,} bytes: a run keeps a copy of them",
            )
        self.paths.update({f"{name}/{p.name}": p for p in found})

    @staticmethod
    def _nearby(at: At) -> str:
        given = at.document.where(at.path).startswith("--set")
        return f"Relative names start at {'the current folder' if given else at.document.name}"


def keys_of(factory: Callable[..., Any], at: At) -> dict[str, Key]:
    """The keys that a factory takes, from its signature; `ConfigError` where that cannot be a schema."""
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters.values()
    except (NameError, TypeError, ValueError) as e:
        raise at.wrong(f"the signature of {_name(factory)} cannot be read: {e}") from e
    for p in parameters:
        if p.kind not in _KINDS or p.annotation is inspect.Parameter.empty:
            raise at.wrong(
                f"{_name(factory)} cannot be used in a recipe: its parameter {p} is no annotated keyword",
                expected="every parameter named and annotated, such as `window: float = 1.0`",
            )
    return {p.name: Key(p.annotation, p.default) for p in parameters}


def read_table(table: Any, keys: Mapping[str, Key], at: At, *, files: Files | None = None) -> Table:
    """Convert a table by its keys. All that is wrong with it is told at once."""
    if not isinstance(table, dict):
        raise at.wrong("this is not a table", expected=f"a table with the keys {', '.join(keys)}")
    problems, out = Problems(), Table({}, {})
    for name in (name for name in table if name not in keys):
        problems.add(unknown_key(name, keys, at))
    for name, key in keys.items():
        with problems.gather():
            _read_key(name, key, table, at, files, out)
    problems.stop()
    return out


def _read_key(name: str, key: Key, table: Mapping[str, Any], at: At, files: Files | None, out: Table) -> None:
    if name in table:
        value = out.values[name] = convert(table[name], key.annotation, at / name)
        out.resolved[name] = _kept(value, table[name], at / name, files)
    elif key.default is REQUIRED:
        raise at.wrong(f'the key "{name}" is missing', expected=f"{name} = {words(key.annotation)}")
    elif (default := to_toml(key.default, key.annotation)) not in (None, {}):
        out.resolved[name] = default


def _kept(value: Any, written: Any, at: At, files: Files | None) -> Any:
    """What the resolved text says: as written, but files by the name under which the run keeps them."""
    if files is None:
        return written
    if isinstance(value, Path):
        return files.add(value, at)
    if isinstance(value, (list, tuple)) and any(isinstance(v, Path) for v in value):
        return [_kept(v, w, at / i, files) for i, (v, w) in enumerate(zip(value, written, strict=True))]
    return written


def unknown_key(name: str, allowed: Iterable[str], at: At) -> ConfigError:
    """The problem of a key that is not known here."""
    known = list(allowed)
    expected = f"one of {', '.join(known)}" if known else "no keys"
    return (at / name).wrong(f'"{name}" is not a key here', expected=expected, remedy=did_you_mean(name, known))


def construct(factory: Callable[..., Any], values: Mapping[str, Any], at: At) -> Any:
    """Call a factory; a value that it refuses is told with its file, line and key."""
    problems = Problems()
    try:
        return factory(**values)
    except ConfigError as error:
        for problem in error.problems:
            problems.add(at.adopt(problem))
    except ModelError:
        raise  # refused: exit 6, and nothing about the recipe
    except ValueError as error:
        problems.add(at.wrong(f"{_name(factory)} refuses this: {error}"))
    except InsituError:
        raise
    except Exception as error:
        if factory.__module__.partition(".")[0] == "insitu":
            raise  # a bug, with its traceback
        what = f"{_name(factory)} raised {type(error).__name__}: {error}, line {line_of(error)}"
        problems.add(at.wrong(what, remedy="Correct it; it is no part of insitu"))
    problems.stop()
    raise AssertionError("unreachable: a refusal is a problem")


def line_of(error: BaseException) -> str:
    """The place that raised an error: `17 of /path/file.py`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].lineno} of {frames[-1].filename}" if frames else "unknown"


def _name(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__qualname__", repr(factory))
