"""Amplitude and phase by least squares: exact without noise, whatever the window holds; uncertainties that are true."""

import math

import numpy as np
import pytest

from insitu.maths.magnetic.lock_in import find_frequency, lock_in

RATE = 1e6


def waves(
    n: int, frequency: float, lines: dict[int, complex], *, offset: float = 0.0, drift: float = 0.0
) -> np.ndarray:
    """A channel with complex amplitudes by harmonic, phases in the middle of the window."""
    t = (np.arange(n) - 0.5 * (n - 1)) / RATE
    whole = sum(np.real(z * np.exp(2j * np.pi * k * frequency * t)) for k, z in lines.items())
    return whole + offset + drift * (np.arange(n) - 0.5 * (n - 1)) / n


@pytest.mark.parametrize("periods", [2.6, 3.37, 10.0, 77.77, 444.123])
def test_without_noise_it_is_exact_for_any_number_of_periods(periods: float) -> None:
    n = 10_000
    f = periods * RATE / n
    first, second = {1: 2.0 * np.exp(0.3j), 2: 0.1j, 3: 0.2 + 0.1j}, {1: 1e-3 * np.exp(-1.0j), 5: 1e-4}
    signal = np.stack([waves(n, f, first, offset=50.0, drift=1.0), waves(n, f, second)])
    for given in (f, None, f * 1.0002):
        found = lock_in(signal, RATE, given)
        assert found.frequency == pytest.approx(f, rel=1e-9)
        assert found.periods == pytest.approx(periods, rel=1e-9)
        for row, lines in enumerate((first, second)):
            told = np.zeros(found.amplitude.shape[1], complex)
            told[[k - 1 for k in lines]] = list(lines.values())
            np.testing.assert_allclose(found.amplitude[row], told, atol=1e-9 * abs(lines[1]))
        assert found.offset[0] == pytest.approx(50.0, rel=1e-9)
        assert found.drift[0] == pytest.approx(1.0, rel=1e-6)


def test_a_frequency_that_is_declared_several_bins_off_is_found() -> None:
    signal = waves(50_000, 20_123.4, {1: 1.0, 3: 0.3})
    for off in (0.995, 1.01, 1.05):
        assert lock_in(signal, RATE, 20_123.4 * off).frequency == pytest.approx(20_123.4, rel=1e-10)


def test_a_frequency_that_is_to_be_kept_is_kept() -> None:
    signal = waves(5000, 10_000.0, {1: 1.0})
    assert lock_in(signal, RATE, 10_010.0, refine=False).frequency == 10_010.0


@pytest.mark.parametrize(("n", "periods"), [(1000, 3.3), (2000, 60.6)])
def test_amplitudes_phases_and_frequency_scatter_as_their_uncertainties_say(n: int, periods: float) -> None:
    """300 draws, two channels that share a part of their noise: pulls of mean 0 and width 1 within 5 sigma."""
    rng, f = np.random.default_rng(4), periods * RATE / n
    pulls = []
    for _ in range(300):
        z = np.exp(2j * np.pi * rng.random(2)) * [1.0, 30.0]
        common = rng.standard_normal(n)
        noise = np.stack([0.05 * common, 1.5 * (0.6 * common + 0.8 * rng.standard_normal(n))])
        found = lock_in(
            np.stack([waves(n, f, {1: z[0], 3: 0.1}), waves(n, f, {1: z[1]})]) + noise, RATE, f, harmonics=5
        )
        off = found.amplitude[:, 0] - z
        parts = np.array([off[0].real, off[0].imag, off[1].real, off[1].imag])
        # of the ratio of both, for which what they share must be known
        ratio = off[0] / z[0] - off[1] / z[1]
        g0, g1 = 1.0 / z[0], -1.0 / z[1]
        to = np.array([[g0.real, -g0.imag, g1.real, -g1.imag], [g0.imag, g0.real, g1.imag, g1.real]])
        of = to @ found.covariance @ to.T
        pulls.append(
            [*(parts / np.sqrt(np.diag(found.covariance))), ratio.real / math.sqrt(of[0, 0]),
             ratio.imag / math.sqrt(of[1, 1]), (found.frequency - f) / found.frequency_sigma]
        )  # fmt: skip
    pulls = np.array(pulls)[:, :-1] if periods < 10 else np.array(pulls)
    assert np.all(np.abs(pulls.mean(axis=0)) < 5 / math.sqrt(300)), pulls.mean(axis=0)
    assert np.all(np.abs(pulls.std(axis=0) - 1.0) < 5 / math.sqrt(600)), pulls.std(axis=0)


def test_noise_that_is_stronger_at_the_drive_is_counted_there() -> None:
    """Noise that lies between 15 and 25 kHz alone: white uncertainties would be five times too small at 20 kHz."""
    rng, n, pulls = np.random.default_rng(8), 10_000, []
    line = np.fft.rfftfreq(n, 1 / RATE)
    for _ in range(150):
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * (np.abs(line - 20_000) < 5_000), n)
        found = lock_in(waves(n, 20_000.0, {1: 1.0}) + 0.1 * noise, RATE, 20_000.0)
        pulls.append((found.amplitude[0, 0].imag) / math.sqrt(found.covariance[1, 1]))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize(
    ("signal", "rate", "frequency", "word"),
    [
        (np.ones(1000), RATE, None, "constant"),
        (np.r_[np.ones(999), np.nan], RATE, None, "finite"),
        (np.arange(8.0), RATE, None, "few"),
        (np.sin(np.arange(1000)), 0.0, None, "rate"),
        (np.sin(np.arange(1000) / 200), RATE, 800.0, "periods"),
        (np.sin(np.arange(1000)), RATE, 6e5, "cannot be seen"),
        (np.random.default_rng(1).standard_normal(4000), RATE, None, "no drive"),
        (np.random.default_rng(1).standard_normal(4000), RATE, 5e4, "lost in noise|does not converge"),
        (1e-200 * np.sin(np.arange(1000)), RATE, None, "physical"),
    ],
)
def test_what_has_no_wave_is_refused_in_words(signal: np.ndarray, rate: float, frequency: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        lock_in(signal, rate, frequency)


def test_the_strongest_line_that_channels_share_is_the_drive() -> None:
    rng, n = np.random.default_rng(2), 4096
    signal = np.stack([waves(n, 31_234.5, {1: 1.0}), 1e4 * waves(n, 31_234.5, {1: 0.5, 2: 0.3})])
    found = find_frequency(signal + rng.standard_normal((2, n)) * [[0.3], [3e3]], RATE)
    assert found == pytest.approx(31_234.5, abs=0.1 * RATE / n)
