"""Powder patterns: the fast profile against the plain one, Lorentz-polarisation and shifts against formulas."""

import numpy as np
import pytest

from insitu.maths.diffraction.phases import ceria
from insitu.maths.diffraction.powder import (
    Width,
    amorphous_hump,
    background,
    displacement_shift,
    lorentz_polarisation,
    powder_lines,
    profile,
)
from insitu.maths.peaks.profiles import caglioti, pseudo_voigt


def test_the_fast_profile_is_the_sum_of_pseudo_voigts():
    x = np.linspace(20.0, 60.0, 4001)
    lines = powder_lines(ceria(295.65), 1.5406, 61.0)
    width = Width()
    fwhm = caglioti(lines.two_theta, width.u, width.v, width.w)
    plain = sum(pseudo_voigt(x, p, w, width.eta, a) for p, w, a in zip(lines.two_theta, fwhm, lines.area, strict=True))
    fast = profile(x, lines.two_theta, lines.area, width)
    np.testing.assert_allclose(fast, plain, rtol=1e-9, atol=1e-9 * plain.max())


def test_the_area_of_a_line_of_the_profile_is_its_area():
    x = np.linspace(20.0, 60.0, 40001)
    gauss = Width(eta=0.0)
    assert np.trapezoid(profile(x, np.array([40.0]), np.array([12.0]), gauss), x) == pytest.approx(12.0, rel=1e-9)


def test_ceria_lines_lie_where_they_were_calculated_for_the_measured_frame():
    """CeO2 at 0.4066 angstrom, as the README of the data gives them: 7.4615 ... 21.210 deg, to the digits given."""
    lines = powder_lines(ceria(295.65), 0.4066, 22.0)
    known = [7.4615, 8.6179, 12.199, 14.315, 18.849, 21.210]
    nearest = [lines.two_theta[np.argmin(np.abs(lines.two_theta - angle))] for angle in known]
    np.testing.assert_allclose(nearest, known, atol=6e-4)


def test_lorentz_polarisation_without_polarisation_loss_is_the_lorentz_factor():
    angle = np.array([30.0, 60.0, 100.0])
    theta = np.radians(angle / 2)
    np.testing.assert_allclose(lorentz_polarisation(angle, 0.0), 1.0 / (np.sin(theta) ** 2 * np.cos(theta)), rtol=1e-12)
    np.testing.assert_allclose(
        lorentz_polarisation(angle), (1 + np.cos(2 * theta) ** 2) / 2 / (np.sin(theta) ** 2 * np.cos(theta)), rtol=1e-12
    )


def test_a_displaced_sample_moves_low_lines_most():
    shift = displacement_shift(np.array([20.0, 90.0, 170.0]), -0.1, 200.0)
    assert np.all(shift < 0)
    assert np.all(np.diff(shift) > 0)
    assert shift[1] == pytest.approx(-np.degrees(2 * 0.1 * np.cos(np.pi / 4) / 200), rel=1e-12)


def test_background_and_hump_are_smooth_and_positive():
    x = np.linspace(5.0, 100.0, 2000)
    assert np.all(np.diff(background(x)) < 0)
    assert np.all(background(x) > 0)
    hump = amorphous_hump(x, 1.5406)
    assert hump.max() == pytest.approx(1.0, abs=1e-3)
