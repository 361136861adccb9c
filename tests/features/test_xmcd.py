from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xmcd import Xmcd
from insitu.features.xmcd_pair import sign_of
from insitu.types import ArrayFeature, Feature, Frame
from tests.xafs import computed, prepared, spectrum, value


def magnet(seq: int, sign: int, *, noise: float = 0.0, shift: float = 0.0, **more) -> Frame:
    """A computed spectrum of iron at L3 and L2: p = -0.5 sign, q = -0.1 sign eV (half of the difference each)."""
    energy = np.arange(690.0, 751.0, 0.2) + shift
    lines = [np.exp(-0.5 * ((energy - at) / 1.0) ** 2) / np.sqrt(2.0 * np.pi) for at in (708.0, 721.0)]
    steps = [0.5 + np.arctan((energy - at) / 1.0) / np.pi for at in (708.0, 721.0)]
    mu = 0.5 + 0.2 * (2.0 * steps[0] + steps[1]) / 3.0 + 3.0 * lines[0] + 1.2 * lines[1]
    mu += sign * (-0.25 * lines[0] + 0.2 * lines[1])
    mu += np.random.default_rng(seq).normal(0.0, noise, energy.size) if noise else 0.0
    return spectrum(energy, mu, seq=seq, **more)


def of_series(extractor: Xmcd, series: list[Frame]) -> list[dict]:
    return [dict(extractor(f, {}, series[max(0, i - extractor.before) : i])) for i, f in enumerate(series)]


def signs(found: list[dict]) -> list[int]:
    """-1, 1: sign of the difference at L3; 0: no pair."""
    heights = [f["xmcd_l3_height"].value for f in found]
    return [0 if h is None else int(np.sign(h)) for h in heights]


def test_the_dichroism_of_iron_has_the_known_extremes(data: Path) -> None:
    """Data README: -0.403 at 708.7 eV (L3), +0.179 at 721.8 eV (L2); author's 3.39 holes."""
    first, second = of_series(Xmcd(), prepared(data / "xafs" / "xmcd_fe_pf_bl16"))
    assert first["xmcd_l3_height"].value is None
    assert "next" in first["xmcd_l3_height"].why
    assert value(second["xmcd_l3_height"]) == pytest.approx(-0.403, rel=0.05)
    assert value(second["xmcd_l3_energy"]) == pytest.approx(708.7, abs=0.1)
    assert value(second["xmcd_l2_height"]) == pytest.approx(0.179, rel=0.05)
    assert value(second["xmcd_l2_energy"]) == pytest.approx(721.8, abs=0.2)
    assert value(second["xmcd_n_holes"]) == 3.39
    assert 1.5 < value(second["xmcd_m_spin"]) < 2.5  # bulk iron has 1.98 (C. T. Chen et al. 1995)
    assert 0.0 < value(second["xmcd_orb_to_spin"]) < 0.1


def test_the_order_or_the_recipe_decides_what_is_positive(data: Path) -> None:
    pair = prepared(data / "xafs" / "xmcd_fe_pf_bl16")
    plain, swapped = (value(of_series(Xmcd(swap=s), pair)[1]["xmcd_l3_height"]) for s in (False, True))
    assert swapped == pytest.approx(-plain, rel=0.01)


def test_integrals_and_moments_are_those_put_in() -> None:
    """p = -0.5, q = -0.1 eV; r = 2 (3.0 + 1.2); m = -4/3 q/r n, -(6 p - 4 q)/r n."""
    found = of_series(Xmcd(n_holes=3.4), [magnet(0, 1), magnet(1, -1)])[1]
    p, q, r = -0.5, -0.1, 8.4
    assert value(found["xmcd_p"]) == pytest.approx(p, abs=0.005)
    assert value(found["xmcd_q"]) == pytest.approx(q, abs=0.005)
    assert value(found["xmcd_r"]) == pytest.approx(r, rel=0.03)
    assert value(found["xmcd_m_orb"]) == pytest.approx(-4.0 / 3.0 * q / r * 3.4, rel=0.08)
    assert value(found["xmcd_m_spin"]) == pytest.approx(-(6.0 * p - 4.0 * q) / r * 3.4, rel=0.05)
    half = of_series(Xmcd(n_holes=3.4, polarisation=0.5), [magnet(0, 1), magnet(1, -1)])[1]
    assert value(half["xmcd_m_spin"]) == pytest.approx(2.0 * value(found["xmcd_m_spin"]), rel=1e-6)


def test_pairs_are_made_by_label_by_field_and_in_turns() -> None:
    turns = [1, -1, 1, -1, 1, -1]
    plain = [magnet(i, s) for i, s in enumerate(turns)]
    assert signs(of_series(Xmcd(), plain)) == [0, -1, 0, -1, 0, -1]
    order = [-1, 1, 1, -1, -1, 1]
    words = {1: "left", -1: "right"}  # as the beamline calls them: swap brings the sign that is wanted
    labelled = [magnet(i, s, labels={"helicity": words[s]}) for i, s in enumerate(order)]
    assert signs(of_series(Xmcd(pair="label:helicity", swap=True), labelled)) == [0, -1, 0, -1, 0, -1]
    field = [magnet(i, s, context={"field": Feature(4.0 * s, "T")}) for i, s in enumerate(order)]
    assert signs(of_series(Xmcd(pair="context:field"), field)) == [0, -1, 0, -1, 0, -1]
    assert signs(of_series(Xmcd(), field)) == [0, -1, 0, -1, 0, -1], "found without being named"
    assert signs(of_series(Xmcd(pair="alternate"), field)) == [0, 1, 0, -1, 0, 1]


def test_no_spectrum_is_used_twice_and_a_lost_one_costs_its_pair_only() -> None:
    order = [1, 1, -1, 1, -1, -1, 1]
    field = [magnet(i, s, context={"field": Feature(4.0 * s, "T")}) for i, s in enumerate(order)]
    found = signs(of_series(Xmcd(), field))
    assert found[1] == 0
    assert found[2] == -1
    assert set(found) == {0, -1}


def test_a_field_that_is_not_known_or_zero_makes_no_pair() -> None:
    frames = [magnet(0, 1, context={"field": Feature(4.0, "T")}), magnet(1, -1, context={"field": Feature(0.0, "T")})]
    last = of_series(Xmcd(), frames)[1]["xmcd_l3_height"]
    assert last.value is None
    assert "field" in last.why


def test_two_spectra_on_grids_of_their_own_are_compared() -> None:
    found = of_series(Xmcd(), [magnet(0, 1), magnet(1, -1, shift=0.07)])[1]
    assert value(found["xmcd_p"]) == pytest.approx(-0.5, abs=0.01)


def test_a_change_of_gain_is_taken_out_by_scaling_and_shows_without() -> None:
    second = magnet(1, -1)
    pair = [magnet(0, 1), replace(second, data=1.1 * second.data)]
    plain = of_series(Xmcd(), pair)[1]
    scaled = of_series(Xmcd(scale="pre_edge"), pair)[1]
    assert abs(value(plain["xmcd_left"])) > 10.0 * abs(value(scaled["xmcd_left"]))
    assert value(scaled["xmcd_p"]) == pytest.approx(-0.5 / 0.5, rel=0.03)  # in units of the pre-edge, 0.5
    step = of_series(Xmcd(scale="step"), [magnet(0, 1), second])[1]
    assert value(step["xmcd_p"]) == pytest.approx(-0.5 / 0.2, rel=0.05)


def test_uncertainties_are_the_scatter() -> None:
    found = [
        of_series(Xmcd(), [magnet(2 * i, 1, noise=0.005), magnet(2 * i + 1, -1, noise=0.005)])[1] for i in range(40)
    ]
    for key in ("xmcd_p", "xmcd_l3_height", "xmcd_m_spin"):
        values = np.array([value(f[key]) for f in found])
        told = np.median([f[key].sigma for f in found])
        assert 0.5 < values.std(ddof=1) / told < 2.0, key


def test_an_element_whose_holes_are_not_known_has_no_moments_until_they_are_given() -> None:
    frames = [magnet(i, s, shift=0.0) for i, s in ((0, 1), (1, -1))]
    found = of_series(Xmcd(l3=708.0, l2=721.0), frames)[1]
    assert value(found["xmcd_p"]) == pytest.approx(-0.5, abs=0.01)
    assert found["xmcd_m_spin"].value is None
    assert "n_holes" in found["xmcd_m_spin"].why


def test_hard_edges_and_strangers_are_no_pair() -> None:
    hard = [computed(7112.0, seq=0), computed(7112.0, seq=1)]
    assert "L3" in of_series(Xmcd(), hard)[1]["xmcd_p"].why
    stranger = [magnet(0, 1), computed(7112.0, seq=1)]
    assert "share 0 points" in of_series(Xmcd(), stranger)[1]["xmcd_p"].why


def test_curves_are_given_when_asked_for() -> None:
    found = of_series(Xmcd(arrays=True), [magnet(0, 1), magnet(1, -1)])[1]
    difference = found["xmcd_difference"]
    assert isinstance(difference, ArrayFeature)
    assert difference.values.min() == pytest.approx(-0.5 / np.sqrt(2.0 * np.pi), rel=0.01)


@pytest.mark.parametrize(
    ("text", "sign"),
    [("+1", 1), ("-1", -1), ("left", -1), ("Right", 1), ("C+", 1), ("c-", -1), ("LCP", -1), ("RCP", 1),
     ("pos", 1), ("negative", -1), ("linear horizontal", None), ("", None), ("0", None), ("5.0", 1)],
)  # fmt: skip
def test_words_for_helicity_are_understood(text: str, sign: int | None) -> None:
    assert sign_of(text) == sign


@pytest.mark.parametrize(
    ("keys", "where"),
    [({"pair": "helicity"}, "pair"), ({"pair": "label:"}, "pair"), ({"polarisation": 0.0}, "polarisation"),
     ({"l3": 700.0}, "l3"), ({"n_holes": -1.0}, "n_holes"), ({"windows": {"pre": (1.0, 2.0)}}, "windows"),
     ({"element": "H"}, "element")],
)  # fmt: skip
def test_keys_that_make_no_sense_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Xmcd(**keys)
    assert caught.value.where == where
