import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from insitu.maths.peaks.fit_batch import Doublet
from insitu.maths.peaks.fit_kernel import curve
from insitu.maths.peaks.fit_pair import fit_pair
from insitu.maths.peaks.profiles import pseudo_voigt

X = np.linspace(11.06, 11.16, 51)
W = 0.01


def pair(split: float, share: float = 0.5, area: float = 27.0, level: float = 20.0) -> np.ndarray:
    low = pseudo_voigt(X, 11.11 - split * (1.0 - share), W, 0.5, area * share)
    return low + pseudo_voigt(X, 11.11 + split * share, W, 0.5, area * (1.0 - share)) + level


def lopsided(left: float, right: float) -> np.ndarray:
    p = np.array([11.11, left, right, 0.5, 27.0, 20.0, 0.0])
    return curve(X, p, np.array([[0, 1, 2, 3, 4]]), -1, 1.0, True)


def evidences(clean: np.ndarray, count: int = 60, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(8)
    return np.array([fit_pair(X, rng.poisson(clean * scale) / 1.0, poisson=True).evidence for _ in range(count)])


def test_a_pair_is_told_from_one_peak_by_the_counts_it_takes() -> None:
    assert np.mean(evidences(pair(0.9 * W)) > 0.0) > 0.95
    assert np.mean(evidences(pair(0.7 * W), scale=4.0) > 0.0) > 0.95
    assert np.median(evidences(pair(0.3 * W))) < 0.0  # far below the resolution: not claimed


def test_one_peak_is_not_taken_for_two() -> None:
    for scale in (0.3, 1.0, 30.0):
        assert np.mean(evidences(pair(0.0), scale=scale) > 0.0) < 0.03


@pytest.mark.parametrize(("left", "right"), [(0.010, 0.013), (0.014, 0.010)])
def test_a_lopsided_peak_is_not_taken_for_two(left: float, right: float) -> None:
    found = evidences(lopsided(left, right), scale=3.0)
    assert np.mean(found > 0.0) < 0.05


def test_split_and_positions_have_the_uncertainties_of_repeated_measurements() -> None:
    rng = np.random.default_rng(5)
    clean = pair(0.9 * W, 0.4, area=120.0)
    truth = {"split": 0.9 * W, "low": 11.11 - 0.54 * W, "high": 11.11 + 0.36 * W, "fwhm": W, "share": 0.4}
    pulls = []
    for _ in range(150):
        found = fit_pair(X, rng.poisson(clean), poisson=True)
        assert not found.unresolved
        pulls.append([(getattr(found, k)[0] - v) / getattr(found, k)[1] for k, v in truth.items()])
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0.0, atol=0.3)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.2)


@pytest.mark.parametrize("kind", ["counts", "sigma", "residuals"])
def test_evidence_does_not_hang_on_how_the_noise_is_known(kind: str) -> None:
    rng = np.random.default_rng(6)
    two, one = pair(1.2 * W, area=120.0), pair(0.0, area=120.0)
    for clean, sign in ((two, 1.0), (one, -1.0)):
        y = rng.poisson(clean).astype(float)
        sigma = np.sqrt(clean) if kind == "sigma" else None
        assert sign * fit_pair(X, y, sigma, poisson=kind == "counts").evidence > 0.0


def test_a_faint_second_peak_is_evidence_but_no_resolved_pair() -> None:
    rng = np.random.default_rng(7)
    found = fit_pair(X, rng.poisson(pair(2.5 * W, 0.04, area=400.0)), poisson=True)
    assert found.evidence > 3.0
    assert "% of the area" in found.unresolved
    assert not fit_pair(X, rng.poisson(pair(2.5 * W, 0.04, area=400.0)), poisson=True, min_share=0.0).unresolved


def test_the_two_lines_of_a_doublet_are_one_peak() -> None:
    x, doublet = np.arange(59.0, 61.5, 0.02), Doublet(1.5443 / 1.5405)
    second = 2.0 * np.degrees(np.arcsin(doublet.alpha * np.sin(np.radians(30.0))))
    clean = pseudo_voigt(x, 60.0, 0.1, 0.5, 500.0) + pseudo_voigt(x, second, 0.1, 0.5, 250.0) + 50.0
    y = np.random.default_rng(1).poisson(clean)
    assert fit_pair(x, y, poisson=True).evidence > 3.0
    assert fit_pair(x, y, poisson=True, doublet=doublet).evidence < 0.0


def test_what_cannot_be_judged_says_why() -> None:
    assert fit_pair(X[:13], X[:13]).why == "only 13 points (a pair needs 14)"
    assert fit_pair(X, np.full(X.size, 7.0)).why == "no peak above 5 sigma"
    assert "standard uncertainty" in fit_pair(X, X, np.zeros(X.size)).why
    assert "finite uncertainty" in fit_pair(X, X, np.where(np.arange(51) < 10, 1.0, np.inf)).why


@settings(max_examples=60, deadline=None)
@given(
    y=arrays(np.float64, 51, elements=st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, 1e90, -1e90])),
    sigma=st.none() | arrays(np.float64, 51, elements=st.floats(0.0, 1e9) | st.just(np.inf)),
    poisson=st.booleans(),
)
def test_whatever_the_data_are_all_numbers_are_finite(y, sigma, poisson) -> None:
    found = fit_pair(X, y, sigma, poisson=poisson)
    numbers = [found.evidence, found.chi2_one, found.chi2_two, *found.split, *found.low, *found.high, *found.one_fwhm]
    assert np.isfinite(numbers).all()
    if not found.unresolved:
        assert found.evidence > 0.0
        assert X[0] < found.low[0] <= found.high[0] < X[-1]
