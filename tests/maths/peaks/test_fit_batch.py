import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from insitu.maths.peaks import fit_batch as batch
from insitu.maths.peaks.fit_batch import Doublet, fit_windows
from insitu.maths.peaks.fit_kernel import CONVERGED
from insitu.maths.peaks.fit_peak import WHY, estimates, fit_peak
from insitu.maths.peaks.profiles import pseudo_voigt

X = np.linspace(20.0, 30.0, 1001)
KNOWN_STATUS = {CONVERGED, batch.NO_PEAK, batch.TOO_FEW, *WHY}


def counts(peaks: list[tuple[float, float, float]], seed: int = 0) -> np.ndarray:
    """Poisson counts of peaks (position, FWHM, area), eta 0.4, on a sloping background."""
    clean = sum(pseudo_voigt(X, at, width, 0.4, area) for at, width, area in peaks) + 40.0 + 2.0 * (X - 25.0)
    return np.random.default_rng(seed).poisson(clean).astype(float)


def at(*windows: tuple[float, float]) -> tuple[list[int], list[int]]:
    return [int(np.searchsorted(X, low)) for low, _ in windows], [int(np.searchsorted(X, high)) for _, high in windows]


def test_a_batch_gives_the_bits_of_one_fit_after_the_other() -> None:
    y = counts([(22.0, 0.12, 200.0), (25.0, 0.2, 90.0), (28.0, 0.08, 400.0)])
    first, last = at((21.5, 22.5), (24.3, 25.6), (27.6, 28.4))
    found = estimates(fit_windows(X, y, None, first, last, poisson=True), 5.0)
    assert found == [fit_peak(X[i:j], y[i:j], poisson=True) for i, j in zip(first, last, strict=True)]


def test_overlapping_peaks_fitted_together_are_unbiased_and_apart_they_are_not() -> None:
    truth = [(24.8, 0.15, 300.0), (25.1, 0.2, 120.0)]
    first, last = at((24.3, 25.0), (24.95, 25.7))
    together, apart = [], []
    for seed in range(200):
        y = counts(truth, seed)
        for rows, group in ((together, [0, 0]), (apart, [0, 1])):
            found = fit_windows(X, y, None, first, last, group=group, poisson=True).values
            rows.append(
                [(found[k, c] - truth[k][n]) / found[k, c + 1] for k in (0, 1) for n, c in enumerate((0, 4, 6))]
            )
    pulls = np.array(together)
    np.testing.assert_allclose(pulls.mean(axis=0), 0.0, atol=0.25)
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=0.2)
    assert np.abs(np.mean(apart, axis=0)).max() > 1.0


def test_a_peak_that_is_gone_leaves_its_neighbour_measured() -> None:
    first, last = at((24.3, 25.0), (24.95, 25.7))
    found = estimates(fit_windows(X, counts([(24.7, 0.1, 300.0)]), None, first, last, group=[0, 0], poisson=True), 5.0)
    assert found[0].position[0] == pytest.approx(24.7, abs=0.003)
    assert found[1].why == "no peak above 5 sigma"


def test_a_group_with_too_few_points_says_so() -> None:
    first, last = at((25.0, 25.05), (25.03, 25.08))
    found = estimates(fit_windows(X, counts([]), None, first, last, group=[0, 0], poisson=True), 5.0)
    assert {f.why for f in found} == {"only 8 points (2 overlapping peaks are fitted)"}


def test_given_start_values_and_those_of_the_data_end_at_the_same_minimum() -> None:
    y = counts([(25.0, 0.2, 500.0)])
    first, last = at((24.0, 26.0))
    start = np.array([[25.08, 0.3, 0.2, 350.0, 45.0, 0.0]])
    one, other = (fit_windows(X, y, None, first, last, poisson=True, start=s) for s in (None, start))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-5)


def test_positions_in_q_have_the_second_line_at_the_ratio_of_wavelengths() -> None:
    q, alpha = np.linspace(3.0, 3.2, 301), 1.5443 / 1.5405
    y = pseudo_voigt(q, 3.1, 0.008, 0.4, 30.0) + pseudo_voigt(q, 3.1 / alpha, 0.008, 0.4, 15.0) + 100.0
    peak = fit_peak(q, y, np.sqrt(y), doublet=Doublet(1.0 / alpha, angular=False))
    assert peak.position[0] == pytest.approx(3.1, abs=1e-7)
    assert peak.area[0] == pytest.approx(30.0, rel=1e-5)


@pytest.mark.parametrize("points", [1.2, 1.6, 2.5, 4.0])
def test_a_peak_of_very_few_points_is_measured(points: float) -> None:
    """FWHM of `points` steps, as narrow synchrotron lines have."""
    rows = []
    for seed in range(100):
        y = counts([(25.003, 0.01 * points, 100.0 * points)], seed)
        found = fit_windows(X, y, None, *at((24.85, 25.15)), poisson=True)
        assert found.status[0] == CONVERGED
        rows.append((found.values[0, 0] - 25.003) / found.values[0, 1])
    assert abs(np.mean(rows)) < 0.4
    assert 0.7 < np.std(rows) < 1.3


def test_a_peak_on_a_background_a_hundred_times_higher_is_measured() -> None:
    rng = np.random.default_rng(3)
    y = rng.poisson(pseudo_voigt(X, 25.0, 0.3, 0.4, 600.0) + 1e5)
    found = fit_windows(X, y, None, *at((23.5, 26.5)), poisson=True)
    assert abs(found.values[0, 0] - 25.0) < 4.0 * found.values[0, 1]


def test_data_below_zero_with_uncertainties_are_measured() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(pseudo_voigt(X, 25.0, 0.3, 0.4, 60.0) - 500.0, 3.0)
    found = fit_windows(X, y, np.full(X.size, 3.0), *at((23.5, 26.5)))
    assert abs(found.values[0, 6] - 60.0) < 4.0 * found.values[0, 7]


def test_points_without_uncertainty_and_points_of_infinite_uncertainty_do_no_harm() -> None:
    y = counts([(25.0, 0.2, 500.0)])
    sigma = np.sqrt(y)
    plain = fit_windows(X, y, sigma, *at((24.0, 26.0))).values[0]
    sigma[[460, 540]] = 0.0
    y[505] = 1e9
    sigma[505] = np.inf
    found = fit_windows(X, y, sigma, *at((24.0, 26.0)))
    assert found.status[0] == CONVERGED
    assert abs(found.values[0, 0] - plain[0]) < plain[1]


def test_nothing_to_fit_is_nothing_found() -> None:
    assert fit_windows(X, X, None, [], []).values.shape == (0, 12)


EXTREME = st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, 1e-300, 1e90, -1e90, 65535.0])


@settings(max_examples=150, deadline=None)
@given(
    y=arrays(np.float64, 60, elements=EXTREME),
    sigma=st.none() | arrays(np.float64, 60, elements=st.floats(0.0, 1e9) | st.just(np.inf)),
    poisson=st.booleans(),
    group=st.sampled_from([(0, 1, 2), (0, 0, 0), (0, 0, 1)]),
    doublet=st.none() | st.builds(Doublet, st.floats(1.001, 1.1), st.floats(0.1, 1.0), st.booleans(), st.booleans()),
)
def test_whatever_the_data_are_numbers_are_finite_and_within_bounds(y, sigma, poisson, group, doublet) -> None:
    x = X[:60]
    first, last = [0, 15, 35], [25, 40, 60]
    found = fit_windows(x, y, sigma, first, last, group=group, poisson=poisson, doublet=doublet)
    assert np.isfinite(found.values).all()
    assert set(found.status.tolist()) <= KNOWN_STATUS
    for k in np.flatnonzero(found.status == CONVERGED):
        v = found.values[k]
        assert x[first[k]] < v[0] < x[last[k] - 1]
        assert 0.0 < v[4] < x[last[k] - 1] - x[first[k]]
        assert 0.0 <= v[8] <= 1.0
        assert v[10] >= 5.0
        assert (v[[1, 3, 5, 7, 9, 11]] >= 0.0).all()
    assert all(bool(f.why) == (s != CONVERGED) for f, s in zip(estimates(found, 5.0), found.status, strict=True))
