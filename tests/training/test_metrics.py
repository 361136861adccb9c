import numpy as np
import pytest

from insitu.training.metrics import (
    balanced_accuracy,
    bootstrap,
    calibration_error,
    temperature,
    threshold_for,
    wilson,
)


@pytest.mark.parametrize(("right", "n", "low", "high"), [(9, 10, 0.5958, 0.9821), (0, 20, 0.0, 0.1611)])
def test_wilson_intervals_are_those_of_the_tables(right: int, n: int, low: float, high: float) -> None:
    """Values: R. G. Newcombe, Stat. Med. 17 (1998) 857, method 3."""
    figure = wilson(right, n)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=2e-4)


def test_the_bootstrap_draws_groups_not_rows() -> None:
    """Rows of a group are copies: its interval is that of the four means, not of 400 rows."""
    means = np.array([0.0, 1.0, 2.0, 3.0])
    rows = np.repeat(means, 100)
    by_group = bootstrap(lambda i: float(rows[i].mean()), np.repeat(np.arange(4), 100).tolist(), draws=400)
    by_row = bootstrap(lambda i: float(rows[i].mean()), range(400), draws=400)
    assert by_group.n == 4
    assert by_group.high - by_group.low > 5 * (by_row.high - by_row.low)


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 1.5, (4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in p])
    assert temperature(3.0 * logits, truth) == pytest.approx(3.0, rel=0.1)
    each = (rng.random(logits.shape) < 1.0 / (1.0 + np.exp(-logits))).astype(float)
    assert temperature(0.5 * logits, each, multilabel=True) == pytest.approx(0.5, rel=0.1)


def test_a_threshold_holds_the_rate_it_was_set_for_on_new_data() -> None:
    rng = np.random.default_rng(1)
    few = threshold_for(rng.exponential(1.0, 2000), 1e-4)
    assert few == pytest.approx(-np.log(1e-4), rel=0.25)
    many = threshold_for(rng.exponential(1.0, 200_000), 1e-3)
    assert np.mean(rng.exponential(1.0, 200_000) > many) == pytest.approx(1e-3, rel=0.2)


def test_scores_of_classes_and_probabilities() -> None:
    assert balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])) == 0.5
    assert calibration_error(np.array([1, 1, 0, 0]), np.array([0.99, 0.99, 0.01, 0.01])) == pytest.approx(0.01)
