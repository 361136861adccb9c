"""A parametric absorption spectrum: an edge, its white line and pre-edge peak, and EXAFS from a few shells.

PARAMETRIC, NOT MEASURED and not computed from first principles: shapes like those of a real spectrum, with every true
answer known. With k = sqrt((E - E0 - shift)/KTOE), normalised so that the step is 1:

    mu(E)  = [1/2 + arctan((E - E0)/width)/pi] (1 + chi(k)) + white line + pre-edge peak       (peaks are Gaussians)
    chi(k) = on(k) sum_j N_j S02 F_j(k)/(k R_j^2) exp(-2 sigma2_j k^2) exp(-2 R_j/lambda(k)) sin(2 k R_j + phi_j(k))
    F(k)   = strength/(1 + ((k - centre)/width)^2),   phi(k) = p0 + p1 k + p2 k^2,   lambda(k) = ((3/k)^4 + k)/0.6
    on(k)  = k^4/(k^4 + 2.5^4)            the first electron volts belong to the edge, not to EXAFS

`e0` of an end member is the energy of the largest derivative of the whole edge (without its pre-edge peak): what a
perfect analysis finds. Sources: EXAFS equation, D. E. Sayers et al., Phys. Rev. Lett. 27 (1971) 1204; Lorentzian
amplitudes and parabolic phases, B.-K. Teo, P. A. Lee, J. Am. Chem. Soc. 101 (1979) 2815; the numbers here are made up.
Energies in eV, distances in angstrom, sigma2 in angstrom^2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from insitu.maths.absorption.spectrum import KTOE

FINE_EV = 0.01
"""Grid on which the true edge is looked for; a parabola through three points refines it."""
REACH_EV = 20.0
ONSET = 2.5


class Scatterer(NamedTuple):
    """A kind of neighbour: amplitude (`strength` angstrom, `centre` and `width` 1/angstrom) and phase (rad)."""

    strength: float
    centre: float
    width: float
    p0: float
    p1: float
    p2: float


SCATTERERS = {
    "light": Scatterer(1.1, 2.5, 4.0, 2.6, -0.60, 0.012),
    "heavy": Scatterer(0.9, 6.5, 4.5, 0.4, -0.75, 0.015),
}
"""A neighbour like oxygen, and one like a 3d metal."""


class Shell(NamedTuple):
    """`number` of neighbours at `distance` (angstrom), disorder `sigma2` (angstrom^2), `shift` of E0 for it (eV)."""

    number: float
    distance: float
    sigma2: float
    kind: Literal["light", "heavy"] = "light"
    shift: float = 0.0


class Peak(NamedTuple):
    """A Gaussian: centre relative to E0 (eV), height (share of the step), FWHM (eV)."""

    at: float
    height: float
    fwhm: float


NO_PEAK = Peak(0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMember:
    """One pure compound: `e0` and `width` of its edge in eV, `s02` the amplitude reduction of its shells."""

    name: str
    e0: float
    width: float = 1.5
    white_line: Peak = NO_PEAK
    pre_edge: Peak = NO_PEAK
    shells: tuple[Shell, ...] = ()
    s02: float = 0.9


def chi_of(k: np.ndarray, member: EndMember) -> np.ndarray:
    """chi(k) `(n,)` at wave numbers `k` (n,), 1/angstrom, relative to the member's E0; 0 at and below k = 0.

    >>> member = EndMember(name="oxide", e0=7120.0, shells=(Shell(6.0, 2.0, 0.006),))
    >>> chi = chi_of(np.array([0.0, 4.0, 8.0]), member)
    >>> float(chi[0]), bool(0.0 < abs(chi[2]) < abs(chi[1]) < 0.5)
    (0.0, True)
    """
    total = np.zeros(k.size)
    above = np.flatnonzero(k > 1e-3)
    square = k[above] ** 2
    for shell in member.shells:
        moved = square - shell.shift / KTOE if shell.shift else square
        there = moved > 1e-6
        at = above[there] if shell.shift else above
        q2 = moved[there] if shell.shift else moved
        q = np.sqrt(q2)
        kind, r = SCATTERERS[shell.kind], shell.distance
        height = shell.number * member.s02 * kind.strength / (r * r)
        size = height * q2 * q / ((q2 * q2 + ONSET**4) * (1.0 + ((q - kind.centre) / kind.width) ** 2))
        fades = np.exp(-2.0 * shell.sigma2 * q2 - 1.2 * r / ((3.0 / q) ** 4 + q))
        total[at] += size * fades * np.sin((2.0 * r + kind.p1) * q + kind.p0 + kind.p2 * q2)
    return total


def normalised(energy: np.ndarray, member: EndMember) -> np.ndarray:
    """mu `(n,)` of a pure compound at `energy` (n,), eV: 0 far below the edge, around 1 above.

    >>> member = EndMember(name="metal", e0=7112.0)
    >>> normalised(np.array([6000.0, 7112.0, 9000.0]), member).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    x = energy - (member.e0 - _steepest(member))
    mu = _edge(x, member)
    if member.pre_edge.height:
        mu += _gauss(x, member.pre_edge)
    return mu


def _edge(x: np.ndarray, member: EndMember) -> np.ndarray:
    """The edge with white line and EXAFS at energies `x` (n,) from the arctangent's middle."""
    chi = chi_of(np.sqrt(np.maximum(x, 0.0) / KTOE), member)
    mu = (0.5 + np.arctan(x / member.width) / math.pi) * (1.0 + chi)
    if member.white_line.height:
        mu += _gauss(x, member.white_line)
    return mu


def _gauss(x: np.ndarray, peak: Peak) -> np.ndarray:
    return peak.height * np.exp(-4.0 * math.log(2.0) * ((x - peak.at) / peak.fwhm) ** 2)


@lru_cache(maxsize=256)
def _steepest(member: EndMember) -> float:
    """How far above the arctangent's middle the edge rises fastest, eV."""
    x = np.arange(-REACH_EV, REACH_EV, FINE_EV)
    return _top(x, np.gradient(_edge(x, member), FINE_EV))


def _top(x: np.ndarray, y: np.ndarray) -> float:
    at = min(max(int(np.argmax(y)), 1), y.size - 2)
    left, middle, right = (float(v) for v in y[at - 1 : at + 2])
    bend = left - 2.0 * middle + right
    return float(x[at]) + (0.5 * (left - right) / bend * float(x[1] - x[0]) if bend < 0.0 else 0.0)


class MixtureTruth:
    """The true edge of mixtures of some end members: E0 of any shares, and where the members cross."""

    def __init__(self, members: Sequence[EndMember]) -> None:
        self.members = tuple(members)
        low = min(m.e0 for m in members) - REACH_EV
        high = max(m.e0 for m in members) + REACH_EV
        self._energy = np.arange(low, high, FINE_EV)
        bare = [_edge(self._energy - (m.e0 - _steepest(m)), m) for m in members]
        self._slopes = np.array([np.gradient(mu, FINE_EV) for mu in bare])

    def e0(self, shares: Sequence[float]) -> float:
        """Energy of the largest derivative of the mixture, without pre-edge peaks, eV."""
        return _top(self._energy, np.asarray(shares) @ self._slopes)

    def isosbestic(self, below: float = 20.0, above: float = 60.0, least: float = 0.005) -> list[float]:
        """Energies where the first and the last member cross, near the edge: there no mixture of two changes.

        A crossing counts where the two differ by `least` of the step on either side of it (before the next one).
        """
        first, last = self.members[0], self.members[-1]
        energy = np.arange(first.e0 - below, first.e0 + above, FINE_EV)
        off = normalised(energy, last) - normalised(energy, first)
        at = np.flatnonzero(off[:-1] * off[1:] < 0.0)
        borders = [0, *(int(i) + 1 for i in at), off.size]
        sizes = [float(np.abs(off[a:b]).max()) for a, b in pairwise(borders)]
        return [
            float(energy[i] + FINE_EV * off[i] / (off[i] - off[i + 1]))
            for n, i in enumerate(at)
            if min(sizes[n], sizes[n + 1]) > least
        ]
