import numpy as np
import pytest

from insitu.features.xrd import Peaks
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.types import Axis, Frame

X = np.linspace(20.0, 40.0, 2001)


def frame(data: np.ndarray) -> Frame:
    axes = {"two_theta": Axis(X, "deg")}
    return Frame(source="det", data=data, dims=("two_theta",), unit="counts", time_ns=0, seq=0, n=0, axes=axes)


def counts(seed: int, areas: dict[float, float]) -> np.ndarray:
    clean = sum(pseudo_voigt(X, at, 0.12, 0.4, area) for at, area in areas.items()) + 50.0
    return np.random.default_rng(seed).poisson(clean).astype(np.uint32)


ONE = {28.44: 200.0}
CLOSE = {24.80: 80.0, 25.05: 40.0}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_windows_that_overlap_are_fitted_together(order: tuple[int, int]) -> None:
    windows = [[(24.4, 24.95), (24.9, 25.5)][k] for k in order]
    truth = [list(CLOSE)[k] for k in order]
    areas = [list(CLOSE.values())[k] for k in order]
    found = Peaks(windows=windows)(frame(counts(3, CLOSE)), {}, ())
    apart = Peaks(windows=windows, overlap="apart")(frame(counts(3, CLOSE)), {}, ())
    for k in (1, 2):
        position, area = found[f"peak{k}_position"], found[f"peak{k}_area"]
        assert abs(position.value - truth[k - 1]) < 4.0 * position.sigma
        assert abs(area.value - areas[k - 1]) < 4.0 * area.sigma
        assert apart[f"peak{k}_area"].value != area.value


def test_a_bad_point_in_one_window_leaves_the_overlapping_one_measured() -> None:
    data = counts(3, CLOSE).astype(np.float64)
    data[445] = np.nan
    found = Peaks(windows=[(24.4, 24.95), (24.9, 25.5)])(frame(data), {}, ())
    assert "not finite" in found["peak1_position"].why
    assert found["peak2_position"].value == pytest.approx(25.05, abs=0.02)


def test_automatic_neighbours_are_fitted_together_even_where_only_one_is_asked_for() -> None:
    found = Peaks(max_peaks=1)(frame(counts(6, CLOSE)), {}, ())
    area = found["peak1_area"]
    assert abs(area.value - 80.0) < 4.0 * area.sigma
    assert found["n_peaks"].value == 2


def test_eta_and_chi_squared_come_where_asked_for() -> None:
    found = Peaks(windows=[(28.0, 28.9)], eta=True, chi2=True)(frame(counts(0, ONE)), {}, ())
    assert list(found)[-2:] == ["peak1_eta", "peak1_chi2"]
    assert abs(found["peak1_eta"].value - 0.4) < 4.0 * found["peak1_eta"].sigma
    assert 0.6 < found["peak1_chi2"].value < 1.5
    lost = Peaks(windows=[(25.0, 25.6)], eta=True)(frame(counts(0, ONE)), {}, ())
    assert "no peak" in lost["peak1_eta"].why
