import numpy as np
import pytest

from insitu.maths.peaks.moments import peak_moments
from insitu.maths.peaks.profiles import gaussian, pseudo_voigt

X = np.linspace(28.2, 28.7, 101)
SQUARES = np.sqrt(np.maximum(gaussian(X, 28.45, 0.08, 100.0) + 50.0, 1.0))


def test_the_moments_of_a_gaussian_are_its_numbers() -> None:
    peak = peak_moments(X, gaussian(X, 28.43, 0.08, 100.0) + 50.0 + 30.0 * X, np.ones(X.size))
    assert peak.position[0] == pytest.approx(28.43, abs=1e-6)
    assert peak.fwhm[0] == pytest.approx(0.08, rel=1e-4)
    assert peak.area[0] == pytest.approx(100.0, rel=1e-4)


def test_the_uncertainties_are_those_of_repeated_measurements() -> None:
    rng = np.random.default_rng(11)
    rows = []
    for _ in range(400):
        position = 28.45 + rng.uniform(-0.03, 0.03)
        clean = gaussian(X, position, 0.08, 100.0) + 50.0
        peak = peak_moments(X, rng.poisson(clean), poisson=True)
        truths = (position, 0.08, 100.0)
        found = (peak.position, peak.fwhm, peak.area)
        rows.append([(value - truth) / sigma for (value, sigma), truth in zip(found, truths, strict=True)])
    pulls = np.array(rows)
    np.testing.assert_allclose(pulls.mean(axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=0.12)


def test_each_uncertainty_is_the_sum_over_the_points_of_what_they_change() -> None:
    """Numerical derivatives against the propagated ones, with an uneven axis."""
    x = X + 0.001 * np.sin(40.0 * X)
    y = pseudo_voigt(x, 28.45, 0.08, 0.5, 100.0) + 50.0
    peak = peak_moments(x, y, SQUARES)
    changes = []
    for i in range(x.size):
        bumped = y.copy()
        bumped[i] += 1e-4
        after = peak_moments(x, bumped, SQUARES)
        changes.append([(after[k][0] - peak[k][0]) / 1e-4 for k in range(4)])
    spread = np.sqrt(np.sum((np.array(changes) * SQUARES[:, None]) ** 2, axis=0))
    np.testing.assert_allclose(spread, [peak[k][1] for k in range(4)], rtol=1e-4)


def test_background_alone_has_no_moments() -> None:
    rng = np.random.default_rng(3)
    whys = {peak_moments(X, rng.poisson(50.0, X.size), poisson=True).why for _ in range(200)}
    assert whys == {"no peak above 5 sigma"}


def test_too_few_points_say_so() -> None:
    assert peak_moments(X[:5], X[:5]).why == "only 5 points (moments need 8)"


def test_a_constant_has_no_moments() -> None:
    assert peak_moments(X, np.full(X.size, 3.0)).why == "no peak above 5 sigma"
