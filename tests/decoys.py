"""Candidate phases to get lost among: published structures written as CIF files, and seeded ones with changed cells.

Cells and coordinates from R. W. G. Wyckoff, Crystal Structures (2nd ed., 1963 to 1971), rounded as there, unless the
entry says else. A decoy of a seed has the atoms of one of them in a cell whose edges are changed by 2 to 12 % each.
"""

from pathlib import Path

import numpy as np

Site = tuple[str, float, float, float]

PUBLISHED: dict[str, tuple[str, tuple[float, ...], list[Site]]] = {
    "halite": ("F m -3 m", (5.64056,), [("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5)]),
    "sylvite": ("F m -3 m", (6.29294,), [("K", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5)]),
    "periclase": ("F m -3 m", (4.2112,), [("Mg", 0, 0, 0), ("O", 0.5, 0.5, 0.5)]),
    "lime": ("F m -3 m", (4.8105,), [("Ca", 0, 0, 0), ("O", 0.5, 0.5, 0.5)]),
    "bunsenite": ("F m -3 m", (4.1684,), [("Ni", 0, 0, 0), ("O", 0.5, 0.5, 0.5)]),
    "fluorite": ("F m -3 m", (5.46295,), [("Ca", 0, 0, 0), ("F", 0.25, 0.25, 0.25)]),
    "thoria": ("F m -3 m", (5.5997,), [("Th", 0, 0, 0), ("O", 0.25, 0.25, 0.25)]),
    "copper": ("F m -3 m", (3.61496,), [("Cu", 0, 0, 0)]),
    "silver": ("F m -3 m", (4.0862,), [("Ag", 0, 0, 0)]),
    "iron": ("I m -3 m", (2.8665,), [("Fe", 0, 0, 0)]),
    "tungsten": ("I m -3 m", (3.1650,), [("W", 0, 0, 0)]),
    "chromium": ("I m -3 m", (2.8839,), [("Cr", 0, 0, 0)]),
    "germanium": ("F d -3 m:1", (5.65735,), [("Ge", 0, 0, 0)]),
    "sphalerite": ("F -4 3 m", (5.4093,), [("Zn", 0, 0, 0), ("S", 0.25, 0.25, 0.25)]),
    "caesium_chloride": ("P m -3 m", (4.123,), [("Cs", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5)]),
    "cuprite": ("P n -3 m:1", (4.2696,), [("O", 0, 0, 0), ("Cu", 0.25, 0.25, 0.25)]),
    "strontium_titanate": ("P m -3 m", (3.9051,), [("Sr", 0, 0, 0), ("Ti", 0.5, 0.5, 0.5), ("O", 0.5, 0.5, 0)]),
    "pyrite": ("P a -3", (5.40667,), [("Fe", 0, 0, 0), ("S", 0.386, 0.386, 0.386)]),
    "magnetite": ("F d -3 m:1", (8.3940,), [("Fe", 0, 0, 0), ("Fe", 0.625, 0.625, 0.625), ("O", 0.379, 0.379, 0.379)]),
    "spinel": ("F d -3 m:1", (8.080,), [("Mg", 0, 0, 0), ("Al", 0.625, 0.625, 0.625), ("O", 0.387, 0.387, 0.387)]),
    "rutile": ("P 42/m n m", (4.59373, 4.59373, 2.95812), [("Ti", 0, 0, 0), ("O", 0.3053, 0.3053, 0)]),
    "cassiterite": ("P 42/m n m", (4.73727, 4.73727, 3.18638), [("Sn", 0, 0, 0), ("O", 0.307, 0.307, 0)]),
    "anatase": ("I 41/a m d:1", (3.785, 3.785, 9.514), [("Ti", 0, 0, 0), ("O", 0, 0, 0.2066)]),
    "zircon": ("I 41/a m d:1", (6.6164, 6.6164, 6.0150), [("Zr", 0, 0, 0), ("Si", 0, 0, 0.5), ("O", 0, 0.20, 0.34)]),
    "zincite": ("P 63 m c", (3.2495, 3.2495, 5.2069), [("Zn", 1 / 3, 2 / 3, 0), ("O", 1 / 3, 2 / 3, 0.345)]),
    "magnesium": ("P 63/m m c", (3.20927, 3.20927, 5.21033), [("Mg", 1 / 3, 2 / 3, 0.25)]),
    "zirconium": ("P 63/m m c", (3.232, 3.232, 5.147), [("Zr", 1 / 3, 2 / 3, 0.25)]),
    "corundum": ("R -3 c:H", (4.7591, 4.7591, 12.9894), [("Al", 0, 0, 0.352), ("O", 0.306, 0, 0.25)]),
    "haematite": ("R -3 c:H", (5.0340, 5.0340, 13.752), [("Fe", 0, 0, 0.355), ("O", 0.300, 0, 0.25)]),
    "eskolaite": ("R -3 c:H", (4.954, 4.954, 13.584), [("Cr", 0, 0, 0.3475), ("O", 0.305, 0, 0.25)]),
    "calcite": ("R -3 c:H", (4.9900, 4.9900, 17.002), [("Ca", 0, 0, 0), ("C", 0, 0, 0.25), ("O", 0.2593, 0, 0.25)]),
    "aragonite": (
        "P m c n",
        (4.94, 7.94, 5.72),
        [("Ca", 0.25, 0.417, 0.75), ("C", 0.25, 0.75, 0.083), ("O", 0.25, 0.917, 0.083), ("O", 0.47, 0.667, 0.083)],
    ),
    "barite": (
        "P n m a",
        (8.878, 5.450, 7.152),
        [
            ("Ba", 0.184, 0.25, 0.158),
            ("S", 0.437, 0.25, 0.691),
            ("O", 0.587, 0.25, 0.607),
            ("O", 0.318, 0.25, 0.549),
            ("O", 0.419, 0.970, 0.812),
        ],
    ),
    "baddeleyite": (
        "P 1 21/c 1",
        (5.169, 5.232, 5.341, 90.0, 99.25, 90.0),
        [("Zr", 0.276, 0.041, 0.208), ("O", 0.069, 0.342, 0.345), ("O", 0.451, 0.758, 0.479)],
    ),
    "lanthanum_hexaboride": ("P m -3 m", (4.1566,), [("La", 0, 0, 0), ("B", 0.1993, 0.5, 0.5)]),
    "quartz": ("P 32 2 1", (4.91304, 4.91304, 5.40463), [("Si", 0.465, 0, 2 / 3), ("O", 0.415, 0.272, 0.7867)]),
}

CERIA = ("F m -3 m", (5.411651,), [("Ce", 0, 0, 0), ("O", 0.25, 0.25, 0.25)])
"""Cell: NIST SRM 674b."""

FLUORAPATITE = (
    "P 63/m",
    (9.371891, 9.371891, 6.885914),
    [
        ("Ca", 1 / 3, 2 / 3, 0.001), ("Ca", 0.242, 0.993, 0.25), ("P", 0.398, 0.368, 0.25), ("F", 0, 0, 0.25),
        ("O", 0.326, 0.484, 0.25), ("O", 0.588, 0.467, 0.25), ("O", 0.342, 0.258, 0.071),
    ],
)  # fmt: skip
"""Cell: the GSAS tutorial LabData; coordinates: K. Sudarsanan, P. E. Mackie, R. A. Young, Mater. Res. Bull. 7 (1972)
1331, rounded."""


def cell_of(edges: tuple[float, ...], group: str) -> tuple[float, ...]:
    """a, b, c, alpha, beta, gamma."""
    if len(edges) == 6:
        return edges
    a, b, c = edges if len(edges) == 3 else edges * 3
    return (a, b, c, 90.0, 90.0, 120.0 if group[:3] in ("P 6", "P 3", "R -") else 90.0)


def cif(name: str, group: str, edges: tuple[float, ...], sites: list[Site]) -> str:
    """The text of a CIF file."""
    a, b, c, alpha, beta, gamma = cell_of(edges, group)
    head = [
        f"data_{name}", f"_cell_length_a {a}", f"_cell_length_b {b}", f"_cell_length_c {c}",
        f"_cell_angle_alpha {alpha}", f"_cell_angle_beta {beta}", f"_cell_angle_gamma {gamma}",
        f"_space_group_name_H-M_alt '{group}'", "loop_", "_atom_site_label", "_atom_site_type_symbol",
        "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z",
    ]  # fmt: skip
    rows = [f"{e}{i} {e} {x:.8f} {y:.8f} {z:.8f}" for i, (e, x, y, z) in enumerate(sites, 1)]
    return "\n".join([*head, *rows, ""])


def write(folder: Path, seeded: int = 20, seed: int = 4, published: bool = True) -> list[Path]:
    """Write the published structures, and `seeded` more with changed cells, as CIF files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: cif(name, *entry) for name, entry in PUBLISHED.items()} if published else {}
    rng = np.random.default_rng(seed)
    names = sorted(PUBLISHED)
    for i in range(seeded):
        group, edges, sites = PUBLISHED[names[int(rng.integers(len(names)))]]
        a, b, c, alpha, beta, gamma = cell_of(edges, group)
        change = 1.0 + rng.choice([-1.0, 1.0], 3) * rng.uniform(0.02, 0.12, 3)
        if a == b:
            change[1] = change[0]
        if a == b == c:
            change[2] = change[0]
        changed = (round(a * change[0], 4), round(b * change[1], 4), round(c * change[2], 4), alpha, beta, gamma)
        texts[f"decoy_{i}"] = cif(f"decoy_{i}", group, changed, sites)
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.cif")
        paths[-1].write_text(text)
    return paths
