"""What a simulated area detector would count on average from a powder, and where its rings truly are.

Expected images are kept: while nothing changes from frame to frame, only the counting noise is drawn anew.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.crystal import bragg_angle
from insitu.maths.diffraction.phases import phases
from insitu.maths.diffraction.powder import Width, amorphous_hump, background, powder_lines, profile
from insitu.maths.diffraction.rings import FlatDetector, View, polarisation, spots, texture, unstrained, view
from insitu.maths.poisson import Means, means

WIDTH = Width(0.0, 0.0, 0.0036, 0.4)
"""0.06 deg everywhere: rings a few pixels wide."""
STEP_DEG = 0.002
"""Grid on which patterns are computed; pixels are interpolated on it."""
RING_PART = 0.05
KEPT = 8
"""How many expected images are kept."""


class Ring(NamedTuple):
    """One true ring: phase, indices, d in angstrom, two theta in deg."""

    phase: str
    hkl: tuple[int, int, int]
    d: float
    two_theta: float


class Look(NamedTuple):
    """What an expected image depends on."""

    temperature: float
    shift: float
    nearer_mm: float
    strain: float
    texture: float
    spots: float
    lit: float
    rays: float
    lost: float


class PowderImage:
    """The expected image of a powder, asked for one `Look` after another.

    `sample`: a key of `insitu.maths.diffraction.phases.SAMPLES`; `wavelength` angstrom; `transition` K; `peak` counts
    of the brightest point of the pattern at `temperature` (K), `base` counts of the background at 20 deg; `grains` a
    ring.
    """

    def __init__(
        self,
        sample: str,
        geometry: FlatDetector,
        wavelength: float,
        *,
        transition: float,
        polarization: float,
        peak: float,
        base: float,
        temperature: float,
        grains: int,
        seed: int,
    ) -> None:
        self.sample, self.geometry, self.wavelength, self.transition = sample, geometry, wavelength, transition
        self.polarization, self.peak, self.base, self.grains, self.seed = polarization, peak, base, grains, seed
        self._views: dict[tuple[float, float], View] = {}
        self._means: dict[Look, Means] = {}
        self._scale = peak / float(self._bragg(temperature)[1].max())

    def expected(self, look: Look) -> Means:
        """Expected counts, kept: what does not change from frame to frame is computed once."""
        if look not in self._means:
            if len(self._means) >= KEPT:
                self._means.pop(next(iter(self._means)))
            self._means[look] = means(self.image(look))
        return self._means[look]

    def image(self, look: Look) -> np.ndarray:
        seen = self._view(look.shift, look.nearer_mm)
        grid, curve = self._bragg(look.temperature)
        two_theta = unstrained(seen, look.strain)
        rings = np.interp(two_theta, grid, curve) * (self._scale * look.lit)
        if look.texture:
            rings *= texture(seen, look.texture)
        if look.spots:
            rings *= self._spots(look, seen, two_theta)
        smooth = self.base * background(grid)
        if look.lost:
            smooth = smooth + RING_PART * self.peak * look.lost * amorphous_hump(grid, self.wavelength)
        rings += np.interp(two_theta, grid, smooth) * look.rays
        return rings * seen.solid_angle * polarisation(seen, self.polarization)

    def _spots(self, look: Look, seen: View, two_theta: np.ndarray) -> np.ndarray:
        angles = np.array(sorted({ring.two_theta for ring in self.rings(look.temperature)} or {0.0}))
        nearest = np.searchsorted(0.5 * (angles[1:] + angles[:-1]), two_theta)
        return spots(seen, nearest, len(angles), look.spots, self.grains, (self.seed, 7))

    def _view(self, shift: float, nearer_mm: float) -> View:
        key = (shift, nearer_mm)
        if key not in self._views:
            if len(self._views) >= KEPT:
                self._views.pop(next(iter(self._views)))
            g = self.geometry
            moved = replace(g, poni2=g.poni2 + shift * g.pixel2, distance=g.distance - nearer_mm * 1e-3)
            self._views[key] = view(moved)
        return self._views[key]

    def _seen_deg(self) -> float:
        """The largest angle that the detector sees."""
        return float(np.degrees(self._view(0.0, 0.0).two_theta.max()))

    def _top_deg(self) -> float:
        """How far patterns are computed: beyond the detector's corner, and at least to d = 1.5 angstrom, so that
        there always is a ring to scale by."""
        least = math.degrees(2.0 * math.asin(min(1.0, self.wavelength / 3.0)))
        return min(max(self._seen_deg() + 1.0, least), 170.0)

    def _bragg(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Two theta in deg and what the rings give there, on an arbitrary scale."""
        top = self._top_deg()
        grid = np.arange(0.0, top, STEP_DEG)
        curve = np.zeros(len(grid))
        for phase in phases(self.sample, temperature, self.transition):
            lines = powder_lines(phase.structure(temperature), self.wavelength, top, monochromator=0.0)
            curve += phase.fraction * profile(grid, lines.two_theta, lines.area, WIDTH)
        return grid, curve

    def rings(self, temperature: float) -> tuple[Ring, ...]:
        found = []
        for phase in phases(self.sample, temperature, self.transition):
            structure = phase.structure(temperature)
            lines = powder_lines(structure, self.wavelength, self._top_deg(), monochromator=0.0)
            d = self.wavelength / (2.0 * np.sin(np.radians(lines.two_theta) / 2.0))
            for hkl, one_d, angle in zip(lines.hkl.tolist(), d, bragg_angle(d, self.wavelength), strict=True):
                found.append(Ring(phase.name, tuple(hkl), float(one_d), float(angle)))
        seen = self._seen_deg()
        return tuple(sorted((r for r in found if r.two_theta <= seen), key=lambda ring: ring.two_theta))
