"""Structures that odd servers give: right frames, or a message that says what is wrong; never an exception."""

from typing import Any

import numpy as np
import pytest

from insitu.types import Arrival, Invalid
from tests.readers.test_epics_decode import NOW, A, decoder, image, stamp

RGB = np.zeros((10, 12, 3), "u1")


def attribute(name: str, value: Any) -> dict[str, Any]:
    return image(attribute=[{"name": name, "value": value}])


@pytest.mark.parametrize("mode", [2, 2.0, "RGB1", {"index": 2, "choices": ["Mono", "Bayer", "RGB1"]}])
@pytest.mark.parametrize("name", ["ColorMode", "colorMode"])
def test_the_colour_mode_is_understood_however_it_is_written(name, mode):
    found = decoder()(image(A, (3, 2, 2), attribute=[{"name": name, "value": mode}]), NOW)
    assert isinstance(found, Arrival)
    assert found.dims == ("y", "x", "channel")


@pytest.mark.parametrize(
    ("value", "dims", "expected"),
    [
        (image(RGB.ravel(), (3, 12, 10)), (), ("y", "x", "channel")),  # nobody says its mode
        (image(RGB.ravel(), (3, 12, 10), attribute=[{"name": "ColorMode", "value": 0}]), (), ("z", "y", "x")),
        (image(A, (4, 3, 1)), ("y", "x"), ("y", "x")),  # a stack of one picture
        (image(A, (4, 3, 1)), (), ("z", "y", "x")),
        (image(A.astype(">u2")), (), ("y", "x")),
        (image(A, ()), (), ("x",)),
    ],
)
def test_dims_and_values_are_right_where_little_is_told(value, dims, expected):
    found = decoder(dims=dims)(value, NOW)
    assert isinstance(found, Arrival)
    assert found.dims == expected
    assert found.data.dtype.isnative
    assert np.array_equal(found.data.ravel(), value["value"])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (image(codec={"name": "snappy", "parameters": None}), "its codec is 'snappy', which is not known here"),
        (image(codec={"name": "LZ4", "parameters": 6}), "its codec is 'LZ4'"),
        (image(codec={"name": "zlib", "parameters": 6}, compressedSize=10**9), "zlib cannot unpack it"),
        (image(sizes=(-4, -3)), "its dimensions are [-3, -4]"),
        (image(dimension=[{"size": None}, {"size": 3}]), "its dimensions are [3, 0]"),
        (image(sizes=(2**31, 2**31)), "it has 12 values"),
        (image(uniqueId="abc"), "ValueError"),
        (image(dimension=[{"size": 4, "offset": "x"}, {"size": 3}]), "ValueError"),
        ({"value": [[1], [2, 3]]}, "ValueError"),
    ],
)
def test_what_cannot_be_is_told_with_the_pv_and_never_raised(value, why):
    found = decoder()(value, NOW)
    assert isinstance(found, Invalid)
    assert found.reason.startswith("PV X:Image: ")
    assert why in found.reason


@pytest.mark.parametrize(
    "value",
    [None, np.arange(3), 10**400, b"bytes", float("inf"), True, {"index": 1}, "", np.float32(3)],
)
@pytest.mark.parametrize("name", ["a", "", "温度", "a b", "alarm_severity"])
def test_attributes_of_all_kinds_cost_no_frame(name, value):
    found = decoder()(attribute(name, value), NOW)
    assert isinstance(found, Arrival)
    assert found.context["alarm_severity"].value == 0
    assert all(f.value is None or np.isfinite(f.value) for f in found.context.values())


@pytest.mark.parametrize("told", [None, [], [3, None, "x"], [{"value": 3}]])
def test_attributes_that_are_none_cost_no_frame(told):
    assert isinstance(decoder()(image(attribute=told), NOW), Arrival)


@pytest.mark.parametrize("seconds", [float("nan"), 2**62, 10**10, -3, "soon", None])
def test_a_time_that_is_none_gives_way_to_ours(seconds):
    when = {"secondsPastEpoch": seconds, "nanoseconds": 0}
    found = decoder()(image(dataTimeStamp=when, timeStamp=when), NOW)
    assert isinstance(found, Arrival)
    assert (found.time_ns, found.clock) == (NOW, "arrival")
    assert found.labels["clock_warning"] == "the IOC gives no time: this is ours"
    other = decoder()(image(dataTimeStamp=when), NOW)
    assert isinstance(other, Arrival)
    assert other.time_ns == NOW - 900_000, "the other time stamp is taken"


def test_a_counter_that_restarts_jumps_and_is_repeated_never_gives_two_frames_one_number():
    d = decoder()
    steps = [(5, 0), (6, 1), (1, 2), (2, 3), (2, 3), (2, 4), (9, 5), (3, 6), (2**32 - 1, 7), (0, 8), (1, 9)]
    found = [d(image(uniqueId=k, dataTimeStamp=stamp(NOW + s * 10**9)), NOW) for k, s in steps]
    numbers = [a.source_seq for a in found if isinstance(a, Arrival)]
    assert d.given_again == 1
    assert len(set(numbers)) == len(numbers) == len(steps) - 1
    assert numbers == sorted(int(n or 0) for n in numbers)
