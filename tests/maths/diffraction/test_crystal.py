"""Cells and structure factors against the d-spacing tables of calibrants, and against extinction rules."""

import re
from pathlib import Path

import numpy as np
import pytest

from insitu.maths.diffraction import phases
from insitu.maths.diffraction.crystal import (
    CU_K_ALPHA1,
    IONS,
    Cell,
    bragg_angle,
    cubic,
    d_spacing,
    form_factor,
    hexagonal,
    reflections,
    structure_factor,
    tetragonal,
)
from insitu.maths.diffraction.powder import powder_lines

ROW = re.compile(r"\s*(?P<d>[\d.]+) # \((?P<hkl>[-\d ]+)\)\s+(?P<m>\d+)(?:\s+(?P<i>[\d.]+))?")


def table(data: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """d (n,), hkl (n, 3), multiplicity (n,), intensity (n,) with NaN where the table has none."""
    text = (data / "xrd" / "dspacing_tables" / f"{name}.D").read_text(encoding="utf-8")
    rows = [match for line in text.splitlines() if (match := ROW.match(line))]
    assert len(rows) > 10
    return (
        np.array([float(r["d"]) for r in rows]),
        np.array([[int(i) for i in r["hkl"].split()] for r in rows]),
        np.array([int(r["m"]) for r in rows]),
        np.array([float(r["i"] or "nan") for r in rows]),
    )


@pytest.mark.parametrize(
    ("name", "cell", "atol"),
    [
        ("CeO2", cubic(5.411651), 6e-9),
        ("Si_SRM640e", cubic(5.431179), 6e-9),
        ("quartz", hexagonal(4.9160, 5.4054), 6e-9),
        ("alpha_Al2O3_SRM676a_2015", hexagonal(4.759355, 12.99231), 6e-9),
        ("TiO2", tetragonal(4.5939, 2.9589), 2e-5),  # the table was made with more digits than it names
    ],
)
def test_d_spacings_agree_with_the_table_of_the_calibrant(data, name, cell, atol):
    d, hkl, _, _ = table(data, name)
    np.testing.assert_allclose(d_spacing(cell, hkl), d, rtol=0.0, atol=atol)


@pytest.mark.parametrize(
    ("name", "structure"),
    [("CeO2", phases.ceria), ("Si_SRM640e", phases.silicon), ("alpha_Al2O3_SRM676a_2015", phases.corundum)],
)
def test_the_lines_of_the_table_and_no_others_are_found_with_their_multiplicity(data, name, structure):
    d, _, multiplicity, _ = table(data, name)
    found = reflections(structure(phases.ROOM_K), 1.0)  # where the shortest of the tables ends
    strong = found.square > 1e-6 * found.square.max()
    for line, many in zip(found.d[strong], found.multiplicity[strong], strict=True):
        nearest = np.argmin(np.abs(d - line))
        assert d[nearest] == pytest.approx(line, rel=1e-7)
        assert multiplicity[nearest] == many


def calculated(structure, d: np.ndarray) -> np.ndarray:
    """Areas (Cu K-alpha) of the lines of `structure` at the given d, the strongest of all is 100."""
    lines = powder_lines(structure, CU_K_ALPHA1, 160.0)
    at = [np.argmin(np.abs(lines.two_theta - angle)) for angle in bragg_angle(d, CU_K_ALPHA1)]
    return 100.0 * lines.area[at] / lines.area.max()


def test_silicon_intensities_agree_with_the_table_within_5_percent(data):
    d, _, _, intensity = table(data, "Si_SRM640e")
    known = np.isfinite(intensity)
    np.testing.assert_allclose(calculated(phases.silicon(phases.ROOM_K), d[known]), intensity[known], rtol=0.05)


def test_corundum_intensities_agree_with_the_certified_ones_within_7_percent(data):
    d, _, _, intensity = table(data, "alpha_Al2O3_SRM676a_2015")
    known = np.isfinite(intensity) & (intensity != 10.0)  # 10.0 stands for lines without a certified intensity
    assert known.sum() == 8
    np.testing.assert_allclose(calculated(phases.corundum(phases.ROOM_K), d[known]), intensity[known], rtol=0.07)


def test_rutile_intensities_agree_with_the_table_within_2_percent_of_the_strongest_or_20_percent(data):
    d, _, _, intensity = table(data, "TiO2")
    known = np.isfinite(intensity)
    np.testing.assert_allclose(calculated(phases.rutile(295.65), d[known]), intensity[known], rtol=0.2, atol=2.0)


def test_ceria_intensities_agree_with_those_of_neighbouring_lines_within_10_percent(data):
    """The table's are peak heights of a measurement (they fall with angle as widths grow): neighbours compare."""
    d, _, _, intensity = table(data, "CeO2")
    known = np.isfinite(intensity)
    ratio = calculated(phases.ceria(295.65), d[known]) / intensity[known]
    step = ratio[1:] / ratio[:-1]
    pairs = np.array([0, 2, 3, 4, 6, 7])  # (200)/(111), (311)/(220), (222)/(311), (400)/(222), (420)/(331), (422)/(420)
    np.testing.assert_allclose(step[pairs], 1.0, atol=0.10)
    assert np.all(np.abs(step - 1.0) < 0.15)


def test_extinction_rules_follow_from_the_atoms():
    grid = np.mgrid[-4:5, -4:5, -4:5].reshape(3, -1).T
    grid = grid[np.any(grid != 0, axis=1)]
    h, k, l = grid.T  # noqa: E741
    unmixed = (h % 2 == k % 2) & (k % 2 == l % 2)
    face_centred = np.abs(structure_factor(phases.ceria(295.65), grid)) > 1e-6
    np.testing.assert_array_equal(face_centred, unmixed)
    diamond = np.abs(structure_factor(phases.silicon(295.65), grid)) > 1e-6
    np.testing.assert_array_equal(diamond, unmixed & ((h % 2 == 1) | ((h + k + l) % 4 == 0)))
    rhombohedral = np.abs(structure_factor(phases.corundum(295.65), grid)) > 1e-6
    assert not np.any(rhombohedral & ((-h + k + l) % 3 != 0))
    c_glide = (h == -k) & (l % 2 == 1)
    assert np.any(c_glide & ((-h + k + l) % 3 == 0))
    assert not np.any(rhombohedral & c_glide)


def test_a_form_factor_starts_at_the_number_of_electrons_and_falls():
    electrons = {"O2-": 10, "Al3+": 10, "Si": 14, "Ti4+": 18, "Ba2+": 54, "Ce4+": 54}
    assert electrons.keys() == IONS.keys()
    s = np.linspace(0.0, 1.5, 50)
    for ion, number in electrons.items():
        f = form_factor(ion, s)
        assert f[0] == pytest.approx(number, abs=0.03), ion
        assert np.all(np.diff(f) < 0), ion


def test_dispersion_counts_at_copper_k_alpha_only():
    hkl = np.array([[1, 1, 1]])
    bare = structure_factor(phases.ceria(295.65), hkl)
    np.testing.assert_array_equal(structure_factor(phases.ceria(295.65), hkl, 0.4), bare)
    assert abs(structure_factor(phases.ceria(295.65), hkl, 1.5406)[0]) < abs(bare[0])


def test_a_triclinic_cell_has_the_volume_of_its_formula():
    cell = Cell(a=5.0, b=6.0, c=7.0, alpha=80.0, beta=95.0, gamma=105.0)
    a, b, g = np.cos(np.radians([80.0, 95.0, 105.0]))
    expected = 210.0 * np.sqrt(1 - a * a - b * b - g * g + 2 * a * b * g)
    assert cell.volume() == pytest.approx(expected, rel=1e-12)
