from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.maths.absorption.background import prepare_background, remove_background, remove_backgrounds
from insitu.maths.absorption.fourier import KSTEP, RSTEP, first_shell, fourier, prepare_transform, window
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files
from tests.maths.absorption.test_normalise import spectra

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def measured(data):
    return spectra(data)


@pytest.fixture(scope="module")
def recorded():
    return files.larch_curves(HERE)


def test_chi_is_that_of_larch_within_1e_5_of_its_largest_value(measured, recorded) -> None:
    compared = 0
    for name, curves in recorded.items():
        want = curves.get("chi_converged", curves.get("chi"))
        if want is None:
            continue
        energy, mu = measured[name]
        found = remove_background(mu, float(curves["step"][0]), prepare_background(energy, float(curves["e0"][0])))
        assert found.chi.shape == want.shape
        assert np.max(np.abs(found.chi - want)) < 1e-5 * np.max(np.abs(want)), name
        compared += 1
    assert compared == 9


def test_chi_of_xanes_is_within_1e_3_of_larch_which_stops_short_of_its_own_minimum(measured, recorded) -> None:
    for name in ("xaslib/Fe/Hansel2001_Fe_foil_xanes_001.xdi", "xaslib/Mn/MnO2_rt_01.xdi"):
        curves = recorded[name]
        energy, mu = measured[name]
        found = remove_background(mu, float(curves["step"][0]), prepare_background(energy, float(curves["e0"][0])))
        assert np.max(np.abs(found.chi - curves["chi"])) < 1e-3 * np.max(np.abs(curves["chi"]))


def test_the_background_minimises_what_it_says_it_minimises() -> None:
    """|F chi|^2 + w^2 |clamped ends|^2 has no slope in any direction of the spline space, where the clamp is strong
    (mu of some 30: w of about 1) and weighs as much as the rest."""
    energy, mu = files.simulated(noise=0.02)
    plan = prepare_background(energy, 7112.0, clamp_low=30.0, clamp_high=50.0)
    found = remove_background(30.0 * mu, 1.0, plan)

    def cost(chi: np.ndarray) -> float:
        low = plan.forward.T @ chi
        w = 0.1 + 10.0 * float(np.mean(low**2))
        return float(np.sum(low**2)) + w * w * float(np.sum((plan.clamp * chi) ** 2))

    steps = [1e-3 * direction for direction in plan.to_chi.T]
    slopes = [(cost(found.chi + step) - cost(found.chi - step)) / 2e-3 for step in steps]
    elsewhere = found.chi + 50.0 * steps[3]
    steepest = max(abs(cost(elsewhere + step) - cost(elsewhere - step)) / 2e-3 for step in steps)
    assert max(np.abs(slopes)) < 1e-5 * steepest


def test_chi_of_a_series_is_that_of_its_spectra_one_by_one_to_the_last_bit(data) -> None:
    energy, series = files.operando(data / "xafs")
    plan = prepare_background(energy, 8350.4)
    steps = np.linspace(0.8, 1.2, len(series))
    together, backgrounds = remove_backgrounds(series, steps, plan)
    for row in range(len(series)):
        alone = remove_background(np.asfortranarray(series)[row], float(steps[row]), plan)
        assert alone.chi.tobytes() == together[row].tobytes()
        assert alone.mu0.tobytes() == backgrounds[row].tobytes()


COPPER = [("cu_10k", 6.990), ("cu_50k", 6.905), ("cu_150k", 5.585), ("cu_rt01", 3.683)]


@pytest.mark.parametrize(("name", "height"), COPPER)
def test_the_first_shell_of_copper_is_at_2_240_A_and_its_height_is_larchs(measured, name: str, height: float) -> None:
    """Position 0.02 A, height 5 % (README of the data, larch)."""
    from insitu.maths.absorption.series import Plans, exafs

    found = exafs(*measured[name], Plans(), near=(8939.0, 9039.0))
    shell = first_shell(found.chi_r, found.transform)
    assert shell.position.value == pytest.approx(2.240, abs=0.02)
    assert shell.height.value == pytest.approx(height, rel=0.05)
    assert 0.0 < shell.position.sigma < 0.01
    assert 0.0 < shell.height.sigma < 0.05


def test_chi_of_r_is_that_of_larch(measured, recorded) -> None:
    compared = 0
    for name, curves in recorded.items():
        if "chir_mag" not in curves:
            continue
        energy, mu = measured[name]
        chi = remove_background(mu, float(curves["step"][0]), prepare_background(energy, float(curves["e0"][0]))).chi
        prepared = prepare_transform(chi.size)
        size = np.abs(fourier(chi, prepared)[: prepared.r.size])
        assert np.max(np.abs(size[::4] - curves["chir_mag"])) < 1e-5 * np.max(curves["chir_mag"]), name
        assert np.max(size) == pytest.approx(float(curves["shell"][0]), rel=1e-5)
        compared += 1
    assert compared >= 9


def test_a_shell_that_was_put_in_comes_out_at_its_distance() -> None:
    k = KSTEP * np.arange(281)
    for distance in (1.6, 2.2, 2.7):
        prepared = prepare_transform(k.size)
        chi = 0.3 * np.sin(2.0 * k * distance) * np.exp(-0.01 * k * k)
        chi += np.random.default_rng(1).normal(0.0, 1e-4, k.size)
        shell = first_shell(fourier(chi, prepared), prepared)
        assert shell.position.value == pytest.approx(distance, abs=0.01)


def test_the_scatter_of_the_first_shell_is_what_its_uncertainty_says() -> None:
    k = KSTEP * np.arange(281)
    prepared = prepare_transform(k.size)
    clean = 0.3 * np.sin(2.0 * k * 2.3) * np.exp(-0.01 * k * k)
    rng = np.random.default_rng(2)
    shells = [first_shell(fourier(clean + rng.normal(0.0, 0.01, k.size), prepared), prepared) for _ in range(200)]
    for which in ("position", "height"):
        values = [getattr(one, which).value for one in shells]
        said = float(np.median([getattr(one, which).sigma for one in shells]))
        assert 0.6 < float(np.std(values)) / said < 1.6, which


def test_noise_alone_has_no_first_shell() -> None:
    prepared = prepare_transform(281)
    chi = np.random.default_rng(3).normal(0.0, 0.01, 281)
    shell = first_shell(fourier(chi, prepared), prepared)
    assert np.isnan(shell.position.value) or shell.height.value < 6.0 * shell.height.sigma


@pytest.mark.parametrize("name", ["hanning", "parzen", "welch", "kaiser", "sine", "gaussian"])
def test_every_window_is_between_0_and_1_and_highest_in_the_middle(name: str) -> None:
    x = np.arange(0.0, 16.0, 0.05)
    w = window(x, 3.0, 12.0, 1.0, name)
    assert w.min() >= 0.0
    assert w.max() <= 1.0 + 1e-12
    assert w[150] == pytest.approx(w.max())
    if name != "gaussian":
        assert w[x < 2.4].max() == 0.0
        assert w[x > 12.6].max() == 0.0


def test_what_has_no_exafs_gives_a_reason() -> None:
    energy = files.simulated()[0][:140]
    with pytest.raises(NotMeasurable, match="no EXAFS range"):
        prepare_background(energy, 7112.0)
    with pytest.raises(NotMeasurable, match="outside the spectrum"):
        prepare_background(energy, 9000.0)
    with pytest.raises(NotMeasurable, match="nothing to transform"):
        prepare_transform(80)
    sparse = np.concatenate([np.arange(7000.0, 7112.0, 5.0), np.linspace(7112.0, 8000.0, 15)])
    with pytest.raises(NotMeasurable, match=r"sparse|points"):
        prepare_background(sparse, 7112.0)
    with pytest.raises(NotMeasurable, match="decreases"):
        prepare_background(energy[::-1], 7112.0)


@settings(max_examples=40, deadline=None)
@given(
    above=st.floats(60.0, 1500.0), fine=st.floats(0.2, 3.0), off=st.floats(-15.0, 15.0), rbkg=st.floats(0.3, 2.0),
    kweight=st.integers(0, 3), clamp=st.floats(0.0, 100.0), scale=st.floats(1e-3, 1e5),
)  # fmt: skip
def test_any_range_and_scale_gives_finite_chi_or_a_reason(
    above: float, fine: float, off: float, rbkg: float, kweight: int, clamp: float, scale: float
) -> None:
    energy, mu = files.simulated(above=above, fine=fine, noise=0.01)
    try:
        plan = prepare_background(energy, 7112.0 + off, rbkg=rbkg, kweight=kweight, clamp_low=clamp, clamp_high=clamp)
    except NotMeasurable:
        return
    found = remove_background(scale * mu, scale, plan)
    assert np.isfinite(found.chi).all()
    assert np.isfinite(found.mu0).all()
    assert np.max(np.abs(found.chi[found.k > 3.0]), initial=0.0) < 10.0  # below, k^3 leaves the background free


def test_r_goes_in_the_steps_of_the_transform() -> None:
    prepared = prepare_transform(300, rmax=6.0)
    assert prepared.r[1] == pytest.approx(RSTEP)
    assert prepared.r[-1] == pytest.approx(6.0, abs=RSTEP)
