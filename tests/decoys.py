"""Candidate phases to get lost among: structures of the library as CIF files, and seeded ones with changed cells.

A decoy of a seed has the atoms of one of `NAMES` in a cell whose edges are changed by 2 to 12 % each.
"""

from pathlib import Path

import numpy as np

from insitu.maths.diffraction import library
from insitu.maths.diffraction.library import LIBRARY, Site

NAMES = (
    "halite", "sylvite", "periclase", "lime", "bunsenite", "fluorite", "thoria", "copper", "silver", "iron", "tungsten",
    "chromium", "germanium", "sphalerite", "caesium_chloride", "cuprite", "strontium_titanate", "pyrite", "magnetite",
    "spinel", "rutile", "cassiterite", "anatase", "zircon", "zincite", "magnesium", "zirconium", "corundum",
    "haematite", "eskolaite", "calcite", "aragonite", "barite", "baddeleyite", "lanthanum_hexaboride", "quartz",
)  # fmt: skip
PUBLISHED = {name: LIBRARY[name] for name in NAMES}
CERIA = LIBRARY["ceria"]
FLUORAPATITE = ("P 63/m", (9.371891, 9.371891, 6.885914), LIBRARY["fluorapatite"][2])
"""Cell: the GSAS tutorial LabData, with all its digits."""


def cif(name: str, group: str, edges: tuple[float, ...], sites: list[Site]) -> str:
    """The text of a CIF file."""
    return library.cif(name, (group, edges, sites), digits=15)


def write(folder: Path, seeded: int = 20, seed: int = 4, published: bool = True) -> list[Path]:
    """Write the published structures, and `seeded` more with changed cells, as CIF files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: cif(name, *entry) for name, entry in PUBLISHED.items()} if published else {}
    rng = np.random.default_rng(seed)
    names = sorted(PUBLISHED)
    for i in range(seeded):
        group, _, sites = entry = PUBLISHED[names[int(rng.integers(len(names)))]]
        a, b, c, alpha, beta, gamma = library.cell_of(entry)
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
