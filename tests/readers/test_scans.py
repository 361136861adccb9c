"""Counts, rates, attenuators and times: what was counted carries the noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import FormatError
from insitu.readers.scans import Scan, intensities, number_list, one_number


def test_plain_counts_stay_whole_and_carry_no_sigma() -> None:
    done = intensities(Scan(np.array([4.0, 9.0]), "counts", True, np.ones(2), False, 2.0), "counts", "a")
    assert (done.values.dtype, done.values.tolist(), done.sigma, done.labels) == (np.uint32, [4, 9], None, {})
    assert done.seconds == 2.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.sampled_from([1.0, 10.5, 188.0]), st.floats(0.1, 100)), min_size=1),
    st.sampled_from(["counts", "counts/s"]),
)
def test_the_same_counts_give_the_same_answer_however_they_were_written(rows: list, unit: str) -> None:
    """Counts, attenuated or corrected, as counts or rates: the same intensity and the same noise."""
    counts, factors, times = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    written = [
        Scan(counts, "counts", False, factors, False, times),
        Scan(counts * factors, "counts", False, factors, True, times),
        Scan(counts / times, "cps", False, factors, False, times),
        Scan(counts * factors / times, "cps", False, factors, True, times),
    ]
    longest = times.max()
    scale = factors / times * (longest if unit == "counts" else 1.0)
    for scan in written:
        done = intensities(scan, unit, "a")
        assert done.values == pytest.approx(counts * scale, rel=1e-12)
        sigma = np.sqrt(done.values) if done.sigma is None else done.sigma
        assert sigma == pytest.approx(np.sqrt(counts) * scale, rel=1e-9)


def test_points_without_a_count_are_not_known_exactly() -> None:
    done = intensities(Scan(np.array([0.0, 0.0]), "counts", True, np.array([1.0, 10.0])), "counts", "a")
    assert done.sigma is not None
    assert done.sigma.tolist() == [1.0, 10.0]


def test_a_detector_file_that_calls_them_arbitrary_gets_them_as_they_are() -> None:
    assert intensities(Scan(np.array([1.5, 2.5]), "cps"), "arb", "a").values.tolist() == [1.5, 2.5]


def test_numbers_that_are_none_are_refused_in_words() -> None:
    assert number_list(" 1 2\n3\t4e1 ", "a:1")[0].tolist() == [1, 2, 3, 40]
    for text in ("1 2_0", "1 0x2", "1 inf", "1,2", "1;2", "\u0661", "1 # 2 x"):
        with pytest.raises(FormatError):
            number_list(text, "a:1")
    for text in ("", "nan", "1_0", "1,5", "1e999"):
        with pytest.raises(FormatError):
            one_number(text, "a:1")
