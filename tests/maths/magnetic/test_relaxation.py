"""Dispersion of the permeability: the model that made a sweep is found, its numbers within their uncertainties."""

import math
from pathlib import Path

import numpy as np
import pytest

from insitu.maths.magnetic.relaxation import fit_dispersion, permeability_of

F = np.geomspace(1e4, 3e8, 50)
MADE = {
    "debye": {"mu_s": 2000.0, "f_r": 2e6},
    "cole_cole": {"mu_s": 800.0, "f_r": 5e6, "a": 0.2},
    "cole_davidson": {"mu_s": 700.0, "f_r": 4e6, "b": 0.5},
    "havriliak_negami": {"mu_s": 700.0, "f_r": 4e6, "b": 0.6, "a": 0.15, "mu_h": 20.0},
    "resonance": {"mu_s": 120.0, "mu_inf": 5.0, "f_r": 2e7, "g": 0.6},
}


@pytest.mark.parametrize("model", MADE)
def test_without_noise_the_numbers_come_back(model: str) -> None:
    found = fit_dispersion(F, permeability_of(F, model, MADE[model]))
    assert found.model == model
    assert found.misfit < 1e-6
    for name, value in MADE[model].items():
        assert found.values[name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("model", MADE)
def test_noise_of_one_percent_leaves_the_model_and_its_numbers_within_their_uncertainties(model: str) -> None:
    rng, mu, pulls = np.random.default_rng(2), permeability_of(F, model, MADE[model]), []
    sigma = 0.01 * np.abs(mu)
    for known in (True, False) * 4:
        size = sigma if known else np.full(F.size, 0.003 * np.abs(mu).max())
        noisy = mu + size * (rng.standard_normal(F.size) + 1j * rng.standard_normal(F.size))
        found = fit_dispersion(F, noisy, size if known else None)
        if found.model == model:
            names = [name for name in MADE[model] if found.sigmas[name] > 0]
            pulls += [(found.values[n] - MADE[model][n]) / found.sigmas[n] for n in names if n in ("mu_s", "f_r")]
    assert len(pulls) >= 10, "another model was taken"
    assert np.std(pulls) < 1.8
    assert np.max(np.abs(pulls)) < 5.0


def test_n87_at_small_signal_is_followed_to_a_thousandth(data: Path) -> None:
    table = np.load(data / "magnetic" / "n87_permeability_dev.npz")
    found = fit_dispersion(table["f_small_Hz"], table["mu_r_small"])
    assert found.misfit < 1e-3
    assert found.number("mu_s").value == pytest.approx(2155, rel=0.005)
    assert found.values["f_r"] > table["f_small_Hz"].max(), "mu' still rises at the end of the sweep"


def test_a_sweep_that_ends_long_before_the_relaxation_says_that_it_does_not_know_it() -> None:
    f = np.geomspace(1e3, 1e5, 20)
    rng = np.random.default_rng(0)
    mu = permeability_of(f, "debye", {"mu_s": 2000.0, "f_r": 3e7})
    found = fit_dispersion(f, mu + rng.standard_normal(20) + 1j * rng.standard_normal(20))
    told = found.number("f_r")
    assert math.isnan(told.value)
    assert told.why
    assert found.number("mu_s").value == pytest.approx(2000.0, abs=5 * found.number("mu_s").sigma)


def test_points_that_are_no_numbers_are_left_out() -> None:
    mu = permeability_of(F, "debye", MADE["debye"])
    mu[::7] = np.nan
    assert fit_dispersion(F, mu).values["f_r"] == pytest.approx(2e6, rel=1e-4)


@pytest.mark.parametrize(
    ("f", "mu", "word"),
    [
        (F[:4], np.ones(4), "6 needed"),
        (F, np.full(F.size, np.nan), "6 needed"),
        (np.linspace(1e5, 1.1e5, 30), np.ones(30), "nothing can be seen"),
        (F, np.zeros(F.size), "physical"),
        (F, np.ones(3), "no sweep"),
    ],
)
def test_what_is_no_sweep_is_refused_in_words(f: np.ndarray, mu: np.ndarray, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fit_dispersion(f, mu)
