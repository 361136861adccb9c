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


def no_pattern(path: Path) -> FormatError:
    """The error that says why a file is not read, and what to do."""
    kind = NOT_YET.get(path.suffix.lower())
    return FormatError(
        f"{kind} is not read yet" if kind else "this is no 1-D pattern that can be read",
        where=shown(path),
        expected=FORMATS,
        remedy="Export it as .xy or .xye" if kind else "If it should count, pick it with the key pattern",
    )
