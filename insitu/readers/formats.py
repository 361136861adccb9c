"""What kind of file this is: by its content first, by its name second."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from insitu.errors import FormatError
from insitu.readers import columns, gsas, ras, rasx, xrdml
from insitu.readers.header import read_time, zone
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern
from insitu.readers.series import header_time, read_whole, shown

Decoder = Callable[[bytes, How], Iterator[Pattern | BadScan | NoPattern]]
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
    ".brml": "Bruker BRML",
    ".raw": "a vendor's RAW",
    ".uxd": "Bruker UXD",
}
FORMATS = "GSAS FXYE, FXY, ESD, STD, PANalytical .xrdml, Rigaku .rasx, .ras, or columns (.xy, .xye, .chi, .dat, .csv)"
_START = re.compile(rb"<(?:[\w.-]+:)?startTimeStamp[^>]{0,200}>([^<]{1,60})")


def _gsas(data: bytes, how: How) -> Iterator[Pattern]:
    yield gsas.decode(data, how)


def _columns(data: bytes, how: How) -> Iterator[Pattern]:
    yield columns.decode(data, how)


def format_of(path: Path, data: bytes, *, picked: bool) -> Decoder | None:
    """What decodes a file; None where it is no pattern. `picked`: a person chose it, so columns are tried.

    >>> format_of(Path("notes.txt"), b"Sample 7 broke.", picked=False) is None
    True
    """
    suffix = path.suffix.lower()
    for form in (xrdml, rasx, ras):
        if suffix in form.SUFFIXES or form.looks_like(data):
            return form.decode
    if gsas.looks_like(data) or suffix in gsas.SUFFIXES:
        return _gsas
    if suffix in NOT_YET or suffix in KNOWN_OTHER:
        return None
    return _columns if suffix in columns.SUFFIXES or picked or columns.looks_like(data) else None


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


def start_time(path: Path, timezone: str) -> int | None:
    """When the first scan of a file began, ns since 1970 UTC; None where its header does not say."""
    suffix = path.suffix.lower()
    if suffix not in (*xrdml.SUFFIXES, *rasx.SUFFIXES, *ras.SUFFIXES):
        return header_time(path, timezone)
    found = read_whole(path)
    if suffix in xrdml.SUFFIXES:
        match = _START.search(found.data)
        read = read_time(match[1].decode("latin-1"), zone(timezone)) if match else None
        return read[0] if read else None
    decode = rasx.decode if suffix in rasx.SUFFIXES else ras.decode
    try:
        for part in decode(found.data, How(timezone=timezone)):
            if isinstance(part, Pattern):
                return part.time_ns
    except FormatError:
        return None  # reading it in its turn will say what is wrong
    return None
