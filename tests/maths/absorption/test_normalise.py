from pathlib import Path

import numpy as np
import pytest

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.normalise import is_normalised, keep_normalised, normalise, prepare_normalisation
from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files

HERE = Path(__file__).parent


def spectra(data: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {one.path: (one.energy, one.mu) for one in files.library(data / "xafs")}
    found |= files.cu_foils(data / "xafs")
    energy, series = files.operando(data / "xafs")
    return found | {f"operando_{n}": (energy, series[n - 1]) for n in (1, 31, 58)}


@pytest.fixture(scope="module")
def measured(data):
    return spectra(data)


def test_edge_steps_are_those_of_larch_at_the_same_e0(measured) -> None:
    for name, (e0, step) in files.larch_edges(HERE).items():
        if name in measured:
            energy, mu = measured[name]
            assert normalise(mu, prepare_normalisation(energy, e0)).step.value == pytest.approx(step, rel=1e-6), name


def test_edge_steps_at_our_own_e0_are_within_2_percent_of_larch(measured) -> None:
    """Where both take the same rise of the edge: larch takes the pre-edge peak of chromates and of V2O5 and VO2, and
    the other of two equally steep parts in some; there the polynomials are read at another energy."""
    checked = 0
    for name, (e0, step) in files.larch_edges(HERE).items():
        if name not in measured:
            continue
        energy, mu = measured[name]
        own = find_e0(energy, mu)
        if abs(own.at - e0) > 1.0:
            continue
        assert normalise(mu, prepare_normalisation(energy, own.at)).step.value == pytest.approx(step, rel=0.02), name
        checked += 1
    assert checked >= 75


def test_normalised_and_flattened_mu_are_those_of_larch(measured) -> None:
    """The issue asks for 1e-3 of the step; the same definitions give rounding (7 recorded digits)."""
    compared = 0
    for name, curves in files.larch_curves(HERE).items():
        if "norm" in curves:
            energy, mu = measured[name]
            found = normalise(mu, prepare_normalisation(energy, float(curves["e0"][0])))
            np.testing.assert_allclose(found.norm[::9], curves["norm"], atol=1e-6)
            np.testing.assert_allclose(found.flat[::9], curves["flat"], atol=1e-6)
            compared += 1
    assert compared == 9


@pytest.mark.parametrize(("nvict", "nnorm"), [(0, 0), (0, 1), (0, 2), (0, 3), (1, 2), (3, 1)])
def test_the_step_is_found_exactly_where_the_model_holds(nvict: int, nnorm: int) -> None:
    energy = np.arange(6900.0, 7900.0, 2.0)
    x = (energy - 7112.0) / 1000.0
    pre = (0.4 - 0.3 * x) * (energy / 7112.0) ** (-nvict)
    post = 1.25 + sum(0.2 * x**n for n in range(1, nnorm + 1))
    mu = pre + np.where(energy >= 7112.0, post, 0.0)
    ranges = {"pre1": -200.0, "pre2": -30.0, "norm1": 50.0, "norm2": 700.0}
    found = normalise(mu, prepare_normalisation(energy, 7112.0, nvict=nvict, nnorm=nnorm, **ranges))
    assert found.step.value == pytest.approx(1.25, rel=1e-9)
    np.testing.assert_allclose(found.flat[energy >= 7112.0], 1.0, atol=1e-9)
    np.testing.assert_allclose(found.norm[energy < 7112.0], 0.0, atol=1e-9)


def test_the_uncertainty_of_the_step_is_the_scatter_of_repeated_measurements() -> None:
    energy, mu = files.simulated()
    plan = prepare_normalisation(energy, 7112.0)
    sigma = np.full(energy.size, 0.004)
    rng = np.random.default_rng(5)
    assert float(plan.step_weights @ mu) == pytest.approx(normalise(mu, plan).step.value, rel=1e-9)
    steps = [normalise(mu + rng.normal(0.0, sigma), plan).step.value for _ in range(400)]
    assert normalise(mu, plan, sigma).step.sigma == pytest.approx(float(np.std(steps)), rel=0.12)


def test_the_noise_that_is_read_off_a_spectrum_is_the_noise_that_was_put_in() -> None:
    energy, mu = files.simulated(noise=0.004, fine=0.3)
    assert np.median(point_noise(energy, mu, 7112.0)) == pytest.approx(0.004, rel=0.25)


def test_a_spectrum_that_is_normalised_is_recognised_and_kept(data, measured) -> None:
    energy, series = files.operando(data / "xafs")
    for mu in series[::8]:
        e0 = find_e0(energy, mu).at
        assert is_normalised(energy, mu, e0)
        kept = normalise(mu, keep_normalised(energy, e0))
        assert kept.norm is not None
        np.testing.assert_array_equal(kept.norm, mu)
        assert kept.step == (1.0, 0.0, "")
    raw = {name: one for name, one in measured.items() if not name.startswith("operando")}
    assert not [name for name, (energy, mu) in raw.items() if is_normalised(energy, mu, find_e0(energy, mu).at)]


def test_what_cannot_be_normalised_gives_a_reason() -> None:
    energy, mu = files.simulated()
    with pytest.raises(NotMeasurable, match="not inside the spectrum"):
        prepare_normalisation(energy, 6000.0)
    with pytest.raises(NotMeasurable, match="not inside the spectrum"):
        prepare_normalisation(energy, float(energy[-1]))
    with pytest.raises(NotMeasurable, match="no points"):
        prepare_normalisation(energy, 7112.0, pre1=20.0, pre2=40.0)
    with pytest.raises(NotMeasurable, match=r"above the edge|points above"):
        prepare_normalisation(energy, 7112.0, norm1=-90.0, norm2=-50.0)
    with pytest.raises(NotMeasurable, match="the edge step is"):
        normalise(-mu, prepare_normalisation(energy, 7112.0))


def test_a_short_pre_edge_is_taken_as_a_constant() -> None:
    energy = np.concatenate([[7090.0, 7095.0, 7100.0], np.arange(7105.0, 7300.0, 0.5)])
    mu = 0.3 + 1.0 / (1.0 + np.exp(-(energy - 7121.0) / 1.5))
    plan = prepare_normalisation(energy, 7121.0, pre1=-31.0, pre2=-20.0)
    assert plan.ranges.npre == 0
    assert normalise(mu, plan).step.value == pytest.approx(1.0, abs=1e-3)
