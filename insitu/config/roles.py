"""The entries of a recipe that name a factory: `use` to a Python object, its keys to keyword arguments."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insitu.config.convert import seen
from insitu.config.document import At, Problems
from insitu.config.schema import REQUIRED, Files, Key, Table, construct, keys_of, line_of, read_table, unknown_key
from insitu.config.tables import named
from insitu.errors import ConfigError
from insitu.types import KEY
from insitu.units import did_you_mean

INJECTED = ("detector", "units", "name", "stored")
"""Parameters that are not keys of the recipe: config hands them over."""

REGISTRIES = {
    "reader": ("insitu.readers", "READERS"),
    "prepare": ("insitu.prepare", "PREPARES"),
    "features": ("insitu.features", "FEATURES"),
    "models": ("insitu.inference", "MODELS"),
    "rules": ("insitu.decisions", "RULES"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One `[[features]]`, `[reader]` or the like, ready to be made.

    `name` is unique among its kind; `own_name` is what the recipe says ("" where it says none). `values` are the
    factory's arguments, `resolved` the table with every default, `takes` the injected parameters that it has,
    `missing` the required keys that may still come.
    """

    name: str
    own_name: str
    source: str | None
    factory: Callable[..., Any]
    values: Mapping[str, Any]
    resolved: Mapping[str, Any]
    takes: frozenset[str]
    missing: frozenset[str]
    at: At

    def make(self, **injected: Any) -> Any:
        """A new object; of `injected`, what the factory takes."""
        wanted = {k: v for k, v in injected.items() if k in self.takes}
        return construct(self.factory, {**deepcopy(dict(self.values)), **wanted}, self.at)


def read_entry(
    table: Any, kind: str, at: At, *, files: Files | None = None, optional: frozenset[str] = frozenset()
) -> Entry:
    """Read one entry. `optional`: keys that may be missing for now (`path` of a reader)."""
    factory = _factory(table, kind, at)
    signature = keys_of(factory, at / "use")
    keys = {name: key for name, key in signature.items() if name not in INJECTED}
    ours = _ours(kind, keys)
    problems, head = Problems(), {}
    for key in ours:
        with problems.gather():
            head[key] = _name_in(table, key, at)
    rest = {k: v for k, v in table.items() if k not in ("use", *ours)}
    for name in (name for name in rest if name not in keys):
        problems.add(unknown_key(name, [*keys, *ours], at))
    missing = frozenset(n for n in optional if n not in rest and n in keys and keys[n].default is REQUIRED)
    keys = {name: key for name, key in keys.items() if name not in missing}
    read = Table({}, {})
    with problems.gather():
        read = read_table({k: v for k, v in rest.items() if k in keys}, keys, at, files=files)
    problems.stop()
    own, name = head.get("name"), head.get("name") or default_name(table["use"])
    written = {"use": table["use"], "name": name if kind in ("models", "rules") else own, "source": head.get("source")}
    return Entry(
        name=name,
        own_name=own or "",
        source=head.get("source"),
        factory=factory,
        values=read.values,
        resolved={**{k: v for k, v in written.items() if v is not None}, **read.resolved},
        takes=frozenset(INJECTED) & signature.keys(),
        missing=missing,
        at=at,
    )


def _ours(kind: str, keys: Mapping[str, Key]) -> tuple[str, ...]:
    """Keys of an entry that are config's own: its name, and the source that it is limited to."""
    if kind == "reader":
        return ()
    return ("name", "source") if kind in ("prepare", "features") and "source" not in keys else ("name",)


def _factory(table: Any, kind: str, at: At) -> Callable[..., Any]:
    if not isinstance(table, dict):
        raise at.wrong("this is not a table", expected='a table with the key "use"')
    use = table.get("use")
    if use is None:
        raise at.wrong('the key "use" is missing', expected=f"use = {_known(kind)}")
    if not isinstance(use, str):
        raise (at / "use").wrong(f"{seen(use)} is not a text", expected=_known(kind))
    return find(use, kind, at / "use")


def _name_in(table: Mapping[str, Any], key: str, at: At) -> str | None:
    """The name under a key; None where there is none."""
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise (at / key).wrong(f"{seen(value)} is not a text", expected="a name in quotes")
    try:
        return named(value, key)
    except ConfigError as e:
        raise at.adopt(e) from e


def default_name(use: str) -> str:
    """The name of an entry that has none: its `use`, or the end of it.

    >>> default_name("change_point"), default_name("mylab.module:Thing")
    ('change_point', 'thing')
    """
    if KEY.fullmatch(use):
        return use
    last = "".join(c if c.isalnum() else "_" for c in use.replace(":", ".").rsplit(".", 1)[-1].lower())
    return last if KEY.fullmatch(last) else f"x{last}"


def short_names(kind: str) -> dict[str, str]:
    """{short name: "module:Thing"} of a kind of role."""
    module, registry = REGISTRIES[kind]
    return getattr(importlib.import_module(module), registry)


def find(use: str, kind: str, at: At) -> Callable[..., Any]:
    """The factory that `use` names: a short name, or `module:Thing` (the current folder is looked at too)."""
    names = short_names(kind)
    target = names.get(use, use)
    module, colon, thing = target.partition(":")
    if not colon or not re.fullmatch(r"[\w.]*\w:[\w.]*\w", target):
        raise at.wrong(f'"{use}" is not known here', expected=_known(kind), remedy=did_you_mean(use, names))
    if use not in names and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # `insitu` is started by a script: Python does not look into the current folder
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name is not None and (module == e.name or module.startswith(e.name + ".")):
            raise at.wrong(
                f'there is no module "{module}"',
                expected="a module of the current folder or an installed package",
                remedy=did_you_mean(use, names),
            ) from e
        raise at.wrong(f'the module "{module}" needs {e.name!r}, which is not installed') from e
    except SyntaxError as e:
        raise at.wrong(f'the module "{module}" is no Python: {e.msg}, line {e.lineno} of {e.filename}') from e
    except (Exception, SystemExit) as e:  # it is not ours: whatever it does when imported is told as its own fault
        what = f"{type(e).__name__}: {e}, line {line_of(e)}"
        raise at.wrong(
            f'the module "{module}" cannot be imported: {what}', remedy="Correct it; it is no part of insitu"
        ) from e
    for part in thing.split("."):
        if not hasattr(found, part):
            public = [n for n in dir(found) if not n.startswith("_")]
            raise at.wrong(f'"{module}" has no "{part}"', remedy=did_you_mean(part, public))
        found = getattr(found, part)
    if not callable(found):
        raise at.wrong(f'"{use}" is not a factory', expected="a class or a function that returns the callable")
    return found


def _known(kind: str) -> str:
    return f'one of {", ".join(sorted(short_names(kind)))}, or "module:Thing"'
