"""What a diffractometer would count on average from a heated powder: the expected pattern, and the true answers.

Lines are computed exactly at nodes `NODE_K` apart; between nodes the expected pattern is interpolated linearly, which
is exact to 0.1 % of the strongest line at the worst place (BaTiO3 at its transition), well under the noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.phases import phases
from insitu.maths.diffraction.powder import Lines, Width, displacement_shift, powder_lines, profile
from insitu.maths.peaks.profiles import caglioti

NODE_K = 1.0
"""Distance of the temperatures at which patterns are computed exactly."""
KEPT = 512
"""How many node patterns are kept (16 MB of 4096 points); a ramp needs four at a time."""
BEYOND_DEG = 0.5
"""Lines up to this far beyond the axis are included: their tails reach into it."""


class Geometry(NamedTuple):
    """What shifts all lines: zero error in deg, height of the sample above the axis in mm, radius in mm."""

    zero_deg: float = 0.0
    height_mm: float = 0.0
    radius_mm: float = 200.0


class Peak(NamedTuple):
    """One true line: phase, indices, angle in deg, area in counts deg, FWHM in deg, as this frame has it."""

    phase: str
    hkl: tuple[int, int, int]
    two_theta: float
    area: float
    fwhm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The true answers for one frame of a simulation: what a perfect analysis would find."""

    index: int
    source_seq: int
    time_ns: int
    temperature_K: float
    exposure_s: float
    fractions: Mapping[str, float]
    """Volume fraction of each phase; they sum to 1."""
    peaks: tuple[Peak, ...]
    """Lines within the axis, in order of angle."""
    faults: tuple[str, ...]
    """Kinds of fault that change this frame."""


class HeatedSample:
    """A powder whose expected pattern is asked for at one temperature after another.

    `sample`: a key of `insitu.maths.diffraction.phases.SAMPLES`; `two_theta` `(n,)` deg; `wavelength` angstrom;
    `transition` K.
    """

    def __init__(self, sample: str, two_theta: np.ndarray, wavelength: float, transition: float, width: Width) -> None:
        self.sample, self.two_theta, self.wavelength = sample, two_theta, wavelength
        self.transition, self.width = transition, width
        self._rows: dict[tuple[str, int, Geometry], np.ndarray] = {}

    def fractions(self, temperature: float) -> dict[str, float]:
        """Volume fraction of each phase at `temperature` (K)."""
        return {phase.name: phase.fraction for phase in phases(self.sample, temperature, self.transition)}

    def curve(self, temperature: float, geometry: Geometry) -> np.ndarray:
        """Expected Bragg intensity `(n,)` at `temperature` (K), per deg, for one unit of volume."""
        node = int(temperature // NODE_K)
        part = temperature / NODE_K - node
        total = np.zeros(len(self.two_theta))
        for name, fraction in self.fractions(temperature).items():
            total += (fraction * (1.0 - part)) * self._row(name, node, geometry)
            if part > 0.0:
                total += (fraction * part) * self._row(name, node + 1, geometry)
        return total

    def peaks(self, temperature: float, geometry: Geometry, scale: float) -> tuple[Peak, ...]:
        """The true lines within the axis at `temperature`, areas times `scale`."""
        found = []
        for name, fraction in self.fractions(temperature).items():
            lines = self._lines(name, temperature)
            at = self._shifted(lines.two_theta, geometry)
            fwhm = caglioti(lines.two_theta, *self.width[:3])
            for hkl, x, area, w in zip(lines.hkl.tolist(), at, lines.area, fwhm, strict=True):
                if self.two_theta[0] <= x <= self.two_theta[-1]:
                    found.append(Peak(name, tuple(hkl), float(x), float(area * fraction * scale), float(w)))
        return tuple(sorted(found, key=lambda peak: peak.two_theta))

    def _row(self, name: str, node: int, geometry: Geometry) -> np.ndarray:
        key = (name, node, geometry)
        if key not in self._rows:
            if len(self._rows) >= KEPT:
                self._rows.pop(next(iter(self._rows)))
            lines = self._lines(name, node * NODE_K)
            self._rows[key] = profile(self.two_theta, self._shifted(lines.two_theta, geometry), lines.area, self.width)
        return self._rows[key]

    def _lines(self, name: str, temperature: float) -> Lines:
        both = phases(self.sample, self.transition, self.transition)  # every phase there is
        structure = next(phase.structure for phase in both if phase.name == name)(temperature)
        return powder_lines(structure, self.wavelength, min(float(self.two_theta[-1]) + BEYOND_DEG, 179.0))

    def _shifted(self, two_theta: np.ndarray, geometry: Geometry) -> np.ndarray:
        if geometry.height_mm == 0.0:
            return two_theta + geometry.zero_deg
        return two_theta + geometry.zero_deg + displacement_shift(two_theta, geometry.height_mm, geometry.radius_mm)
