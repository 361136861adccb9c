"""Poisson counts by table: the right distribution at every mean, and the same for the same seed."""

import numpy as np
import pytest

from insitu.maths.poisson import TOP, draw, means


@pytest.mark.parametrize("mean", [0.0, 1e-3, 0.5, 0.999, 1.0, 3.7, 20.5, 99.99, 300.2, 511.99, 512.0, 2000.0])
def test_counts_follow_the_poisson_distribution(mean: float) -> None:
    """Chi-square of the histogram against the exact probabilities, within 5 sigma."""
    from scipy.stats import poisson

    n = 400_000
    counts = draw(means(np.full(n, mean)), (3, int(mean * 1000)))
    if mean == 0.0:
        assert not counts.any()
        return
    k = np.arange(counts.max() + 2)
    expected = n * poisson.pmf(k, mean)
    found = np.bincount(counts, minlength=len(k))
    common = expected > 20
    chi2 = float(((found - expected)[common] ** 2 / expected[common]).sum())
    degrees = int(common.sum())
    assert chi2 < degrees + 5 * np.sqrt(2 * degrees) + 5
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n))


def test_the_same_seed_gives_the_same_counts_and_another_others() -> None:
    given = means(np.linspace(0.0, 2 * TOP, 5000))
    assert draw(given, (1, 2)).tolist() == draw(given, (1, 2)).tolist()
    assert draw(given, (1, 2)).tolist() != draw(given, (1, 3)).tolist()


def test_neighbouring_pixels_and_frames_are_independent() -> None:
    given = means(np.full(200_000, 7.3))
    a, b = (draw(given, (5, i)).astype(float) - 7.3 for i in (0, 1))
    for x, y in ((a[1:], a[:-1]), (a, b)):
        assert abs((x * y).mean()) < 5 * 7.3 / np.sqrt(len(x))
