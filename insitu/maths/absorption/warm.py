"""Runs the kernels of this room once, so that they are compiled, or loaded, before a spectrum is waiting.

Loading what an earlier process compiled takes some tenths of a second, compiling some ten seconds.
"""

import functools

import numpy as np

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.normalise import prepare_normalisation
from insitu.maths.absorption.quality import find_glitches, point_noise, repeatability
from insitu.maths.absorption.series import Plans, exafs, exafs_series


@functools.cache
def warm() -> None:
    """Once in a process; nothing is kept of it."""
    energy = np.concatenate(
        [np.arange(7000.0, 7100.0, 4.0), np.arange(7100.0, 7150.0, 0.5), np.arange(7150, 7700, 2.0)]
    )
    mu = 0.5 + np.arctan(energy - 7120.0) / np.pi
    wiggle = np.where(energy > 7120.0, 0.05 * np.sin(0.2 * energy), 0.0)
    rng = np.random.default_rng(0)
    for noise in (1e-4, 0.05):  # the noisy one asks for a fitted vertex of E0
        noisy = mu + wiggle + noise * rng.standard_normal(energy.size)
        at = find_e0(energy, noisy).value
        point_noise(energy, noisy)
        point_noise(energy, noisy, at)
        noisy[200] += 1.0
        find_glitches(energy, noisy, at)
    repeatability(energy, mu, energy, noisy, 7050.0, 7600.0)
    exafs(energy, mu + wiggle, Plans())
    prepare_normalisation(energy, 7120.0)
    exafs_series(energy, (mu + wiggle)[None], 7120.0, Plans())
