"""Means of curves between edges: the sums of several curves at once are those of each alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.maths.resample import grid_between, means_on


@given(st.integers(2, 300), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_several_curves_at_once_give_the_bits_of_each_alone(n: int, curves: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.random(n) + 1e-3)
    edges = np.sort(rng.uniform(x[0] - 1.0, x[-1] + 1.0, 9)) + 1e-9 * np.arange(9)
    y = rng.normal(size=(curves, n)) * 10.0 ** rng.uniform(-8.0, 8.0, (curves, 1))
    y[rng.random(y.shape) < 0.1] = -0.0
    grid = grid_between(x, edges)
    together = means_on(grid, y)
    assert [row.tobytes() for row in together] == [means_on(grid, row).tobytes() for row in y]
    assert means_on(grid, y[None])[0].tobytes() == together.tobytes()


def test_a_curve_that_is_not_finite_leaves_its_neighbours_alone() -> None:
    x = np.arange(5.0)
    y = np.array([[1.0, np.inf, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0, 1.0], [np.nan, 0.0, 0.0, 0.0, 0.0]])
    with np.errstate(invalid="ignore"):
        found = means_on(grid_between(x, np.array([0.0, 2.0, 4.0])), y)
    assert found[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5)])
def test_the_shape_before_the_points_is_kept(shape: tuple[int, ...]) -> None:
    found = means_on(grid_between(np.arange(5.0), np.array([0.0, 2.0, 4.0])), np.ones(shape))
    assert found.shape == (*shape[:-1], 2)
    assert (found == 1.0).all()
