from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.standards import read_foil, read_standards
from tests.maths.absorption import xafs_files as files


def test_every_group_of_an_athena_project_is_a_standard_under_its_label(data: Path) -> None:
    project = data / "xafs" / "athena" / "cu.prj"
    found = read_standards(project)
    assert [one.name for one in found] == ["cu010k_dat", "cu050k_dat", "cu150k_dat"]
    for one, (energy, mu) in zip(found, files.athena(project), strict=True):
        assert one.energy == pytest.approx(energy)
        assert one.mu == pytest.approx(mu)
        assert one.element == "Cu"
    (chosen,) = read_standards([project], ["cu050k.dat"])
    assert chosen.file == "cu.prj: cu050k.dat"
    assert np.array_equal(chosen.mu, found[1].mu)


def test_a_group_that_no_project_has_is_refused_with_those_there_are(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"'cu010k\.dat', 'cu050k\.dat'") as caught:
        read_standards(data / "xafs" / "athena" / "cu.prj", ["cu050k.dat", "cu300k.dat"])
    assert caught.value.where == "groups"
    assert "cu300k.dat" in str(caught.value)


def test_an_axis_of_angles_becomes_energies_by_the_spacing_in_the_header(data: Path, tmp_path: Path) -> None:
    """PF 9A: the table of blocks in its header is not its data; E0 as in `tests/prepare/test_absorption.py`."""
    (found,) = read_standards(data / "xafs" / "beamline_formats" / "PF9A_2022.dat")
    assert find_e0(found.energy, found.mu).value == pytest.approx(7121.9, abs=1.0)
    assert 1400 < found.energy.size <= 1426  # points at one energy become their mean
    energy, mu = files.simulated(7112.0)
    angle = np.degrees(np.arcsin(12398.4198 / (2.0 * 3.1356 * energy)))
    rows = "\n".join(f"{a:.7f} {m:.9f}" for a, m in zip(angle[::-1], mu[::-1], strict=True))
    xdi = "# XDI/1.0\n# Column.1: angle degrees\n# Column.2: mutrans\n"
    (tmp_path / "told.xdi").write_text(f"{xdi}# Mono.d_spacing: 3.1356\n#----\n{rows}\n")
    (tmp_path / "untold.xdi").write_text(f"{xdi}#----\n{rows}\n")
    (turned,) = read_standards(tmp_path / "told.xdi")
    assert turned.energy == pytest.approx(energy, abs=0.01)
    assert turned.mu == pytest.approx(mu)
    with pytest.raises(ConfigError, match="d-spacing") as caught:
        read_standards(tmp_path / "untold.xdi")
    assert "untold.xdi" in caught.value.where


@pytest.mark.parametrize("file", ["columns_misc/cu10k.chi", "columns_misc/cu_chi.dat"])
def test_chi_of_k_is_no_standard(data: Path, file: str) -> None:
    with pytest.raises(ConfigError, match="no X-ray energies"):
        read_standards(data / "xafs" / file)


def test_the_foil_of_a_scan_is_the_one_behind_its_sample_if_there_is_one(data: Path) -> None:
    first = sorted((data / "xafs" / "series_lno_ni_k_operando").glob("norm_*.txt"))[0]
    energy, mu = read_foil(first)
    assert np.array_equal(mu, files.table(first)[:, 2])
    assert find_e0(energy, mu).value == pytest.approx(8333.0, abs=1.0)
    energy, mu = read_foil(data / "xafs" / "columns_misc" / "cu_10k.xmu")
    assert find_e0(energy, mu).value == pytest.approx(8977.6, abs=0.3)
