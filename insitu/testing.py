"""Contract tests: what every reader must keep, as a class that the tests of a new reader inherit.

    class TestMyReader(ReaderContract):
        @pytest.fixture
        def make(self, tmp_path):
            write_something(tmp_path)
            return lambda: MyReader(str(tmp_path))

Each test says in its name what is promised. `make` is called for a fresh reader as often as a test needs one; a reader
that never ends is cut after `most` items. Attributes tell what does not apply.
"""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice, pairwise
from typing import Any, ClassVar

import numpy as np
import pytest

from insitu.errors import InsituError
from insitu.types import KEY, Arrival, Axis, Feature, Invalid, Reader

Item = Arrival | Invalid


def items(reader: Reader, most: int = 1000) -> list[Item]:
    """What a reader gives, without the Nones, at most so many; the reader is closed."""
    stream: Any = reader()
    with closing(stream):
        return list(islice((item for item in stream if item is not None), most))


def check_arrival(arrival: Arrival) -> None:
    """Assert all that `insitu.types.Arrival` promises about one arrival."""
    _check_identity(arrival)
    _check_arrays(arrival)
    for name, feature in arrival.context.items():
        assert KEY.fullmatch(name), f"context name {name!r} does not match {KEY.pattern}"
        assert isinstance(feature, Feature), f"context {name} is {type(feature).__name__}, not a Feature"
    for name, text in arrival.labels.items():
        assert KEY.fullmatch(name), f"label name {name!r} does not match {KEY.pattern}"
        assert isinstance(text, str), f"label {name} is {type(text).__name__}, not text"
        text.encode()  # a lone surrogate cannot be stored


def _check_identity(arrival: Arrival) -> None:
    assert type(arrival) is Arrival, "a reader gives an Arrival; seq and n are stamped later"
    assert KEY.fullmatch(arrival.source), f"source {arrival.source!r} does not match {KEY.pattern}"
    assert arrival.source_seq is None or type(arrival.source_seq) is int, "source_seq is no int"
    for name in ("time_ns", "duration_ns", "clock_sigma_ns"):
        value = getattr(arrival, name)
        assert type(value) is int, f"{name} is {type(value).__name__}, not int"
        assert abs(value) < 2**63, f"{name} does not fit 64 bits"
    assert arrival.duration_ns >= 0, "a negative exposure"
    assert arrival.clock_sigma_ns >= 0, "a negative uncertainty of time"
    assert arrival.clock in ("ioc", "header", "arrival"), f"clock {arrival.clock!r}"
    assert arrival.role in ("sample", "dark", "flat", "background", "reference"), f"role {arrival.role!r}"


def _check_arrays(arrival: Arrival) -> None:
    data = arrival.data
    assert isinstance(data, np.ndarray), "data is no array"
    assert data.dtype.kind in "iuf", f"data of type {data.dtype}"
    assert data.size > 0, "an empty frame"
    assert data.ndim == len(arrival.dims), f"{data.ndim} dimensions, {len(arrival.dims)} names"
    assert len(set(arrival.dims)) == len(arrival.dims), f"names repeat: {arrival.dims}"
    if not isinstance(arrival.unit, str):
        assert arrival.dims[0] == "channel", "units per channel need the first dimension to be channel"
        assert len(arrival.unit) == data.shape[0], "one unit per channel"
    if arrival.sigma is not None:
        assert arrival.sigma.shape == data.shape, "sigma has another shape"
        assert (arrival.sigma >= 0).all(), "sigma is negative or not a number"
    if arrival.mask is not None:
        assert arrival.mask.shape == data.shape, "mask has another shape"
        assert arrival.mask.dtype == np.bool_, "mask is not bool"
    for name, axis in arrival.axes.items():
        assert name in arrival.dims, f"axis {name} is no dimension"
        assert isinstance(axis, Axis), f"axis {name} is no Axis"
        assert axis.values.shape == (data.shape[arrival.dims.index(name)],), f"axis {name} has another length"
        assert np.isfinite(axis.values).all(), f"axis {name} is not finite"


def same(a: Item, b: Item) -> bool:
    """Whether two items say the same, bit for bit."""
    if type(a) is not type(b):
        return False
    return all(_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, Axis) and isinstance(b, Axis):
        return a.unit == b.unit and _equal(a.values, b.values)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_equal(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


class ReaderContract:
    """Tests that every reader passes. Override the fixture `make`; set what does not apply.

    `repeatable`: two readers of the same source say the same (files; not live instruments).
    `most`: how many items are looked at.
    """

    repeatable: ClassVar[bool] = True
    most: ClassVar[int] = 20

    @pytest.fixture
    def make(self) -> Callable[[], Reader]:
        """A function that makes a fresh reader of a source with at least two good frames."""
        raise NotImplementedError("the tests of a reader override the fixture `make`")

    @pytest.fixture
    def idle(self) -> Callable[[], Reader] | None:
        """A function that makes a reader whose source is silent at first, or None where there is no such thing."""
        return None

    def test_every_key_of_its_signature_is_annotated_and_named(self, make: Callable[[], Reader]) -> None:
        reader = make()
        if inspect.isfunction(reader):
            pytest.skip("a function's factory is not known from it")
        signature = inspect.signature(type(reader), eval_str=True)
        for p in signature.parameters.values():
            assert p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD), f"{p} cannot be a recipe's key"
            assert p.annotation is not p.empty, f"{p.name} has no annotation"

    def test_arrivals_keep_what_the_types_promise(self, make: Callable[[], Reader]) -> None:
        arrivals = [item for item in items(make(), self.most) if isinstance(item, Arrival)]
        assert len(arrivals) >= 2, "the contract needs a source with at least two good frames"
        for arrival in arrivals:
            check_arrival(arrival)

    def test_invalid_items_say_why_and_carry_bytes(self, make: Callable[[], Reader]) -> None:
        for item in items(make(), self.most):
            if isinstance(item, Invalid):
                assert item.reason, "an invalid item without a reason"
                assert type(item.payload) is bytes, "the payload is not bytes"

    def test_its_own_numbers_go_up(self, make: Callable[[], Reader]) -> None:
        numbers = [item.source_seq for item in items(make(), self.most) if item.source_seq is not None]
        assert all(a < b for a, b in pairwise(numbers)), f"numbers turn back: {numbers}"

    def test_frames_do_not_change_after_they_were_given(self, make: Callable[[], Reader]) -> None:
        kept: list[tuple[Arrival, bytes]] = []
        stream: Any = make()()
        with closing(stream):
            for item in islice((i for i in stream if isinstance(i, Arrival)), self.most):
                kept.append((item, item.data.tobytes()))
        for arrival, data in kept:
            assert arrival.data.tobytes() == data, f"frame {arrival.source_seq} changed: its buffer is used again"

    def test_reading_twice_says_the_same(self, make: Callable[[], Reader]) -> None:
        if not self.repeatable:
            pytest.skip("a live source does not repeat itself")
        first, second = items(make(), self.most), items(make(), self.most)
        assert len(first) == len(second)
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            assert same(a, b), f"item {i} differs between two readings"

    def test_one_reader_can_be_called_again(self, make: Callable[[], Reader]) -> None:
        if not self.repeatable:
            pytest.skip("a live source does not repeat itself")
        reader = make()
        assert len(items(reader, self.most)) == len(items(reader, self.most))

    def test_closing_it_early_leaves_no_thread_behind(self, make: Callable[[], Reader]) -> None:
        before = set(threading.enumerate())
        stream: Any = make()()
        with closing(stream):
            next(item for item in stream if item is not None)
        left = [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()]
        assert not left, f"threads left: {left}"

    def test_a_silent_source_gives_none_instead_of_blocking(self, idle: Callable[[], Reader] | None) -> None:
        if idle is None:
            pytest.skip("this source is never silent")
        stream: Iterator[Any] = idle()()
        with closing(stream):  # type: ignore[type-var]
            assert [next(stream) for _ in range(3)] == [None, None, None]

    def test_bad_input_is_refused_in_words(self, bad: Callable[[], Reader] | None) -> None:
        if bad is None:
            pytest.skip("no bad input was given")
        found, words = [], ""
        try:
            found = items(bad(), self.most)
        except InsituError as error:
            words = error.what
        assert words or any(isinstance(item, Invalid) for item in found), "bad input went through without a word"

    @pytest.fixture
    def bad(self) -> Callable[[], Reader] | None:
        """A function that makes a reader of a broken source, or None."""
        return None
