import numpy as np
import pytest
from scipy.optimize import curve_fit

from insitu.maths.peaks.fit_batch import Doublet
from insitu.maths.peaks.fit_peak import fit_peak
from insitu.maths.peaks.profiles import pseudo_voigt, pseudo_voigt_height

X = np.linspace(28.2, 28.7, 101)
FWHM, ETA, AREA = 0.08, 0.4, 100.0


def expected(position: float, area: float = AREA, background: float = 50.0) -> np.ndarray:
    return pseudo_voigt(X, position, FWHM, ETA, area) + background + 20.0 * (X - 28.45)


def pulls(kind: str, count: int = 400) -> np.ndarray:
    """(estimate - truth) / sigma of position, height, width, area for noisy copies of one peak."""
    rng = np.random.default_rng(20260101)
    rows = []
    for _ in range(count):
        position = 28.45 + rng.uniform(-0.03, 0.03)
        clean = expected(position)
        if kind == "residuals":
            peak = fit_peak(X, rng.normal(clean, 10.0))
        elif kind == "sigma":
            peak = fit_peak(X, rng.normal(clean, np.sqrt(clean)), np.sqrt(clean))
        else:
            peak = fit_peak(X, rng.poisson(clean), poisson=True)
        assert not peak.why
        height = float(pseudo_voigt_height(FWHM, ETA, AREA))
        truths = (position, height, FWHM, AREA)
        found = (peak.position, peak.height, peak.fwhm, peak.area)
        rows.append([(value - truth) / sigma for (value, sigma), truth in zip(found, truths, strict=True)])
    return np.array(rows)


@pytest.mark.parametrize("kind", ["counts", "sigma", "residuals"])
def test_the_uncertainties_are_those_of_repeated_measurements(kind: str) -> None:
    p = pulls(kind)
    # 400 trials: the mean pull is known to 0.05, its spread to 0.035
    np.testing.assert_allclose(p.mean(axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(p.std(axis=0), 1.0, atol=0.12)


def test_few_counts_give_the_right_area_and_chi_squared() -> None:
    """Weights from the counts themselves would make the area 0.6 sigma too small here."""
    rng = np.random.default_rng(6)
    found = [fit_peak(X, rng.poisson(expected(28.45, 6.0, 5.0)), poisson=True) for _ in range(300)]
    pulls = [(peak.area[0] - 6.0) / peak.area[1] for peak in found if not peak.why]
    assert len(pulls) > 290
    assert abs(np.mean(pulls)) < 0.25
    assert np.mean([peak.chi2_reduced for peak in found if not peak.why]) == pytest.approx(1.0, abs=0.1)


def test_a_weak_peak_counts_only_from_the_asked_significance_on() -> None:
    rng = np.random.default_rng(13)
    found = [fit_peak(X, rng.poisson(expected(28.45, 2.5)), poisson=True) for _ in range(200)]
    seen = [peak.significance for peak in found if not peak.why]
    assert 5.0 <= min(seen) < 5.2
    assert 20 < len(seen) < 180


def test_the_fit_agrees_with_scipy() -> None:
    y = np.random.default_rng(4).normal(expected(28.45), 5.0)
    sigma = np.full(X.size, 5.0)
    u = (X - 28.45) / 0.25

    def model(_x, position, fwhm, eta, area, b0, b1):
        return pseudo_voigt(X, position, fwhm, eta, area) + b0 + b1 * u

    best, cov = curve_fit(model, X, y, [28.44, 0.1, 0.5, 80.0, 40.0, 0.0], sigma, absolute_sigma=True)
    scale = max(1.0, float(np.sum(((y - model(X, *best)) / sigma) ** 2)) / (X.size - 6))
    peak = fit_peak(X, y, sigma)
    np.testing.assert_allclose([peak.position[0], peak.fwhm[0], peak.eta, peak.area[0]], best[:4], rtol=1e-5)
    errors = np.sqrt(np.diag(cov) * scale)
    # the knowledge that eta lies in [0, 1] makes ours a few per cent smaller
    np.testing.assert_allclose([peak.position[1], peak.fwhm[1], peak.area[1]], errors[[0, 1, 3]], rtol=0.08)


@pytest.mark.parametrize("level", [0.5, 5.0, 500.0])
def test_no_peak_is_seen_in_pure_background(level: float) -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        assert fit_peak(X, rng.poisson(level, X.size), poisson=True).why == "no peak above 5 sigma"


def test_a_dip_is_not_a_peak() -> None:
    y = 1000.0 - pseudo_voigt(X, 28.45, FWHM, ETA, 50.0)
    assert fit_peak(X, y, poisson=True).why == "no peak above 5 sigma"


def test_a_constant_is_not_a_peak() -> None:
    assert fit_peak(X, np.full(X.size, 7.0)).why == "no peak above 5 sigma"
    assert fit_peak(X, np.zeros(X.size), poisson=True).why == "no peak above 5 sigma"


def test_a_noiseless_peak_is_found_exactly() -> None:
    peak = fit_peak(X, pseudo_voigt(X, 28.441, FWHM, ETA, 3.0) + 1.0)
    assert peak.position[0] == pytest.approx(28.441, abs=1e-9)
    assert peak.fwhm[0] == pytest.approx(FWHM, rel=1e-6)


def test_a_rise_to_the_end_of_the_window_is_no_peak_inside_it() -> None:
    y = np.random.default_rng(1).poisson(50.0 + 5000.0 * np.exp(-(((X - 28.75) / 0.08) ** 2)))
    assert "edge of the window" in fit_peak(X, y, poisson=True).why


def test_too_few_points_say_so() -> None:
    assert fit_peak(X[:7], X[:7]).why == "only 7 points (a fit needs 8)"


def test_uncertainties_that_are_all_zero_say_so() -> None:
    assert "standard uncertainty" in fit_peak(X, X, np.zeros(X.size)).why


def test_a_profile_that_does_not_fit_does_not_look_precise() -> None:
    doublet = pseudo_voigt(X, 28.40, 0.05, 0.2, 500.0) + pseudo_voigt(X, 28.46, 0.05, 0.2, 500.0) + 50.0
    one = fit_peak(X, doublet, poisson=True)
    assert one.chi2_reduced > 20.0
    single = fit_peak(X, pseudo_voigt(X, 28.43, 0.09, 0.2, 1000.0) + 50.0, poisson=True)
    assert one.position[1] > 4.0 * single.position[1]


def test_the_answer_does_not_depend_on_the_memory_layout() -> None:
    y = np.random.default_rng(9).poisson(expected(28.45))
    plain = fit_peak(X, y, poisson=True)
    padded = np.zeros((X.size, 3), dtype=np.int64)
    padded[:, 1] = y
    turned = np.asfortranarray(np.vstack([X, X]))[0]
    assert fit_peak(turned, padded[:, 1], poisson=True) == plain
    frozen = y.astype(np.float64)
    frozen.flags.writeable = False
    assert fit_peak(X, frozen, poisson=True) == plain


CU = Doublet(1.5443 / 1.5405)


def doublet(x: np.ndarray, position: float, fwhm: float, area: float, ratio: float = 0.5) -> np.ndarray:
    second = 2.0 * np.degrees(np.arcsin(CU.alpha * np.sin(np.radians(position / 2.0))))
    return pseudo_voigt(x, position, fwhm, ETA, area) + pseudo_voigt(x, second, fwhm, ETA, ratio * area)


@pytest.mark.parametrize("position", [20.0, 45.0, 90.0, 140.0])
def test_a_doublet_is_measured_at_its_first_line_merged_or_apart(position: float) -> None:
    """The lines are 0.05 deg apart at 20 deg two theta and 0.9 deg at 140 deg, against a width of 0.1 deg."""
    x = np.arange(position - 1.0, position + 2.0, 0.02)
    rng = np.random.default_rng(int(position))
    rows = []
    for _ in range(60):
        at = position + rng.uniform(-0.1, 0.1)
        peak = fit_peak(x, rng.poisson(doublet(x, at, 0.1, 300.0) + 50.0), poisson=True, doublet=CU)
        assert not peak.why
        found = ((peak.position, at), (peak.fwhm, 0.1), (peak.area, 300.0))
        rows.append([(value - truth) / sigma for (value, sigma), truth in found])
    np.testing.assert_allclose(np.mean(rows, axis=0), 0.0, atol=0.5)
    np.testing.assert_allclose(np.std(rows, axis=0), 1.0, atol=0.4)


def test_a_doublet_taken_for_one_line_is_too_far_up_and_too_wide() -> None:
    x = np.arange(44.0, 47.0, 0.02)
    y = np.random.default_rng(2).poisson(doublet(x, 45.0, 0.1, 300.0) + 50.0)
    one = fit_peak(x, y, poisson=True)
    assert one.position[0] - 45.0 > 0.015
    assert one.fwhm[0] > 0.13


def test_the_ratio_of_a_doublet_can_be_fitted() -> None:
    x = np.arange(44.0, 47.0, 0.02)
    y = np.random.default_rng(3).poisson(doublet(x, 45.0, 0.1, 3000.0, ratio=0.25) + 50.0)
    held, free = (fit_peak(x, y, poisson=True, doublet=CU._replace(fit_ratio=fit)) for fit in (False, True))
    assert held.chi2_reduced > 5.0
    assert free.chi2_reduced < 1.3
    assert abs(free.area[0] - 3000.0) < 4.0 * free.area[1]


def test_a_second_peak_in_the_window_does_not_lead_the_fit_away() -> None:
    """As in CuCr2O4 at 10 deg: the widest box of points that stands out holds both."""
    x = np.linspace(9.944, 10.062, 60)
    y = pseudo_voigt(x, 10.0033, 0.0103, 0.77, 79.0) + pseudo_voigt(x, 9.9655, 0.006, 0.8, 9.0) + 60.0
    peak = fit_peak(x, y, np.sqrt(y))
    assert not peak.why
    assert peak.position[0] == pytest.approx(10.0033, abs=5e-4)
