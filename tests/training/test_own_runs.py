"""How many independent frames good runs hold, and the threshold that a declared rate of false alarms needs."""

import numpy as np
import pytest
from scipy.stats import norm

from insitu.errors import UsageError
from insitu.training import own_runs


def runs(seed: int, count: int, apart: float, follows: float, frames: int = 60) -> list[np.ndarray]:
    """Scores of runs that differ by `apart`, each value `follows` times the one before and new noise of variance 1."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, frames))
    for i in range(1, frames):
        x[:, i] = follows * x[:, i - 1] + np.sqrt(1.0 - follows * follows) * x[:, i]
    return list(x + apart * random.normal(size=(count, 1)))


@pytest.mark.parametrize(("apart", "follows"), [(0.0, 0.0), (0.0, 0.8), (0.5, 0.0), (0.5, 0.8)])
def test_new_runs_have_no_more_false_alarms_than_declared(apart: float, follows: float) -> None:
    """In 95 of 100 fits, by the true rate of the threshold: at most 4 of 40 may be above (chance: 2 in 100)."""
    true = [
        norm.sf(own_runs.level(runs(seed, 30, apart, follows), 0.05).threshold / np.hypot(1.0, apart))
        for seed in range(40)
    ]
    assert np.count_nonzero(np.array(true) > 0.05) <= 4
    assert np.mean(true) > 0.015, "nor is it so high that nothing would be found"


def test_runs_that_differ_count_for_few_frames_and_more_are_asked_for() -> None:
    found = runs(1, 12, 4.0, 0.0)
    assert own_runs.independent(found) < 40
    with pytest.raises(UsageError, match=r"12 runs with 720 frames count for .* too few to declare 1 %") as e:
        own_runs.level(found, 0.01)
    assert e.value.expected.startswith("299 independent frames: about")
    lowest = float(e.value.remedy.split("declare ")[1].split(" %")[0]) / 100.0
    own_runs.level(found, lowest)
    with pytest.raises(UsageError):
        own_runs.level(found, 0.8 * lowest)


def test_with_many_frames_the_threshold_is_below_the_largest() -> None:
    found = own_runs.level(runs(2, 40, 0.0, 0.0), 0.05)
    assert found.frames == 2400
    assert 60 < found.above < 120, "k of n are above, so that 5 % is right with 95 % certainty"


def test_every_run_is_scored_by_what_was_learnt_without_it() -> None:
    values = [np.full((3, 1), float(k)) for k in range(13)]
    learnt: list[list[int]] = []

    def fit(which: list[int]) -> own_runs.Score:
        learnt.append(which)
        return lambda x: np.array([float(v[0] not in which) for v in x])

    assert all(score.all() for score in own_runs.left_out(values, fit))
    assert len(learnt) == own_runs.FOLDS


def test_false_alarms_in_a_strange_run_are_seen_by_the_threshold_of_the_others() -> None:
    found = runs(3, 20, 0.0, 0.0)
    found[7] = found[7] + 6.0
    alarms = own_runs.of_new_runs(found, 0.05)
    assert alarms[7] == 60
    assert sum(alarms) - 60 < 60
