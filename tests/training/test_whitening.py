import numpy as np
import pytest

from insitu.training import whitening
from insitu.training.latency import outputs

pytest.importorskip("onnx")


def lines(random: np.random.Generator, count: int, shift: float = 0.0) -> np.ndarray:
    """Patterns of three lines that grow and move together, with noise."""
    x = np.linspace(0.0, 1.0, 300)
    out = []
    for _ in range(count):
        strain, height = random.uniform(-0.01, 0.01), random.uniform(0.8, 1.2)
        at = np.array([0.3, 0.5, 0.7]) * (1.0 + strain) + shift
        y = sum(h * np.exp(-0.5 * ((x - c) / 0.02) ** 2) for h, c in zip((1.0, 0.4, 0.7), at, strict=True))
        out.append(height * y + 0.02 * random.standard_normal(x.size))
    return np.array(out)


def test_a_distance_counts_the_usual_scatter_of_features_that_go_together() -> None:
    """Independent answer: along the valley of two correlated numbers 3 sigma are far less unusual than across it."""
    random = np.random.default_rng(0)
    a = random.standard_normal(4000)
    made = whitening.features(np.stack([a, a + 0.1 * random.standard_normal(4000)], axis=1), np.array([1e-3, 1e-3]))
    along, across = made(np.array([[2.0, 2.0], [1.0, -1.0]]))
    assert along == pytest.approx(2.0 / np.sqrt(2.0), rel=0.1)
    assert across > 10.0


def test_a_constant_feature_has_the_scatter_of_its_floor() -> None:
    made = whitening.features(np.zeros((50, 1)), np.array([0.5]))
    assert made(np.array([[1.0]]))[0] == pytest.approx(2.0)


def test_good_patterns_score_near_one_and_shifted_or_noisier_ones_above() -> None:
    random = np.random.default_rng(1)
    made = whitening.patterns([lines(random, 200)])
    good = made(lines(random, 100))
    assert np.median(good) == pytest.approx(1.0, abs=0.15)
    assert made(lines(random, 20, shift=0.01)).min() > good.max()
    assert made(lines(random, 20) + 0.1 * random.standard_normal((20, 300))).min() > good.max()


def test_the_graphs_compute_what_the_definitions_say() -> None:
    random = np.random.default_rng(2)
    x = lines(random, 30).astype(np.float32)
    pattern = whitening.patterns([lines(random, 60), lines(random, 60, shift=0.05)])
    assert outputs(pattern.graph(), x[:, None])[0][:, 0] == pytest.approx(pattern(x), rel=2e-3)
    numbers = random.standard_normal((40, 3))
    feature = whitening.features(numbers, np.full(3, 0.1))
    assert outputs(feature.graph(), numbers.astype(np.float32))[0][:, 0] == pytest.approx(feature(numbers), rel=1e-3)
