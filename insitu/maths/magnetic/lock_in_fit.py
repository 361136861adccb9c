"""The least squares of `lock_in` at one frequency, as products of matrices over blocks of the window.

Everything is counted from the middle of the window: the cosines (with the offset) and the sines (with the drift) then
do not mix, and the sums of their products are known in closed form. Shapes: values `(channels, blocks, length)`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

BLOCKS = 512
"""The window is cut into so many blocks: sums over a block are one matrix product."""
TOP = 0.49
"""Harmonics above so many times the rate are left out."""


class Grid(NamedTuple):
    """The window `(channels, blocks, length)`, zeros behind its end, and its sample numbers from the middle."""

    values: np.ndarray
    n: int
    within: np.ndarray  # (length,) from the middle of a block
    centre: np.ndarray  # (blocks,) of the blocks, from the middle of the window
    last: int  # samples of the last block that are there


def grid_of(values: np.ndarray) -> Grid:
    channels, n = values.shape
    length = max(-(-n // BLOCKS), 1)
    blocks = -(-n // length)
    padded = np.zeros((channels, blocks * length))
    padded[:, :n] = values
    within = np.arange(length) - 0.5 * (length - 1)
    centre = np.arange(blocks) * float(length) + 0.5 * (length - 1) - 0.5 * (n - 1)
    return Grid(padded.reshape(channels, blocks, length), n, within, centre, n - (blocks - 1) * length)


def turn(cycles: float, at: np.ndarray, order: int) -> Complex:
    """exp(-2 pi j k cycles at) for k = 1 ... order, `(at, order)`; whole turns are taken off before the cosine."""
    turns = cycles * at
    first = np.exp(-2j * np.pi * (turns - np.rint(turns)))
    return np.stack([first**k for k in range(1, order + 1)], axis=1)


class Fit:
    """One least-squares fit at a fixed frequency (`cycles` per sample): amplitudes, offsets, drifts, residuals."""

    def __init__(self, grid: Grid, cycles: float, harmonics: int) -> None:
        self.grid, self.cycles = grid, cycles
        self.order = max(min(harmonics, int(TOP / cycles), (grid.n - 4) // 4), 1)
        self.inner, self.outer = (turn(cycles, at, self.order) for at in (grid.within, grid.centre))
        self.even, self.odd = _normal(cycles, grid.n, self.order)
        self.numbers = np.zeros((grid.values.shape[0], 2 * self.order + 2))
        self.rest = grid.values
        self.polish()

    def polish(self) -> None:
        """Solve for what is left; the second time, for what rounding has left."""
        grid, order = self.grid, self.order
        blocked = np.concatenate(
            [self.inner.real, self.inner.imag, np.ones((grid.within.size, 1)), grid.within[:, None]], 1
        )
        sums = self.rest @ blocked  # (channels, blocks, 2 K + 2)
        waves = np.sum((sums[:, :, :order] + 1j * sums[:, :, order : 2 * order]) * self.outer, axis=1)
        plain = sums[:, :, -2].sum(axis=1)
        tilted = (sums[:, :, -2] @ grid.centre + sums[:, :, -1].sum(axis=1)) / grid.n
        even = np.linalg.solve(self.even, np.column_stack([plain, waves.real]).T).T
        odd = np.linalg.solve(self.odd, np.column_stack([tilted, -waves.imag]).T).T
        self.numbers = self.numbers + np.concatenate([even, odd], axis=1)
        self.rest = grid.values - self._model()

    @property
    def amplitude(self) -> Complex:
        """A_k, `(channels, K)`: cosine minus j sine."""
        return self.numbers[:, 1 : self.order + 1] - 1j * self.numbers[:, self.order + 2 :]

    def _model(self) -> np.ndarray:
        grid, order = self.grid, self.order
        waves = self.amplitude[:, None, :] * self.outer.conj()  # (channels, blocks, K)
        slope = self.numbers[:, order + 1] / grid.n
        level = self.numbers[:, :1] + slope[:, None] * grid.centre
        left = np.concatenate(
            [waves.real, waves.imag, level[:, :, None], np.broadcast_to(slope[:, None, None], (*level.shape, 1))], 2
        )
        right = np.concatenate(
            [self.inner.real.T, self.inner.imag.T, np.ones((1, grid.within.size)), grid.within[None]]
        )
        model = left @ right
        model[:, -1, grid.last :] = 0.0
        return model

    def beside(self) -> Complex:
        """What is left, turned back by the drive and by the phase of each channel, summed over blocks:
        `(channels, blocks)` complex."""
        sums = self.rest @ np.concatenate([self.inner.real[:, :1], self.inner.imag[:, :1]], axis=1)
        return (sums[:, :, 0] + 1j * sums[:, :, 1]) * self.outer[:, 0]

    def variance(self) -> np.ndarray:
        """Of the residual, `(channels,)`."""
        free = max(self.grid.n - 2 * self.order - 2, 1)
        return np.sum(self.rest**2, axis=(1, 2)) / free

    def step(self) -> float:
        """How far f is off, in cycles per sample (Gauss-Newton; channels by their signal over noise)."""
        grid = self.grid
        tilt = self.rest * grid.within
        both = np.concatenate([self.inner.real[:, :1], self.inner.imag[:, :1]], axis=1)
        sums = tilt @ both
        moved = np.sum((sums[:, :, 0] + 1j * sums[:, :, 1]) * self.outer[:, 0] + self.beside() * grid.centre, axis=1)
        first = self.amplitude[:, 0]
        weight = 1.0 / np.maximum(self.variance(), 1e-30 * np.abs(first) ** 2 + 1e-300)
        slope = np.real(1j * first * moved.conj())
        curvature = 0.5 * np.abs(first) ** 2 * grid.n * (grid.n**2 - 1.0) / 12.0
        below = float(np.sum(weight * curvature))
        return float(np.sum(weight * slope)) / (below * 2.0 * math.pi) if below > 0.0 else 0.0


def _normal(cycles: float, n: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """The normal matrices of (1, cos k) and of (i / n, sin k): about the middle the two sets do not mix.

    sum_i cos(i a) = sin(n a / 2) / sin(a / 2), and sum_i i sin(i a) is minus its derivative.
    """
    k = np.arange(order + 1)
    even = 0.5 * (_dirichlet(k[:, None] - k, cycles, n) + _dirichlet(k[:, None] + k, cycles, n))
    j = np.arange(1, order + 1)
    odd = np.empty((order + 1, order + 1))
    odd[1:, 1:] = 0.5 * (_dirichlet(j[:, None] - j, cycles, n) - _dirichlet(j[:, None] + j, cycles, n))
    half = math.pi * cycles * j
    above = n * np.cos(n * half) * np.sin(half) - np.sin(n * half) * np.cos(half)
    odd[0, 1:] = odd[1:, 0] = -0.5 * above / np.sin(half) ** 2 / n
    odd[0, 0] = (n * n - 1.0) / (12.0 * n)
    return even, odd


def _dirichlet(m: np.ndarray, cycles: float, n: int) -> np.ndarray:
    half = math.pi * cycles * m
    low = np.sin(half)
    flat = np.abs(low) < 1e-12
    return np.where(flat, float(n), np.sin(n * half) / np.where(flat, 1.0, low))
