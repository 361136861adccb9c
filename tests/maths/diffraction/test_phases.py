"""Phases: published cells at their temperature, the transition of BaTiO3, expansion."""

import numpy as np
import pytest

from insitu.maths.diffraction.crystal import reflections, structure_factor
from insitu.maths.diffraction.phases import (
    BATIO3_TRANSITION_K,
    SAMPLES,
    batio3_cubic,
    batio3_tetragonal,
    ceria,
    phases,
    polarisation_squared,
)


def test_every_sample_names_where_its_structure_is_from():
    for sample in SAMPLES:
        for temperature in (300.0, 393.0, 440.0):
            for phase in phases(sample, temperature):
                assert len(phase.structure(temperature).citation) > 20


def test_fractions_sum_to_one_and_the_cubic_one_grows_on_heating():
    cubic = []
    for temperature in np.arange(350.0, 430.0, 0.5):
        found = {phase.name: phase.fraction for phase in phases("batio3", float(temperature))}
        assert sum(found.values()) == pytest.approx(1.0, abs=1e-12)
        cubic.append(found.get("cubic", 0.0))
    assert np.all(np.diff(cubic) >= 0)
    assert (cubic[0], cubic[-1]) == (0.0, 1.0)


def test_tetragonality_falls_on_heating_to_the_jump_that_is_known():
    """c/a of BaTiO3 is 1.011 at room temperature and about 1.005 just below the transition (Kay, Vousden 1949)."""
    ratio = [batio3_tetragonal(t).cell.c / batio3_tetragonal(t).cell.a for t in (299.15, 350.0, 380.0, 393.0)]
    assert ratio[0] == pytest.approx(4.038 / 3.994, rel=1e-9)
    assert np.all(np.diff(ratio) < 0)
    assert 1.004 < ratio[-1] < 1.006


def test_the_split_lines_of_the_tetragonal_phase_are_one_in_the_cubic():
    tetragonal = reflections(batio3_tetragonal(299.15), 1.9)
    cubic = reflections(batio3_cubic(420.0), 1.9)

    def lines_of(found, family):
        return [m for hkl, m in zip(found.hkl, found.multiplicity, strict=True) if sorted(np.abs(hkl)) == family]

    assert sorted(lines_of(tetragonal, [0, 0, 2])) == [2, 4]
    assert lines_of(cubic, [0, 0, 2]) == [6]
    assert lines_of(tetragonal, [1, 1, 1]) == [8]
    assert lines_of(cubic, [1, 1, 1]) == [8]


def test_the_published_cubic_cell_is_met_at_its_temperature():
    assert batio3_cubic(474.15).cell.a == pytest.approx(4.0118, rel=1e-12)


def test_polarisation_falls_to_one_at_the_transition_and_stays_real_above():
    values = [polarisation_squared(t) for t in (300.0, 380.0, BATIO3_TRANSITION_K, 400.0)]
    assert values[2] == 1.0
    assert np.all(np.diff(values) < 0)
    assert values[3] > 0


def test_another_transition_temperature_moves_the_change_of_phase():
    assert {p.name: p.fraction for p in phases("batio3", 350.0, 350.0)} == {"tetragonal": 0.5, "cubic": 0.5}


def test_a_heated_cell_expands_and_its_atoms_shake_more():
    cold, hot = ceria(295.65), ceria(895.65)
    assert hot.cell.a / cold.cell.a - 1.0 == pytest.approx(600 * 1.1e-5, rel=1e-9)
    hkl = np.array([[4, 2, 2]])
    assert abs(structure_factor(hot, hkl)[0]) < abs(structure_factor(cold, hkl)[0])
