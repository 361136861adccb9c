"""What a simulated absorption beamline is set to: energy grids, the course of the reaction, faults that it can have."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.absorption.spectrum import KTOE
from insitu.maths.aligned import aligned
from insitu.readers.faults import Fault, Kind, parse_fault, with_transport
from insitu.readers.simulated_settings import positive

HC = 12398.419843320026
"""Planck's constant times the speed of light, eV angstrom (CODATA 2018)."""

XAS_KINDS: dict[str, Kind] = {
    "beam_loss": Kind("beam lost: every channel falls to what it counts in the dark", "part of the beam left", 0, 0, 1),
    "glitch": Kind("the monochromator's glitches do not cancel in mu", "part of each dip that is left", 1.0, -1.0, 1.0),
    "energy_jump": Kind("the monochromator has jumped: the true energy is higher", "eV", 2.0, -50.0, 50.0),
    "sample_moved": Kind("the sample has moved: a part of the beam passes beside it", "part", 0.4, 0.0, 1.0),
    "saturated": Kind("an amplifier behind the sample is set too high and clips", "factor of its gain", 2.5, 1.0, 1e6),
}
"""Faults of absorption scans; beside them those of the transport (`faults.KINDS`)."""

ALLOWED = with_transport(XAS_KINDS)
STEPS = ((-20.0, 5.0), (40.0, 0.4))
"""A step scan, relative to the edge: up to so many eV in steps of so many; from there on 0.05 1/angstrom."""
KSTEP = 0.05


def xas_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that an absorption scan can have.

    >>> xas_fault("energy_jump@20=3")
    Fault(kind='energy_jump', first=20, last=None, strength=3.0)
    """
    return parse_fault(text, ALLOWED, of="an absorption scan")


def energy_grid(grid: Literal["quick", "step"], edge: float, below: float, above: float, points: int) -> np.ndarray:
    """Energies (n,) in eV from `below` to `above` the edge: "quick", `points` evenly; "step", in three regions.

    >>> energy_grid("quick", 7112.0, 100.0, 100.0, 101)[[0, 50, 100]].tolist()
    [7012.0, 7112.0, 7212.0]
    """
    low, high = edge - positive(below, "below", "eV"), edge + positive(above, "above", "eV")
    if not low > 0.0:
        raise ConfigError(f"{below:g} eV below {edge:g} eV is no energy", where="below", expected=f"less than {edge:g}")
    if grid == "quick":
        if points < 32:
            raise ConfigError(f"{points} points make no spectrum", where="points", expected="32 or more")
        return aligned(np.linspace(low, high, points))
    parts, at = [], low
    for stop, step in STEPS:
        part = np.arange(at, min(edge + stop, high) - 1e-9, step)
        parts.append(part)
        at = float(part[-1]) + step if part.size else at
    k = np.arange(math.sqrt(max(at - edge, 0.0) / KTOE), math.sqrt(above / KTOE), KSTEP)
    parts.append(edge + KTOE * k**2 if at > edge else np.empty(0))
    energy = np.concatenate(parts)
    return aligned(energy[energy <= high])


def true_energy(energy: np.ndarray, offset: float, at: float, d_spacing: float | None) -> np.ndarray:
    """What the beam's energy (n,) is where the monochromator says `energy`: off by `offset` eV at the energy `at`, by
    the constant angle that explains it; without a crystal (`d_spacing` angstrom) by the same everywhere.

    >>> true_energy(np.array([8000.0, 9000.0]), 1.0, 8000.0, 3.1356).round(3).tolist()
    [8001.0, 9001.274]
    """
    if d_spacing is None or offset == 0.0:
        return energy + offset
    sine = HC / (2.0 * d_spacing)
    turn = math.asin(sine / (at + offset)) - math.asin(sine / at)
    return sine / np.sin(np.arcsin(sine / energy) + turn)


class Reaction:
    """The course of a reaction: how far it is at a time in s after the first spectrum, 0 to 1, and the shares.

    "linear": from 0 at `start` to 1 at `start + length`; "sigmoid": logistic, 0.018 at `start` and 0.982 at the end;
    "none": 0. Shares of m members at progress p are the Bernstein polynomials of degree m - 1: one member follows
    another, and they add up to 1.

    >>> Reaction("linear", 10.0, 20.0).shares(20.0, 3).tolist()
    [0.25, 0.5, 0.25]
    """

    def __init__(self, course: Literal["sigmoid", "linear", "none"], start: float, length: float) -> None:
        self.course, self.start, self.length = course, start, positive(length, "reaction_time", "s")

    def progress(self, time_s: np.ndarray | float) -> np.ndarray:
        """How far the reaction is, 0 to 1."""
        x = (np.asarray(time_s, np.float64) - self.start) / self.length
        if self.course == "none":
            return np.zeros_like(x)
        if self.course == "linear":
            return np.clip(x, 0.0, 1.0)
        return 1.0 / (1.0 + np.exp(np.clip(-8.0 * (x - 0.5), -700.0, 700.0)))

    def shares(self, time_s: np.ndarray | float, members: int) -> np.ndarray:
        """Share of each member, `(members,)` or `(members, n)`."""
        p, last = self.progress(time_s), members - 1
        return np.stack([math.comb(last, j) * p**j * (1.0 - p) ** (last - j) for j in range(members)])
