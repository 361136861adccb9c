import numpy as np
import pytest

from insitu.maths.waves import fit_waves, rms_from

TRUE = np.array([12.0, 0.02, -0.03, 0.004, 0.006])


def columns(psi: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(psi), np.cos(psi), np.sin(psi), np.cos(2 * psi), np.sin(2 * psi)], axis=1)


def test_waves_and_their_uncertainties_are_right() -> None:
    rng = np.random.default_rng(0)
    psi = np.arange(36) * (2 * np.pi / 36)
    pulls = []
    for _ in range(400):
        y = columns(psi) @ TRUE + rng.normal(0.0, 0.005, 36)
        fit = fit_waves(psi, y, np.full(36, 0.005**-2), width=3.0, floor=5e-4)
        pulls.append((fit.value - TRUE) / np.sqrt(np.diagonal(fit.covariance)))
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.2
    assert np.std(pulls, axis=0) == pytest.approx(np.ones(5), abs=0.2)


def test_points_far_off_do_not_pull() -> None:
    psi = np.arange(36) * (2 * np.pi / 36)
    y = columns(psi) @ TRUE + np.random.default_rng(1).normal(0.0, 0.001, 36)
    y[[3, 17]] += 0.5
    fit = fit_waves(psi, y, np.full(36, 1e6), width=3.0, floor=1e-4, steps=8)
    assert fit.value == pytest.approx(TRUE, abs=0.003)


@pytest.mark.parametrize(("points", "says"), [(6, "6 sectors"), (12, "too little of the circle")])
def test_what_does_not_determine_the_waves_is_refused(points, says) -> None:
    psi = np.arange(points) * 0.1
    fit = fit_waves(psi, np.cos(psi), np.ones(points), width=3.0, floor=0.1)
    assert says in fit.why
    assert (fit.value == 0.0).all()


def test_the_rms_over_the_circle_is_that_of_many_points() -> None:
    psi = np.linspace(0.0, 2 * np.pi, 10000, endpoint=False)
    fit = fit_waves(psi, columns(psi) @ TRUE, np.ones(psi.size), width=3.0, floor=0.1)
    assert rms_from(fit, 11.9) == pytest.approx(np.sqrt(np.mean((columns(psi) @ TRUE - 11.9) ** 2)), rel=1e-6)
