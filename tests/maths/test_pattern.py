import numpy as np
import pytest

from insitu.maths.pattern import pattern_axis, seen_points
from insitu.types import Axis, Frame


def frame(data: np.ndarray, axes: dict[str, Axis], **keys) -> Frame:
    return Frame(source="det", data=data, dims=("two_theta",), unit="counts", time_ns=0, seq=0, n=0, axes=axes, **keys)


@pytest.mark.parametrize(
    ("shape", "axes", "says"),
    [
        ((2, 3), {}, "2-dimensional"),
        ((3,), {"q": Axis(np.arange(3.0), "1/angstrom")}, "over q, not over two_theta"),
        ((3,), {}, "over no axis, not over two_theta"),
        ((3,), {"two_theta": Axis(np.arange(3.0), "rad")}, "in 'rad', expected 'deg'"),
        ((3,), {"two_theta": Axis(np.arange(4.0), "deg")}, "4 values for 3 points"),
        ((3,), {"two_theta": Axis(np.arange(3.0)[::-1], "deg")}, "does not increase"),
        ((1,), {"two_theta": Axis(np.arange(1.0), "deg")}, "at least 2 points"),
    ],
)
def test_what_is_not_one_pattern_over_two_theta_is_said(shape, axes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pattern_axis(frame(np.zeros(shape), axes), "two_theta", "deg")


def test_masked_points_may_be_anything() -> None:
    data, mask = np.array([1.0, np.nan, 2.0]), np.array([False, True, False])
    np.testing.assert_array_equal(seen_points(frame(data, {}, mask=mask)), ~mask)


def test_other_points_must_be_numbers() -> None:
    with pytest.raises(ValueError, match="2 of 3 points are not finite"):
        seen_points(frame(np.array([np.inf, np.nan, 2.0]), {}))
    with pytest.raises(ValueError, match="every point of the pattern is masked"):
        seen_points(frame(np.ones(3), {}, mask=np.ones(3, dtype=bool)))
