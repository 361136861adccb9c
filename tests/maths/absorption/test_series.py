import numpy as np
import pytest

from insitu.maths.absorption.series import Plans, digest_of, exafs, exafs_series
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files


@pytest.fixture(scope="module")
def series(data):
    return files.operando(data / "xafs")


KEYS = {"pre1": -150.0, "pre2": -50.0, "norm1": 150.0, "norm2": 1000.0, "nnorm": 2}


def test_a_series_equals_its_spectra_one_by_one_to_the_last_bit(series) -> None:
    energy, mu = series
    together = exafs_series(energy, mu, 8350.4, Plans(), normalisation=KEYS)
    assert together.why == {}
    for row in range(0, len(mu), 5):
        alone = exafs(energy, mu[row], Plans(), e0=8350.4, normalisation=KEYS)
        assert alone.normalised.step.value == together.step[row]
        assert alone.normalised.flat.tobytes() == together.flat[row].tobytes()
        assert alone.background.chi.tobytes() == together.chi[row].tobytes()
        assert alone.chi_r[: together.r.size].tobytes() == together.chi_r[row].tobytes()


def test_what_is_kept_changes_no_bit(series) -> None:
    energy, mu = series
    plans = Plans()
    first = exafs(energy, mu[3], plans)
    for other in mu[:20]:
        exafs(energy, other, plans)
    again, fresh = exafs(energy, mu[3], plans), exafs(energy, mu[3], Plans())
    assert again.background.chi.tobytes() == first.background.chi.tobytes() == fresh.background.chi.tobytes()


def test_no_more_is_kept_than_was_asked_for(series) -> None:
    energy, mu = series
    plans = Plans(most=4)
    for e0 in np.arange(8345.0, 8355.0, 1.0):
        exafs(energy, mu[0], plans, e0=float(e0))
        assert len(plans) <= 4


def test_another_grid_gets_its_own_matrices(series) -> None:
    energy, mu = series
    plans = Plans()
    exafs(energy, mu[0], plans, e0=8349.6)
    moved = energy.copy()
    moved[1000] += 1e-9
    assert digest_of(moved) != digest_of(energy)
    kept = len(plans)
    exafs(moved, mu[0], plans, e0=8349.6)
    assert len(plans) == kept + 2  # normalisation and background; the transform is the same


def test_one_bad_spectrum_of_a_series_is_named_and_the_others_are_done(series) -> None:
    energy, mu = series
    broken = mu[:6].copy()
    broken[1, 40] = np.nan
    broken[2] = 0.5
    broken[4] = -broken[4]
    found = exafs_series(energy, broken, 8349.6, Plans())
    assert sorted(found.why) == [1, 2, 4]
    assert "not finite" in found.why[1]
    assert "the same at every energy" in found.why[2]
    assert "edge step" in found.why[4]
    assert np.isnan(found.chi[[1, 2, 4]]).all()
    assert np.isfinite(found.chi[[0, 3, 5]]).all()
    assert found.chi[3].tobytes() == exafs(energy, mu[3], Plans(), e0=8349.6).background.chi.tobytes()


def test_what_no_spectrum_of_a_series_allows_is_said_once() -> None:
    energy, mu = (one[:140] for one in files.simulated())
    assert energy[-1] < 7145.0
    with pytest.raises(NotMeasurable, match="no EXAFS range"):
        exafs_series(energy, np.stack([mu, mu]), 7112.0, Plans())
    with pytest.raises(NotMeasurable, match="a series needs mu"):
        exafs_series(energy, mu, 7112.0, Plans())


def test_the_chain_finds_e0_itself_or_takes_the_one_given() -> None:
    energy, mu = files.simulated()
    own = exafs(energy, mu, Plans())
    assert own.edge is not None
    assert own.e0 == own.edge.at
    assert exafs(energy, mu, Plans(), e0=7113.5).edge is None
