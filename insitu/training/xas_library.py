"""The reference spectra that the XANES network learns from, and the valence of the element in each compound.

Spectra: the IXAS X-ray Absorption Data Library (CC0), folder `xafs/xaslib` of the measurements. The valences are those
of the formulas with the usual ones of the partners (O -2, S -2, F -1, K, Na +1, OH -1, ...), typed here; mixed valences
are means over the formula. Covellite is Cu(I) with S2 pairs: G. van der Laan et al., J. Phys. Chem. Solids 53 (1992)
1185. Left out are interstitial compounds, whose formula gives no valence (Fe3C), and one file that holds what its name
does not say: `FeN_rt_01` has the spectrum of the metal. Spectra are taken at the energies that the files give: their
reference channels behind the sample are no foils of the element for most of them.
"""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from insitu.errors import SourceError
from insitu.prepare.absorption import Absorption
from insitu.readers.spectra import Spectra
from insitu.types import Arrival, Frame

ELEMENTS = ("Mn", "Fe", "Cr", "V", "Cu")
COMPOUNDS: dict[str, tuple[str, str, float]] = {
    "cr2o3": ("Cr2O3", "Cr", 3.0), "cr2s3": ("Cr2S3", "Cr", 3.0), "cro2": ("CrO2", "Cr", 4.0),
    "k2cr2o7": ("K2Cr2O7", "Cr", 6.0), "k2cro4": ("K2CrO4", "Cr", 6.0), "na2cro4": ("Na2CrO4", "Cr", 6.0),
    "cu2s": ("Cu2S", "Cu", 1.0), "cuo": ("CuO", "Cu", 2.0), "cus": ("CuS", "Cu", 1.0),
    "cu_azurite": ("Cu3(CO3)2(OH)2", "Cu", 2.0), "cu_foil": ("Cu", "Cu", 0.0), "cu_metal": ("Cu", "Cu", 0.0),
    "fe_foil": ("Fe", "Fe", 0.0), "fe_metal": ("Fe", "Fe", 0.0), "hansel2001_fe_foil": ("Fe", "Fe", 0.0),
    "feo": ("FeO", "Fe", 2.0), "fes2": ("FeS2", "Fe", 2.0), "fe2o3": ("Fe2O3", "Fe", 3.0),
    "fe3o4": ("Fe3O4", "Fe", 8 / 3), "hansel2001_magnetite": ("Fe3O4", "Fe", 8 / 3),
    "hansel2001_2lineferrihydrite": ("ferrihydrite, Fe(III)", "Fe", 3.0),
    "hansel2001_goethite": ("FeOOH", "Fe", 3.0), "hansel2001_greenrust_cl": ("Fe4(OH)8Cl", "Fe", 9 / 4),
    "hansel2001_greenrust_so4": ("Fe6(OH)12SO4", "Fe", 14 / 6), "hansel2001_siderite": ("FeCO3", "Fe", 2.0),
    "hansel2001_vivianite": ("Fe3(PO4)2", "Fe", 2.0),
    "mno": ("MnO", "Mn", 2.0), "mn3o4": ("Mn3O4", "Mn", 8 / 3), "mn2o3": ("Mn2O3", "Mn", 3.0),
    "mno2": ("MnO2", "Mn", 4.0),
    "v_foil": ("V", "V", 0.0), "vo": ("VO", "V", 2.0), "v2o3": ("V2O3", "V", 3.0), "vo2": ("VO2", "V", 4.0),
    "v2o5": ("V2O5", "V", 5.0),
}  # fmt: skip
"""What a file's name begins with: formula, element, its valence."""


class Known(NamedTuple):
    """One spectrum mu(E), the compound that it is of, and the valence there."""

    frame: Frame
    file: Path
    compound: str
    element: str
    valence: float


def compound_of(file: Path) -> tuple[str, str, float] | None:
    """Formula, element and valence of a file of the library; None for those that are left out.

    >>> compound_of(Path("Fe/Hansel2001_Fe_foil_xanes_001.xdi"))
    ('Fe', 'Fe', 0.0)
    """
    name = file.name.lower()
    found = [key for key in COMPOUNDS if name.startswith((f"{key}_", f"{key}."))]
    return COMPOUNDS[max(found, key=len)] if found else None


def spectra(path: Path) -> Iterator[Frame]:
    """All spectra mu(E) of a file or a folder."""
    prepare = Absorption()
    for i, arrival in enumerate(a for a in Spectra(str(path))() if isinstance(a, Arrival)):
        fields = {f.name: getattr(arrival, f.name) for f in dataclasses.fields(arrival)}
        yield prepare(Frame(seq=i, n=i, **fields), {})


def library(data: Path) -> list[Known]:
    """All spectra with a known valence under the measurements' folder, in order of elements and files."""
    folder = data / "xafs" / "xaslib"
    files = [f for f in sorted(folder.glob("*/*")) if compound_of(f) is not None]
    if not files:
        raise SourceError("the library is not there", where=str(folder), remedy="INSITU_DATA names the measurements")
    logging.getLogger("insitu.readers.spectra").setLevel(logging.ERROR)
    out = []
    for file in files:
        compound, element, valence = compound_of(file) or ("", "", 0.0)
        out += [Known(frame, file, compound, element, valence) for frame in spectra(file)]
    return out
