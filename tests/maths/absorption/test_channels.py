from pathlib import Path

import numpy as np
import pytest

from insitu.maths.absorption.channels import (
    alive,
    choose,
    clearness,
    merged,
    mu_of,
    reference_way,
    sort_channels,
    unnamed_ways,
    ways,
    without_dead,
)
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption.xafs_files import simulated
from tests.xafs import frames


@pytest.mark.parametrize(
    ("names", "i0", "trans", "refer"),
    [
        ("i0 itrans irefer", 0, 1, 2), ("energy_request i0 i1 i2", 1, 2, 3), ("io it ir iff", 0, 1, 2),
        ("i0_eh1 i1_eh1 mu i1_eh2 ir_eh2 mu_ref", 0, 1, 4), ("monitor trans ref", 0, 1, 2), ("mu", None, None, None),
        ("a b c", None, None, None),
    ],
)  # fmt: skip
def test_chambers_are_known_by_the_names_that_beamlines_give_them(names, i0, trans, refer) -> None:
    assert sort_channels(names.split())[:3] == (i0, trans, refer)


def test_of_several_fluorescence_lines_those_of_the_element_are_taken() -> None:
    names = ["i0", "fe_ka_mca1", "fe_ka_mca2", "mn_ka_mca1", "mn_ka_mca2", "sum_fe_ka"]
    assert sort_channels(names, "Mn").fluor == ((3, 4),)
    assert sort_channels(names, "Fe").fluor == ((1, 2),)
    assert sort_channels(names).fluor == ((1, 2),)


def test_the_three_formulas() -> None:
    i0, it, ir = np.array([4.0, 4.0]), np.array([2.0, 1.0]), np.array([1.0, 0.25])
    one, two = np.array([1.0, 2.0]), np.array([3.0, 2.5])
    values, names = np.stack([i0, it, ir, one, two]), ["i0", "itrans", "irefer", "ifluor1", "ifluor2"]
    found = sort_channels(names)
    transmission, fluorescence = ways(found, names)
    reference = reference_way(found, names)
    assert reference is not None
    assert mu_of(values, transmission).tolist() == [np.log(2.0), np.log(4.0)]
    assert mu_of(values, fluorescence).tolist() == [1.0, 1.125]
    assert mu_of(values, reference).tolist() == [np.log(2.0), np.log(4.0)]


def test_dead_elements_are_left_out_and_named() -> None:
    rng = np.random.default_rng(0)
    good = rng.poisson(1000, (2, 50)).astype(float)
    values = np.vstack([np.full(50, 1e5), good[0], np.zeros(50), good[1], np.full(50, 7.0)])
    names = ["i0", "mca1", "mca2", "mca3", "mca4"]
    (way,) = ways(sort_channels(names), names)
    living = without_dead(way, values, names)
    assert living.above == (1, 3)
    assert "without mca2, mca4" in living.said
    assert np.array_equal(mu_of(values, way), good.sum(axis=0) / 1e5)
    assert not alive(values[2])
    with pytest.raises(NotMeasurable, match="dead"):
        mu_of(values * 0.0, way)


@pytest.mark.parametrize("bad", [0.0, -3.0, np.nan])
def test_a_chamber_that_did_not_count_is_named_with_its_point(bad: float) -> None:
    values = np.array([[5.0, 5.0, 5.0], [2.0, bad, 2.0]])
    names = ["i0", "itrans"]
    with pytest.raises(NotMeasurable, match=r"itrans is .* at point 1"):
        mu_of(values, ways(sort_channels(names), names)[0], names)


def counters(kind: str, order: tuple[int, ...] = (0, 1)) -> tuple[np.ndarray, np.ndarray]:
    """A beam that decays in steps, and what is behind the sample; `order` of the two columns."""
    energy, mu = simulated(noise=0.0005)
    beam = 1e6 * np.exp(-(energy - energy[0]) / 5000.0)
    signal = beam * np.exp(-mu) if kind == "transmission" else 0.05 * beam * mu
    return energy, np.stack([beam, signal])[list(order)]


@pytest.mark.parametrize("kind", ["transmission", "fluorescence"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_edge_tells_which_of_two_counters_is_behind_the_sample(kind: str, order: tuple[int, ...]) -> None:
    energy, values = counters(kind, order)
    way = choose(energy, values, list(unnamed_ways(energy, values)))
    assert way is not None
    assert way.mode == kind
    beam = order.index(0)
    assert (way.above if kind == "transmission" else way.below) == (beam,)


def test_a_set_energy_a_clock_or_an_angle_beside_the_counters_is_no_counter() -> None:
    energy, values = counters("transmission")
    angle = np.degrees(np.arcsin(12398.42 / (2 * 3.1356 * energy)))
    clock = np.linspace(1e3, 2e3, energy.size)
    found = [w for w in unnamed_ways(energy, np.vstack([energy + 0.01, angle, clock, values])) if w.mode != "mu"]
    assert found
    assert all({*w.above, *w.below} <= {2, 3, 4} for w in found)
    named = list(unnamed_ways(energy, np.vstack([clock, values]), ["elapsed_time", "d1", "d2"]))
    assert all(0 not in (*w.above, *w.below) for w in named)


def test_one_column_beside_the_energy_is_mu() -> None:
    energy, mu = simulated()
    (way,) = unnamed_ways(energy, np.stack([np.ones(energy.size), mu]))
    assert (way.mode, way.above) == ("mu", (1,))


def test_the_clearest_edge_wins_only_where_it_is_much_clearer() -> None:
    energy, mu = simulated()
    rng = np.random.default_rng(2)
    i0 = np.full(energy.size, 1e6)
    names = ["i0", "itrans", "ifluor"]

    def chosen(fluor: float, trans: float) -> str:
        noise = rng.normal(0.0, 1.0, (2, energy.size))
        values = np.stack([i0, i0 * np.exp(-mu + trans * noise[0]), 1e4 * (mu + fluor * noise[1])])
        way = choose(energy, values, ways(sort_channels(names), names))
        assert way is not None
        return way.mode

    assert {chosen(0.02, 0.015) for _ in range(5)} == {"transmission"}
    assert {chosen(0.015, 0.02) for _ in range(5)} == {"transmission"}, "no change from scan to scan by noise"
    assert {chosen(0.003, 0.05) for _ in range(5)} == {"fluorescence"}


def test_what_has_no_edge_is_not_clear() -> None:
    energy, mu = simulated()
    assert clearness(energy, mu) > 100.0
    assert clearness(energy, 3.0 - mu) == 0.0
    assert clearness(energy, np.random.default_rng(0).normal(size=energy.size)) == 0.0


def test_points_at_one_energy_become_their_mean() -> None:
    energy, values = merged(np.array([1.0, 2.0, 2.0, 2.0, 3.0]), np.array([[1.0, 3.0, 4.0, 5.0, 9.0]]))
    assert energy.tolist() == [1.0, 2.0, 3.0]
    assert values.tolist() == [[1.0, 4.0, 9.0]]


@pytest.mark.parametrize(
    ("file", "mode"),
    [
        ("CLSHXMA", "fluorescence"), ("generic_columns_no_header", "transmission"), ("PF9A_2022", "fluorescence"),
        ("SSRL1_2006", "transmission"), ("APS20BM_2001", "transmission"), ("APS10BM_2019", "transmission"),
        ("APS9BM_2006", "fluorescence"),
    ],
)  # fmt: skip
def test_files_of_beamlines_are_understood(data: Path, file: str, mode: str) -> None:
    (frame,) = frames(data / "xafs" / "beamline_formats" / f"{file}.dat")
    energy, values = merged(frame.axes["energy"].values, np.asarray(frame.data, float))
    names = frame.labels["channels"].split()
    candidates = ways(sort_channels(names), names) or list(unnamed_ways(energy, values, names))
    way = choose(energy, values, candidates)
    assert way is not None
    assert way.mode == mode
    assert np.isfinite(mu_of(values, way)).all()
