from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xafs_combination import Combination
from insitu.features.xafs_edge import EdgeFeatures
from insitu.maths.absorption.standards import read_standards
from tests.maths.absorption.xafs_files import athena, simulated
from tests.xafs import computed, prepared, spectrum, value

SHIFTS = {"two": 7118.0, "three": 7122.0, "metal": 7112.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three standards as columns, each in another dialect."""
    for name, e0 in SHIFTS.items():
        energy, mu = simulated(e0)
        columns = {
            "two": (energy, mu),
            "three": (energy / 1000.0, mu),
            "metal": (energy, np.full(energy.size, 1e5), 1e5 * np.exp(-mu)),
        }
        head = {
            "two": "# energy mu\n", "metal": "# Element.symbol: Fe\n# Element.edge: K\n#----\n# energy i0 itrans\n",
            "three": "# XDI/1.0\n# Column.1: energy keV\n# Column.2: mutrans\n#----\n",
        }  # fmt: skip
        rows = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in zip(*columns[name], strict=True))
        (tmp_path / f"{name}.dat").write_text(head[name] + rows + "\n")
    return tmp_path


def mixture(shares: dict[str, float], noise: float = 0.001, seed: int = 0):
    energy = simulated(7118.0)[0]
    mu = sum(share * np.interp(energy, *simulated(SHIFTS[name])) for name, share in shares.items())
    return spectrum(energy, mu + np.random.default_rng(seed).normal(0.0, noise, energy.size))


def test_a_mixture_is_taken_apart_into_its_standards(folder: Path) -> None:
    fit = Combination(standards=folder)
    for shares in ({"two": 0.3, "three": 0.7}, {"two": 0.2, "three": 0.5, "metal": 0.3}, {"metal": 1.0}):
        found = fit(mixture(shares), {}, ())
        for name in SHIFTS:
            assert value(found[f"mix_{name}_share"]) == pytest.approx(shares.get(name, 0.0), abs=0.02)
        assert value(found["mix_total"]) == pytest.approx(1.0, abs=0.02)
        assert value(found["mix_spanned"]) == 1.0
        assert set(found) == set(fit.outputs)


def test_a_component_that_is_missing_is_said(folder: Path) -> None:
    fit = Combination(standards=[folder / "two.dat", folder / "metal.dat"])
    found = fit(mixture({"three": 0.8, "metal": 0.2}), {}, ())
    assert value(found["mix_spanned"]) == 0.0
    assert value(found["mix_residual"]) > 0.02
    assert 7100.0 < value(found["mix_worst"]) < 7180.0


def test_uncertainties_are_the_scatter(folder: Path) -> None:
    fit = Combination(standards=folder, tolerance=0.01)
    found = [fit(mixture({"two": 0.4, "three": 0.4, "metal": 0.2}, 0.003, s), {}, ()) for s in range(40)]
    shares = np.array([value(f["mix_two_share"]) for f in found])
    told = np.median([f["mix_two_share"].sigma or 0.0 for f in found])
    assert 0.5 < shares.std(ddof=1) / told < 2.5


def test_a_shift_of_the_energy_scale_may_be_fitted(folder: Path) -> None:
    energy = simulated(7118.0)[0]
    mu = 0.5 * np.interp(energy - 0.8, *simulated(7118.0)) + 0.5 * np.interp(energy - 0.8, *simulated(7112.0))
    found = Combination(standards=folder, shift=2.0)(spectrum(energy, mu), {}, ())
    assert value(found["mix_shift"]) == pytest.approx(0.8, abs=0.15)
    assert value(found["mix_two_share"]) == pytest.approx(0.5, abs=0.05)


def test_real_oxides_of_manganese_mix_as_they_were_mixed(data: Path) -> None:
    folder = data / "xafs" / "xaslib" / "Mn"
    fit = Combination(standards=[folder / f"{n}_rt_01.xdi" for n in ("MnO", "Mn2O3", "MnO2")], tolerance=0.02)
    (manganous,), (dioxide,) = (prepared(folder / f"{n}_rt_02.xdi") for n in ("MnO", "MnO2"))
    found = fit(manganous, {}, ())
    assert value(found["mix_mno_rt_01_share"]) == pytest.approx(1.0, abs=0.05)
    assert value(found["mix_spanned"]) == 1.0
    energy = manganous.axes["energy"].values
    step = [3.1, 0.8]
    both = [np.interp(energy, f.axes["energy"].values, f.data) for f in (manganous, dioxide)]
    heights = [value(EdgeFeatures()(spectrum(energy, mu), {}, ())["edge_step"]) for mu in both]
    mixed = sum(mu * s / h for mu, s, h in zip(both, step, heights, strict=True))
    shares = fit(spectrum(energy, mixed), {}, ())
    whole = sum(step)
    assert value(shares["mix_mno_rt_01_share"]) == pytest.approx(step[0] / whole, abs=0.06)
    assert value(shares["mix_mno2_rt_01_share"]) == pytest.approx(step[1] / whole, abs=0.06)


def test_a_foreign_spectrum_has_no_shares(folder: Path) -> None:
    fit = Combination(standards=folder)
    found = fit(computed(8979.0), {}, ())
    assert all(f.value is None and f.why for f in found.values())


def test_standards_that_cannot_be_used_are_refused_with_their_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.dat").write_text("no numbers\n")
    with pytest.raises(ConfigError, match=r"text\.dat"):
        Combination(standards=folder)
    (tmp_path / "text.dat").unlink()
    with pytest.raises(ConfigError, match="is not there"):
        Combination(standards=tmp_path / "absent.xdi")
    with pytest.raises(ConfigError) as caught:
        Combination(standards=folder, high=5000.0)
    assert caught.value.where == "high"
    with pytest.raises(ConfigError, match="low"):
        Combination(standards=folder, low=50.0, high=20.0)
    flat = "\n".join(f"{7000 + i} 1.{i}" for i in range(100, 130))
    (tmp_path / "flat.dat").write_text(flat)
    with pytest.raises(ConfigError, match=r"flat\.dat"):
        Combination(standards=tmp_path / "flat.dat")


def test_files_of_one_name_get_keys_that_differ(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "again"
    other.mkdir()
    (other / "two.dat").write_bytes((folder / "three.dat").read_bytes())
    assert [s.name for s in read_standards([folder / "two.dat", other / "two.dat"])] == ["two", "two_2"]


def test_groups_of_an_athena_project_are_standards(data: Path) -> None:
    """Copper at 10 K is itself, not the scan at 150 K."""
    project = data / "xafs" / "athena" / "cu.prj"
    fit = Combination(standards=project, groups=["cu010k.dat", "cu150k.dat"], high=300.0)
    assert fit.names == ["cu010k_dat", "cu150k_dat"]
    found = fit(spectrum(*athena(project)[0]), {}, ())
    assert value(found["mix_cu010k_dat_share"]) == pytest.approx(1.0, abs=0.01)
    assert value(found["mix_cu150k_dat_share"]) == pytest.approx(0.0, abs=0.01)
