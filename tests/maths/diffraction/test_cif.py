import time
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.diffraction.cell import parameters
from insitu.maths.diffraction.cif import read_cif
from insitu.maths.diffraction.cif_cache import cache_folder
from insitu.maths.diffraction.phases import ROOM_K, ceria, corundum, rutile
from insitu.maths.diffraction.reference_pattern import from_structure, lines_within, read_d_table
from tests import decoys


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, text: str, name: str = "a.cif") -> Path:
    (folder / name).write_text(text)
    return folder / name


OURS = [("corundum", corundum), ("rutile", rutile)]


@pytest.mark.parametrize(("name", "make"), OURS)
def test_lines_agree_with_our_own_structures(tmp_path: Path, name: str, make) -> None:
    """Other form factors (neutral atoms), B and dispersion: strengths within 15 %, the same places."""
    group, _, sites = decoys.PUBLISHED[name]
    c = make(ROOM_K).cell
    text = decoys.cif(name, group, (c.a, c.b, c.c, c.alpha, c.beta, c.gamma), sites)
    (read,) = read_cif(write(tmp_path, text), name)
    ours = from_structure(name, make(ROOM_K))
    a, b = (lines_within(p, 1.5405929, 20.0, 80.0, weakest=0.02) for p in (read, ours))
    np.testing.assert_allclose(a.two_theta, b.two_theta, atol=1e-6)
    np.testing.assert_allclose(a.area / a.area.max(), b.area / b.area.max(), rtol=0.15, atol=0.02)
    np.testing.assert_allclose(a.area.sum(), b.area.sum(), rtol=0.15)
    assert read.density == pytest.approx(ours.density, rel=1e-3)
    assert read.basis is not None
    assert read.basis.shape == (6, 2)


def test_a_table_of_nist_agrees_with_the_structure(data: Path) -> None:
    """CeO2.D (SRM 674b): positions to 1e-5 deg, intensities within a quarter (they fall off with another B)."""
    table = read_d_table(data / "xrd" / "dspacing_tables" / "CeO2.D", "ceo2")
    a = lines_within(table, 1.5405929, 20.0, 60.0)
    b = lines_within(from_structure("ceo2", ceria(ROOM_K)), 1.5405929, 20.0, 60.0)
    np.testing.assert_allclose(a.two_theta, b.two_theta, atol=1e-5)
    np.testing.assert_allclose(a.area / a.area[0], b.area / b.area[0], rtol=0.25)
    assert table.density is None


def test_published_densities_come_out(tmp_path: Path) -> None:
    """X-ray densities in g/cm3 (Deer, Howie, Zussman; Wyckoff): symmetry, special places and masses are right."""
    known = {"halite": 2.165, "anatase": 3.89, "magnetite": 5.20, "calcite": 2.71, "barite": 4.48, "copper": 8.93}
    for name, density in known.items():
        (phase,) = read_cif(write(tmp_path, decoys.cif(name, *decoys.PUBLISHED[name])), name)
        assert phase.density == pytest.approx(density, rel=0.01), name


def test_the_structures_of_the_series_are_read_with_their_cells(data: Path) -> None:
    folder = data / "xrd" / "series_cucr2o4_7-289K"
    (chromite,), (oxide,) = (read_cif(folder / f"{name}.cif", name) for name in ("CuCr2O4", "CuO"))
    assert chromite.g is not None
    assert oxide.g is not None
    assert parameters(chromite.g)[:3] == pytest.approx([7.712699, 8.543299, 8.536427])
    assert parameters(oxide.g)[6] == pytest.approx(80.835, abs=1e-3)
    # d = 231.53 x 8 u / 562.481 A^3, 79.55 x 4 / 80.835: masses and volumes of the files
    assert chromite.density == pytest.approx(231.53 * 8 / 562.481 * 1.66053907, rel=1e-3)
    assert oxide.density == pytest.approx(79.55 * 4 / 80.835 * 1.66053907, rel=1e-3)
    assert chromite.basis is not None
    assert oxide.basis is not None
    assert (chromite.basis.shape[1], oxide.basis.shape[1]) == (3, 4)


def test_a_table_is_kept_and_read_back_the_same(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, decoys.cif("barite", *decoys.PUBLISHED["barite"]))
    (first,) = read_cif(path, "barite")
    kept = list(cache_folder().glob("*.npz"))
    assert len(kept) == 1
    assert kept[0].stat().st_size < 1_000_000
    (second,) = read_cif(path, "barite")
    np.testing.assert_array_equal(first.strengths(1.0), second.strengths(1.0))
    kept[0].write_bytes(b"damaged")
    (third,) = read_cif(path, "barite")
    np.testing.assert_array_equal(first.d, third.d)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, decoys.cif("halite", *decoys.PUBLISHED["halite"]))
    (first,) = read_cif(path, "x")
    write(tmp_path, decoys.cif("sylvite", *decoys.PUBLISHED["sylvite"]))
    assert read_cif(path, "x")[0].d[0] > first.d[0] * 1.05


HALITE = decoys.cif("halite", *decoys.PUBLISHED["halite"])
FM3M = "_space_group_name_H-M_alt 'F m -3 m'"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no crystal structure"),
        ("\x00\x01 not a cif at all", "is no CIF"),
        (HALITE.replace("_cell_length_b", "_cell_length_q"), "_cell_length_b is missing"),
        (HALITE.replace("_cell_length_a 5.64056", "_cell_length_a 0"), "is none"),
        (HALITE.replace(FM3M, ""), "no symmetry is given"),
        (HALITE.replace(FM3M, "_space_group_name_H-M_alt 'Q 9 9'"), "no symmetry is given"),
        (HALITE.replace("Na1 Na", "M1 Xx"), "unknown type"),
        (HALITE.replace("Na1 Na 0.00000000", "Na1 Na ?"), "'Na1' has no place"),
        (HALITE.replace("_cell_angle_alpha 90", "_cell_angle_alpha 80"), "does not have the symmetry"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"a\.cif") as caught:
        read_cif(path, "x")
    assert says in str(caught.value)


def test_disorder_shared_sites_uncertainties_and_anisotropy_are_read(tmp_path: Path) -> None:
    """Half Na, half K on one site scatters like their mean; `5.64056(7)` is a number; H without place is left out."""
    text = HALITE.replace("5.64056", "5.64056(7)").replace(
        "_atom_site_fract_z", "_atom_site_fract_z\n_atom_site_occupancy"
    )
    text = text.replace("Na1 Na 0.00000000 0.00000000 0.00000000", "Na1 Na1+ 0 0 0 0.5\nK1 K1+ 0 0 0 0.5")
    text = text.replace("Cl2 Cl 0.50000000 0.50000000 0.50000000", "Cl2 Cl 0.5 0.5 0.5 1\nH1 H ? ? ? 1")
    (phase,) = read_cif(write(tmp_path, text), "x")
    assert phase.density == pytest.approx((2.165 + 74.55 * 4 / 179.46 * 1.66054) / 2.0, rel=0.01)


def test_two_structures_in_one_file_are_two_phases(tmp_path: Path) -> None:
    both = HALITE + decoys.cif("sylvite", *decoys.PUBLISHED["sylvite"])
    assert [p.name for p in read_cif(write(tmp_path, both), "salts")] == ["salts", "salts_2"]


def test_a_large_cell_is_cut_to_a_small_table_in_good_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sites = [("Si", *rng.random(3)) for _ in range(60)]
    began = time.monotonic()
    (phase,) = read_cif(write(tmp_path, decoys.cif("big", "P 1", (40.0, 45.0, 50.0, 81.0, 93.0, 100.0), sites)), "big")
    assert phase.d.size < 8000
    assert time.monotonic() - began < 60.0  # hangs only


@pytest.mark.parametrize(
    ("text", "says"),
    [("# only a head\n", "has no line"), ("3.1 # (1 1 1)\nnonsense\n", "t.D:2"), ("-1.0\n", "is no d-spacing")],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_d_table(write(tmp_path, text, "t.D"), "t")


def test_all_tables_of_the_field_are_read(data: Path) -> None:
    tables = sorted((data / "xrd" / "dspacing_tables").glob("*.D"))
    assert len(tables) == 26
    for path in tables:
        phase = read_d_table(path, "x")
        assert (np.diff(phase.d) <= 0.0).all()
        assert phase.positions_only == (path.stem == "AgBh")
