"""Numbers of one channel: against numpy, scipy and what is known of sines and noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import signal, stats

from insitu.maths.line.stability import stability
from insitu.maths.line.statistics import summary
from insitu.maths.line.vibration import BANDS, vibration

NUMBERS = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-100 else 0.0)
"""Whose squares are numbers too."""


@given(arrays.arrays(np.float64, st.integers(2, 60), elements=NUMBERS))
def test_a_summary_says_what_numpy_says(x: np.ndarray) -> None:
    found = summary(x)
    size = max(float(np.abs(x).max()), 1e-300)
    assert found.mean == pytest.approx(x.mean(), abs=1e-12 * size)
    assert found.std == pytest.approx(x.std(ddof=1), rel=1e-9, abs=1e-12 * size)
    assert (found.minimum, found.maximum) == (x.min(), x.max())
    assert found.slope == pytest.approx(np.polyfit(np.arange(x.size), x, 1)[0] * (x.size - 1), abs=1e-9 * size)
    assert found.rough == pytest.approx(np.sqrt(np.mean(np.diff(x) ** 2) / 2), rel=1e-9, abs=1e-12 * size)


def test_missing_samples_are_counted_and_nothing_is_made_up() -> None:
    found = summary(np.array([np.nan, 1.0, 2.0, np.inf]))
    assert (found.missing, found.mean, found.slope) == (0.5, 1.5, 3.0)
    assert np.isnan(summary(np.array([np.nan])).mean)
    assert summary(np.empty(0)).missing == 1.0


def test_moments_agree_with_scipy() -> None:
    x = np.random.default_rng(0).normal(5.0, 2.0, 3000)
    found = vibration(x)
    assert found is not None
    away = x - x.mean()
    assert found.rms == pytest.approx(x.std(), rel=1e-12)
    assert found.kurtosis == pytest.approx(stats.kurtosis(x, bias=False), rel=1e-9)
    assert found.crest == pytest.approx(np.abs(away).max() / x.std(), rel=1e-12)
    assert found.shape == pytest.approx(np.sqrt(np.pi / 2), rel=0.01)  # normal noise
    assert sum(found.bands) == pytest.approx(1.0, abs=1e-12)
    power = np.abs(np.fft.rfft(away * signal.get_window("hann", 3000)))[1:] ** 2
    edges = [power[int(a * 3000) : int(b * 3000)].sum() / power.sum() for a, b in BANDS]
    assert found.bands == pytest.approx(edges, rel=1e-9)


def test_the_envelope_finds_the_defect_frequency_that_the_spectrum_hides() -> None:
    rate, t, rng = 5000.0, np.arange(10_000) / 5000.0, np.random.default_rng(1)
    x = rng.normal(0.0, 0.3, t.size) + 3.0 * np.sin(2 * np.pi * 30 * t)
    for k in range(int(t[-1] * 107)):
        after = t - (k + 0.01 * rng.normal()) / 107.0
        x += np.where(after > 0, np.exp(-np.clip(after, 0, None) / 0.001) * np.sin(2 * np.pi * 1200 * after), 0.0)
    found = vibration(x, rate, bands=[(0.0, 100.0), (1000.0, 1400.0)], carrier=(800.0, 1600.0))
    assert found is not None
    assert found.envelope_frequency == pytest.approx(107.0, abs=0.5)
    assert found.bands[0] > found.bands[1]


@pytest.mark.parametrize(
    "x", [np.full(100, 3.0), np.full(100, 1e9 + 0.1), np.zeros(64), np.ones(5), np.full(32, np.nan)]
)
def test_what_does_not_move_has_no_vibration(x: np.ndarray) -> None:
    assert vibration(x) is None


def test_a_steady_channel_is_called_unsteady_as_often_as_declared() -> None:
    rng = np.random.default_rng(2)
    called = 0
    for _ in range(4000):
        found = stability(rng.normal(5.0, 1.0, 160), error=0.05)
        assert found is not None
        called += not found.steady
    assert 0.03 < called / 4000 < 0.06  # two tests of 0.025 each; log-variances are nearly normal


def test_trends_of_level_and_of_scatter_are_seen() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0.0, 1.0, 800)
    drifts, grows = stability(noise + np.linspace(0.0, 2.0, 800)), stability(noise * np.linspace(1.0, 3.0, 800))
    assert drifts is not None
    assert grows is not None
    assert not drifts.steady
    assert drifts.drift == pytest.approx(1.75, abs=0.4)  # from the middle of the first part to that of the last
    assert not grows.steady
    assert grows.growth == pytest.approx(2.5, rel=0.3)
    assert stability(np.full(100, 4.0)).steady  # type: ignore[union-attr]
    assert stability(np.arange(15.0)) is None
