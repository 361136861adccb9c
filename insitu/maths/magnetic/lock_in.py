"""Amplitude and phase of several channels at the frequency that drives them, by least squares.

Each channel y `(n,)` is fitted by an offset, a drift and harmonics of one frequency f that all channels share:

    y_i = p + q t_i + sum_k Re(A_k exp(2 pi j k f t_i)),    k = 1 ... K,    t = 0 in the middle of the window

A_k is complex: |A_k| the amplitude (peak), arg A_k the phase in the middle. Because everything is fitted at once, the
number of periods in the window need not be whole, and no harmonic that is fitted leaks into another. f is refined to
the stationary point of the same least squares (IEEE Std 1057-2017, fit of four parameters, for several channels);
with t = 0 in the middle, what is uncertain of f hardly reaches the phases.

Uncertainty: the covariance of the four or more real numbers Re A_1, Im A_1 of all channels. It is read off the
residual beside the drive frequency (the spectrum of what oscillates with the drive, in bins 2 to M on either side), so
that coloured noise, noise that the channels share, and noise of the phase alone are counted for what they are where
they matter; a window with few periods has no such room, and white residuals are taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.magnetic.lock_in_fit import TOP, Fit, Grid, grid_of, turn

LEAST_BINS, MOST_BINS = 16, 64
"""Bins beside the drive that the noise is read from."""
LEAST_PERIODS = 2.5
"""With fewer, offset, drift and wave are hard to tell apart."""
LEAST_SIGMAS = 5.0
"""A wave that does not stand so high over its uncertainty is none."""
STEPS = 12


class LockIn(NamedTuple):
    """`frequency` Hz with `frequency_sigma`; `amplitude` `(channels, K)` complex, in the unit of each channel;
    `offset` and `drift` `(channels,)`, the latter over the whole window; `covariance` `(2 channels, 2 channels)` of
    Re A_1, Im A_1 of the first channel, then the second, ...; `noise` `(channels,)`: rms of the residual; `sigma`
    `(channels, K)`: of the real (and imaginary) part of each harmonic, as if the residual were white; `periods` in the
    window.
    """

    frequency: float
    frequency_sigma: float
    amplitude: np.ndarray
    offset: np.ndarray
    drift: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray
    sigma: np.ndarray
    periods: float


def lock_in(
    values: np.ndarray, rate: float, frequency: float | None = None, *, harmonics: int = 9, refine: bool = True
) -> LockIn:
    """Fit `values` `(channels, n)` or `(n,)`, sampled at `rate` in Hz, at `frequency` (None: looked for).

    `refine`: `frequency` is where to begin; else it is taken as it is. `harmonics`: as many as are fitted, where the
    rate allows. Raises `ValueError` with a sentence for people: too few periods, no wave, values that are no numbers.

    >>> t = np.arange(1000) / 1e5
    >>> found = lock_in(3.0 * np.cos(2 * np.pi * 1234.5 * t) + 7.0, 1e5)
    >>> [round(float(x), 6) for x in (found.frequency, abs(found.amplitude[0, 0]), found.offset[0])]
    [1234.5, 3.0, 7.0]
    """
    values = np.atleast_2d(np.ascontiguousarray(values, np.float64))
    mean = _usable(values, rate)
    centred = values - mean[:, None]
    start = find_frequency(centred, rate) if frequency is None else _possible(frequency, rate, values.shape[1])
    grid = grid_of(centred)
    cycles = start / rate
    if refine:
        cycles = _nearer(grid, cycles)
    fit, order = Fit(grid, cycles, harmonics), STEPS if refine else 0
    for _ in range(order):
        step = fit.step()
        if abs(step) * grid.n > 0.5:
            raise ValueError(f"no steady wave near {start:g} Hz: the fit of the frequency does not converge")
        if abs(step) * grid.n < 1e-9:  # of a turn at the ends of the window
            break
        fit = Fit(grid, fit.cycles + step, harmonics)
    fit.polish()
    return _result(fit, rate, mean)


def find_frequency(values: np.ndarray, rate: float) -> float:
    """The frequency in Hz of the strongest wave that the channels `(channels, n)` share, to some hundredths of a bin.

    Each channel counts by its own variance; window of Hann, parabola through the logarithms of three bins.
    """
    n = values.shape[1]
    if n < 8:
        raise ValueError(f"{n} samples show no wave")
    i = np.arange(n) - 0.5 * (n - 1)
    trend = (values @ i) / (i @ i)
    hann = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    power = np.zeros(n // 2 + 1)
    for row, slope in zip(values, trend, strict=True):
        flat = row - slope * i
        spread = float(flat @ flat)
        if spread > 0.0:
            power += np.abs(np.fft.rfft(flat * hann)) ** 2 / spread
    power[:2] = 0.0
    top = int(np.argmax(power))
    if not power[top] > 0.0:
        raise ValueError("the signals are constant: there is no wave")
    if n >= 128 and power[top] < 40.0 * float(np.median(power)):
        raise ValueError("there is no wave that stands out of the noise: no drive?")
    shift = 0.0
    if 0 < top < power.size - 1 and power[top - 1] > 0.0 and power[top + 1] > 0.0:
        left, mid, right = np.log(power[top - 1 : top + 2])
        bend = left - 2.0 * mid + right
        shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
    return _possible((top + shift) * rate / n, rate, n)


def _usable(values: np.ndarray, rate: float) -> np.ndarray:
    """The mean of each channel; `ValueError` where there is nothing to fit."""
    if not rate > 0.0 or not math.isfinite(rate):
        raise ValueError(f"a rate of {rate} Hz is none")
    if values.shape[1] < 16:
        raise ValueError(f"{values.shape[1]} samples are too few")
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(f"{values.size - int(np.count_nonzero(finite))} values are no finite numbers")
    largest = float(np.max(np.abs(values)))
    if largest > 1e100 or 0.0 < largest < 1e-100:
        raise ValueError(f"values of {largest:g} are of no physical size")
    if not np.ptp(values, axis=1).all():
        raise ValueError("a channel is constant: there is no wave in it")
    return values.mean(axis=1)


def _possible(frequency: float, rate: float, n: int) -> float:
    if not 0.0 < frequency < TOP * rate:
        raise ValueError(f"{frequency:g} Hz cannot be seen at {rate:g} samples a second")
    if frequency * n / rate < LEAST_PERIODS:
        raise ValueError(f"{frequency * n / rate:.2g} periods of {frequency:g} Hz are too few ({LEAST_PERIODS} needed)")
    return frequency


def _nearer(grid: Grid, cycles: float) -> float:
    """`cycles` per sample moved to the highest line of the spectrum around it, within a quarter of what the blocks
    resolve; a frequency that is declared may be off by several bins of a long window."""
    blocks, length = grid.values.shape[1:]
    sums = (grid.values @ turn(cycles, grid.within, 1))[:, :, 0] * turn(cycles, grid.centre, 1)[:, 0]
    hann = np.sin(np.pi * (np.arange(blocks) + 0.5) / blocks) ** 2
    fold = 4 * blocks
    lines = np.abs(np.fft.fft(sums * hann, fold, axis=1)) ** 2
    spread = np.sum(grid.values**2, axis=(1, 2))
    power = np.sum(lines / np.where(spread > 0.0, spread, np.inf)[:, None], axis=0)
    reach = min(blocks // 4, round(0.2 * cycles * grid.n)) * 4
    offsets = np.arange(-reach, reach + 1)
    best = int(offsets[np.argmax(power[offsets % fold])])
    left, mid, right = np.log(np.maximum(power[[(best - 1) % fold, best % fold, (best + 1) % fold]], 1e-300))
    bend = left - 2.0 * mid + right
    shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
    return cycles + (best + min(max(shift, -1.0), 1.0)) / (fold * length)


def _result(fit: Fit, rate: float, mean: np.ndarray) -> LockIn:
    first, variance, n = fit.amplitude[:, 0], fit.variance(), fit.grid.n
    # what a wave costs beside the other things that are fitted: 1 for many periods
    inverse = np.linalg.inv(fit.even)[1, 1], np.linalg.inv(fit.odd)[1, 1]
    covariance = _covariance(fit, variance, inverse)
    power = np.abs(first) ** 2
    white = _white(covariance)
    for channel in range(first.size):
        if not power[channel] > LEAST_SIGMAS**2 * white[channel]:
            raise ValueError(
                f"no wave at {fit.cycles * rate:g} Hz: {abs(first[channel]):.3g} is lost in noise of "
                f"{math.sqrt(variance[channel]):.3g}"
            )
    told = float(np.sum(power / np.maximum(white, 1e-300))) * n**2 * (2.0 * math.pi) ** 2 / 12.0
    return LockIn(
        frequency=fit.cycles * rate,
        frequency_sigma=rate / math.sqrt(told) if told > 0.0 else 0.0,
        amplitude=fit.amplitude,
        offset=fit.numbers[:, 0] + mean,
        drift=fit.numbers[:, fit.order + 1],
        covariance=covariance,
        noise=np.sqrt(variance),
        sigma=np.repeat(np.sqrt(2.0 * variance / n)[:, None], fit.order, axis=1),
        periods=fit.cycles * n,
    )


def _white(covariance: np.ndarray) -> np.ndarray:
    """The variance of a part (real or imaginary) of each channel's first amplitude, `(channels,)`."""
    return 0.5 * np.diag(covariance).reshape(-1, 2).sum(axis=1)


def _covariance(fit: Fit, variance: np.ndarray, inverse: tuple[float, float]) -> np.ndarray:
    """Covariance of Re A_1, Im A_1 of all channels, from the residual beside the drive, or all of it."""
    grid, channels = fit.grid, variance.size
    blocks = grid.centre.size - (grid.last < grid.within.size)
    bins = min(MOST_BINS, int(0.5 * fit.cycles * grid.n) - 1, blocks // 4)
    scale = np.sqrt(np.tile(inverse, channels))
    if bins < LEAST_BINS:
        free = max(grid.n - 2 * fit.order - 2, 1)
        flat = fit.rest.reshape(channels, -1)
        return np.kron(flat @ flat.T / free, np.eye(2)) * scale[:, None] * scale
    phase = fit.amplitude[:, :1] / np.abs(fit.amplitude[:, :1])
    turned = fit.beside()[:, :blocks] * phase.conj()  # along the wave, and across it
    parts = np.stack([turned.real, turned.imag], axis=1).reshape(2 * channels, blocks)
    lines = np.fft.fft(parts, axis=1)[:, 2 : bins + 1]
    along = np.real(lines @ lines.conj().T) / (bins - 1) * (grid.n / (blocks * grid.within.size))
    back = np.zeros((2 * channels, 2 * channels))
    for c in range(channels):
        p = phase[c, 0]
        back[2 * c : 2 * c + 2, 2 * c : 2 * c + 2] = [[p.real, -p.imag], [p.imag, p.real]]
    # sums of n terms of a wave's half: n / 2 in the normal matrix, where nothing else is fitted
    return back @ along @ back.T * (2.0 / grid.n) * scale[:, None] * scale
