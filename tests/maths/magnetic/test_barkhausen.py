"""Passes over a window against scipy's; sweeps of a field; the peak of an envelope; clipping told from loud noise."""

import math

import numpy as np
import pytest
from scipy import ndimage, signal, stats

from insitu.maths.magnetic.barkhausen import (
    Shape,
    Sweeps,
    clipped_samples,
    envelope_shape,
    field_peak,
    find_sweeps,
    quiet_of,
)
from insitu.maths.magnetic.barkhausen_kernel import (
    filtered,
    find_pulses,
    moments,
    moving_rms,
    scan,
    slow_part,
    sort_by_field,
    turning_points,
)
from insitu.maths.magnetic.barkhausen_psd import SlopeFit, Welch, band_power


@pytest.fixture(params=[1, 7, 640, 4097])
def x(request: pytest.FixtureRequest) -> np.ndarray:
    """Noise that swells and fades, of several lengths, with an offset."""
    n, random = request.param, np.random.default_rng(request.param)
    return (
        random.standard_t(4, n) * np.exp(-(((np.arange(n) - n / 3) / (n / 5)) ** 2)) + 0.01 * random.normal(size=n) + 1
    )


def test_one_pass_tells_ends_sum_and_moments_as_scipy_does(x: np.ndarray) -> None:
    low, high, total = scan(x)
    assert (low, high) == (x.min(), x.max())
    assert total == pytest.approx(x.sum(), rel=1e-13)
    square, second, fourth = moments(x, total / x.size)
    assert square == pytest.approx(np.mean(x * x), rel=1e-12)
    if x.size > 1:
        assert fourth / second**2 - 3.0 == pytest.approx(stats.kurtosis(x), rel=1e-10)
        x = x.copy()
        x[x.size // 2] = np.nan
        assert math.isnan(scan(x)[2])


@pytest.mark.parametrize("window", [1, 2, 5, 100, 1000, 9000])
def test_the_moving_rms_is_scipys_uniform_filter(x: np.ndarray, window: int) -> None:
    out = np.empty(x.size)
    moving_rms(x, window, out)
    np.testing.assert_allclose(out, np.sqrt(ndimage.uniform_filter1d(x * x, window)), rtol=1e-9)


def test_quiet_after_a_thousandfold_burst_is_still_quiet() -> None:
    random = np.random.default_rng(1)
    x = 1e-3 * random.normal(size=50_000)
    x[20_000:21_000] *= 1e6
    out = np.empty(x.size)
    moving_rms(x, 500, out)
    assert out[30_000:].max() == pytest.approx(1e-3, rel=0.2)
    assert quiet_of(out, 500) == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize("dead", [0, 1, 5, 50])
def test_pulses_are_runs_above_the_threshold_joined_over_short_gaps(dead: int) -> None:
    x = np.random.default_rng(2).standard_t(3, 5000)
    areas, lengths = find_pulses(x, 2.0, dead)
    hit = np.flatnonzero(np.abs(x) > 2.0)
    parts = np.split(hit, np.flatnonzero(np.diff(hit) > dead) + 1)
    assert lengths.tolist() == [part[-1] - part[0] + 1 for part in parts]
    np.testing.assert_allclose(areas, [np.abs(x[part[0] : part[-1] + 1]).sum() for part in parts], rtol=1e-12)
    assert len(find_pulses(x, 1e9, dead)[0]) == 0
    assert len(find_pulses(x, 0.0, dead)[0]) == 1 if dead else True


@pytest.mark.parametrize("band", [[1e3, 2e5], [5e4, 1e5]])
def test_the_band_pass_is_scipys_and_does_not_ring_at_the_start(band: list[float]) -> None:
    x = np.random.default_rng(3).normal(size=3000) + 40.0
    sos = np.asarray(signal.butter(2, band, "bandpass", fs=1e6, output="sos"))
    start = np.asarray(signal.sosfilt_zi(sos))
    np.testing.assert_allclose(filtered(x, sos, start), signal.sosfilt(sos, x, zi=start * x[0])[0], atol=1e-9)
    assert np.abs(filtered(np.full(500, 7.0), sos, start)).max() < 1e-9


@pytest.mark.parametrize(("n", "segment"), [(100_000, 4096), (5000, 1001), (999, 4096), (4097, 4096), (64, 16)])
def test_the_spectrum_is_scipys(n: int, segment: int) -> None:
    x = np.random.default_rng(4).normal(size=n).cumsum() + 3.0
    welch = Welch(n, 2e5, segment)
    frequency, power = signal.welch(x, 2e5, nperseg=min(segment, n))
    np.testing.assert_array_equal(welch.frequency, frequency)
    np.testing.assert_allclose(welch(x), power, rtol=1e-9, atol=1e-12 * power.max())


def test_the_slope_of_a_spectrum_is_as_certain_as_it_says() -> None:
    random, n, rate = np.random.default_rng(5), 50_000, 1e6
    welch = Welch(n, rate, 2048)
    fit, pulls, values = SlopeFit(welch.frequency, 2e4, 2e5), [], []
    shape = np.fft.rfftfreq(n, 1 / rate)
    shape[0] = shape[1]
    for _ in range(100):
        x = np.fft.irfft(np.fft.rfft(random.normal(size=n)) * shape**-0.9, n)  # P ~ f^-1.8
        found = fit(welch(x))
        assert found is not None
        values.append(found.value)
        pulls.append((found.value + 1.8) / found.sigma)
    assert np.mean(values) == pytest.approx(-1.8, abs=0.01)
    assert 0.7 < np.std(pulls) < 1.4
    assert not SlopeFit(welch.frequency, 2e4, 2.1e4).enough
    assert fit(np.zeros(welch.frequency.size)) is None


def test_the_power_of_bands_adds_up_to_the_variance() -> None:
    x = np.random.default_rng(6).normal(0.0, 0.3, 40_000)
    welch = Welch(x.size, 1e6, 1024)
    power = welch(x)
    parts = [band_power(welch.frequency, power, a, b) for a, b in ((0.0, 1e4), (1e4, 2e5), (2e5, 1e6))]
    assert sum(parts) == pytest.approx(x.var(), rel=0.01)
    assert parts[1] == pytest.approx(x.var() * 1.9e5 / 5e5, rel=0.05)


def test_what_is_slow_is_told_from_what_is_fast() -> None:
    t = np.arange(100_000) / 1e6
    hum = 0.2 * np.sin(2 * np.pi * 50 * t)
    assert slow_part(hum + np.sin(2 * np.pi * 5e4 * t) + 1e3, 1000) == pytest.approx(0.2 / math.sqrt(2), rel=0.01)
    assert slow_part(hum[:1500], 1000) == 0.0


# ---- fields ----


def field(cycles: float, n: int = 20_000, phase: float = 0.0, noise: float = 0.0, sine: bool = False) -> np.ndarray:
    at = np.linspace(phase, phase + cycles, n, endpoint=False)
    wave = np.sin(2 * np.pi * (at - 0.25)) if sine else 1.0 - 2.0 * np.abs(2.0 * (at % 1.0) - 1.0)
    return 1500.0 * wave + 1500.0 * noise * np.random.default_rng(7).normal(size=n)


@pytest.mark.parametrize("sine", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("cycles", [1, 2, 5])
def test_sweeps_are_found_between_the_turns(sine: bool, noise: float, cycles: int) -> None:
    found = find_sweeps(field(cycles, noise=noise, sine=sine))
    assert isinstance(found, Sweeps)
    assert found.up.tolist() == [True, False] * cycles
    assert found.whole.sum() >= 2 * cycles - 2
    np.testing.assert_allclose(
        found.bounds, np.arange(2 * cycles + 1) * (10_000 / cycles), atol=(2000 if sine and noise else 400) / cycles
    )


def test_sweeps_that_the_window_cuts_are_told_from_whole_ones() -> None:
    found = find_sweeps(field(1.5, phase=0.2))
    assert isinstance(found, Sweeps)
    assert found.up.tolist() == [True, False, True, False]
    assert found.whole.tolist() == [False, True, True, False]
    ramp = find_sweeps(np.linspace(500.0, -200.0, 300))
    assert isinstance(ramp, Sweeps)
    assert (ramp.up.tolist(), ramp.whole.tolist()) == ([False], [True])


@pytest.mark.parametrize(
    ("h", "why"),
    [
        (np.full(500, 3.0), "does not change"),
        (np.random.default_rng(8).normal(size=5000), "noise"),
        (np.array([0.0, np.nan, 1.0] * 50), "number"),
    ],
)
def test_a_field_without_sweeps_says_so(h: np.ndarray, why: str) -> None:
    found = find_sweeps(h)
    assert isinstance(found, str)
    assert why in found


def test_turns_smaller_than_the_swing_are_none() -> None:
    h = np.array([0.0, 5, 4, 10, 3, 4, 0, 2, 1, 8])
    assert turning_points(h, 4.0).tolist() == [3, 6]


def test_squares_are_sorted_into_bins_of_the_field() -> None:
    random = np.random.default_rng(9)
    h, x = random.uniform(-1.0, 1.0, 1000), random.normal(size=1000)
    total, count = sort_by_field(x, h, np.array([0, 400, 1000]), -1.0, 1.0, 20)
    for k, part in enumerate((slice(0, 400), slice(400, 1000))):
        expected, _ = np.histogram(h[part], 20, (-1.0, 1.0), weights=x[part] ** 2)
        np.testing.assert_allclose(total[k], expected, rtol=1e-12)
        assert count[k].sum() == x[part].size


def gaussian_envelope(centre: float, fwhm: float, bins: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares and counts over fields -1000 to 1000 of an envelope of height 1 above noise of 0.1."""
    h = -1000.0 + (np.arange(bins) + 0.5) * 2000.0 / bins
    envelope = np.exp(-4.0 * math.log(2.0) * ((h - centre) / fwhm) ** 2)
    return 500.0 * (envelope**2 + 0.01), np.full(bins, 500.0)


@pytest.mark.parametrize("fwhm", [120.0, 400.0, 700.0])
@pytest.mark.parametrize("centre", [-303.3, 0.0, 251.7])
def test_peak_height_and_width_are_found_between_the_bins(centre: float, fwhm: float) -> None:
    found = envelope_shape(*gaussian_envelope(centre, fwhm), -1000.0, 1000.0, 0.1)
    assert isinstance(found, Shape)
    assert found.field == pytest.approx(centre, abs=0.5)
    assert found.height == pytest.approx(1.0, rel=0.01)
    assert found.fwhm == pytest.approx(fwhm, rel=0.02)
    assert found.skew == pytest.approx(0.0, abs=0.05)


def test_an_envelope_with_a_tail_to_higher_fields_has_a_positive_skew() -> None:
    h = np.linspace(-995.0, 995.0, 200)
    envelope = np.where(h < -200, np.exp(-(((h + 200) / 100) ** 2)), np.exp(-(((h + 200) / 300) ** 2)))
    found = envelope_shape(100 * (envelope**2 + 1e-4), np.full(200, 100.0), -1000.0, 1000.0, 0.01)
    turned = envelope_shape(100 * (envelope[::-1] ** 2 + 1e-4), np.full(200, 100.0), -1000.0, 1000.0, 0.01)
    assert isinstance(found, Shape)
    assert isinstance(turned, Shape)
    assert found.skew == pytest.approx(-turned.skew, rel=1e-6)
    assert found.skew > 0.1


@pytest.mark.parametrize(
    ("total", "count", "why"),
    [
        (np.full(100, 5.0), np.full(100, 5.0), "rises nowhere"),
        (np.linspace(1.0, 90.0, 100) * 5, np.full(100, 5.0), "end of the sweep"),
        (np.zeros(100), np.full(100, 5.0), "rises nowhere"),
        (np.full(100, 5.0), np.r_[np.ones(50), np.zeros(50)], "cover too little"),
        (np.r_[np.ones(47), [90.0], np.ones(52)] * 5, np.full(100, 5.0), "single bursts"),
    ],
)
def test_an_envelope_without_a_peak_says_why(total: np.ndarray, count: np.ndarray, why: str) -> None:
    found = envelope_shape(total, count, -1.0, 1.0, 1.0)
    assert isinstance(found, str)
    assert why in found


def test_up_and_down_sweeps_are_told_apart_and_uncertainties_are_those_seen() -> None:
    random, h = np.random.default_rng(10), field(3, 60_000)
    sweeps = find_sweeps(h)
    assert isinstance(sweeps, Sweeps)
    side, peaks, sigmas = np.where(np.gradient(h) > 0, 300.0, -300.0), [], []
    shape = np.exp(-4.0 * math.log(2.0) * ((h - side - 40.0) / 500.0) ** 2)
    for _ in range(80):
        found = field_peak(shape * random.normal(size=h.size) + 0.05 * random.normal(size=h.size), h, sweeps, 0.05, 200)
        assert found.field.value is not None
        assert found.field.sigma is not None
        peaks.append(found.field.value)
        sigmas.append(found.field.sigma)
    assert found.half_cycles == 6
    assert found.up.value == pytest.approx(340.0, abs=15.0)
    assert found.down.value == pytest.approx(-260.0, abs=15.0)
    assert np.mean(peaks) == pytest.approx(300.0, abs=1.5)
    assert np.sqrt(np.mean(np.square(sigmas))) == pytest.approx(np.std(peaks), rel=0.3)
    assert found.fwhm.value == pytest.approx(500.0, rel=0.05)


# ---- clipping ----


@pytest.mark.parametrize("level", [0.3, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("sides", ["both", "top", "bottom"])
def test_clipped_samples_are_counted(level: float, sides: str) -> None:
    x = np.random.default_rng(11).normal(size=50_000)
    low, high = (-level if sides != "top" else -9.0), (level if sides != "bottom" else 9.0)
    x = np.clip(x, low, high)
    cut = int(np.count_nonzero((x == low) | (x == high)))
    assert cut <= clipped_samples(x, float(x.min()), float(x.max())) <= 1.3 * cut + 20


@pytest.mark.parametrize("steps", [0, 4, 30, 1000])
def test_loud_noise_bursts_and_sines_are_not_clipped_however_coarse_the_converter(steps: int) -> None:
    random = np.random.default_rng(12)
    slow = ndimage.gaussian_filter1d(random.normal(size=100_000), 3.0)
    for x in (random.normal(size=100_000), random.standard_t(2, 100_000), np.sin(np.arange(100_000) * 0.01), slow):
        y = np.round(x / x.std() * steps) / steps if steps else x
        assert clipped_samples(y, float(y.min()), float(y.max())) == 0
