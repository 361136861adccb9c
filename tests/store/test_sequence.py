"""Losses, duplicates, late and reordered arrivals, wrap-around and reset of the instrument's numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from insitu.store.sequence import Sequencer
from insitu.store.tally import Tally


def fold(numbers, **settings) -> Tally:
    """Place numbers as the intake does, and count."""
    s, tally = Sequencer(**settings), Tally()
    tally.add("open", {"sources": ["det"]})
    for number in numbers:
        p = s.place(number)
        if p.lost:
            tally.add("gap", {"source": "det", "first": p.lost[0], "count": p.lost[1]})
        if p.seq is None:
            tally.add(p.kind, {"source": "det"})
        else:
            tally.add("frame", {"source": "det", "seq": p.seq, "refill": p.refill})
        assert tally.balanced, (number, tally)
        assert tally.sources["det"].received == sum((*vars_of(tally),)), number
    return tally


def vars_of(tally: Tally):
    t = tally.sources["det"]
    return t.stored, t.invalid, t.dropped, t.duplicates, t.late


def test_any_first_number_is_row_zero():
    assert Sequencer().place(4711).seq == 0


def test_a_gap_reserves_rows_and_an_arrival_within_reorder_takes_its_row():
    t = fold([0, 1, 5, 3, 2]).sources["det"]
    assert (t.expected, t.stored, t.lost) == (6, 5, 1)


def test_an_arrival_later_than_reorder_is_late():
    t = fold([0, 2, *range(3, 12), 1], reorder=8).sources["det"]
    assert (t.late, t.lost, t.stored) == (1, 1, 11)


def test_a_number_that_was_there_is_a_duplicate():
    t = fold([0, 1, 1, 2, 1, 0]).sources["det"]
    assert (t.stored, t.duplicates, t.expected) == (3, 3, 3)


def test_a_counter_that_wraps_goes_on_counting():
    t = fold([65533, 65534, 65535, 0, 1, 3], counter_bits=16).sources["det"]
    assert (t.stored, t.lost, t.expected) == (6, 1, 7)


def test_a_counter_that_wraps_without_saying_so_starts_a_new_epoch():
    s = Sequencer()
    places = [s.place(k) for k in (65534, 65535, 0, 1)]
    assert [p.seq for p in places] == [0, 1, 2, 3]
    assert [p.epoch for p in places] == [False, False, True, False]


def test_a_reset_starts_a_new_epoch_and_fills_nothing():
    t = fold([*range(100), *range(50)]).sources["det"]
    assert (t.stored, t.lost, t.expected, t.duplicates) == (150, 0, 150, 0)


def test_a_jump_above_max_gap_starts_a_new_epoch_and_one_at_max_gap_is_filled():
    assert fold([0, 12], max_gap=10).sources["det"].lost == 0
    assert fold([0, 11], max_gap=10).sources["det"].lost == 10


def test_an_arrival_without_number_is_taken_for_the_next():
    s = Sequencer()
    assert [s.place(k).seq for k in (7, None, 9, 10)] == [0, 1, 2, 3]


def test_duplicates_of_an_epoch_before_the_reset_do_not_take_its_rows():
    s = Sequencer()
    for k in range(20):
        s.place(k)
    s.place(0)
    assert s.place(1).seq == 21


@given(st.lists(st.integers(0, 40), min_size=1, max_size=120))
def test_counts_balance_at_every_instant_whatever_arrives(numbers):
    fold(numbers, reorder=3, max_gap=10)


@given(st.lists(st.one_of(st.none(), st.integers(0, 15)), min_size=1, max_size=120))
def test_counts_balance_with_a_narrow_counter(numbers):
    fold(numbers, reorder=3, max_gap=5, counter_bits=4)


def test_no_row_is_given_twice_under_random_loss_duplication_and_reordering():
    rng = np.random.default_rng(0)
    numbers = np.arange(3000)
    numbers = numbers[rng.random(3000) > 0.05]
    numbers = np.sort(np.concatenate([numbers, rng.choice(numbers, 100)]))
    jitter = numbers + rng.uniform(0, 6, len(numbers))
    s, rows = Sequencer(), []
    for number in numbers[np.argsort(jitter, kind="stable")]:
        p = s.place(int(number))
        if p.seq is not None:
            rows.append((p.seq, int(number)))
    assert len({r for r, _ in rows}) == len(rows)
    first = next(n for r, n in rows if r == 0)
    assert all(n == r + first for r, n in rows)
    assert len(rows) > 2800


def test_an_arrival_from_before_the_first_one_is_late_and_shifts_nothing():
    s = Sequencer()
    places = [s.place(k) for k in (3, 1, 4, 5)]
    assert [(p.kind, p.seq) for p in places] == [("frame", 0), ("late", None), ("frame", 1), ("frame", 2)]
