"""Lines of keys in TOML texts."""

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.config.lines import KeyPath, line_of, lines

TEXT = '''# a comment with key = 1 and [table]
title = "a # in a string"   # and a comment
"quoted key".'x.y' = 2
long = """
first = 1
[not.a.table]
""" # still the same value
raw = \'\'\'
a = """
\'\'\'
windows = [
  ["1 deg", "2 deg"],  # one
  # nothing here ]
  ["3 deg", "]"],
]
point = { x = 1, y.z = [1, 2], "w" = {} }

[budget]
latency = "50 ms"
a.b.c = 1

[[models]]
use = "limits"
[models.deep]
k = 1
[[models]]
use = "change_point"
[[models.parts]]
n = 1
[[models.parts]]
n = 2
[ "odd \\u00e9" . bare ]
date = 2026-11-22T10:00:00Z
'''

WANTED: dict[KeyPath, int] = {
    ("title",): 2,
    ("quoted key", "x.y"): 3,
    ("long",): 4,
    ("raw",): 8,
    ("windows",): 11,
    ("windows", 0): 12,
    ("windows", 0, 1): 12,
    ("windows", 1): 14,
    ("windows", 1, 1): 14,
    ("point", "x"): 16,
    ("point", "y", "z", 1): 16,
    ("point", "w"): 16,
    ("budget",): 18,
    ("budget", "latency"): 19,
    ("budget", "a", "b", "c"): 20,
    ("models", 0): 22,
    ("models", 0, "use"): 23,
    ("models", 0, "deep"): 24,
    ("models", 0, "deep", "k"): 25,
    ("models", 1): 26,
    ("models", 1, "use"): 27,
    ("models", 1, "parts", 0, "n"): 29,
    ("models", 1, "parts", 1): 30,
    ("models", 1, "parts", 1, "n"): 31,
    ("odd é", "bare"): 32,
    ("odd é", "bare", "date"): 33,
}


def leaves(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """The key paths of everything in parsed TOML, except the empty path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path for path in [path] if path}.union(*(leaves(v, (*path, k)) for k, v in items))


def test_every_key_of_a_hard_text_is_on_its_line() -> None:
    found = lines(TEXT)
    assert {path: found.get(path) for path in WANTED} == WANTED
    assert leaves(tomllib.loads(TEXT)) <= set(found) | {("quoted key",), ("odd é",), ("models", 1, "parts")}


def test_windows_line_ends_count_once() -> None:
    assert lines("a = 1\r\nb = 2\r\n")[("b",)] == 2


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    assert line_of(("budget", "lag"), lines(TEXT)) == 18
    assert line_of(("policy",), lines(TEXT)) is None


@pytest.mark.parametrize("text", ["a = '''x''''\nb = 1", 'a = """x"""""\nb = 1', 'a = "\\""\nb = 1', "a = ''\nb = 1"])
def test_strings_end_where_toml_says(text: str) -> None:
    tomllib.loads(text)
    assert lines(text)[("b",)] == 2


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(
    st.integers(-99, 99),
    st.booleans(),
    st.floats(allow_nan=False),
    names,
    st.datetimes(),
    st.text('"\\\n]},=#[{', max_size=9),
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3), max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, values, max_size=4), st.booleans())
def test_whatever_is_written_every_key_is_found_on_a_line_that_exists(data: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(data, multiline_strings=multiline)
    found = lines(text)
    assert set(found) >= {p for p in leaves(tomllib.loads(text)) if len(p) == 1 or isinstance(p[-1], str)} - tables(
        data
    )
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(names, scalars, min_size=1, max_size=5))
def test_a_key_is_on_the_line_that_starts_its_value(data: dict[str, Any]) -> None:
    text = tomli_w.dumps(data)
    for (name, *_), line in lines(text).items():
        rest = "\n".join(text.split("\n")[line - 1 :])
        assert next(iter(tomllib.loads(rest))) == name


def tables(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Paths of tables and arrays of tables: those may stand in headers only, with no line of their own."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    own = {path} if isinstance(value, (dict, list)) else set()
    return own.union(*(tables(v, (*path, k)) for k, v in items))
