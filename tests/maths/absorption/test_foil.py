import numpy as np
import pytest

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import edge_of
from insitu.maths.absorption.foil import FOILS, HC, align, corrected, foil_shift
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files


def test_the_known_foils_lie_at_their_tabulated_edges() -> None:
    """Within 1 eV of Elam's table, which is another source; except Ta, Pt, Au and Pb these are K edges."""
    for element, energy in FOILS.items():
        shell = "L3" if element in ("Ta", "Pt", "Au", "Pb") else "K"
        assert energy == pytest.approx(edge_of(element, shell).energy, abs=1.0), element


@pytest.mark.parametrize("shift", [-4.0, -0.37, 0.0, 0.25, 3.0])
def test_a_foil_is_laid_on_its_reference(data, shift: float) -> None:
    energy, mu = files.cu_foils(data / "xafs")["cu_rt01"]
    found = align(energy + shift, mu, energy, mu)
    assert found.value == pytest.approx(-shift, abs=0.01)


def test_foils_at_10_and_50_K_agree_and_room_temperature_is_3_eV_off(data) -> None:
    """README: energy axes differ by about 3 eV, a real calibration offset."""
    foils = files.cu_foils(data / "xafs")
    same = align(*foils["cu_50k"], *foils["cu_10k"])
    assert abs(same.value) < 0.1
    assert align(*foils["cu_rt01"], *foils["cu_10k"]).value == pytest.approx(-3.0, abs=0.3)
    cold = foil_shift(find_e0(*foils["cu_10k"]), FOILS["Cu"])
    warm = foil_shift(find_e0(*foils["cu_rt01"]), FOILS["Cu"])
    assert warm.value - cold.value == pytest.approx(-3.0, abs=0.3)


def test_the_scatter_of_the_shift_is_what_its_uncertainty_says() -> None:
    energy, clean = files.simulated()
    found = [align(energy, files.simulated(noise=0.004, seed=s)[1], energy, clean) for s in range(1, 60)]
    true, said = float(np.std([f.value for f in found])), float(np.median([f.sigma for f in found]))
    assert 0.5 < true / said < 2.0


def foil(x: np.ndarray) -> np.ndarray:
    """A smooth foil with its edge at 0: mu at `x` eV."""
    wiggle = 0.15 * np.sin(x / 6.0) * np.exp(-x * x / 4000.0) / (1.0 + np.exp(-(x - 8.0) / 2.0))
    return 0.5 + np.arctan(x / 1.2) / np.pi + 0.25 * np.exp(-0.5 * ((x - 6.0) / 2.5) ** 2) + wiggle + 0.3 - 2e-4 * x


@pytest.mark.parametrize("fine", [0.25, 0.5, 1.0])
@pytest.mark.parametrize(("noise", "of_reference"), [(0.016, 0.0), (0.004, 0.0), (0.001, 0.0), (0.004, 0.002)])
def test_shifts_are_unbiased_wherever_they_lie_on_the_grid_and_their_uncertainties_honest(
    fine: float, noise: float, of_reference: float
) -> None:
    """80 scans, shifted at random: pulls 0 +- 0.35 and 1 +- 0.25 (down to 0.65 where the grid is so coarse that the
    spline errs by more than the noise); 10 times less noise, 10 times less scatter."""
    rng, x, pulls, off = np.random.default_rng(3), np.arange(-150.0, 300.0, fine), [], []
    for _ in range(80):
        shift = rng.uniform(-2.0, 2.0)
        scan = foil(x + shift) + rng.normal(0.0, noise, x.size)
        found = align(7112.0 + x, scan, 7112.0 + x, foil(x) + rng.normal(0.0, of_reference, x.size))
        pulls.append((found.value - shift) / found.sigma)
        off.append(found.value - shift)
    assert abs(np.mean(pulls)) < 0.35
    assert (0.65 if (fine, noise) == (1.0, 0.001) else 0.75) < np.std(pulls) < 1.25
    assert np.std(off) < 3.5 * np.hypot(noise, of_reference) * np.sqrt(fine / 0.5)


def test_an_angle_that_is_off_moves_every_energy_by_its_own_amount() -> None:
    d, turn = 3.1356, 2e-5
    true = np.array([7112.0, 8979.0, 12000.0])
    shown = HC / (2.0 * d) / np.sin(np.arcsin(HC / (2.0 * d * true)) + turn)
    back = corrected(shown, float(true[1] - shown[1]), d_spacing=d, at=float(shown[1]))
    np.testing.assert_allclose(back, true, atol=1e-6)
    np.testing.assert_array_equal(corrected(true, 1.5), true + 1.5)


def test_what_cannot_be_aligned_gives_a_reason() -> None:
    energy, mu = files.simulated()
    with pytest.raises(NotMeasurable, match="in common"):
        align(energy + 5000.0, mu, energy, mu)
    with pytest.raises(NotMeasurable, match="no match within 2 eV"):
        align(energy + 6.0, mu, energy, mu, largest=2.0)
    with pytest.raises(NotMeasurable, match="does not reach below"):
        corrected(np.array([1500.0, 1600.0]), 1.0, d_spacing=3.1356, at=1500.0)


@pytest.mark.parametrize("stretch", [0.97, 1.03])
def test_foils_that_differ_draw_no_shift_to_where_their_points_lie_on_one_another(stretch: float) -> None:
    """Another temperature, here wiggles that are closer or wider: shifts in steps of 0.1 eV are found in such steps,
    within the uncertainty, which tells of the difference."""
    x = np.arange(-150.0, 300.0, 0.5)
    reference, shifts = foil(x), np.arange(-0.5, 0.51, 0.1)
    found = [align(7112.0 + x, foil(stretch * (x + s)), 7112.0 + x, reference) for s in shifts]
    steps = np.diff([f.value for f in found])
    assert steps == pytest.approx(np.full(steps.size, 0.1), abs=0.03)
    for one, shift in zip(found, shifts, strict=True):
        assert abs(one.value - shift) < max(3.0 * one.sigma, 0.02)


def test_another_substance_is_not_taken_for_the_foil(data) -> None:
    energy, mu = files.cu_foils(data / "xafs")["cu_rt01"]
    other = np.where(energy < 8985.0, 0.1, 1.0 + 2.0 * np.exp(-0.5 * ((energy - 8990.0) / 3.0) ** 2))
    with pytest.raises(NotMeasurable, match=r"unexplained|no match|falls"):
        align(energy, other, energy, mu)
