import numpy as np
import pytest

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.normalise import keep_normalised, normalise, prepare_normalisation
from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.shape import energy_at, pre_edge_peak, white_line
from tests.maths.absorption import xafs_files as files


def described(energy: np.ndarray, mu: np.ndarray, *, given: bool = False):
    """Everything that the three functions need."""
    edge = find_e0(energy, mu)
    plan = keep_normalised(energy, edge.at) if given else prepare_normalisation(energy, edge.at)
    sigma = point_noise(energy, mu, edge.value)
    return energy, normalise(mu, plan, sigma), plan, edge, sigma


@pytest.fixture(scope="module")
def known(data):
    return files.library(data / "xafs")


def test_manganese_valence_rises_in_steps_of_half_height(known) -> None:
    """README (larch): MnO 6544.0, Mn3O4 6546.1, Mn2O3 6549.0, MnO2 6551.6, each within 0.3 eV."""
    means = []
    for name, value in (("MnO_", 6544.0), ("Mn3O4_", 6546.1), ("Mn2O3_", 6549.0), ("MnO2_", 6551.6)):
        found = [energy_at(*described(o.energy, o.mu)) for o in known if f"/{name}" in o.path]
        assert len(found) == 3
        assert [f.value for f in found] == pytest.approx([value] * 3, abs=0.3)
        assert all(0.0 < f.sigma < 0.1 for f in found)
        means.append(float(np.mean([f.value for f in found])))
    assert means == sorted(means)


def test_charging_moves_nickel_by_what_the_readme_says(data) -> None:
    """Energy at normalised 0.5 within 0.1 eV, white line from 8352.4 to 8355.0 eV within 0.2 eV (README)."""
    energy, series = files.operando(data / "xafs")
    for number, value in ((1, 8344.76), (7, 8344.86), (19, 8345.03), (31, 8345.42), (43, 8345.94), (58, 8346.16)):
        assert energy_at(*described(energy, series[number - 1], given=True)).value == pytest.approx(value, abs=0.1)
    first, last = (white_line(*described(energy, series[n], given=True)) for n in (0, 57))
    assert first.position.value == pytest.approx(8352.4, abs=0.2)
    assert last.position.value == pytest.approx(8355.0, abs=0.2)
    assert first.height.value == pytest.approx(float(series[0].max()), abs=0.01)


def test_chromium_pre_edges_tell_hexavalent_from_trivalent(known) -> None:
    """README: heights of mu itself Cr2O3 0.13, K2CrO4 0.91, K2Cr2O7 0.80; above a baseline a little less."""
    for one in known:
        if "_rt_" not in one.path or "ssrl" in one.path:
            continue
        for name, low, high in (("k2cro4", 0.7, 0.92), ("k2cr2o7", 0.6, 0.82), ("cr2o3", 0.01, 0.14)):
            if name in one.path:
                peak = pre_edge_peak(*described(one.energy, one.mu))
                assert low < peak.height.value < high, one.path
                assert 5990.0 < peak.centroid.value < 5996.0, one.path


@pytest.mark.parametrize("area", [0.08, 0.3, 1.2])
def test_a_pre_edge_peak_that_was_put_in_comes_out(area: float) -> None:
    energy, mu = files.simulated(pre_edge=area, noise=0.0005, width=0.8, fine=0.3)
    peak = pre_edge_peak(*described(energy, mu))
    assert peak.centroid.value == pytest.approx(7104.0, abs=0.3)
    _, found, *_ = described(energy, mu)
    assert peak.area.value == pytest.approx(area / found.step.value, rel=0.25)


def test_without_a_pre_edge_peak_none_is_reported() -> None:
    energy, mu = files.simulated(noise=0.003, fine=0.3)
    peak = pre_edge_peak(*described(energy, mu))
    assert "above the baseline" in peak.area.why
    assert np.isnan(peak.area.value)


def scatter(function, *, noise: float = 0.003, count: int = 80):
    """Standard deviation over repeated measurements, and what is said at the median."""
    found = [function(*described(*files.simulated(noise=noise, seed=seed, pre_edge=0.5))) for seed in range(count)]
    return found


def test_uncertainties_are_the_scatter_of_repeated_measurements() -> None:
    halves = scatter(energy_at)
    lines = scatter(white_line)
    peaks = scatter(pre_edge_peak)
    for name, values in {
        "half": halves,
        "position": [one.position for one in lines],
        "height": [one.height for one in lines],
        "area": [one.area for one in lines],
        "centroid": [one.centroid for one in peaks],
        "pre-edge area": [one.area for one in peaks],
    }.items():
        true = float(np.std([v.value for v in values]))
        said = float(np.median([v.sigma for v in values]))
        assert 0.4 < true / said < 2.5, (name, true, said)


def test_a_white_line_has_its_vertex_and_its_area() -> None:
    energy = np.arange(6900.0, 7700.0, 0.5)
    x = energy - 7112.0
    mu = 0.5 + np.arctan(x / 0.5) / np.pi + 0.8 * np.exp(-0.5 * ((x - 7.0) / 2.0) ** 2)
    line = white_line(*described(energy, mu))
    assert line.position.value == pytest.approx(7119.0, abs=0.2)
    assert line.height.value == pytest.approx(1.78, abs=0.05)
    assert line.area.value == pytest.approx(0.8 * 2.0 * np.sqrt(2.0 * np.pi), rel=0.2)


def test_what_a_spectrum_does_not_hold_has_a_reason() -> None:
    energy, mu = files.simulated()
    everything = described(energy, mu)
    assert "does not reach 9" in energy_at(*everything, level=9.0).why
    assert "is above -2" in energy_at(*everything, level=-2.0).why
    smooth = 0.5 + np.arctan(energy - 7112.0) / np.pi
    assert "no maximum" in white_line(*described(energy, smooth)).position.why
    few = energy > 7109.4
    assert "points before the flank" in pre_edge_peak(*described(energy[few], mu[few])).area.why
