"""Which channel holds the noise and which the field, and their units."""

import math

import numpy as np
import pytest

from insitu.features.barkhausen_channels import choose, factor
from insitu.types import Frame


def frame(channels: str, unit: str | tuple[str, ...]) -> Frame:
    n = len(channels.split())
    return Frame(
        source="mbn", seq=0, n=0, time_ns=0, data=np.zeros((n, 64)), dims=("channel", "sample"), unit=unit,
        labels={"channels": channels},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "unit", "chosen"),
    [
        ("noise field", ("V", "A/m"), ("noise", "field")),
        ("h mbn", ("A/m", "mV"), ("mbn", "h")),
        ("ai0 ai1", ("V", "T"), ("ai0", "ai1")),
        ("ai0 ai1", ("A", "V"), ("ai1", "ai0")),
        ("magnetising_current pickup", ("V", "V"), ("pickup", "magnetising_current")),
        ("left right", ("", ""), ("left", "")),
        ("noise", "V", ("noise", "")),
    ],
)
def test_channels_are_found_by_name_and_unit(channels: str, unit: tuple[str, ...], chosen: tuple[str, str]) -> None:
    assert choose(frame(channels, unit), "", "") == chosen


def test_channels_that_are_named_are_taken_and_missing_ones_told() -> None:
    assert choose(frame("a b c", ("V", "V", "V")), "c", "a") == ("c", "a")
    with pytest.raises(ValueError, match="there are a, b"):
        choose(frame("a b", ("V", "V")), "x", "")
    with pytest.raises(ValueError, match="no channel of noise"):
        choose(frame("h b", ("A/m", "T")), "", "")


@pytest.mark.parametrize(
    ("unit", "wanted", "expected"),
    [("mT", "A/m", 795.774715), ("A/m", "T", 4e-7 * math.pi), ("kA/m", "A/m", 1000.0), ("V", "A/m", None),
     ("nonsense", "V", None), ("", "V", None), ("counts", "V", None)],
)  # fmt: skip
def test_units_are_brought_to_the_one_wanted_where_that_can_be(unit: str, wanted: str, expected: float | None) -> None:
    found = factor(unit, wanted)
    assert found == (None if expected is None else pytest.approx(expected))
