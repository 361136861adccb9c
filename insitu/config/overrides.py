"""What the command line changes: `--set key=value` and `--input [SOURCE=]PATH`.

Keys are dotted. `detector.` begins a key of the detector file, `detector.<name>.` where there are several; everything
else is of the recipe. An entry of an array is named by its number from 0 or by its name: `models.limits.low`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from insitu.config.document import Document, Problems, dotted
from insitu.config.lines import KeyPath
from insitu.errors import ConfigError
from insitu.units import did_you_mean


@dataclass(frozen=True, slots=True)
class Override:
    """One `--set`: the parts of its key, its value, and the option as it was written."""

    path: tuple[str, ...]
    value: Any
    option: str


def parse_set(text: str) -> Override:
    """`key=value`; the value is TOML, or else plain text.

    >>> parse_set("budget.latency=20 ms").value, parse_set("policy.features=['a', 'b']").value
    ('20 ms', ['a', 'b'])
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f'"{text}" sets nothing', where="--set", expected="key=value, such as budget.latency=20 ms")
    try:
        node = tomllib.loads(f"{key.strip()} = 0")
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f'"{key}" is not a key', where=f"--set {text}", expected="names joined by dots") from e
    path: list[str] = []
    while isinstance(node, dict):
        name, node = next(iter(node.items()))
        path.append(name)
    return Override(tuple(path), _value(value.strip()), f"--set {text}")


def _value(text: str) -> Any:
    """TOML where it is just one value, else the text itself (`20 ms` needs no quotes)."""
    try:
        read = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["v"] if read.keys() == {"v"} and isinstance(read["v"], (bool, int, float, str, list, dict)) else text


def split(sets: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """The overrides of the recipe, and those of detectors (without the leading `detector`)."""
    problems, recipe, detector = Problems(), [], []
    for text in sets:
        with problems.gather():
            override = parse_set(text)
            if override.path[0] != "detector":
                recipe.append(override)
            elif len(override.path) > 1:
                detector.append(replace(override, path=override.path[1:]))
            else:
                raise ConfigError("names no key of the detector", where=override.option, expected="detector.key=value")
    problems.stop()
    return recipe, detector


def apply(document: Document, overrides: Sequence[Override], below: KeyPath = ()) -> Document:
    """The document with the overrides in it (its data are changed), each told of as what was written."""
    problems, given = Problems(), dict(document.given)
    for override in overrides:
        with problems.gather():
            path = _put(_within(document.data, below), override)
            given[(*below, *path)] = f"{override.option}: {dotted(path)}"
    problems.stop()
    return replace(document, given=given)


def _within(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _put(data: dict[str, Any], override: Override) -> KeyPath:
    """Set the value; the path that it has now. Tables that are not there are made."""
    node: Any = data
    path: list[str | int] = []
    for i, part in enumerate(override.path):
        key: Any = _entry(node, part, override) if isinstance(node, list) else part
        path.append(key)
        if i == len(override.path) - 1:
            node[key] = override.value
        else:
            node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
            if not isinstance(node, (dict, list)):
                raise ConfigError(
                    f"{dotted(tuple(path))} is a value, not a table", where=override.option, expected="a key of a table"
                )
    return tuple(path)


def _entry(entries: list[Any], part: str, override: Override) -> int:
    """The index of an array's entry, by number or by name."""
    if part.isascii() and part.isdigit() and int(part) < len(entries):
        return int(part)
    names = [str(e.get("name", e.get("use", ""))) if isinstance(e, dict) else "" for e in entries]
    if names.count(part) == 1:
        return names.index(part)
    known = [*(n for n in names if n), *(str(i) for i in range(len(entries)))]
    several = f"{names.count(part)} entries are" if part in names else "no entry is"
    raise ConfigError(
        f'{several} named "{part}"',
        where=override.option,
        expected=f"one of {', '.join(known)}" if known else "an entry; there is none",
        remedy=did_you_mean(part, known),
    )


def for_detector(overrides: Sequence[Override], name: str, names: Sequence[str]) -> list[Override]:
    """Those of the overrides that are about this detector."""
    mine = []
    for override in overrides:
        first, *rest = override.path
        if first == name and rest:
            mine.append(replace(override, path=tuple(rest)))
        elif len(names) == 1 and first != name:
            mine.append(override)
    return mine


def unclaimed(overrides: Sequence[Override], names: Sequence[str]) -> list[ConfigError]:
    """Problems of overrides that name none of several detectors, or no key of one."""
    return [
        ConfigError(
            f'"{o.path[0]}" is no key of a detector' if o.path[0] in names else f'no detector is named "{o.path[0]}"',
            where=o.option,
            expected=f"detector.<name>.key=value with a name of {', '.join(names)}",
            remedy=did_you_mean(o.path[0], names),
        )
        for o in overrides
        if (len(o.path) == 1 and o.path[0] in names) or (len(names) != 1 and o.path[0] not in names)
    ]


Inputs = Mapping[str, str] | str | Sequence[str] | None


def parse_inputs(inputs: Inputs, sources: Sequence[str]) -> dict[str, str]:
    """{source: absolute path} from `--input` options, given the sources that there are."""
    if inputs is None:
        return {}
    pairs = list(inputs.items()) if isinstance(inputs, Mapping) else [_pair(t) for t in _texts(inputs)]
    problems, found = Problems(), {}
    for source, path in pairs:
        with problems.gather():
            known = f"one of {', '.join(sources)}"
            if not source and len(sources) != 1:
                raise ConfigError(
                    f'"{path}" is given to none of several sources', where="--input", expected=f"SOURCE=PATH, {known}"
                )
            source = source or "".join(sources)
            if source not in sources:
                raise ConfigError(
                    f'no source is named "{source}"',
                    where=f"--input {source}={path}",
                    expected=known,
                    remedy=did_you_mean(source, sources),
                )
            if not path:
                raise ConfigError("the path is empty", where="--input", expected="a file or folder")
            if source in found:
                raise ConfigError(f'the source "{source}" has two inputs', where="--input", expected="one")
            found[source] = str(Path(path).expanduser().absolute())
    problems.stop()
    return found


def _texts(inputs: str | Sequence[str]) -> Sequence[str]:
    return [inputs] if isinstance(inputs, str) else inputs


def _pair(text: str) -> tuple[str, str]:
    """`SOURCE=PATH` or `PATH`; a path that exists as it is written is a path."""
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9_]*)=(.*)", text, re.DOTALL)
    return ("", text) if match is None or Path(text).expanduser().exists() else (match[1], match[2])
