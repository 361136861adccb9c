"""TOML values to the types that signatures ask for, and defaults back to TOML.

| annotation | what a recipe writes |
|---|---|
| `bool`, `int`, `float`, `str` | the plain value; an int is also a float, a bool is not a number |
| `Annotated[float, "deg"]` | `"0.5 deg"`, in any unit that converts; a plain number only where the unit is `""` |
| `Feature` | `"28.2 deg"`, or a plain number |
| `Literal[...]` | one of the values |
| `list[X]`, `tuple[X, ...]`, `tuple[X, Y]` | an array |
| `dict[str, X]`, `Mapping[str, X]` | a table |
| `Path` | a file or folder; a relative one is looked up beside the document, or where `--set` was typed |
| `X \\| None`, `X \\| Y` | the first that fits; to say None, leave the key out |
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from insitu import units
from insitu.config.document import At, Problems
from insitu.errors import ConfigError, UnitError
from insitu.types import Feature

Value = Any
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a file name in quotes",
    Feature: 'a number with its unit, such as "28.2 deg"',
}


def convert(value: Any, annotation: Any, at: At) -> Value:
    """`value` as the annotation wants it; `ConfigError` with the place and what is allowed."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _with_unit(value, arguments[0], arguments[1:], at)
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, arguments, at)
    if origin is Literal:
        return _one_of(value, arguments, at)
    if origin in (list, Sequence) or annotation is list:
        return _array(value, arguments or (Any,), at)
    if origin is tuple:
        return _tuple(value, arguments, at)
    if origin in (dict, Mapping) or annotation is dict:
        return _table(value, arguments[1] if arguments else Any, at)
    if annotation is Feature:
        return _feature(value, at)
    if annotation is Path:
        return _path(value, at)
    if annotation is Any:
        return value
    return _plain(value, annotation, at)


def words(annotation: Any) -> str:
    """What may be written for an annotation, for people."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        unit = _unit_of(arguments[1:])
        return f'a number with a unit like "{unit}", such as "0.5 {unit}"' if unit else words(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(words(a) for a in arguments if a is not types.NoneType))
    if origin is Literal:
        return "one of " + ", ".join(_quoted(a) for a in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return "[" + ", ".join(words(a) for a in arguments) + "]"
    if origin in (list, tuple, Sequence):
        return f"an array, each {words(arguments[0])}"
    if origin in (dict, Mapping):
        return "a table" if arguments[1] is Any else f"a table, each {words(arguments[1])}"
    return _WORDS.get(annotation, "a value")


def to_toml(value: Any, annotation: Any) -> Any:
    """A default in the form in which a recipe writes it; None where it has none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if value is None:
        return None
    if isinstance(value, Feature):
        return f"{_short(value.value)} {value.unit}" if value.unit else value.value
    if origin in (Union, types.UnionType):
        fitting = [a for a in arguments if a is not types.NoneType]
        return to_toml(value, fitting[0]) if len(fitting) == 1 else to_toml(value, Any)
    if origin is Annotated:
        unit = _unit_of(arguments[1:])
        if unit and isinstance(value, (int, float)):
            return f"{_short(value)} {unit}"
        return to_toml(value, arguments[0])
    if isinstance(value, (list, tuple)):
        return [to_toml(v, _element(origin, arguments, i)) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(k): to_toml(v, arguments[1] if arguments else Any) for k, v in value.items()}
    return value if isinstance(value, (bool, int, float, str)) else str(value) if isinstance(value, Path) else None


def _short(value: float | None) -> str:
    """A number that reads back the same: `5` for 5.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else repr(value)


def _element(origin: Any, arguments: tuple[Any, ...], index: int) -> Any:
    """The annotation of an array's element."""
    fixed = origin is tuple and arguments[-1] is not Ellipsis
    return arguments[index] if fixed else arguments[0] if arguments else Any


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def seen(value: Any) -> str:
    """A value of a document, as its author wrote it (shortened)."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "an array"
    text = _quoted(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unit_of(metadata: tuple[Any, ...]) -> str:
    return next((m for m in metadata if isinstance(m, str)), "")


def _plain(value: Any, annotation: type, at: At) -> Value:
    if annotation not in (bool, int, float, str):
        raise at.wrong(f"its annotation {annotation!r} cannot be written in a recipe", expected=_supported())
    if type(value) is not annotation and not (annotation is float and type(value) is int):
        raise at.wrong(f"{seen(value)} is not {_WORDS[annotation]}", expected=_WORDS[annotation])
    if isinstance(value, float) and not math.isfinite(value):
        raise at.wrong(f"{value} is not a finite number", expected="a finite number")
    return annotation(value)


def _supported() -> str:
    return "bool, int, float, str, Path, Literal, Feature, Annotated[float, unit], list, tuple, dict of these, or None"


def _feature(value: Any, at: At) -> Feature:
    if isinstance(value, str):
        try:
            return units.parse(value)
        except UnitError as e:
            raise at.adopt(e) from e
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise at.wrong(f"{seen(value)} is not a number with its unit", expected=_WORDS[Feature])
    return Feature(value, "")


def _with_unit(value: Any, annotation: Any, metadata: tuple[Any, ...], at: At) -> Value:
    """A number in the unit that the annotation names; containers and unions apply the unit to what is inside."""
    unit = _unit_of(metadata)
    if annotation not in (float, int):
        return convert(value, annotation, at)
    if not isinstance(value, str):
        if not unit:
            return _plain(value, annotation, at)
        number = value if type(value) in (int, float) else 0.5
        expected = f'a number with a unit like "{unit}", such as "{number} {unit}"'
        raise at.wrong(f"{seen(value)} has no unit", expected=expected)
    number = _feature(value, at)
    assert number.value is not None  # parse gives a value or raises
    if unit and not number.unit:
        raise at.wrong(f"{seen(value)} has no unit", expected=f'a number with a unit, such as "{value} {unit}"')
    try:
        converted = units.convert(number.value, number.unit, unit)
    except UnitError as e:
        raise at.adopt(e) from e
    if annotation is int:
        if abs(converted - round(converted)) > 1e-6:
            raise at.wrong(f"{seen(value)} is not a whole number of {unit}", expected=f"a whole number of {unit}")
        return round(converted)
    return converted


def _first_that_fits(value: Any, annotations: tuple[Any, ...], at: At) -> Value:
    errors: list[ConfigError] = []
    candidates = [a for a in annotations if a is not types.NoneType]
    for annotation in candidates:
        try:
            return convert(value, annotation, at)
        except ConfigError as e:
            errors.append(e)
    if len(errors) == 1:
        raise errors[0]
    told = [e for e in errors if isinstance(e, UnitError)]
    if told:
        raise told[0]
    raise at.wrong(f"{seen(value)} does not fit", expected=" or ".join(dict.fromkeys(words(a) for a in candidates)))


def _one_of(value: Any, allowed: tuple[Any, ...], at: At) -> Value:
    for choice in allowed:
        if type(choice) is type(value) and choice == value:
            return choice
    expected = "one of " + ", ".join(_quoted(a) for a in allowed)
    texts = [a for a in allowed if isinstance(a, str)]
    remedy = units.did_you_mean(value, texts) if isinstance(value, str) else ""
    raise at.wrong(f"{seen(value)} is not allowed", expected=expected, remedy=remedy)


def _array(value: Any, arguments: tuple[Any, ...], at: At) -> list[Value]:
    if not isinstance(value, list):
        doubled = isinstance(value, dict) and at.path and arguments[0] in (Any, dict[str, Any])
        remedy = f"Write it in double brackets: [[{at.path[-1]}]]" if doubled else ""
        raise at.wrong(f"{seen(value)} is not an array", expected=words(list[arguments[0]]), remedy=remedy)
    problems, out = Problems(), []
    for i, item in enumerate(value):
        with problems.gather():
            out.append(convert(item, arguments[0], at / i))
    problems.stop()
    return out


def _tuple(value: Any, arguments: tuple[Any, ...], at: At) -> tuple[Value, ...]:
    if arguments[-1] is Ellipsis:
        return tuple(_array(value, arguments[:1], at))
    if not isinstance(value, list) or len(value) != len(arguments):
        what = f"has {len(value)} elements" if isinstance(value, list) else f"{seen(value)} is not an array"
        raise at.wrong(what, expected=f"{len(arguments)} elements: {words(tuple[arguments])}")
    problems, out = Problems(), []
    for i, (item, annotation) in enumerate(zip(value, arguments, strict=True)):
        with problems.gather():
            out.append(convert(item, annotation, at / i))
    problems.stop()
    return tuple(out)


def _table(value: Any, annotation: Any, at: At) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise at.wrong(f"{seen(value)} is not a table", expected=words(dict[str, annotation]))
    problems, out = Problems(), {}
    for key, item in value.items():
        with problems.gather():
            out[key] = convert(item, annotation, at / key)
    problems.stop()
    return out


def _path(value: Any, at: At) -> Path:
    if not isinstance(value, str) or not value:
        raise at.wrong(f"{seen(value)} is not a file name", expected=_WORDS[Path])
    path = Path(value).expanduser()
    if path.is_absolute() or at.document.folder is None:
        return path
    told = any(at.path[: i + 1] in at.document.given for i in range(len(at.path)))
    return Path.cwd() / path if told else at.document.folder / path
