"""TOML values to what signatures ask for, and defaults back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.config.convert import convert, to_toml
from insitu.config.document import At, Document
from insitu.errors import ConfigError
from insitu.types import Feature

AT = At(Document(name="recipe.toml", data={}, folder=Path("/home/beam")), ("key",))
Deg = Annotated[float, "deg"]


@pytest.mark.parametrize(
    ("value", "annotation", "wanted"),
    [
        (True, bool, True),
        (3, int, 3),
        (3, float, 3.0),
        (2.5, float, 2.5),
        ("a", str, "a"),
        ("b", Literal["a", "b"], "b"),
        (2, Literal[1, 2], 2),
        ("0.5 deg", Deg, 0.5),
        ("3.141592653589793 rad", Deg, 180.0),
        ("0.5 deg", Deg | None, 0.5),
        ("2", Annotated[float, ""], 2.0),
        (2, Annotated[float, ""], 2.0),
        ("2 kB", Annotated[int, "byte"], 2000),
        ("28.2 deg", Feature, Feature(28.2, "deg")),
        (3, Feature, Feature(3, "")),
        ("25 degC", Feature | None, Feature(25.0, "degC")),
        ([1, 2], list[float], [1.0, 2.0]),
        ([1, 2], tuple[int, ...], (1, 2)),
        (["1 deg", 2], tuple[Deg, int], (1.0, 2)),
        ([["1 deg", "2 deg"]], list[tuple[Deg, Deg]], [(1.0, 2.0)]),
        ([1], Sequence[int], [1]),
        ({"a": "1 s"}, dict[str, Feature], {"a": Feature(1.0, "s")}),
        ({"a": 1}, Mapping[str, int], {"a": 1}),
        ("x.npy", Path, Path("/home/beam/x.npy")),
        ("/tmp/x.npy", Path | None, Path("/tmp/x.npy")),
        ("auto", float | Literal["auto"], "auto"),
        (1.5, float | Literal["auto"], 1.5),
        ({"any": [1]}, Any, {"any": [1]}),
    ],
)
def test_a_value_becomes_what_the_annotation_says(value: Any, annotation: Any, wanted: Any) -> None:
    found = convert(value, annotation, AT)
    assert found == pytest.approx(wanted) if isinstance(wanted, float) else found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("value", "annotation", "says"),
    [
        (True, int, "true is not a whole number"),
        (True, float, "true is not a number"),
        (1, bool, "true or false"),
        (1.0, int, "a whole number"),
        (1, str, "text in quotes"),
        (float("nan"), float, "not a finite number"),
        (float("inf"), Feature, "not a number with its unit"),
        (True, Feature, "true is not a number"),
        (0.5, Deg, 'such as "0.5 deg"'),
        ("0.5", Deg, "has no unit"),
        ("0.5 K", Deg, '"K" cannot be converted to "deg"'),
        ("0.5 deg", float, '"0.5 deg" is not a number'),
        ("1 deg", Annotated[float, ""], '"deg" cannot be converted to ""'),
        ("1.5 byte", Annotated[int, "byte"], "a whole number of byte"),
        ("c", Literal["a", "b"], 'one of "a", "b"'),
        (1, Literal[True], "one of true"),
        (1, list[int], "1 is not an array"),
        ([1], tuple[int, int], "2 elements"),
        ([1, "a"], list[int], "key.1"),
        ({"a": "x"}, dict[str, int], "key.a"),
        ([], dict[str, int], "is not a table"),
        ("a", float | Literal["auto"], 'a number or one of "auto"'),
        ("", Path, "not a file name"),
        (1, complex, "cannot be written in a recipe"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value: Any, annotation: Any, says: str) -> None:
    with pytest.raises(ConfigError) as e:
        convert(value, annotation, AT)
    assert says in str(e.value)
    assert str(e.value).startswith("recipe.toml: key")


def test_all_elements_that_do_not_fit_are_told() -> None:
    with pytest.raises(ConfigError) as e:
        convert([["1 deg", "2 K"], ["3 s"], ["x", "4 deg"]], list[tuple[Deg, Deg]], AT)
    assert [p.where for p in e.value.problems] == [
        "recipe.toml: key.0.1",
        "recipe.toml: key.1",
        "recipe.toml: key.2.0",
    ]


@pytest.mark.parametrize(
    ("default", "annotation", "text"),
    [
        (0.05, Annotated[float, "s"], "0.05 s"),
        (512e6, Annotated[float, "byte"], "512000000 byte"),
        (Feature(1.5, "deg"), Feature | None, "1.5 deg"),
        (Feature(3, ""), Feature, 3),
        ((1.0, 2.5), tuple[Deg, Deg], ["1 deg", "2.5 deg"]),
        ([(1.0, 2.0)], list[tuple[Deg, Deg]] | None, [["1 deg", "2 deg"]]),
        (("a",), tuple[str, ...], ["a"]),
        ({"a": 1.0}, dict[str, Deg], {"a": "1 deg"}),
        (None, float | None, None),
        (True, bool, True),
        ("x", Literal["x"], "x"),
    ],
)
def test_a_default_is_written_as_a_recipe_would(default: Any, annotation: Any, text: Any) -> None:
    assert to_toml(default, annotation) == text
    if text is not None:
        assert convert(text, annotation, AT) == default


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_is_written_with_its_unit_reads_back_the_same(x: float) -> None:
    assert convert(to_toml(x, Deg), Deg, AT) == x
