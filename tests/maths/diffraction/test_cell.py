import numpy as np
import pytest

from insitu.maths.diffraction.cell import (
    SYSTEMS,
    line_angles,
    parameters,
    reciprocal,
    refine_cell,
    symmetry_basis,
    system_basis,
    terms,
)
from insitu.maths.diffraction.crystal import Cell, d_spacing

CELLS = {
    "cubic": Cell(a=5.4, b=5.4, c=5.4),
    "tetragonal": Cell(a=4.6, b=4.6, c=2.96),
    "hexagonal": Cell(a=4.76, b=4.76, c=12.99, gamma=120.0),
    "rhombohedral": Cell(a=5.1, b=5.1, c=5.1, alpha=55.0, beta=55.0, gamma=55.0),
    "orthorhombic": Cell(a=7.71, b=8.54, c=8.53),
    "monoclinic": Cell(a=4.68, b=3.42, c=5.13, beta=99.8),
    "triclinic": Cell(a=5.0, b=6.0, c=7.0, alpha=80.0, beta=85.0, gamma=95.0),
}
HKL = np.array([(h, k, m) for h in range(-3, 4) for k in range(-3, 4) for m in range(4) if (h, k, m) > (0, 0, 0)])
FREE = dict(zip(SYSTEMS, (1, 2, 2, 2, 3, 4, 6), strict=True))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_cell_goes_to_its_reciprocal_metric_and_back(system: str) -> None:
    cell = CELLS[system]
    g = reciprocal(cell)
    expected = [cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma, cell.volume()]
    np.testing.assert_allclose(parameters(g), expected, rtol=1e-12)
    np.testing.assert_allclose((terms(HKL) @ g) ** -0.5, d_spacing(cell, HKL), rtol=1e-12)


@pytest.mark.parametrize("system", SYSTEMS)
def test_symmetry_leaves_the_known_number_of_parameters(system: str) -> None:
    basis = system_basis(system)
    assert basis.shape == (6, FREE[system])
    g = reciprocal(CELLS[system])
    assert np.linalg.matrix_rank(np.column_stack([basis, g]), tol=1e-9) == FREE[system]


def test_rotations_of_an_odd_setting_are_served() -> None:
    about_a = symmetry_basis([np.diag([1, -1, -1])])
    assert about_a.shape == (6, 4)
    assert about_a[3].any()  # kl is free, that is alpha
    assert not about_a[4:].any()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_cell_and_the_zero_are_found_again_within_their_uncertainties(system: str) -> None:
    """Pulls over 40 seeds: mean 0, width 1 (normal noise; least squares)."""
    truth, basis = parameters(reciprocal(CELLS[system])), system_basis(system)
    angles = line_angles(reciprocal(CELLS[system]), HKL, 1.0) + 0.02
    seen = np.isfinite(angles) & (angles < 90.0)
    pulls = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0.0, 2e-3, int(seen.sum()))
        fit = refine_cell(
            HKL[seen],
            angles[seen] + noise,
            np.full(int(seen.sum()), 2e-3),
            wavelength=1.0,
            start=reciprocal(CELLS[system]) * 1.002,
            basis=basis,
        )
        assert not fit.why
        pulls += [(fit.cell[0] - truth[0]) / fit.cell_sigma[0], (fit.zero[0] - 0.02) / fit.zero[1]]
        pulls.append((fit.volume[0] - truth[6]) / fit.volume[1])
    assert abs(np.mean(pulls)) < 0.3
    assert 0.7 < np.std(pulls) < 1.2


def test_a_displaced_sample_is_told_from_a_changed_cell() -> None:
    g = reciprocal(CELLS["hexagonal"])
    angles = line_angles(g, HKL, 1.5406)
    seen = np.isfinite(angles) & (angles < 140.0)
    moved = angles - 0.05 * np.cos(np.radians(angles / 2.0))
    fit = refine_cell(
        HKL[seen],
        moved[seen],
        np.full(int(seen.sum()), 1e-3),
        wavelength=1.5406,
        start=g,
        basis=system_basis("hexagonal"),
        zero=False,
        displacement=True,
    )
    assert fit.displacement[0] == pytest.approx(0.05, abs=1e-6)
    assert fit.cell[:3] == pytest.approx([4.76, 4.76, 12.99], abs=1e-6)
    assert fit.cell_sigma[5] == 0.0


def test_lines_of_something_else_are_left_out() -> None:
    g = reciprocal(CELLS["orthorhombic"])
    angles = line_angles(g, HKL, 1.0)
    seen = np.flatnonzero(np.isfinite(angles) & (angles < 60.0))
    wrong = seen[::17]
    angles[wrong] += 0.04
    angles += np.random.default_rng(0).normal(0.0, 1e-3, angles.size)
    fit = refine_cell(
        HKL[seen],
        angles[seen],
        np.full(seen.size, 1e-3),
        wavelength=1.0,
        start=g,
        basis=system_basis("orthorhombic"),
    )
    assert not fit.used[np.isin(seen, wrong)].any()
    assert fit.used.sum() >= seen.size - wrong.size - 2
    assert abs(fit.cell[0] - 7.71) < 4.0 * fit.cell_sigma[0]


def test_too_few_or_unfit_lines_say_so() -> None:
    g, basis = reciprocal(CELLS["tetragonal"]), system_basis("tetragonal")
    flat = np.array([(1, 0, 0), (2, 0, 0), (1, 1, 0), (2, 1, 0), (3, 0, 0), (2, 2, 0)])
    angles = line_angles(g, flat, 1.0)
    sigma = np.full(6, 1e-3)
    assert (
        "do not determine 3" in refine_cell(flat[:3], angles[:3], sigma[:3], wavelength=1.0, start=g, basis=basis).why
    )
    only_ab = refine_cell(flat, angles, sigma, wavelength=1.0, start=g, basis=basis)
    assert "do not determine all lattice parameters" in only_ab.why
