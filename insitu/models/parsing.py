"""JSON into frozen dataclasses, strictly: no unknown, missing or doubled key, no wrong type, no NaN, no huge number.

The dataclass is the schema. Annotations understood: str, int, float, bool, Literal, X | None, X | Y,
tuple[X, ...], Mapping[str, Any] (free but plain JSON), and other dataclasses. Errors are `ModelError` with the key.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson

from insitu.errors import ModelError
from insitu.units import did_you_mean

DEEPEST = 8
"""Nesting of free values (parameters of a preparation, rows of a table)."""
_AGAIN = "Get the bundle again from where it comes from, byte for byte"


def loads(data: bytes, where: str, *, largest: int) -> Any:
    """The value of a JSON text of at most `largest` bytes. Raises `ModelError` naming `where`."""
    if len(data) > largest:
        raise ModelError(f"this file has {len(data):,} bytes", where=where, expected=f"at most {largest:,}")
    try:
        found = orjson.loads(data)  # refuses invalid UTF-8, NaN, and nesting beyond 1,024
        json.loads(data, object_pairs_hook=_once)
    except RecursionError:
        raise ModelError("nested too deeply", where=where, remedy=_AGAIN) from None
    except ValueError as e:
        raise ModelError(f"this is not JSON: {e}", where=where, expected="UTF-8 without BOM", remedy=_AGAIN) from e
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Of a key that is there twice, one reader may take the first and another the last."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is there twice")


_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
"""With numbers of numpy, which a training script has."""


def dumps(value: Any) -> bytes:
    """Canonical and readable: sorted keys, two spaces, UTF-8, one line break at the end."""
    return orjson.dumps(value, option=_CANONICAL)


def build(cls: type, body: Any, where: str) -> Any:
    """A `cls` (a dataclass) from a JSON object.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: float
    ...     name: str = ""
    >>> build(Point, {"x": 1}, "file")
    Point(x=1.0, name='')
    >>> build(Point, {"x": "1"}, "file")
    Traceback (most recent call last):
    insitu.errors.ModelError: file: x: '1' is not a number; expected a number
    """
    if not isinstance(body, Mapping):
        raise _wrong(body, where, "an object")
    hints = get_type_hints(cls)
    names = {f.name: f for f in fields(cls) if f.init}
    for key in body:
        if key not in names:
            remedy = did_you_mean(str(key), names) or "A newer insitu may know it"
            raise ModelError("unknown key", where=_join(where, str(key)), remedy=remedy)
    given = {}
    for name, f in names.items():
        if name in body:
            given[name] = value(hints[name], body[name], _join(where, name))
        elif f.default is MISSING and f.default_factory is MISSING:
            raise ModelError("this key is missing", where=_join(where, name), remedy="Write the bundle again")
    try:
        return cls(**given)
    except ModelError as e:
        raise ModelError(e.what, where=_join(where, e.where), expected=e.expected, remedy=e.remedy) from e


def plain(x: Any) -> Any:
    """A dataclass as what JSON holds.

    >>> plain((1, {"a": (2.5,)}))
    [1, {'a': [2.5]}]
    """
    if is_dataclass(x) and not isinstance(x, type):
        return {f.name: plain(getattr(x, f.name)) for f in fields(x)}
    if isinstance(x, Mapping):
        return {key: plain(v) for key, v in x.items()}
    if isinstance(x, list | tuple):
        return [plain(v) for v in x]
    return x


def value(hint: Any, x: Any, where: str) -> Any:
    """`x` as the annotation `hint` says."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return free(x, where)
    if origin in (Union, UnionType):
        return _any_of(inner, x, where)
    if origin is Literal:
        if x not in inner or isinstance(x, bool):
            raise _wrong(x, where, "one of " + ", ".join(map(str, inner)))
        return x
    if origin is tuple:
        if not isinstance(x, list | tuple):
            raise _wrong(x, where, "a list")
        return tuple(value(inner[0], item, f"{where}[{i}]") for i, item in enumerate(x))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(x, Mapping):
            raise _wrong(x, where, "an object")
        return {_key(k, where): value(inner[1], v, _join(where, str(k))) for k, v in x.items()}
    if is_dataclass(hint):
        return x if isinstance(hint, type) and isinstance(x, hint) else build(hint, x, where)  # type: ignore[arg-type]
    return _scalar(hint, x, where)


def _scalar(hint: Any, x: Any, where: str) -> Any:
    if hint is type(None) and x is None:
        return None
    if hint is bool and isinstance(x, bool):
        return x
    if hint is int and isinstance(x, int) and not isinstance(x, bool):
        return x
    if hint is float and isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x):
        return float(x)
    if hint is str and isinstance(x, str):
        return _printable(x, where)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
    raise _wrong(x, where, words[hint])


def _any_of(inner: tuple[Any, ...], x: Any, where: str) -> Any:
    """The first of several annotations that fits; else what the last one expected."""
    problem = None
    for hint in sorted(inner, key=lambda h: h is type(None), reverse=True):
        try:
            return value(hint, x, where)
        except ModelError as e:
            problem = e
    raise problem or _wrong(x, where, "something else")


def free(x: Any, where: str, depth: int = 0) -> Any:
    """Plain JSON of any shape, but not deep."""
    if depth > DEEPEST:
        raise ModelError("nested too deeply", where=where, expected=f"at most {DEEPEST} levels")
    if isinstance(x, Mapping):
        return {_key(k, where): free(v, _join(where, str(k)), depth + 1) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [free(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(x)]
    if isinstance(x, str):
        return _printable(x, where)
    if x is None or isinstance(x, bool | int) or (isinstance(x, float) and math.isfinite(x)):
        return x
    raise _wrong(x, where, "text, a number, true, false, null, a list or an object")


def _key(k: Any, where: str) -> str:
    if not isinstance(k, str):
        raise _wrong(k, where, "text as key")
    return _printable(k, where)


def _printable(x: str, where: str) -> str:
    """Texts are shown to people: nothing in them may write to a terminal."""
    if not x.isprintable():
        raise ModelError(f"{x[:40]!r}", where=where, expected="printable letters, in one line")
    return x


def _join(where: str, key: str) -> str:
    if not where or not key:
        return where or key
    return f"{where}: {key}" if where.endswith(".json") or where == "file" else f"{where}.{key}"


def _wrong(x: Any, where: str, expected: str) -> ModelError:
    shown = repr(x)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    what = {"a number": "is not a number", "text": "is not text"}.get(expected, "is not allowed here")
    return ModelError(f"{shown} {what}", where=where, expected=expected)
