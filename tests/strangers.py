"""Published structures that are none of the 70 of `insitu.maths.diffraction.library`: the phase network and the fit
must not take them for one of those. Cells and coordinates: R. W. G. Wyckoff, Crystal Structures (2nd ed.), rounded.

`ALIKE` have the structure of a candidate and a lattice that is less than 1.1 % off: with one wavelength and a lattice
that is free by 1 % nothing but the intensities tells them apart.
"""

from insitu.maths.diffraction.library import (
    BODY,
    FACES,
    THIRD,
    TWO,
    Entry,
    _calcite,
    _close_packed,
    _fluorite,
    _rutile,
    _salt,
    _wurtzite,
)


def _one(group: str, a: float, element: str) -> Entry:
    return group, (a,), [(element, 0, 0, 0)]


def _blende(a: float, metal: str, other: str) -> Entry:
    return "F -4 3 m", (a,), [(metal, 0, 0, 0), (other, 0.25, 0.25, 0.25)]


def _pair(a: float, metal: str, other: str) -> Entry:
    return "P m -3 m", (a,), [(metal, 0, 0, 0), (other, 0.5, 0.5, 0.5)]


def _perovskite(a: float, large: str, small: str) -> Entry:
    return "P m -3 m", (a,), [(large, 0, 0, 0), (small, 0.5, 0.5, 0.5), ("O", 0.5, 0.5, 0)]


def _spinel(a: float, metal: str, other: str, u: float, anion: str = "O") -> Entry:
    sites = [(metal, 0.0, 0.0, 0.0), (other, 0.625, 0.625, 0.625), (anion, u, u, u)]
    return "F d -3 m:1", (a,), sites


ALIKE: dict[str, Entry] = {
    "gold": _one(FACES, 4.0786, "Au"),
    "palladium": _one(FACES, 3.8907, "Pd"),
    "aluminium": _one(FACES, 4.0495, "Al"),
    "gamma_iron": _one(FACES, 3.591, "Fe"),
    "molybdenum": _one(BODY, 3.147, "Mo"),
    "niobium": _one(BODY, 3.3004, "Nb"),
    "wustite": _salt(4.307, "Fe", "O"),
    "calcium_sulfide": _salt(5.6948, "Ca", "S"),
    "uraninite": _fluorite(5.4682, "U", "O"),
    "gallium_arsenide": _blende(5.6533, "Ga", "As"),
    "zinc_selenide": _blende(5.6676, "Zn", "Se"),
    "gallium_phosphide": _blende(5.4505, "Ga", "P"),
    "copper_chloride": _blende(5.4057, "Cu", "Cl"),
    "franklinite": _spinel(8.4411, "Zn", "Fe", 0.385),
    "smithsonite": _calcite(4.6526, 15.0257, 0.2764, "Zn"),
    "gallium_nitride": _wurtzite(3.180, 5.166, 0.377, "Ga", "N"),
    "zinc_fluoride": _rutile(4.7034, 3.1335, 0.303, "Zn", "F"),
}

STRANGERS: dict[str, Entry] = {
    "alabandite": _salt(5.224, "Mn", "S"),
    "lead_telluride": _salt(6.4606, "Pb", "Te"),
    "potassium_iodide": _salt(7.0655, "K", "I"),
    "strontium_oxide": _salt(5.160, "Sr", "O"),
    "barium_oxide": _salt(5.539, "Ba", "O"),
    "sodium_fluoride": _salt(4.62, "Na", "F"),
    "lithium_chloride": _salt(5.1396, "Li", "Cl"),
    "silver_bromide": _salt(5.7745, "Ag", "Br"),
    "lead_fluoride": _fluorite(5.940, "Pb", "F"),
    "lithium_oxide": _fluorite(4.619, "O", "Li"),
    "iridium": _one(FACES, 3.8389, "Ir"),
    "rhodium": _one(FACES, 3.8031, "Rh"),
    "thorium": _one(FACES, 5.0843, "Th"),
    "calcium": _one(FACES, 5.576, "Ca"),
    "barium": _one(BODY, 5.025, "Ba"),
    "sodium": _one(BODY, 4.2906, "Na"),
    "europium": _one(BODY, 4.606, "Eu"),
    "cadmium_telluride": _blende(6.480, "Cd", "Te"),
    "silicon_carbide": _blende(4.348, "Si", "C"),
    "copper_iodide": _blende(6.0427, "Cu", "I"),
    "caesium_iodide": _pair(4.5667, "Cs", "I"),
    "nickel_aluminide": _pair(2.8810, "Ni", "Al"),
    "thallium_bromide": _pair(3.97, "Tl", "Br"),
    "barium_zirconate": _perovskite(4.192, "Ba", "Zr"),
    "rhenium_oxide": ("P m -3 m", (3.734,), [("Re", 0, 0, 0), ("O", 0.5, 0, 0)]),
    "stishovite": _rutile(4.1790, 2.6649, 0.3062, "Si"),
    "ruthenium_oxide": _rutile(4.491, 3.106, 0.306, "Ru"),
    "plattnerite": _rutile(4.946, 3.379, 0.307, "Pb"),
    "cadmium": _close_packed(2.9787, 5.617, "Cd"),
    "beryllium": _close_packed(2.2866, 3.5833, "Be"),
    "ruthenium": _close_packed(2.7039, 4.2817, "Ru"),
    "yttrium": _close_packed(3.6474, 5.7306, "Y"),
    "silver_iodide": _wurtzite(4.580, 7.494, 0.375, "Ag", "I"),
    "beryllium_oxide": _wurtzite(2.698, 4.380, 0.378, "Be", "O"),
    "wurtzite": _wurtzite(3.811, 6.234, 0.375, "Zn", "S"),
    "indium_sulfide": _spinel(10.774, "In", "In", 0.38, "S"),
    "bismuth": ("R -3 m:H", (4.546, 4.546, 11.862), [("Bi", 0, 0, 0.2339)]),
    "tellurium": ("P 31 2 1", (4.4572, 4.4572, 5.929), [("Te", 0.269, 0, THIRD)]),
    "tin": ("I 41/a m d:1", (5.8316, 5.8316, 3.1813), [("Sn", 0, 0, 0)]),
    "indium": ("I 4/m m m", (3.2523, 3.2523, 4.9461), [("In", 0, 0, 0)]),
    "portlandite": ("P -3 m 1", (3.589, 3.589, 4.911), [("Ca", 0, 0, 0), ("O", THIRD, TWO, 0.2341)]),
    "cadmium_iodide": ("P -3 m 1", (4.24, 4.24, 6.84), [("Cd", 0, 0, 0), ("I", THIRD, TWO, 0.249)]),
    "siderite": _calcite(4.6916, 15.3796, 0.2743, "Fe"),
    "cristobalite": (
        "P 41 21 2", (4.9732, 4.9732, 6.9236), [("Si", 0.3, 0.3, 0), ("O", 0.239, 0.104, 0.179)],
    ),
    "marcasite": ("P n n m", (4.436, 5.414, 3.381), [("Fe", 0, 0, 0), ("S", 0.2, 0.378, 0)]),
    "goethite": (
        "P n m a", (9.9134, 3.0128, 4.58),
        [("Fe", 0.1459, 0.25, -0.0486), ("O", -0.1989, 0.25, 0.288), ("O", -0.0530, 0.25, -0.198)],
    ),
    "boehmite": (
        "C m c m", (2.8679, 12.2336, 3.6936), [("Al", 0, -0.317, 0.25), ("O", 0, 0.287, 0.25), ("O", 0, 0.08, 0.25)],
    ),
    "ilmenite": (
        "R -3:H", (5.0884, 5.0884, 14.0855),
        [("Fe", 0, 0, 0.3554), ("Ti", 0, 0, 0.1464), ("O", 0.3172, 0.0233, 0.2451)],
    ),
    "scheelite": (
        "I 41/a:1", (5.243, 5.243, 11.376), [("Ca", 0, 0, 0.5), ("W", 0, 0, 0), ("O", 0.25, 0.15, 0.075)],
    ),
    "fayalite": (
        "P n m a", (10.4878, 6.0947, 4.8213),
        [
            ("Fe", 0, 0, 0), ("Fe", 0.280, 0.25, 0.986), ("Si", 0.0975, 0.25, 0.430), ("O", 0.092, 0.25, 0.766),
            ("O", 0.453, 0.25, 0.209), ("O", 0.165, 0.038, 0.288),
        ],
    ),
    "cementite": (
        "P n m a", (5.0897, 6.7438, 4.5235),
        [("Fe", 0.036, 0.852, 0.063), ("Fe", 0.186, 0.063, 0.328), ("C", 0.89, 0.25, 0.45)],
    ),
}  # fmt: skip
