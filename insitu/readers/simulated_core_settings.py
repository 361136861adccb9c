"""What a simulated core is made of, and what can go wrong with it and with those who measure it.

The permeability is physical, not a table: spins that relax, walls that resonate, and Rayleigh's law for what the
amplitude adds (J. L. Snoek, Physica 14 (1948) 207; Lord Rayleigh, Phil. Mag. 23 (1887) 225):

    mu(f, B) = 1 + chi_w / (1 - (f/f_w)^2 + j g f/f_w) + chi_s / (1 + j f/f_s) + r B (1 - 4j / (3 pi))
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from insitu.readers.faults import Fault, Kind, parse_fault, with_transport

CORE_KINDS: dict[str, Kind] = {
    "no_drive": Kind("the drive is lost: both channels hold noise", "part of the drive left", 0.0, 0.0, 1.0),
    "open": Kind("the pick-up of B is open: noise alone", "part of the signal left", 0.0, 0.0, 1.0),
    "clipped": Kind("the amplifier of H clips", "part of the peak where it does", 0.8, 0.05, 1.0),
    "late": Kind("the channel of B comes later than it did", "deg of the drive", 5.0, -90.0, 90.0),
    "hum": Kind("pick-up of the mains, 50 Hz, in the channel of H", "part of the peak", 0.5, 0.0, 100.0),
    "unlocked": Kind("the drive runs at another frequency than is declared", "relative", 0.01, -0.2, 0.2),
    "cracked": Kind("the core is cracked: a gap lowers the permeability", "gap over path length", 1e-3, 0.0, 1.0),
    "noisy": Kind("a bad contact: much more noise in both channels", "factor", 100.0, 1.0, 1e6),
}
"""Faults of a core and its instrument; beside them those of the transport (`faults.KINDS`)."""

ALLOWED = with_transport(CORE_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Numbers of the law above: `walls` chi_w, `walls_at` f_w in Hz, `damping` g, `spins` chi_s, `spins_at` f_s in Hz,
    `rayleigh` r in 1/T."""

    walls: float = 1400.0
    walls_at: float = 1.3e6
    damping: float = 0.8
    spins: float = 700.0
    spins_at: float = 4e6
    rayleigh: float = 1.3e4

    def permeability(self, frequency: np.ndarray | float, b_peak: float, gap: float = 0.0) -> np.ndarray:
        """mu' - j mu'' at `frequency` Hz and `b_peak` T; `gap`, over the path length, adds to 1/mu.

        >>> complex(Material(walls=0.0, spins=100.0, spins_at=1e6, rayleigh=0.0).permeability(1e6, 0.1))
        (51-50j)
        """
        f = np.asarray(frequency, np.float64)
        x = f / self.walls_at
        mu = 1.0 + self.walls / (1.0 - x**2 + 1j * self.damping * x) + self.spins / (1.0 + 1j * f / self.spins_at)
        mu = mu + self.rayleigh * b_peak * (1.0 - 4j / (3.0 * math.pi))
        return mu / (1.0 + gap * mu)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreTruth:
    """The true answers for one frame: `mu_real`, `mu_imag`, `loss` W/m^3 of the first harmonic, `b_peak` T, `h_peak`
    A/m, `frequency` Hz, `phase_error` in rad by which B is read too late; `faults` of the frame."""

    index: int
    source_seq: int
    time_ns: int
    frequency: float
    declared: float
    mu_real: float
    mu_imag: float
    loss: float
    b_peak: float
    h_peak: float
    phase_error: float
    faults: tuple[str, ...]


def core_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that a core can have.

    >>> core_fault("clipped@20-30=0.5")
    Fault(kind='clipped', first=20, last=30, strength=0.5)
    """
    return parse_fault(text, ALLOWED, of="a core")
