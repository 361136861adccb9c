"""Which decoder reads a file of waveforms: its first bytes say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from insitu.errors import FormatError
from insitu.readers import waveform_csv, waveform_hdf5, waveform_npy, waveform_npz, waveform_tdms, waveform_wav
from insitu.readers.formats import KNOWN_OTHER
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_csv_head import NO_ROWS
from insitu.readers.waveform_csv_head import SUFFIXES as TEXT
from insitu.readers.waveform_track import How, Recording

FORMATS = "WAV, TDMS, HDF5, .npy, .npz, or rows of numbers as text (.csv, .txt, ...)"
SUFFIXES = frozenset((".wav", ".tdms", ".npy", ".npz", ".h5", ".hdf5", ".hdf", ".nxs", ".mat")) | TEXT
OTHER = (KNOWN_OTHER | {".tdms_index"}) - SUFFIXES
"""Files that lie beside waveforms and are none."""

_MAGIC = (
    (waveform_tdms.MAGIC, waveform_tdms.opened),
    (waveform_hdf5.MAGIC, waveform_hdf5.opened),
    (waveform_npy.MAGIC, waveform_npy.opened),
    (waveform_npz.MAGIC, waveform_npz.opened),
)


def opener(path: Path, name: str) -> Callable[[Path, How], AbstractContextManager[Recording]]:
    """What opens a file. Raises `FormatError` for one that is no waveform."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if waveform_wav.looks_like(head):
        return waveform_wav.opened
    for magic, form in _MAGIC:
        if head.startswith(magic):
            return form
    if any(head[at:].startswith(waveform_hdf5.MAGIC) for at in (512, 1024, 2048)):
        return waveform_hdf5.opened  # behind a block of the user: MATLAB writes its .mat of version 7.3 so
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        raise FormatError(
            "this is a MATLAB file of an older version",
            where=name,
            expected=FORMATS,
            remedy="Save it in MATLAB with save(..., '-v7.3'), which is HDF5",
        )
    suffix = path.suffix.lower()
    if not head.strip(b"\0"):
        raise Truncated("the file is empty", where=name, remedy="Record again, or remove the file")
    if b"\0" in head and suffix not in TEXT:
        if suffix in SUFFIXES:
            raise FormatError(
                f"its content is not that of a {suffix} file",
                where=name,
                expected=FORMATS,
                remedy="Copy the file again, or correct its name",
            )
        raise no_waveform(name)
    if suffix in SUFFIXES - TEXT:
        raise FormatError(
            f"its content is not that of a {suffix} file",
            where=name,
            expected=FORMATS,
            remedy="Copy the file again, or correct its name",
        )
    return waveform_csv.opened


def no_waveform(name: str) -> FormatError:
    """The error of a file that is something else."""
    return FormatError(
        "this is no waveform that can be read",
        where=name,
        expected=FORMATS,
        remedy='Say which files count, for example --set detector.reader.pattern="*.wav"',
    )


def is_other(path: Path, error: FormatError) -> bool:
    """Whether an error says that a file of a folder is something else, and its name promises nothing."""
    table = error.what == NO_ROWS and path.suffix.lower() not in (".csv", ".tsv", ".lvm")
    return table or error.what == no_waveform("").what
