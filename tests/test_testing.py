"""The contract tests must be able to fail: readers that break a promise are caught."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from insitu.testing import ReaderContract, check_arrival, same
from insitu.types import Arrival, Axis, Feature, Invalid

GOOD = Arrival(
    source="det",
    data=np.arange(3.0),
    dims=("two_theta",),
    unit="counts",
    time_ns=0,
    source_seq=0,
    axes={"two_theta": Axis(np.arange(3.0), "deg")},
    context={"temperature": Feature(300, "K")},
    labels={"file": "a.xy"},
)


class Given:
    """A reader of what it is given."""

    def __init__(self, arrivals: tuple[Arrival | Invalid | None, ...] = (GOOD, replace(GOOD, source_seq=1))) -> None:
        self.arrivals = arrivals

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        yield from self.arrivals


class TestGiven(ReaderContract):
    @pytest.fixture
    def make(self):
        return Given

    @pytest.fixture
    def idle(self):
        return lambda: Given((None, None, None, GOOD))


@pytest.mark.parametrize(
    "change",
    [
        {"source": "Det/1"},
        {"time_ns": 1.5},
        {"duration_ns": -1},
        {"dims": ()},
        {"data": np.array([], dtype=float)},
        {"data": np.array(["a", "b", "c"])},
        {"sigma": np.array([1.0, -1.0, 1.0])},
        {"sigma": np.ones(2)},
        {"mask": np.zeros(3)},
        {"axes": {"two_theta": Axis(np.arange(4.0), "deg")}},
        {"axes": {"two_theta": Axis(np.array([0, np.nan, 1]), "deg")}},
        {"axes": {"other": Axis(np.arange(3.0), "deg")}},
        {"context": {"Temp (K)": Feature(1, "K")}},
        {"context": {"temperature": 300.0}},
        {"labels": {"file": 7}},
        {"clock": "sundial"},
    ],
)
def test_an_arrival_that_breaks_a_promise_is_caught(change: dict) -> None:
    check_arrival(GOOD)
    with pytest.raises(AssertionError):
        check_arrival(replace(GOOD, **change))


def test_a_reader_whose_buffer_is_used_again_is_caught() -> None:
    buffer = np.zeros(3)

    class Reuses:
        def __call__(self) -> Iterator[Arrival]:
            for i in range(2):
                buffer[:] = i
                yield replace(GOOD, data=buffer, source_seq=i)

    with pytest.raises(AssertionError, match="used again"):
        ReaderContract().test_frames_do_not_change_after_they_were_given(Reuses)


def test_numbers_that_turn_back_are_caught() -> None:
    with pytest.raises(AssertionError, match="turn back"):
        ReaderContract().test_its_own_numbers_go_up(lambda: Given((GOOD, GOOD)))


def test_bad_input_that_goes_through_is_caught() -> None:
    with pytest.raises(AssertionError, match="without a word"):
        ReaderContract().test_bad_input_is_refused_in_words(Given)


def test_items_are_compared_bit_by_bit() -> None:
    assert same(GOOD, replace(GOOD, data=GOOD.data.copy()))
    assert not same(GOOD, replace(GOOD, data=GOOD.data.astype(np.float32)))
    assert not same(GOOD, replace(GOOD, context={"temperature": Feature(301, "K")}))
    assert not same(GOOD, Invalid(source="det", reason="no", payload=b""))
