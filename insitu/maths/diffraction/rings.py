"""Powder rings on a flat area detector: where each pixel looks, and what it counts on average.

The geometry is that of pyFAI (J. Kieffer, J. P. Wright, Powder Diffraction 28 (2013) S339): a pixel (i, j) lies at
x1 = (i + 1/2) p1 - poni1, x2 = (j + 1/2) p2 - poni2, x3 = distance, turned by rot1 (about -x1), rot2 (about -x2) and
rot3 (about x3); two theta is its angle to the beam and chi = atan2(t1, t2) its azimuth. Arrays have shape `(y, x)`.

    counts = solid angle * polarisation * (texture(chi) * rings(two theta) + background(two theta))

Solid angle: (x3/|x|)^3, 1 at the point of normal incidence. Polarisation: (1 + cos^2 2theta - P cos 2chi sin^2
2theta)/2, P = 1 for a beam polarised along x2. A strain e(chi) = e (cos^2 chi - nu sin^2 chi) along chi = 0 moves a
ring to sin theta(chi) = sin theta / (1 + e(chi)) (a uniaxially stressed sample, first order).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

POISSON_RATIO = 0.28
"""How much the sample contracts across the direction of strain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatDetector:
    """A flat detector: `shape` (rows, columns), pixel sizes, distance and poni in m, rotations in rad."""

    shape: tuple[int, int]
    pixel1: float
    pixel2: float
    distance: float
    poni1: float
    poni2: float
    rot1: float = 0.0
    rot2: float = 0.0
    rot3: float = 0.0

    def poni(self, wavelength: float) -> str:
        """The text of a poni file (version 2) with this geometry; wavelength in angstrom."""
        return (
            "poni_version: 2\nDetector: Detector\n"
            f'Detector_config: {{"pixel1": {self.pixel1!r}, "pixel2": {self.pixel2!r}, '
            f'"max_shape": [{self.shape[0]}, {self.shape[1]}]}}\n'
            f"Distance: {self.distance!r}\nPoni1: {self.poni1!r}\nPoni2: {self.poni2!r}\n"
            f"Rot1: {self.rot1!r}\nRot2: {self.rot2!r}\nRot3: {self.rot3!r}\nWavelength: {wavelength * 1e-10!r}\n"
        )


class View(NamedTuple):
    """Where the pixels look, `(y, x)`: two theta and chi in rad, solid angle relative to normal incidence."""

    two_theta: np.ndarray
    chi: np.ndarray
    solid_angle: np.ndarray


def view(detector: FlatDetector) -> View:
    """Where the centres of the pixels look."""
    p1 = ((np.arange(detector.shape[0]) + 0.5) * detector.pixel1 - detector.poni1)[:, None]
    p2 = ((np.arange(detector.shape[1]) + 0.5) * detector.pixel2 - detector.poni2)[None, :]
    p3 = detector.distance
    c1, c2, c3 = math.cos(detector.rot1), math.cos(detector.rot2), math.cos(detector.rot3)
    s1, s2, s3 = math.sin(detector.rot1), math.sin(detector.rot2), math.sin(detector.rot3)
    t1 = p1 * (c2 * c3) + p2 * (c3 * s1 * s2 - c1 * s3) - p3 * (c1 * c3 * s2 + s1 * s3)
    t2 = p1 * (c2 * s3) + p2 * (c1 * c3 + s1 * s2 * s3) - p3 * (c1 * s2 * s3 - c3 * s1)
    t3 = p1 * s2 - p2 * (c2 * s1) + p3 * (c1 * c2)
    cosine = p3 / np.sqrt(p1 * p1 + p2 * p2 + p3 * p3)
    return View(np.arctan2(np.hypot(t1, t2), t3), np.arctan2(t1, t2), cosine**3)


def polarisation(seen: View, factor: float) -> np.ndarray:
    """What the beam's polarisation leaves of the scattering, `(y, x)`; `factor` -1 to 1."""
    square = np.cos(seen.two_theta) ** 2
    return 0.5 * (1.0 + square - factor * np.cos(2.0 * seen.chi) * (1.0 - square))


def unstrained(seen: View, strain: float, direction: float = 0.0) -> np.ndarray:
    """Two theta in deg, `(y, x)`, at which an unstrained sample would scatter what a strained one sends to the pixel.

    `strain` along the azimuth `direction` (rad).
    """
    if strain == 0.0:
        return np.degrees(seen.two_theta)
    square = np.cos(seen.chi - direction) ** 2
    longer = 1.0 + strain * (square - POISSON_RATIO * (1.0 - square))
    return np.degrees(2.0 * np.arcsin(np.clip(np.sin(seen.two_theta / 2.0) * longer, 0.0, 1.0)))


def texture(seen: View, strength: float, direction: float = 0.0) -> np.ndarray:
    """How a preferred orientation distributes a ring: 1 + strength cos 2(chi - direction), mean 1, `(y, x)`."""
    return 1.0 + strength * np.cos(2.0 * (seen.chi - direction))


def spots(seen: View, ring: np.ndarray, rings: int, share: float, grains: int, seed: tuple[int, ...]) -> np.ndarray:
    """How coarse grains distribute each ring: `share` of it in about `grains` spots of 0.6 deg, mean 1, `(y, x)`.

    `ring` `(y, x)`: which ring a pixel belongs to, 0 to `rings` - 1.
    """
    bins, random = 3600, np.random.default_rng(seed)
    kernel = np.exp(-0.5 * (np.arange(-15, 16) / 2.5) ** 2)
    tables = np.empty((rings, bins))
    for row in tables:
        row[:] = 0.0
        np.add.at(row, random.integers(0, bins, max(1, grains)), random.exponential(1.0, max(1, grains)))
        row[:] = np.convolve(np.concatenate((row[-15:], row, row[:15])), kernel, mode="valid")
        row /= row.mean()
    at = ((seen.chi / (2.0 * math.pi)) % 1.0 * bins).astype(np.int64) % bins
    return (1.0 - share) + share * tables[ring, at]
