import numpy as np
import pytest

from insitu.maths.absorption.dichroism import Assumed, dichroism, windows_of
from insitu.maths.absorption.edges import edge_of
from insitu.maths.absorption.model_dichroism import IRON, pair
from insitu.maths.absorption.spectrum import NotMeasurable

NAMES = ("Fe-1_20161207215237", "Fe-2_20161207220356")


@pytest.fixture(scope="module")
def iron(data):
    """Energy and signal/I0 of the two scans."""
    tables = [np.loadtxt(data / f"xafs/xmcd_fe_pf_bl16/{name}.txt") for name in NAMES]
    energy = tables[0][:, 0]
    return energy, *(np.interp(energy, t[:, 0], t[:, 2] / t[:, 1]) for t in tables)


L3, L2 = edge_of("Fe", "L3").energy, edge_of("Fe", "L2").energy


def test_the_extremes_of_iron_are_those_of_the_readme(iron) -> None:
    """-0.403 at 708.7 eV and +0.179 at 721.8 eV, 5 % and 0.2 eV; windows of the authors: 706.8, 719.9, 3.39 holes."""
    energy, first, second = iron
    found = dichroism(energy, first, second, windows_of(energy, L3, L2), Assumed(n_holes=3.39))
    assert found.l3.value == pytest.approx(-0.403, rel=0.05)
    assert found.l3_at.value == pytest.approx(708.7, abs=0.2)
    assert found.l2.value == pytest.approx(0.179, rel=0.05)
    assert found.l2_at.value == pytest.approx(721.8, abs=0.2)


def test_the_moments_of_iron_are_those_of_iron(iron) -> None:
    """C. T. Chen et al. (1995): spin 1.98, orbit 0.085 Bohr magnetons; a film in another geometry, so roughly."""
    energy, first, second = iron
    found = dichroism(energy, first, second, windows_of(energy, L3, L2), Assumed(n_holes=3.39))
    assert found.m_spin.value == pytest.approx(1.98, rel=0.25)
    assert 0.0 < found.m_orb.value < 0.3
    assert found.p.value < found.q.value < 0.0


def made(p: float, q_l2: float, n: int = 1201) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pair with white lines of known area (L3 4, L2 2), and dichroism of integral p at L3 and q_l2 at L2."""
    energy = np.linspace(690.0, 750.0, n)
    lines = [np.exp(-0.5 * ((energy - at) / 1.2) ** 2) / (1.2 * np.sqrt(2.0 * np.pi)) for at in (708.5, 721.5)]
    step = 0.2 * (
        2.0 / 3.0 * (0.5 + np.arctan(energy - 708.5) / np.pi) + (0.5 + np.arctan(energy - 721.5) / np.pi) / 3.0
    )
    total = step + 4.0 * lines[0] + 2.0 * lines[1]
    difference = p * lines[0] + q_l2 * lines[1]
    return energy, 0.3 + 0.5 * (total + difference), 0.3 + 0.5 * (total - difference)


@pytest.mark.parametrize(("p", "q_l2"), [(-1.0, 0.8), (-0.5, 0.5), (-2.0, 1.0)])
def test_sum_rules_give_the_moments_that_were_put_in(p: float, q_l2: float) -> None:
    energy, first, second = made(p, q_l2)
    assumed = Assumed(n_holes=3.4)
    found = dichroism(energy, first, second, windows_of(energy, L3, L2), assumed)
    q, r = p + q_l2, 6.0
    assert found.p.value == pytest.approx(p, rel=0.02)
    assert found.q.value == pytest.approx(q, abs=0.02)
    assert found.r.value == pytest.approx(r, rel=0.03)
    assert found.m_orb.value == pytest.approx(-4.0 / 3.0 * q / r * 3.4, abs=0.03)
    assert found.m_spin.value == pytest.approx(-(6.0 * p - 4.0 * q) / r * 3.4, rel=0.05)
    assert found.orb_to_spin.value == pytest.approx(2.0 * q / (9.0 * p - 6.0 * q), abs=0.02)


def test_polarisation_and_angle_scale_the_difference_and_order_turns_its_sign() -> None:
    energy, first, second = made(-1.0, 0.6)
    windows = windows_of(energy, L3, L2)
    full = dichroism(energy, first, second, windows, Assumed(n_holes=3.4))
    half = dichroism(energy, first, second, windows, Assumed(n_holes=3.4, polarisation=0.8, angle_deg=60.0))
    turned = dichroism(energy, second, first, windows, Assumed(n_holes=3.4))
    assert half.m_spin.value == pytest.approx(full.m_spin.value / 0.4, rel=1e-9)
    assert turned.p.value == pytest.approx(-full.p.value, rel=1e-9)
    assert turned.r.value == pytest.approx(full.r.value, rel=1e-9)


def test_a_gain_that_drifts_between_the_scans_is_shown_and_hardly_moves_the_moments() -> None:
    energy, first, second = made(-1.0, 0.6)
    windows = windows_of(energy, L3, L2)
    good = dichroism(energy, first, second, windows, Assumed(n_holes=3.4))
    bad = dichroism(energy, first * 1.02, second, windows, Assumed(n_holes=3.4))
    assert abs(good.left) < 1e-3 < bad.left
    assert bad.m_spin.value == pytest.approx(good.m_spin.value, rel=0.1)


@pytest.mark.parametrize("slope", [-2e-3, -5e-4, 0.0, 5e-4])
@pytest.mark.parametrize("start", [687.0, 695.0])
def test_a_line_under_both_spectra_does_not_move_the_moments(slope: float, start: float) -> None:
    energy = np.arange(start, 757.0, 0.1)
    pair_of = (mu + slope * (energy - 700.0) for mu in pair(energy, IRON))
    assumed = Assumed(n_holes=IRON.n_holes, polarisation=IRON.polarisation)
    found = dichroism(energy, *pair_of, windows_of(energy, IRON.l3, IRON.l2), assumed)
    assert found.m_spin.value == pytest.approx(IRON.m_spin, rel=0.02)
    assert found.m_orb.value == pytest.approx(IRON.m_orb, rel=0.02)


def test_a_slope_that_only_one_spectrum_has_is_not_carried_on_under_the_edges() -> None:
    energy = np.arange(687.0, 757.0, 0.1)
    first, second = pair(energy, IRON)
    windows, assumed = windows_of(energy, IRON.l3, IRON.l2), Assumed(n_holes=IRON.n_holes)
    drifting = first + 1e-3 * (energy - 700.0)
    total = dichroism(energy, drifting, second, windows, assumed).total
    assert np.ptp(total - drifting - second) < 1e-9
    both = dichroism(energy, drifting, second + 1e-3 * (energy - 700.0), windows, assumed).total
    np.testing.assert_allclose(both, dichroism(energy, first, second, windows, assumed).total, atol=0.01)


def test_the_scatter_of_the_integrals_is_what_their_uncertainty_says() -> None:
    energy, first, second = made(-1.0, 0.6, 241)
    windows, rng = windows_of(energy, L3, L2), np.random.default_rng(1)
    runs = [
        dichroism(energy, first + rng.normal(0.0, 0.003, 241), second + rng.normal(0.0, 0.003, 241), windows,
                  Assumed(n_holes=3.4))
        for _ in range(150)
    ]  # fmt: skip
    for which in ("p", "q", "r"):
        true = float(np.std([getattr(run, which).value for run in runs]))
        said = float(np.median([getattr(run, which).sigma for run in runs]))
        assert 0.8 < true / said < 1.25, which


def test_what_has_no_dichroism_gives_reasons_and_no_numbers() -> None:
    energy, first, _ = made(-1.0, 0.6)
    rng = np.random.default_rng(2)
    same = [first + rng.normal(0.0, 0.002, first.size) for _ in range(2)]
    found = dichroism(energy, *same, windows_of(energy, L3, L2), Assumed(n_holes=3.4))
    assert "within 4 sigma" in found.l3.why or abs(found.l3.value) < 6.0 * found.l3.sigma
    with pytest.raises(NotMeasurable, match="does not hold L3"):
        windows_of(energy[energy < 715.0], L3, L2)
    with pytest.raises(NotMeasurable, match="must be above 0"):
        dichroism(energy, *same, windows_of(energy, L3, L2), Assumed(n_holes=3.4, angle_deg=90.0))
