import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.mixture import combine
from insitu.maths.absorption.normalise import normalise, prepare_normalisation
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files

E = np.arange(7080.0, 7180.0, 0.5)


def standard(at: float, white: float) -> np.ndarray:
    x = E - at
    return 0.5 + np.arctan(x / 1.5) / np.pi + white * np.exp(-0.5 * ((x - 6.0) / 3.0) ** 2)


STANDARDS = [(E, standard(7118.0, 0.1)), (E, standard(7121.5, 0.4)), (E, standard(7124.0, 0.2))]


def mixed(shares, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    made = sum(share * mu for share, (_, mu) in zip(shares, STANDARDS, strict=True))
    return made + np.random.default_rng(seed).normal(0.0, noise, E.size) if noise else made


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda s: sum(s) > 0.1))
def test_a_mixture_comes_apart_into_what_it_was_made_of(shares: list[float]) -> None:
    found = combine(E, mixed(shares), STANDARDS, low=7090.0, high=7170.0)
    assert [s.value for s in found.shares] == pytest.approx(shares, abs=1e-6)
    assert found.total.value == pytest.approx(sum(shares), abs=1e-6)
    assert found.spanned


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_shares_are_those_of_non_negative_least_squares(seed: int) -> None:
    """scipy.optimize.nnls is an implementation of its own."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0.5, 1.0, E.size)
    part = (E >= 7090.0) & (E <= 7170.0)
    want, _ = nnls(np.stack([mu[part] for _, mu in STANDARDS], axis=1), y[part])
    found = combine(E, y, STANDARDS, low=7090.0, high=7170.0)
    assert [s.value for s in found.shares] == pytest.approx(want.tolist(), abs=1e-6)


def test_shares_that_must_add_to_one_do_and_are_the_best_such() -> None:
    y = mixed((0.2, 0.5, 0.0), noise=0.01) + 0.05
    found = combine(E, y, STANDARDS, low=7090.0, high=7170.0, sum_to_one=True)
    shares = np.array([s.value for s in found.shares])
    assert shares.sum() == pytest.approx(1.0, abs=1e-9)
    assert shares.min() >= 0.0
    part = (E >= 7090.0) & (E <= 7170.0)
    table = np.stack([mu[part] for _, mu in STANDARDS], axis=1)
    least = float(np.sum((y[part] - table @ shares) ** 2))
    for other in np.random.default_rng(1).dirichlet((1.0, 1.0, 1.0), 3000):
        assert float(np.sum((y[part] - table @ other) ** 2)) >= least - 1e-9


def test_uncertainties_are_the_scatter_of_repeated_measurements() -> None:
    runs = [combine(E, mixed((0.3, 0.5, 0.2), 0.01, seed), STANDARDS, low=7090.0, high=7170.0) for seed in range(150)]
    for which in range(3):
        true = float(np.std([run.shares[which].value for run in runs]))
        said = float(np.median([run.shares[which].sigma for run in runs]))
        assert 0.7 < true / said < 1.4
    assert all(run.spanned for run in runs)


def test_a_missing_component_is_said_to_be_missing() -> None:
    found = combine(E, mixed((0.3, 0.3, 0.4), 0.002), STANDARDS[:1], low=7090.0, high=7170.0)
    assert not found.spanned
    assert "a component is missing" in found.why


def test_a_common_shift_of_the_standards_is_found() -> None:
    y = np.interp(E - 0.8, E, mixed((0.6, 0.4, 0.0)))
    free = combine(E, y, STANDARDS, low=7090.0, high=7170.0, largest_shift=3.0)
    assert free.shift.value == pytest.approx(0.8, abs=0.05)
    assert [s.value for s in free.shares] == pytest.approx([0.6, 0.4, 0.0], abs=0.03)
    assert combine(E, y, STANDARDS, low=7090.0, high=7170.0).rms > 5.0 * free.rms


def test_magnetite_is_spanned_by_magnetite_and_not_by_the_foil(data) -> None:
    """Two scans of one sample span each other; a metal foil does not span an oxide."""

    def normal(name: str) -> tuple[np.ndarray, np.ndarray]:
        one = next(k for k in files.library(data / "xafs") if k.path.endswith(name))
        return one.energy, normalise(one.mu, prepare_normalisation(one.energy, find_e0(one.energy, one.mu).at)).norm

    scan = normal("magnetite_xanes_001.xdi")
    again, foil = normal("magnetite_xanes_002.xdi"), normal("Hansel2001_Fe_foil_xanes_001.xdi")
    same = combine(*scan, [again, foil], low=7090.0, high=7170.0, tolerance=0.02)
    assert same.spanned
    assert same.shares[0].value == pytest.approx(1.0, abs=0.05)
    assert not combine(*scan, [foil], low=7090.0, high=7170.0).spanned


def test_what_cannot_be_combined_gives_a_reason() -> None:
    y = mixed((0.3, 0.3, 0.4))
    with pytest.raises(NotMeasurable, match="only"):
        combine(E, y, STANDARDS, low=7100.0, high=7102.0)
    with pytest.raises(NotMeasurable, match="no standards"):
        combine(E, y, [], low=7090.0, high=7170.0)
    with pytest.raises(NotMeasurable, match="standard 2 covers"):
        combine(E, y, [STANDARDS[0], (E[:80], STANDARDS[1][1][:80])], low=7090.0, high=7170.0)
    with pytest.raises(NotMeasurable, match="the same, or a mixture"):
        combine(E, y, [STANDARDS[0], STANDARDS[0]], low=7090.0, high=7170.0)
