"""Published structures for the simulators, as functions of temperature, and which phases a heated sample holds.

Cells expand linearly, `a(T) = a_ref (1 + alpha (T - T_ref))`; B grows as T (classical limit). Temperatures in K.

BaTiO3 is the one with a transition, first order, near 393 K. Its spontaneous polarisation follows Landau's sixth-order
expansion (A. F. Devonshire, Phil. Mag. 40 (1949) 1040), with T0 the Curie-Weiss temperature below the transition Tc:

    P^2(T)/P^2(Tc) = (2/3) (1 + sqrt(1 - (3/4) (T - T0)/(Tc - T0)))

The strains of the tetragonal cell (electrostriction) go with P^2, the displacements of Ti and O with P. Both are fixed
by the published room-temperature structure. Grains change over at slightly different temperatures, so that both
phases are there within a few K of Tc: cubic fraction = 1/(1 + exp(-(T - Tc)/width)).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from insitu.maths.diffraction.crystal import Atom, Cell, Structure, cubic, hexagonal, spread, tetragonal

FACES = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
RHOMBOHEDRAL = ((0.0, 0.0, 0.0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))
PRIMITIVE = ((0.0, 0.0, 0.0),)

ROOM_K = 295.65
"""22.5 C, at which NIST certifies its diffraction standards."""
BATIO3_TRANSITION_K = 393.0
CURIE_WEISS_BELOW_K = 11.0
"""Tc - T0 of BaTiO3: W. J. Merz, Phys. Rev. 91 (1953) 513, rounded."""
COEXISTENCE_K = 1.0
"""How widely the grains' transition temperatures are spread (logistic scale): a choice, 98 % within 4.6 K of Tc."""


def ceria(temperature: float) -> Structure:
    """CeO2, fluorite type. Cell: NIST SRM 674b; expansion 1.1e-5/K (Touloukian, TPRC Data 13 (1977), rounded)."""
    a, t = 5.411651 * (1.0 + 1.1e-5 * (temperature - ROOM_K)), temperature / ROOM_K
    corner = [Atom("Ce4+", 0.0, 0.0, 0.0, 0.25 * t)]
    inside = [Atom("O2-", 0.25, 0.25, z, 0.45 * t) for z in (0.25, 0.75)]
    return Structure(
        name="CeO2",
        space_group="Fm-3m",
        cell=cubic(a),
        atoms=spread(corner + inside, FACES),
        citation="NIST SRM 674b certificate: a = 5.411651 angstrom at 22.5 C; fluorite type",
    )


def silicon(temperature: float) -> Structure:
    """Si, diamond type. Cell: NIST SRM 640e; expansion 2.6e-6/K (Okada, Tokumaru, J. Appl. Phys. 56 (1984) 314)."""
    a, t = 5.431179 * (1.0 + 2.6e-6 * (temperature - ROOM_K)), temperature / ROOM_K
    pair = [Atom("Si", x, x, x, 0.46 * t) for x in (0.0, 0.25)]
    return Structure(
        name="Si",
        space_group="Fd-3m",
        cell=cubic(a),
        atoms=spread(pair, FACES),
        citation="NIST SRM 640e certificate: a = 5.431179 angstrom at 22.5 C; diamond type",
    )


def corundum(temperature: float) -> Structure:
    """Al2O3. Cell: NIST SRM 676a; positions: Lewis, Schwarzenbach, Flack, Acta Cryst. A38 (1982) 733.

    Expansion 5.4e-6/K along a, 6.0e-6/K along c near room temperature (Touloukian 1977, rounded).
    """
    grow, t = temperature - ROOM_K, temperature / ROOM_K
    x, z = 0.30624, 0.35216
    metal = [Atom("Al3+", 0.0, 0.0, w, 0.20 * t) for w in (z, 0.5 - z, -z, 0.5 + z)]
    planes = ((x, 0.0, 0.25), (0.0, x, 0.25), (-x, -x, 0.25), (-x, 0.0, 0.75), (0.0, -x, 0.75), (x, x, 0.75))
    oxygen = [Atom("O2-", *p, 0.25 * t) for p in planes]
    return Structure(
        name="Al2O3",
        space_group="R-3c",
        cell=hexagonal(4.759355 * (1.0 + 5.4e-6 * grow), 12.99231 * (1.0 + 6.0e-6 * grow)),
        atoms=spread(metal + oxygen, RHOMBOHEDRAL),
        citation="NIST SRM 676a certificate: a = 4.759355, c = 12.99231 angstrom at 22.5 C; Lewis et al. 1982",
    )


def rutile(temperature: float) -> Structure:
    """TiO2. Cell: NIST SRM 674b; position: Howard, Sabine, Dickson, Acta Cryst. B47 (1991) 462.

    Expansion 7.1e-6/K along a, 9.2e-6/K along c (Touloukian 1977, rounded).
    """
    grow, t, u = temperature - ROOM_K, temperature / ROOM_K, 0.3048
    metal = [Atom("Ti4+", w, w, w, 0.45 * t) for w in (0.0, 0.5)]
    planes = ((u, u, 0.0), (-u, -u, 0.0), (0.5 - u, 0.5 + u, 0.5), (0.5 + u, 0.5 - u, 0.5))
    oxygen = [Atom("O2-", *p, 0.55 * t) for p in planes]
    return Structure(
        name="TiO2",
        space_group="P4_2/mnm",
        cell=tetragonal(4.5939 * (1.0 + 7.1e-6 * grow), 2.9589 * (1.0 + 9.2e-6 * grow)),
        atoms=spread(metal + oxygen, PRIMITIVE),
        citation="NIST SRM 674b: a = 4.5939, c = 2.9589 angstrom; position of Howard et al. 1991",
    )


def polarisation_squared(temperature: float, transition: float = BATIO3_TRANSITION_K) -> float:
    """P^2(T)/P^2(Tc) of the tetragonal phase of BaTiO3 (formula at the head of this file).

    >>> polarisation_squared(393.0)
    1.0
    """
    above = (temperature - transition) / CURIE_WEISS_BELOW_K + 1.0
    return (1.0 + math.sqrt(max(0.0, 1.0 - 0.75 * above))) / 1.5


def batio3_cubic(temperature: float, transition: float = BATIO3_TRANSITION_K) -> Structure:
    """Cubic BaTiO3. Cell: R. W. G. Wyckoff, Crystal Structures 2 (1964): a = 4.0118 angstrom at 201 C.

    Expansion 1.0e-5/K (He, Thermochim. Acta 419 (2004) 135, rounded). `transition` is not used: one signature for both.
    """
    return _perovskite("BaTiO3 cubic", "Pm-3m", cubic(_cubic_edge(temperature)), (0.0, 0.0, 0.0), temperature)


def batio3_tetragonal(temperature: float, transition: float = BATIO3_TRANSITION_K) -> Structure:
    """Tetragonal BaTiO3. Cell: a = 3.994, c = 4.038 angstrom at 26 C (H. E. Swanson, R. K. Fuyat, NBS Circular 539
    III (1954) 45); displacements along c: Ti +0.0135, O1 -0.025, O2 -0.015 (J. Harada, T. Pedersen, Z. Barnea, Acta
    Cryst. A26 (1970) 336).

    >>> cell = batio3_tetragonal(299.15).cell
    >>> round(cell.a, 6), round(cell.c, 6)
    (3.994, 4.038)
    """
    reference = 299.15
    ratio = polarisation_squared(temperature, transition) / polarisation_squared(reference)
    edge, at_reference = _cubic_edge(temperature), _cubic_edge(reference)
    cell = tetragonal(
        edge * (1.0 + (3.994 / at_reference - 1.0) * ratio), edge * (1.0 + (4.038 / at_reference - 1.0) * ratio)
    )
    shifts = tuple(shift * math.sqrt(ratio) for shift in (0.0135, -0.025, -0.015))
    return _perovskite("BaTiO3 tetragonal", "P4mm", cell, (shifts[0], shifts[1], shifts[2]), temperature)


def _cubic_edge(temperature: float) -> float:
    return 4.0118 * (1.0 + 1.0e-5 * (temperature - 474.15))


def _perovskite(name: str, group: str, cell: Cell, shifts: tuple[float, float, float], temperature: float) -> Structure:
    """BaTiO3 with Ti, O1 (above Ti) and O2 shifted along c by the given fractions of it."""
    ti, o1, o2 = shifts
    t = temperature / ROOM_K
    atoms = (
        Atom("Ba2+", 0.0, 0.0, 0.0, 0.30 * t),
        Atom("Ti4+", 0.5, 0.5, 0.5 + ti, 0.40 * t),
        Atom("O2-", 0.5, 0.5, o1, 0.60 * t),
        Atom("O2-", 0.5, 0.0, 0.5 + o2, 0.60 * t),
        Atom("O2-", 0.0, 0.5, 0.5 + o2, 0.60 * t),
    )
    published = (
        "NBS Circular 539 III (1954) 45; Harada et al. 1970" if group == "P4mm" else "Wyckoff 1964: 4.0118 at 201 C"
    )
    return Structure(name=name, space_group=group, cell=cell, atoms=atoms, citation=published)


class Phase(NamedTuple):
    """One phase of a sample at some temperature: volume fraction, and its structure at any temperature."""

    name: str
    fraction: float
    structure: Callable[[float], Structure]


SAMPLES: dict[str, str] = {
    "batio3": "barium titanate, tetragonal, cubic above the transition",
    "ceo2": "ceria, NIST SRM 674b",
    "si": "silicon, NIST SRM 640e",
    "al2o3": "corundum, NIST SRM 676a",
    "tio2": "rutile, NIST SRM 674b",
}


def phases(sample: str, temperature: float, transition: float = BATIO3_TRANSITION_K) -> tuple[Phase, ...]:
    """What `sample` (a key of `SAMPLES`) consists of at `temperature`; the fractions sum to 1.

    >>> [(p.name, p.fraction) for p in phases("batio3", 393.0)]
    [('tetragonal', 0.5), ('cubic', 0.5)]
    >>> [p.name for p in phases("batio3", 300.0)]
    ['tetragonal']
    """
    if sample != "batio3":
        simple = {"ceo2": ceria, "si": silicon, "al2o3": corundum, "tio2": rutile}[sample]
        return (Phase(sample, 1.0, simple),)
    steps = (temperature - transition) / COEXISTENCE_K
    if abs(steps) > 12.0:  # the other phase is below 1e-5: leave it out
        converted = 1.0 if steps > 0 else 0.0
    else:
        converted = 1.0 / (1.0 + math.exp(-steps))
    both = (
        Phase("tetragonal", 1.0 - converted, lambda t: batio3_tetragonal(t, transition)),
        Phase("cubic", converted, lambda t: batio3_cubic(t, transition)),
    )
    return tuple(phase for phase in both if phase.fraction > 0.0)
