"""A small library of published crystal structures, as CIF text: candidates for `xrd.phases` and the phase network.

Cells (angstrom) and coordinates are typed from R. W. G. Wyckoff, Crystal Structures (2nd ed., 1963 to 1971), rounded as
there, unless `SOURCES` says else. Hydrogen is left out. Candidates that differ by no more than a lattice's change with
temperature (silver and gold, germanium and GaAs) cannot be told apart, so that only one of them is in the list.
"""

Site = tuple[str, float, float, float]
Entry = tuple[str, tuple[float, ...], list[Site]]

ROCK_SALT, FLUORITE, FACES, BODY = "F m -3 m", "F m -3 m", "F m -3 m", "I m -3 m"
THIRD, TWO = 1 / 3, 2 / 3


def _salt(a: float, metal: str, other: str) -> Entry:
    return ROCK_SALT, (a,), [(metal, 0, 0, 0), (other, 0.5, 0.5, 0.5)]


def _fluorite(a: float, metal: str, other: str) -> Entry:
    return FLUORITE, (a,), [(metal, 0, 0, 0), (other, 0.25, 0.25, 0.25)]


def _rutile(a: float, c: float, u: float, metal: str, other: str = "O") -> Entry:
    return "P 42/m n m", (a, a, c), [(metal, 0, 0, 0), (other, u, u, 0)]


def _close_packed(a: float, c: float, metal: str) -> Entry:
    return "P 63/m m c", (a, a, c), [(metal, THIRD, TWO, 0.25)]


def _wurtzite(a: float, c: float, u: float, metal: str, other: str) -> Entry:
    return "P 63 m c", (a, a, c), [(metal, THIRD, TWO, 0), (other, THIRD, TWO, u)]


def _corundum(a: float, c: float, z: float, x: float, metal: str) -> Entry:
    return "R -3 c:H", (a, a, c), [(metal, 0, 0, z), ("O", x, 0, 0.25)]


def _calcite(a: float, c: float, x: float, metal: str) -> Entry:
    return "R -3 c:H", (a, a, c), [(metal, 0, 0, 0), ("C", 0, 0, 0.25), ("O", x, 0, 0.25)]


LIBRARY: dict[str, Entry] = {
    "halite": _salt(5.64056, "Na", "Cl"),
    "sylvite": _salt(6.29294, "K", "Cl"),
    "potassium_bromide": _salt(6.6000, "K", "Br"),
    "lithium_fluoride": _salt(4.0173, "Li", "F"),
    "periclase": _salt(4.2112, "Mg", "O"),
    "lime": _salt(4.8105, "Ca", "O"),
    "bunsenite": _salt(4.1684, "Ni", "O"),
    "manganosite": _salt(4.4448, "Mn", "O"),
    "cadmium_oxide": _salt(4.6953, "Cd", "O"),
    "galena": _salt(5.9362, "Pb", "S"),
    "titanium_carbide": _salt(4.3186, "Ti", "C"),
    "fluorite": _fluorite(5.46295, "Ca", "F"),
    "strontium_fluoride": _fluorite(5.7996, "Sr", "F"),
    "barium_fluoride": _fluorite(6.2001, "Ba", "F"),
    "thoria": _fluorite(5.5997, "Th", "O"),
    "ceria": _fluorite(5.411651, "Ce", "O"),
    "copper": (FACES, (3.61496,), [("Cu", 0, 0, 0)]),
    "nickel": (FACES, (3.52387,), [("Ni", 0, 0, 0)]),
    "platinum": (FACES, (3.9231,), [("Pt", 0, 0, 0)]),
    "silver": (FACES, (4.0862,), [("Ag", 0, 0, 0)]),
    "lead": (FACES, (4.9505,), [("Pb", 0, 0, 0)]),
    "iron": (BODY, (2.8665,), [("Fe", 0, 0, 0)]),
    "chromium": (BODY, (2.8839,), [("Cr", 0, 0, 0)]),
    "vanadium": (BODY, (3.0240,), [("V", 0, 0, 0)]),
    "tungsten": (BODY, (3.1650,), [("W", 0, 0, 0)]),
    "tantalum": (BODY, (3.3058,), [("Ta", 0, 0, 0)]),
    "diamond": ("F d -3 m:1", (3.56679,), [("C", 0, 0, 0)]),
    "silicon": ("F d -3 m:1", (5.43070,), [("Si", 0, 0, 0)]),
    "germanium": ("F d -3 m:1", (5.65735,), [("Ge", 0, 0, 0)]),
    "sphalerite": ("F -4 3 m", (5.4093,), [("Zn", 0, 0, 0), ("S", 0.25, 0.25, 0.25)]),
    "caesium_chloride": ("P m -3 m", (4.123,), [("Cs", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5)]),
    "cuprite": ("P n -3 m:1", (4.2696,), [("O", 0, 0, 0), ("Cu", 0.25, 0.25, 0.25)]),
    "strontium_titanate": ("P m -3 m", (3.9051,), [("Sr", 0, 0, 0), ("Ti", 0.5, 0.5, 0.5), ("O", 0.5, 0.5, 0)]),
    "barium_titanate": (
        "P 4 m m",
        (3.994, 3.994, 4.038),
        [("Ba", 0, 0, 0), ("Ti", 0.5, 0.5, 0.5135), ("O", 0.5, 0.5, 0.975), ("O", 0.5, 0, 0.485)],
    ),
    "lanthanum_hexaboride": ("P m -3 m", (4.1566,), [("La", 0, 0, 0), ("B", 0.1993, 0.5, 0.5)]),
    "pyrite": ("P a -3", (5.40667,), [("Fe", 0, 0, 0), ("S", 0.386, 0.386, 0.386)]),
    "magnetite": ("F d -3 m:1", (8.3940,), [("Fe", 0, 0, 0), ("Fe", 0.625, 0.625, 0.625), ("O", 0.379, 0.379, 0.379)]),
    "spinel": ("F d -3 m:1", (8.080,), [("Mg", 0, 0, 0), ("Al", 0.625, 0.625, 0.625), ("O", 0.387, 0.387, 0.387)]),
    "copper_chromite": (
        "F d d d:2",
        (7.7127, 8.5433, 8.5364),
        [("Cu", 0.125, 0.125, 0.125), ("Cr", 0.5, 0.5, 0.5), ("O", 0.2458, 0.2683, 0.2674)],
    ),
    "rutile": _rutile(4.59373, 2.95812, 0.3053, "Ti"),
    "cassiterite": _rutile(4.73727, 3.18638, 0.307, "Sn"),
    "pyrolusite": _rutile(4.396, 2.871, 0.302, "Mn"),
    "magnesium_fluoride": _rutile(4.623, 3.052, 0.303, "Mg", "F"),
    "anatase": ("I 41/a m d:1", (3.785, 3.785, 9.514), [("Ti", 0, 0, 0), ("O", 0, 0, 0.2066)]),
    "zircon": ("I 41/a m d:1", (6.6164, 6.6164, 6.0150), [("Zr", 0, 0, 0), ("Si", 0, 0, 0.5), ("O", 0, 0.20, 0.34)]),
    "zincite": _wurtzite(3.2495, 5.2069, 0.345, "Zn", "O"),
    "aluminium_nitride": _wurtzite(3.111, 4.978, 0.385, "Al", "N"),
    "greenockite": _wurtzite(4.1348, 6.7490, 0.378, "Cd", "S"),
    "magnesium": _close_packed(3.20927, 5.21033, "Mg"),
    "zirconium": _close_packed(3.232, 5.147, "Zr"),
    "titanium": _close_packed(2.950, 4.686, "Ti"),
    "zinc": _close_packed(2.6648, 4.9467, "Zn"),
    "cobalt": _close_packed(2.507, 4.069, "Co"),
    "tungsten_carbide": ("P -6 m 2", (2.9065, 2.9065, 2.8366), [("W", 0, 0, 0), ("C", THIRD, TWO, 0.5)]),
    "graphite": ("P 63/m m c", (2.456, 2.456, 6.696), [("C", 0, 0, 0.25), ("C", THIRD, TWO, 0.25)]),
    "molybdenite": ("P 63/m m c", (3.1604, 3.1604, 12.295), [("Mo", THIRD, TWO, 0.25), ("S", THIRD, TWO, 0.629)]),
    "brucite": ("P -3 m 1", (3.147, 3.147, 4.769), [("Mg", 0, 0, 0), ("O", THIRD, TWO, 0.222)]),
    "corundum": _corundum(4.7591, 12.9894, 0.352, 0.306, "Al"),
    "haematite": _corundum(5.0340, 13.752, 0.355, 0.300, "Fe"),
    "eskolaite": _corundum(4.954, 13.584, 0.3475, 0.305, "Cr"),
    "karelianite": _corundum(4.952, 14.003, 0.3463, 0.312, "V"),
    "calcite": _calcite(4.9900, 17.002, 0.2593, "Ca"),
    "magnesite": _calcite(4.6328, 15.0129, 0.2778, "Mg"),
    "rhodochrosite": _calcite(4.7682, 15.6354, 0.2695, "Mn"),
    "aragonite": (
        "P m c n",
        (4.94, 7.94, 5.72),
        [("Ca", 0.25, 0.417, 0.75), ("C", 0.25, 0.75, 0.083), ("O", 0.25, 0.917, 0.083), ("O", 0.47, 0.667, 0.083)],
    ),
    "barite": (
        "P n m a",
        (8.878, 5.450, 7.152),
        [
            ("Ba", 0.184, 0.25, 0.158), ("S", 0.437, 0.25, 0.691), ("O", 0.587, 0.25, 0.607),
            ("O", 0.318, 0.25, 0.549), ("O", 0.419, 0.970, 0.812),
        ],
    ),
    "baddeleyite": (
        "P 1 21/c 1",
        (5.169, 5.232, 5.341, 90.0, 99.25, 90.0),
        [("Zr", 0.276, 0.041, 0.208), ("O", 0.069, 0.342, 0.345), ("O", 0.451, 0.758, 0.479)],
    ),
    "tenorite": (
        "C 1 2/c 1",
        (4.6837, 3.4226, 5.1288, 90.0, 99.54, 90.0),
        [("Cu", 0.25, 0.25, 0), ("O", 0, 0.4184, 0.25)],
    ),
    "quartz": ("P 32 2 1", (4.91304, 4.91304, 5.40463), [("Si", 0.465, 0, TWO), ("O", 0.415, 0.272, 0.7867)]),
    "fluorapatite": (
        "P 63/m",
        (9.3719, 9.3719, 6.8859),
        [
            ("Ca", THIRD, TWO, 0.001), ("Ca", 0.242, 0.993, 0.25), ("P", 0.398, 0.368, 0.25), ("F", 0, 0, 0.25),
            ("O", 0.326, 0.484, 0.25), ("O", 0.588, 0.467, 0.25), ("O", 0.342, 0.258, 0.071),
        ],
    ),
}  # fmt: skip
"""Name: space group (of which setting), edges (and angles where they are not those of the system), sites."""

SOURCES = {
    "ceria": "cell: NIST SRM 674b",
    "copper_chromite": "Fddd at 7 K; M. R. Suchomel et al., Phys. Rev. B 86 (2012) 054406, and its 11-BM data",
    "tenorite": "S. Asbrink, L.-J. Norrby, Acta Cryst. B26 (1970) 8",
    "fluorapatite": "K. Sudarsanan, P. E. Mackie, R. A. Young, Mater. Res. Bull. 7 (1972) 1331",
    "magnesite": "H. Effenberger, K. Mereiter, J. Zemann, Z. Krist. 156 (1981) 233",
    "rhodochrosite": "H. Effenberger, K. Mereiter, J. Zemann, Z. Krist. 156 (1981) 233",
    "karelianite": "R. E. Newnham, Y. M. de Haan, Z. Krist. 117 (1962) 235",
    "barium_titanate": "as in insitu.maths.diffraction.phases",
}
USUAL = "R. W. G. Wyckoff, Crystal Structures (1963 to 1971)"
HEXAGONAL = ("P 6", "P 3", "P -6", "P -3", "R -")


def cell_of(entry: Entry) -> tuple[float, ...]:
    """a, b, c in angstrom, alpha, beta, gamma in deg.

    >>> cell_of(LIBRARY["zinc"])
    (2.6648, 2.6648, 4.9467, 90.0, 90.0, 120.0)
    """
    group, edges, _ = entry
    if len(edges) == 6:
        return edges
    a, b, c = edges if len(edges) == 3 else edges * 3
    return a, b, c, 90.0, 90.0, 120.0 if group.startswith(HEXAGONAL) else 90.0


def cif(name: str, entry: Entry, source: str = "", digits: int = 6) -> str:
    """The text of a CIF file; the cell with so many digits."""
    group, _, sites = entry
    cell = zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"), cell_of(entry), strict=True
    )
    head = [
        f"data_{name}", f"# {source or SOURCES.get(name, USUAL)}",
        *(f"_cell_{key} {value:.{digits}g}" for key, value in cell),
        f"_space_group_name_H-M_alt '{group}'", "loop_", "_atom_site_label", "_atom_site_type_symbol",
        "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z",
    ]  # fmt: skip
    rows = [f"{e}{i} {e} {x:.8f} {y:.8f} {z:.8f}" for i, (e, x, y, z) in enumerate(sites, 1)]
    return "\n".join([*head, *rows, ""])
