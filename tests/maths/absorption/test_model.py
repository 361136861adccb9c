"""The parametric absorption spectra have the numbers that they are said to have."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.absorption.foil import FOILS
from insitu.maths.absorption.model import EndMember, MixtureTruth, Peak, Shell, chi_of, normalised
from insitu.maths.absorption.model_dichroism import Film, pair
from insitu.maths.absorption.model_samples import REACTIONS, changed, metal

MEMBERS = [m for sample in REACTIONS.values() for m in sample.members] + [metal("Ni"), metal("Cr")]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: m.name)
def test_e0_is_where_the_edge_rises_fastest(member: EndMember) -> None:
    energy = np.arange(member.e0 - 9.0, member.e0 + 15.0, 0.002)
    slope = np.gradient(normalised(energy, member), energy)
    assert energy[np.argmax(slope)] == pytest.approx(member.e0, abs=0.011)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: m.name)
def test_a_member_runs_from_nought_to_one(member: EndMember) -> None:
    energy = np.arange(member.e0 - 200.0, member.e0 + 1000.0, 0.5)
    mu = normalised(energy, member)
    assert 0.0 < mu[energy < member.e0 - 60.0].max() < 0.02
    assert mu[energy > member.e0 + 200.0].mean() == pytest.approx(1.0, abs=0.005)
    assert mu.max() < 2.0


def test_foils_are_at_their_known_energies() -> None:
    assert [metal(element).e0 for element in ("Cr", "Fe", "Ni")] == [FOILS[e] for e in ("Cr", "Fe", "Ni")]


def test_a_shell_appears_in_r_where_distance_and_phase_put_it() -> None:
    """The transform of chi(k) peaks at R plus half the slope of the phase (Teo and Lee): both shells of one kind."""
    k = np.arange(0.05, 16.0, 0.05)
    r = np.arange(0.5, 4.0, 0.005)
    found = []
    for distance in (2.0, 2.1):
        chi = chi_of(k, EndMember(name="one", e0=7000.0, shells=(Shell(6.0, distance, 0.004),)))
        weight = k**2 * np.exp(-(((k - 7.5) / 3.0) ** 2))
        found.append(r[np.argmax(np.abs(np.exp(-2j * np.outer(r, k)) @ (weight * chi)))])
    assert found[1] - found[0] == pytest.approx(0.1, abs=0.006)
    # the slope of phi at the middle of the window, k about 7: (p1 + 2 p2 k)/2
    assert found[0] - 2.0 == pytest.approx(0.5 * (-0.60 + 2.0 * 0.012 * 7.0), abs=0.03)


def test_chi_is_linear_in_neighbours_and_damped_by_disorder() -> None:
    k = np.linspace(0.0, 15.0, 301)
    one, two, hot = (
        chi_of(k, EndMember(name="x", e0=7000.0, shells=(Shell(number, 2.0, sigma2),)))
        for number, sigma2 in ((1.0, 0.004), (2.0, 0.004), (1.0, 0.009))
    )
    np.testing.assert_allclose(two, 2.0 * one, rtol=1e-12)
    np.testing.assert_allclose(hot, one * np.exp(-2.0 * 0.005 * k**2), atol=1e-15)


def test_a_shift_of_e0_for_a_shell_moves_its_wave_numbers() -> None:
    k = np.linspace(3.0, 12.0, 181)
    plain = EndMember(name="x", e0=7000.0, shells=(Shell(6.0, 2.0, 0.004),))
    moved = EndMember(name="x", e0=7000.0, shells=(Shell(6.0, 2.0, 0.004, "light", 4.0),))
    np.testing.assert_allclose(chi_of(k, moved), chi_of(np.sqrt(k**2 - 4.0 / 3.8099819442818976), plain), rtol=1e-9)


def test_members_cross_at_the_isosbestic_points() -> None:
    truth = MixtureTruth(REACTIONS["nickel_oxidation"].members)
    points = np.array(truth.isosbestic())
    first, last = (normalised(points, member) for member in truth.members)
    np.testing.assert_allclose(first, last, atol=2e-6)
    assert np.any(np.abs(points - 8353.0) < 3.0)


def test_the_edge_of_a_mixture_lies_between_those_of_its_members() -> None:
    truth = MixtureTruth(REACTIONS["nickel_oxidation"].members)
    e0 = [truth.e0([1.0 - p, p]) for p in np.linspace(0.0, 1.0, 21)]
    assert np.all(np.diff(e0) > 0)
    assert (e0[0], e0[-1]) == pytest.approx((8344.2, 8345.8), abs=0.002)


def test_members_are_changed_by_name_and_anything_else_is_refused() -> None:
    new = changed(REACTIONS["iron_reduction"], {"iron_iii": {"sigma2_2": 0.02, "n2": 5.0, "pre_edge_at": -9.0}})
    assert new.members[0].shells[1] == Shell(5.0, 2.98, 0.02, "heavy")
    assert new.members[0].pre_edge == Peak(-9.0, 0.06, 3.0)
    assert new.members[1:] == REACTIONS["iron_reduction"].members[1:]
    with pytest.raises(ConfigError, match="no 'r9'"):
        changed(REACTIONS["iron_reduction"], {"iron_iii": {"r9": 2.0}})


def test_moments_follow_from_the_integrals_by_the_sum_rules() -> None:
    film = Film(m_orb=0.2, m_spin=1.2, n_holes=3.0, polarisation=0.8, angle_deg=30.0)
    energy = np.arange(600.0, 830.0, 0.01)
    up, down = pair(energy, film)
    whole = (up - down) / (0.8 * np.cos(np.radians(30.0)))
    between = energy < 0.5 * (film.l3 + film.l2)
    p, q = whole[between].sum() * 0.01, whole.sum() * 0.01
    r = 2.0 * film.area
    assert -4.0 / 3.0 * q / r * 3.0 == pytest.approx(0.2, rel=1e-4)
    assert -(6.0 * p - 4.0 * q) / r * 3.0 == pytest.approx(1.2, rel=1e-3)
    bare = (up + down) - sum(
        share * 2.0 * (0.5 + np.arctan(energy - at) / np.pi) for share, at in ((2 / 3, film.l3), (1 / 3, film.l2))
    )
    assert bare.sum() * 0.01 == pytest.approx(r, rel=1e-6)


def test_a_film_without_moments_has_no_dichroism() -> None:
    energy = np.arange(690.0, 750.0, 0.1)
    up, down = pair(energy, Film(), 0.0)
    np.testing.assert_array_equal(up, down)
