from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xafs_exafs import Exafs
from insitu.types import ArrayFeature, Feature
from tests.maths.absorption.xafs_files import larch_curves, simulated
from tests.xafs import computed, prepared, spectrum, value

HERE = Path(__file__).resolve().parent
FOILS = {"cu_10k": 6.990, "cu_50k": 6.905, "cu_150k": 5.585, "cu_rt01": 3.683}


@pytest.fixture(scope="module")
def foils(data: Path) -> dict[str, dict]:
    exafs = Exafs(arrays=True)
    frames = {name: prepared(data / "xafs" / "columns_misc" / f"{name}.xmu")[0] for name in FOILS}
    return {name: dict(exafs(frame, {}, ())) for name, frame in frames.items()}


def test_the_first_shell_of_copper_is_at_2_24_angstrom_and_falls_with_temperature(foils: dict[str, dict]) -> None:
    """Data README (larch): 2.240 angstrom in all; 6.990 at 10 K, 6.905 at 50 K, 5.585 at 150 K, 3.683 at RT."""
    heights = [value(foils[name]["shell_height"]) for name in FOILS]
    for name, found in foils.items():
        assert value(found["shell_position"]) == pytest.approx(2.240, abs=0.02), name
        assert value(found["shell_height"]) == pytest.approx(FOILS[name], rel=0.05), name
        assert found["shell_height"].unit == "1/angstrom**3"
    assert heights == sorted(heights, reverse=True)


def test_the_magnitude_of_chi_R_is_that_of_larch(foils: dict[str, dict]) -> None:
    """Every fourth value was recorded."""
    known = larch_curves(HERE.parent / "maths" / "absorption")
    for name in FOILS:
        ours, theirs = foils[name]["chi_magnitude"].values[::4], known[name]["chir_mag"]
        n = min(ours.size, theirs.size)
        assert n > 40
        assert np.abs(ours[:n] - theirs[:n]).max() < 1e-5 * theirs.max(), name


def test_the_noise_of_chi_R_is_the_scatter_of_the_height() -> None:
    exafs = Exafs(e0=7112.0)
    found = [exafs(computed(noise=0.002, seed=seed), {}, ()) for seed in range(40)]
    heights = np.array([value(f["shell_height"]) for f in found])
    told = np.median([value(f["chi_noise"]) for f in found])
    assert 0.5 < heights.std(ddof=1) / told < 2.0


def test_a_bond_that_stretches_is_followed() -> None:
    """The computed shell is at 2.5 angstrom without a phase shift."""
    found = Exafs()(computed(), {}, ())
    assert value(found["shell_position"]) == pytest.approx(2.5, abs=0.03)
    assert value(found["k_end"]) == pytest.approx(15.3, abs=0.2)


def test_chi_ends_before_the_next_edge_of_the_element() -> None:
    energy, mu = simulated(5723.0, above=900.0)
    mu = mu + 0.5 * (0.5 + np.arctan((energy - 6164.0) / 1.5) / np.pi)
    end = value(Exafs(element="Ce", edge="L3")(spectrum(energy, mu), {}, ())["k_end"])
    assert end == pytest.approx(np.sqrt((6164.0 - 15.0 - 5723.0) / 3.81), abs=0.15)


def test_a_series_keeps_arrays_of_one_length() -> None:
    exafs = Exafs(arrays=True)
    energy = simulated(7118.0)[0]
    lengths = set()
    for shift in (0.0, 1.0, 2.5, 4.0):
        grid, mu = simulated(7118.0 + shift)
        found = exafs(spectrum(energy, np.interp(energy, grid, mu)), {}, ())
        chi, size = found["chi"], found["chi_magnitude"]
        assert isinstance(chi, ArrayFeature)
        assert isinstance(size, ArrayFeature)
        lengths.add((chi.values.size, size.values.size))
        assert chi.axes["k"].values.size == chi.values.size
    assert len(lengths) == 1


def test_a_near_edge_scan_has_no_first_shell_and_says_why() -> None:
    found = Exafs()(computed(above=60.0), {}, ())
    assert set(found) == set(Exafs().outputs)
    for feature in found.values():
        assert isinstance(feature, Feature)
        assert feature.value is None
        assert "1/angstrom" in (feature.why or "")


def test_noise_alone_is_no_shell() -> None:
    energy, _ = simulated()
    rng = np.random.default_rng(4)
    mu = 0.5 + np.arctan((energy - 7112.0) / 1.5) / np.pi + 0.03 * rng.standard_normal(energy.size)
    shell = Exafs()(spectrum(energy, mu), {}, ())["shell_height"]
    assert isinstance(shell, Feature)
    assert shell.value is None
    assert "noise" in (shell.why or "")


@pytest.mark.parametrize(
    ("keys", "where"),
    [({"kmin": 5.0, "kmax": 6.0}, "kmax"), ({"kweight": 5}, "kweight"), ({"rmin": 3.0, "rmax": 2.0}, "rmax"),
     ({"rbkg": 0.0}, "rbkg"), ({"rlast": 2.0}, "rlast")],
)  # fmt: skip
def test_keys_that_make_no_sense_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Exafs(**keys)
    assert caught.value.where == where
