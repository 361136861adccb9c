"""Profiles against their definitions: area, half width, height; Caglioti against hand-calculated widths."""

import numpy as np
import pytest

from insitu.maths.peaks.profiles import (
    FWHM_PER_SIGMA,
    caglioti,
    gaussian,
    lorentzian,
    pseudo_voigt,
    pseudo_voigt_height,
)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_pseudo_voigt_is_half_as_high_half_a_width_away(eta):
    x = np.array([10.0 - 0.04, 10.0, 10.0 + 0.04])
    y = pseudo_voigt(x, 10.0, 0.08, eta, 7.0)
    assert y[0] / y[1] == pytest.approx(0.5, abs=1e-9)
    assert y[2] / y[1] == pytest.approx(0.5, abs=1e-9)
    assert y[1] == pytest.approx(pseudo_voigt_height(0.08, eta, 7.0), rel=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_area_is_what_was_asked_for_but_for_the_lorentzian_beyond_the_range(eta):
    x = np.linspace(-500.0, 500.0, 1_000_001)
    area = np.trapezoid(pseudo_voigt(x, 0.0, 1.0, eta, 3.0), x)
    beyond = 1.0 - 2.0 / np.pi * np.arctan(2.0 * 500.0)
    assert area == pytest.approx(3.0 * (1.0 - eta * beyond), rel=1e-9)


def test_a_gaussian_agrees_with_the_normal_distribution():
    sigma, x = 0.3, np.linspace(-2, 2, 41)
    normal = np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(gaussian(x, 0.0, FWHM_PER_SIGMA * sigma), normal, rtol=1e-12)


def test_peaks_broadcast_over_their_parameters():
    x = np.linspace(0.0, 1.0, 5)
    both = lorentzian(x, np.array([[0.2], [0.6]]), np.array([[0.1], [0.2]]))
    np.testing.assert_array_equal(both[1], lorentzian(x, 0.6, 0.2))


def test_caglioti_is_the_root_of_its_polynomial():
    assert caglioti(60.0, 0.03, -0.01, 0.02) == pytest.approx(np.sqrt(0.03 / 3 - 0.01 / np.sqrt(3) + 0.02), rel=1e-12)


def test_caglioti_without_a_real_width_is_refused():
    with pytest.raises(ValueError, match="no real width"):
        caglioti(np.array([20.0, 60.0]), 0.0, -1.0, 0.3)
