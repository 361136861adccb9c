import numpy as np
import pytest

from insitu.maths.diffraction.observed import LineWidth, coarse_background, line_width, observe
from insitu.maths.diffraction.phase_fit import Beam, angles, fit_phases, pattern, start
from insitu.maths.diffraction.phase_kernel import REACH, add_lines, add_slopes, judge, matched
from insitu.maths.diffraction.phase_trace import merged
from insitu.maths.diffraction.phases import ROOM_K, ceria, corundum
from insitu.maths.diffraction.reference_pattern import from_structure, lines_within
from insitu.maths.peaks.profiles import pseudo_voigt
from tests import patterns

X = np.linspace(20.0, 40.0, 2001)


def test_a_sum_of_lines_is_that_of_the_profiles() -> None:
    total = np.zeros(X.size)
    add_lines(X, np.array([25.0, 31.0]), np.array([10.0, 4.0]), np.array([0.2, 0.3]), 0.4, total)
    exact = pseudo_voigt(X, 25.0, 0.2, 0.4, 10.0) + pseudo_voigt(X, 31.0, 0.3, 0.4, 4.0)
    near = (np.abs(X - 25.0) < 2.0) | (np.abs(X - 31.0) < 3.0)
    np.testing.assert_allclose(total[near], exact[near], atol=0.02)


@pytest.mark.parametrize("k", range(5))
def test_slopes_are_those_of_small_steps(k: int) -> None:
    """Two numbers that move lines, two that widen them, eta; central differences."""
    at, area, width, eta = np.array([24.0, 30.0]), np.array([9.0, 5.0]), np.array([0.3, 0.4]), 0.3
    along, across = np.array([[1.0, 0.2], [0.5, 2.0]]), np.array([[0.5, 0.1], [0.3, 0.7]])
    moved, shaped = np.zeros((2, X.size)), np.zeros((3, X.size))
    add_slopes(X, at, area, width, eta, along, across, moved, shaped)
    sums = []
    for sign in (1.0, -1.0):
        step, total = sign * 1e-6, np.zeros(X.size)
        p = at + step * along[:, k] if k < 2 else at
        w = width + step * across[:, k - 2] if 2 <= k < 4 else width
        add_lines(X, p, area, w, eta + (step if k == 4 else 0.0), total)
        sums.append(total)
    numeric = (sums[0] - sums[1]) / 2e-6
    ends = np.concatenate([at - REACH * width, at + REACH * width])  # there a line is cut off
    inner = np.min(np.abs(X[:, None] - ends[None, :]), axis=1) > 0.05
    np.testing.assert_allclose(
        np.concatenate([moved, shaped])[k][inner], numeric[inner], atol=5e-4 * np.abs(numeric).max()
    )


def test_a_matched_filter_gives_the_area_of_a_line() -> None:
    y = pseudo_voigt(X, 30.0, 0.2, 0.5, 12.0)
    centre, width = np.array([30.0, 33.0]), np.full(2, 0.2)
    area, variance = matched(X, y, np.ones(X.size), centre, width, np.zeros(2), 0.0)
    assert area[0] == pytest.approx(12.0, rel=0.05)
    assert abs(area[1]) < 0.2
    outside = matched(X, y, np.ones(X.size), np.array([50.0]), np.array([0.2]), np.zeros(1), 0.0)
    assert np.isinf(outside[1][0])
    assert (variance > 0.0).all()


def test_lines_must_agree_in_strength_to_be_evidence() -> None:
    strength, noise = np.array([10.0, 7.0, 5.0, 3.0, 2.0]), np.full(5, 0.01)
    there = judge(2.0 * strength, noise, strength, 0.3)
    assert there[0] > 6.0
    assert there[1:3] == pytest.approx((1.0, 2.0))
    assert there[3] == 5.0
    alone = judge(np.array([0.0, 0.0, 0.0, 6.0, 0.0]), noise, strength, 0.3)
    assert alone[0] * alone[1] < 0.5 * there[0]
    beneath_others = judge(2.0 * strength * np.array([1.0, 50.0, 1.0, 90.0, 1.0]), noise, strength, 0.3)
    assert beneath_others[2] == pytest.approx(2.0, rel=0.3)
    assert judge(np.zeros(5), noise, strength, 0.3)[0] == 0.0


def test_lines_that_overlap_are_one() -> None:
    centre, within = np.array([10.0, 10.05, 12.0]), np.full(3, 0.1)
    area, variance, strength = merged(centre, np.array([3.0, 5.0, 1.0]), np.ones(3), np.array([1.0, 2.0, 4.0]), within)
    assert (area.tolist(), variance.tolist(), strength.tolist()) == ([5.0, 1.0], [1.0, 1.0], [3.0, 4.0])


def test_a_fit_finds_cells_zero_width_and_scales_again() -> None:
    truth = [(ceria(450.0), 0.4), (corundum(450.0), 0.6)]
    sample = patterns.mixture(truth, counts=30000.0, shift=0.02)
    x, y = sample.axes["two_theta"].values, sample.data.astype(float)
    seen, beam = observe(x, y, None, poisson=True), Beam(patterns.CU_K_ALPHA1)
    assert not isinstance(seen, str)
    phases = [from_structure(n, f(ROOM_K)) for n, f in (("ceo2", ceria), ("al2o3", corundum))]
    parts = tuple(start(p, lines_within(p, beam.wavelength, 15.0, 100.0), 0.0) for p in phases)
    fit = fit_phases(seen, parts, beam, zero=0.0, width=seen.width, strain=0.005)
    assert fit.zero == pytest.approx(0.02, abs=0.003)
    assert fit.parts[0].scale / fit.parts[1].scale == pytest.approx(0.4 / 0.6, rel=0.02)
    assert fit.chi2 < 1.5
    for part, (structure, _) in zip(fit.parts, truth, strict=True):
        found, _ = angles(part, beam.wavelength)
        there = lines_within(from_structure("x", structure), beam.wavelength, 15.0, 100.0, weakest=0.05).two_theta
        assert max(np.abs(found - t).min() for t in there) < 0.01


def test_a_phase_that_is_not_there_gets_no_negative_scale() -> None:
    sample = patterns.mixture([(ceria(ROOM_K), 1.0)])
    x, y = sample.axes["two_theta"].values, sample.data.astype(float)
    seen, beam = observe(x, y, None, poisson=True), Beam(patterns.CU_K_ALPHA1)
    assert not isinstance(seen, str)
    phases = [from_structure(n, f(ROOM_K)) for n, f in (("ceo2", ceria), ("al2o3", corundum))]
    parts = tuple(start(p, lines_within(p, beam.wavelength, 15.0, 100.0), 0.0) for p in phases)
    fit = fit_phases(seen, parts, beam, zero=0.0, width=seen.width, strain=0.005)
    assert fit.parts[0].scale > 0.0
    assert 0.0 <= fit.parts[1].scale < 0.02 * fit.parts[0].scale


def test_the_doublet_adds_a_companion_of_half_the_area() -> None:
    phase = from_structure("ceo2", ceria(ROOM_K))
    part = start(phase, lines_within(phase, 1.5405, 27.0, 30.0), 0.0)
    width = LineWidth(0.0025, 0.0, 0.0)
    x = np.linspace(26.0, 31.0, 5001)
    one = pattern(part, x, width, 0.0, Beam(1.5405))
    two = pattern(part, x, width, 0.0, Beam(1.5405, 1.5443, 0.5))
    assert two.sum() == pytest.approx(1.5 * one.sum(), rel=1e-3)


def test_the_width_law_and_the_background_are_read_off_a_pattern() -> None:
    at = np.linspace(20.0, 90.0, 12)
    law = LineWidth(0.004, 0.006, 0.5)
    fwhm = law.fwhm(at)
    fwhm[3] *= 2.0  # two lines under one top
    found = line_width(at, fwhm, np.arange(12.0, 24.0))
    np.testing.assert_allclose(found.fwhm(at[[0, 5, 11]]), law.fwhm(at[[0, 5, 11]]), rtol=0.05)
    y = 100.0 - X + pseudo_voigt(X, 30.0, 0.2, 0.5, 1000.0)
    np.testing.assert_allclose(coarse_background(X, y, 3.0), 100.0 - X, atol=5.0)


def test_a_pattern_without_peaks_says_so() -> None:
    assert observe(X, np.full(X.size, 3.0), np.ones(X.size), poisson=False) == "no peak above 5 sigma"
