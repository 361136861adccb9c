"""Where a change lies, and where the next point goes: against even scans, with noise, outliers, hysteresis."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from insitu.bluesky.edge import EdgePosterior
from insitu.bluesky.refining import Grid, Scale, located
from insitu.errors import UsageError
from insitu.types import Feature

Measure = Callable[[float], Feature]


def refined(measure: Measure, grid: Grid) -> dict[float, Feature]:
    """The loop of `refine_scan` without a RunEngine."""
    known = {x: measure(x) for x in grid.first()}
    while places := grid.next(known, known)[: grid.most - len(known)]:
        known |= {x: measure(x) for x in places}
    return known


def even(measure: Measure, points: int) -> dict[float, Feature]:
    return {float(x): measure(float(x)) for x in np.linspace(300, 450, points)}


def sample(seed: int, hidden: float, width: float, noise: float, outliers: float = 0.0) -> Measure:
    rng = np.random.default_rng((seed, 1))

    def measure(x: float) -> Feature:
        truth = 2.0 + 0.001 * (x - 300) + 0.05 * math.tanh((x - hidden) / width)
        wild = 10.0 * noise * (rng.random() < outliers)
        return Feature(truth + rng.normal(0, noise) + wild, "deg", sigma=noise)

    return measure


def errors(seeds: int, width: float, noise: float, points: Callable[[Measure], dict[float, Feature]]) -> np.ndarray:
    """Errors in K and numbers of points, shape (2, seeds), of transitions hidden between 345 and 405 K."""
    found = []
    for seed in range(seeds):
        hidden = np.random.default_rng(seed).uniform(345, 405)
        known = points(sample(seed, hidden, width, noise))
        at = located(known, "K")
        found.append((math.inf if at.value is None else at.value - hidden, len(known)))
    return np.array(found).T


@pytest.mark.parametrize(("by", "width"), [("auto", 0.3), ("auto", 1.0), ("auto", 3.0), ("place", 3.0)])
def test_40_percent_of_an_even_scan_are_enough_for_narrow_and_broad_transitions(by, width):
    """Each error is that of the same estimator; the even scan has 2.5 times the points and is no better. The table over
    20 seeds, widths and noise, and what is possible at all: `python -m benchmarks refine`."""
    grid = Grid(start=300, stop=450, num=13, most=100, smallest=0.25, by=by)
    found, points = errors(10, width, 0.002, lambda measure: refined(measure, grid))
    wide, _ = errors(10, width, 0.002, lambda measure: even(measure, math.ceil(2.5 * points.mean())))
    assert np.all(np.abs(found) < 0.5)
    assert np.sqrt(np.mean(found**2)) <= np.sqrt(np.mean(wide**2))


def test_points_stay_where_the_middle_half_of_a_broad_change_happens_until_they_outline_it():
    measure = sample(4, 371.0, 10.0, 0.002)
    grid = Grid(start=300, stop=450, num=13, most=21, smallest=0.25)
    added = np.array(list(refined(measure, grid))[13:])
    assert len(added) == 8
    assert np.all(np.abs(added - 371.0) < 10.0)
    further = np.array(list(refined(measure, replace(grid, most=60)))[21:])
    assert np.sum(np.abs(further - 371.0) > 12.0) > 5  # who asks for a better place gets the flanks too
    coarse = replace(grid, most=60, smallest=2.0)
    known = refined(sample(4, 371.0, 10.0, 0.01), coarse)
    assert len(known) < 24
    assert "stand as near as they may" in coarse.step(known, sorted(known))[1]


def test_where_one_change_does_not_describe_the_points_every_change_is_refined():
    def measure(x: float) -> Feature:
        return Feature(0.05 * math.tanh(x - 340.2) + 0.05 * math.tanh(x - 410.0), sigma=0.002)

    known = refined(measure, Grid(start=300, stop=450, num=13, most=40, smallest=0.25))
    added = np.array(list(known)[13:])
    for place in (340.2, 410.0):
        assert np.sum(np.abs(added - place) < 2.0) >= 3
    assert located(known).why == "neither a straight line nor one change describes the points"


def test_the_uncertainty_that_is_told_is_that_of_the_errors():
    sure = []
    for seed in range(40):
        hidden = np.random.default_rng(seed).uniform(345, 405)
        at = located(even(sample(seed, hidden, 3.0, 0.004), 60))
        assert at.value is not None
        sure.append((at.value - hidden) / (at.sigma or 1.0))
    assert 0.7 < float(np.std(sure)) < 1.4


def test_outliers_do_not_move_the_change():
    """3 points in 100 are wrong by 10 standard uncertainties."""
    grid = Grid(start=300, stop=450, num=13, most=40, smallest=0.25)
    for seed in range(10):
        hidden = np.random.default_rng(seed).uniform(345, 405)
        at = located(refined(sample(seed, hidden, 1.0, 0.002, outliers=0.03), grid))
        assert at.value is not None
        assert abs(at.value - hidden) < 0.5


def test_the_stronger_of_two_changes_is_found():
    def measure(x: float) -> Feature:
        return Feature(0.05 * math.tanh(x - 340.2) + 0.02 * math.tanh(x - 410.0), sigma=0.002)

    at = located(refined(measure, Grid(start=300, stop=450, num=16, most=40, smallest=0.25, by="place")))
    assert at.value == pytest.approx(340.2, abs=0.5)


def test_backlash_wider_than_the_loop_finds_the_transition_on_heating():
    """A sample that goes over at 390 K on heating and back at 382 K on cooling, approached from 10 K below."""
    warm = [False]

    def measure(x: float) -> Feature:
        for place in (x - 10.0, x):
            warm[0] = place > 390.0 or (warm[0] and place > 382.0)
        return Feature(float(warm[0]), sigma=0.02)

    at = located(refined(measure, Grid(start=340, stop=440, num=11, most=40, smallest=0.25)))
    assert at.value == pytest.approx(390.0, abs=0.3)


def test_noise_is_no_change_and_one_outlier_at_an_end_is_none_either():
    for by, seed in product(("auto", "place"), range(8)):
        grid = Grid(start=0, stop=100, num=13, most=60, smallest=0.5, by=by)
        rng = np.random.default_rng(seed)
        known = refined(lambda _: Feature(rng.normal(0, 1), sigma=1.0), grid)  # noqa: B023 - called at once
        assert len(known) < 30
        assert located(known).value is None
    last = {x: Feature(0.01 * k % 0.02, sigma=0.02) for k, x in enumerate(grid.first())} | {
        100.0: Feature(1.0, sigma=0.02)
    }
    assert "outlier" in (located(last).why or "")


def test_values_without_uncertainty_and_far_units_are_taken():
    x = np.linspace(1e5, 1e6, 25)
    found = EdgePosterior(x, 1e-20 * np.tanh((x - 4e5) / 3e4), np.zeros(25), 100.0)
    assert found.at == pytest.approx(4e5, rel=0.01)
    with pytest.raises(ValueError, match="more than 6"):
        EdgePosterior(x[:6], x[:6], x[:6], 1.0)


def test_on_a_logarithmic_grid_a_relaxation_lies_at_its_frequency():
    """Debye: the real part falls as 1/(1 + (f/f_r)^2), which is an edge in log f."""
    scale = Scale("log", 1e3, 1e9)
    grid = Grid(start=scale.start, stop=scale.stop, num=10, most=30, smallest=0.02, by="place")
    known = refined(lambda u: Feature(1 + 100 / (1 + (scale.back(u) / 3.3e6) ** 2), sigma=0.5), grid)
    at = scale.place(located(known, "Hz"))
    assert at.value == pytest.approx(3.3e6, rel=0.05)
    with pytest.raises(UsageError):
        Scale("log", 0.0, 1.0)
