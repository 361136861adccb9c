import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd import Peaks
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.prepare.baseline import Baseline
from insitu.types import Axis, Frame

X = np.linspace(10.0, 60.0, 2501)
BACKGROUND = 400.0 * np.exp(-(X - 10.0) / 20.0) + 100.0
PEAKS = sum(pseudo_voigt(X, at, 0.12, 0.4, 300.0) for at in (20.0, 28.5, 40.0, 51.0))
METHODS = ["snip", "asls", "arpls", "rolling_ball"]


def frame(data: np.ndarray, x: np.ndarray = X, unit: str = "deg", **keys) -> Frame:
    return Frame(
        source="det",
        data=data,
        dims=("two_theta",),
        unit="counts",
        time_ns=0,
        seq=0,
        n=0,
        axes={"two_theta": Axis(x, unit)},
        **keys,
    )


@pytest.fixture
def counts() -> np.ndarray:
    data = np.random.default_rng(0).poisson(BACKGROUND + PEAKS).astype(np.uint32)
    data.flags.writeable = False
    return data


@pytest.mark.parametrize("method", METHODS)
def test_the_background_goes_and_the_peaks_stay(method: str, counts: np.ndarray) -> None:
    result = Baseline(window=1.0, method=method)(frame(counts), {})
    beside = PEAKS < 1.0
    noise = np.sqrt(BACKGROUND)
    assert (
        np.abs(np.mean((result.data / noise)[beside])) < 2.0
    )  # asls and rolling ball run low by 1.6 and 1.8 of the noise
    assert np.ptp(BACKGROUND) > 10 * np.abs(np.mean(result.data[beside]))
    assert result.data.max() == pytest.approx(PEAKS.max(), rel=0.1)
    assert result.data.dtype == np.float64
    assert result.unit == "counts"


def test_the_uncertainty_stays_that_of_the_measured_counts(counts: np.ndarray) -> None:
    result = Baseline(window=1.0)(frame(counts), {})
    np.testing.assert_allclose(result.sigma, np.sqrt(counts))
    given = np.full(X.size, 7.0)
    assert (Baseline(window=1.0)(frame(counts, sigma=given), {}).sigma == 7.0).all()


def test_peak_pulls_are_right_behind_a_baseline() -> None:
    rng = np.random.default_rng(5)
    baseline, peaks = Baseline(window=1.0), Peaks(windows=[(27.9, 29.1)])
    pulls = []
    for _ in range(150):
        found = peaks(baseline(frame(rng.poisson(BACKGROUND + PEAKS)), {}), {}, ())
        position, width = found["peak1_position"], found["peak1_width"]
        pulls.append([(position.value - 28.5) / position.sigma, (width.value - 0.12) / width.sigma])
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0.0, atol=0.3)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.2)


def test_the_window_is_an_angle_not_a_number_of_points() -> None:
    fine = np.linspace(10.0, 60.0, 5001)
    coarse = fine[::2]
    y = 1000.0 * np.exp(-(((fine - 30.0) / 0.2) ** 2)) + 10.0 * fine
    step = Baseline(window=2.0)
    on_fine, on_coarse = step(frame(y, fine), {}).data[::2], step(frame(y[::2], coarse), {}).data
    np.testing.assert_allclose(on_fine, on_coarse, atol=15.0)


def test_saturated_counts_stay_known(counts: np.ndarray) -> None:
    result = Baseline(window=1.0, saturation=1000.0)(frame(counts), {})
    np.testing.assert_array_equal(np.isinf(result.sigma), counts >= 1000)
    why = Peaks(windows=[(27.9, 29.1)])(result, {}, ())["peak1_area"].why
    assert why is not None
    assert why.startswith("saturated: ")


def test_masked_points_do_not_pull_the_baseline(counts: np.ndarray) -> None:
    data, mask = counts.astype(np.float64), np.zeros(X.size, dtype=bool)
    clean = Baseline(window=1.0)(frame(data), {}).data
    data[1200:1205], mask[1200:1205] = np.nan, True
    result = Baseline(window=1.0)(frame(data, mask=mask), {}).data
    np.testing.assert_allclose(result[~mask], clean[~mask], atol=10.0)


def test_the_answer_does_not_depend_on_the_memory_layout(counts: np.ndarray) -> None:
    strided = np.zeros((X.size, 2), dtype=np.uint32)
    strided[:, 0] = counts
    step = Baseline(window=1.0)
    np.testing.assert_array_equal(step(frame(strided[:, 0]), {}).data, step(frame(counts), {}).data)


def test_a_frame_without_angles_or_numbers_says_so(counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="in 'rad', expected 'deg'"):
        Baseline(window=1.0)(frame(counts, unit="rad"), {})
    with pytest.raises(ValueError, match="not finite numbers"):
        Baseline(window=1.0)(frame(np.full(X.size, np.nan)), {})
    with pytest.raises(ValueError, match="fewer than two baseline windows"):
        Baseline(window=40.0)(frame(counts), {})
    with pytest.raises(ValueError, match=r"only 2\.5 points wide"):
        Baseline(window=0.05)(frame(counts), {})


@pytest.mark.parametrize("window", [0.0, -1.0, float("nan")])
def test_an_impossible_window_is_refused(window: float) -> None:
    with pytest.raises(ConfigError, match="window"):
        Baseline(window=window)
