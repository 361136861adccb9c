"""What the counters of a simulated absorption beamline count on average: beam, chambers, foil, fluorescence.

With F the photons that reach the first chamber, mu of the sample and mu_f of the foil behind it, h the part of the
beam in the third harmonic and b the part that passes beside the sample:

    i0      = 0.15 F (1 + h)                                    itrans = 0.425 F [through + h through(mu/27)]
    irefer  = 0.425 F [through e^-mu_f + h ...]                 through = (1 - b) e^-mu + b
    ifluor  = yield F (1 - b) (1 + s) mu_x/(1 + s mu_x)         mu_x: normalised; s: self-absorption

s is the absorption of the element's edge over that of everything else (thick sample): L. Troeger et al., Phys. Rev. B
46 (1992) 3283. The beam decays exponentially and is refilled at fixed times; it has dips at glitches of the crystal,
at fixed true energies. Where a fault leaves a part of a dip in mu, the chambers behind the first one see the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

I0_SHARE, BEHIND = 0.15, 0.425
"""Part of the photons that the first chamber, and each one behind it, counts."""
GLITCH_FWHM = 1.5
FULL_CURRENT = 100.0
THIRD = 27.0
"""Absorption falls with the third power of the energy."""
BACKGROUND = 0.6
"""Absorption in front of the edge by everything else, at the edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """The storage ring and the monochromator. `lifetime_s`, `refill_s`: decay, time between refills; `glitches`: true
    energies in eV of dips of relative `depth`; `harmonics`: part of the third harmonic."""

    lifetime_s: float
    refill_s: float
    glitches: tuple[float, ...]
    depth: float
    harmonics: float

    def current(self, time_s: np.ndarray | float) -> np.ndarray:
        """Ring current in mA at times in s after the first spectrum.

        >>> beam = Beam(lifetime_s=100.0, refill_s=50.0, glitches=(), depth=0.0, harmonics=0.0)
        >>> beam.current(np.array([0.0, 49.0, 50.0])).round(1).tolist()
        [100.0, 61.3, 100.0]
        """
        return FULL_CURRENT * np.exp(-np.mod(time_s, self.refill_s) / self.lifetime_s)

    def dips(self, energy: np.ndarray) -> np.ndarray:
        """Depth of the glitches at true energies `(n,)`: 0 where there is none."""
        out = np.zeros(energy.size)
        for at in self.glitches:
            out += self.depth * np.exp(-4.0 * math.log(2.0) * ((energy - at) / GLITCH_FWHM) ** 2)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Chambers:
    """The counters. `photons`: what the first chamber counts in a point at full current; `edge_step` and `foil_step`:
    absorption steps of sample and foil; `elements` of the fluorescence detector, `dead` the number of the one that
    does not count (0: none), `fluorescence_yield` counts of an element over those of the first chamber, per step;
    `self_absorption` s."""

    photons: float
    edge_step: float
    foil_step: float
    elements: int
    dead: int
    fluorescence_yield: float
    self_absorption: float


def scan_counts(
    lit: np.ndarray,
    energy: np.ndarray,
    mu: np.ndarray,
    foil: np.ndarray,
    edge: float,
    beam: Beam,
    chambers: Chambers,
    now: Mapping[str, float],
) -> np.ndarray:
    """Expected counts `(channels, n)` of i0, itrans, irefer and the fluorescence elements, without dark counts.

    `lit` (n,): beam over the full one; `energy` (n,): true energies; `mu`, `foil` (n,): normalised absorption of the
    sample and the foil; `now`: faults with their strength.
    """
    dips = beam.dips(energy)
    photons = chambers.photons / I0_SHARE * lit * (1.0 - dips)
    behind = 1.0 - now.get("glitch", 0.0) * dips
    decay = (edge / energy) ** 3
    beside = now.get("sample_moved", 0.0)
    sample = BACKGROUND * decay + chambers.edge_step * mu * (edge / energy) ** 2.7
    foils = 0.3 * decay + chambers.foil_step * foil * (edge / energy) ** 2.7
    through = (1.0 - beside) * np.exp(-sample) + beside
    rows = [I0_SHARE * photons, BEHIND * photons * behind * through, BEHIND * photons * behind * through]
    rows[2] = rows[2] * np.exp(-foils)
    if beam.harmonics:
        again = beam.harmonics * photons * ((1.0 - beside) * np.exp(-sample / THIRD) + beside)
        rows[0] = rows[0] * (1.0 + beam.harmonics)
        rows[1], rows[2] = rows[1] + BEHIND * again, rows[2] + BEHIND * again * np.exp(-foils / THIRD)
    if chambers.elements:
        thick = chambers.self_absorption
        visible = np.maximum(mu, 0.0) * (1.0 + thick) / (1.0 + thick * np.maximum(mu, 0.0))
        scattered = 0.05 * decay
        count = chambers.fluorescence_yield * rows[0] * behind * (1.0 - beside) * (visible + scattered)
        rows.extend(np.zeros(mu.size) if n + 1 == chambers.dead else count for n in range(chambers.elements))
    return np.stack(rows)


def yield_counts(
    lit: np.ndarray, energy: np.ndarray, mu: np.ndarray, beam: Beam, chambers: Chambers, now: Mapping[str, float]
) -> np.ndarray:
    """Expected counts `(2, n)` of i0 and of the total yield of a film, without dark counts."""
    dips = beam.dips(energy)
    i0 = chambers.photons * lit * (1.0 - dips)
    behind = (1.0 - now.get("glitch", 0.0) * dips) * (1.0 - now.get("sample_moved", 0.0))
    return np.stack([i0, chambers.fluorescence_yield * i0 * behind * (0.3 + mu)])
