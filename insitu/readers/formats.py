"""What kind of file this is: by its content first, by its name second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from insitu.errors import FormatError
from insitu.readers import columns, gsas
from insitu.readers.pattern import How, Pattern
from insitu.readers.series import shown

Decoder = Callable[[bytes, How], Pattern]
_OTHER = """
prm instprm exp lst gpx pcr inp out cif d pdf png jpg jpeg tif tiff edf cbf poni npy npz h5 hdf5 nxs mda calib json toml
yaml yml md rst log ini py ipynb sh doc docx xls xlsx html xml zip gz tmp part swp lock
"""
KNOWN_OTHER = frozenset(f".{name}" for name in _OTHER.split())
"""Names of files that lie beside patterns and are none: passed over without a word."""
_KINDS = {
    "GSAS instrument parameters": "prm instprm",
    "a crystal structure": "cif",
    "a list of d-spacings": "d",
    "a refinement": "exp lst gpx pcr",
    "an image or a calibration of one": "tif tiff edf cbf mar3450 png jpg jpeg poni npy npz h5 hdf5 nxs",
}
_KIND_OF = {f".{name}": kind for kind, names in _KINDS.items() for name in names.split()}
NOT_YET = {
    ".xrdml": "PANalytical XRDML",
    ".rasx": "Rigaku RASX",
    ".ras": "Rigaku RAS",
    ".brml": "Bruker BRML",
    ".raw": "a vendor's RAW",
    ".uxd": "Bruker UXD",
}
FORMATS = "GSAS FXYE, FXY, ESD, STD, or columns (.xy, .xye, .chi, .dat, .csv, .txt)"


def format_of(path: Path, data: bytes, *, picked: bool) -> Decoder | None:
    """What decodes a file; None where it is no pattern. `picked`: a person chose it, so columns are tried.

    >>> format_of(Path("notes.txt"), b"Sample 7 broke.", picked=False) is None
    True
    """
    suffix = path.suffix.lower()
    if gsas.looks_like(data) or suffix in gsas.SUFFIXES:
        return gsas.decode
    if suffix in NOT_YET or suffix in KNOWN_OTHER:
        return None
    return columns.decode if suffix in columns.SUFFIXES or picked or columns.looks_like(data) else None


def no_pattern(path: Path, name: str = "") -> FormatError:
    """The error that says why a file is not read, and what to do. `name`: of the file, for people."""
    suffix = path.suffix.lower()
    what = "this is no 1-D pattern that can be read"
    remedy = f'If it should count: --set "detector.reader.pattern={f"*{path.suffix}" if suffix else path.name}"'
    if suffix in NOT_YET:
        what, remedy = f"{NOT_YET[suffix]} is not read yet", "Export it as .xy or .xye"
    elif suffix in _KIND_OF:
        kind = _KIND_OF[suffix]
        what = f"this is {kind} by its name, and no 1-D pattern"
        remedy = "Integrate images first, for example with pyFAI" if "image" in kind else "Give the pattern itself"
    elif suffix in KNOWN_OTHER:
        remedy = f"If it is one all the same, give it a name that ends in .xy instead of {suffix}"
    return FormatError(what, where=name or shown(path), expected=FORMATS, remedy=remedy)
