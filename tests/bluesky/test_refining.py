"""Where points go and what is set next: arithmetic, without an instrument."""

import math
from typing import Any

import numpy as np
import pytest

from insitu.bluesky.refining import Grid, located
from insitu.bluesky.windows import exposure_for, steps_to, window_of
from insitu.errors import UsageError
from insitu.types import Feature, Limit


def refined(measure: Any, grid: Grid) -> dict[float, Feature]:
    """The plan's loop without a RunEngine."""
    known = {x: measure(x) for x in grid.first()}
    while places := grid.next(known, known)[: grid.most - len(known)]:
        known |= {x: measure(x) for x in places}
    return known


def test_over_20_seeds_a_hidden_transition_needs_40_percent_of_the_points_of_an_even_scan_at_most():
    """Pure: a step of 0.1 deg, 1 K wide, between 315 and 435 K; the even scan has 2.5 times the points and is worse."""
    errors, evens = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        hidden = rng.uniform(315, 435)

        def measure(x: float, rng: Any = rng, hidden: float = hidden) -> Feature:
            truth = 2.0 + 0.001 * (x - 300) + 0.05 * math.tanh(x - hidden)
            return Feature(truth + rng.normal(0, 0.002), "deg", sigma=0.002)

        known = refined(measure, Grid(start=300, stop=450, num=13, most=40, smallest=0.25))
        at = located(known, "K")
        even = located({float(x): measure(x) for x in np.linspace(300, 450, math.ceil(2.5 * len(known)))}, "K")
        assert at.value is not None
        assert at.sigma is not None
        assert abs(at.value - hidden) < 0.5
        assert abs(at.value - hidden) < 5 * at.sigma
        errors.append(at.value - hidden)
        evens.append(float("inf") if even.value is None else even.value - hidden)
    assert np.sqrt(np.mean(np.square(errors))) < np.sqrt(np.mean(np.square(evens)))


def test_a_grid_stops_where_nothing_changes_and_measures_no_place_twice():
    grid = Grid(start=0, stop=10, num=5, most=40, smallest=0.5)
    flat = {x: Feature(1.0 + 0.01 * (-1) ** k, sigma=0.02) for k, x in enumerate(grid.first())}
    assert grid.next(flat, flat) == []
    known = refined(lambda x: Feature(float(x > 3.3)), grid)
    assert min(np.diff(sorted(known))) >= 0.5
    lost = {x: f for x, f in known.items() if not 3 < x < 4}
    assert all(x not in known for x in grid.next(lost, known))
    assert located({x: Feature(2 * x) for x in grid.first()} | {9.0: Feature(18.0)}).value is None
    for wrong in ({"num": 2}, {"most": 4}, {"smallest": 0.0}, {"stop": 0.0}, {"by": "luck"}, {"start": math.nan}):
        with pytest.raises(UsageError):
            Grid(**{"start": 0.0, "stop": 10.0, "num": 5, "most": 9, "smallest": 1.0, **wrong})


def test_windows_and_exposures_are_bounded():
    assert window_of(Feature(5.0), Feature(None, why="x"), low=0, high=10) is None
    assert window_of(Feature(15.0), Feature(1.0), low=0, high=10) is None
    window = window_of(Feature(9.5), Feature(1.0), low=0, high=10, across=2, per_width=4)
    assert window == (7.5, 10.0, 11)
    limit = Limit(unit="s", low=0.1, high=2.0, step=0.2)
    assert steps_to(1.0, 0.5, limit) == pytest.approx([2 / 3, 5 / 6, 1.0])
    found = exposure_for(1.0, Feature(100.0), Feature(0.0), full=10_000, limit=limit)
    assert (found.exposure_s, found.limited) == (pytest.approx(1.2), True)
    assert exposure_for(1.0, None, None, full=100, limit=limit).exposure_s == 1.0
    with pytest.raises(UsageError):
        exposure_for(math.nan, None, None, full=100)
