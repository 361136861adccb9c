"""Frames of an HDF5 file while it is being written: what is there is given, what is not there yet is waited for.

The file is opened anew at every look, as a SWMR reader where its writer allows that: then nothing half-written is seen.
A frame counts as there when all its chunks are. A file that cannot be opened yet is waited for as well; when nothing
has come for `idle` seconds, or a file named `sentinel` is beside it, a last look tells what never came.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from insitu.errors import FormatError, SourceError
from insitu.readers.image_files import Image
from insitu.readers.image_stacks import stack, total

TICK = 0.1
"""Wait between two looks, s."""


def grow(
    path: Path, name: str, dataset: str, timezone: str, *, idle: float, sentinel: str = ""
) -> Iterator[Image | None]:
    """Frames in order as they come, None while there is none. Ends when all that the detector was set to take are
    there, when nothing has come for `idle` s, or when `sentinel` is there. Raises `FormatError`, `SourceError`."""
    if not path.parent.is_dir():
        raise SourceError("there is no such folder", where=str(path.parent), remedy="Make it before the run starts")
    given, changed = 0, time.monotonic()
    while True:
        ending = bool(sentinel and (path.parent / sentinel).exists()) or time.monotonic() - changed >= idle
        before, expected = given, None
        try:
            if path.exists():
                for image in stack(path, name, dataset=dataset, timezone=timezone, start=given, growing=not ending):
                    yield image
                    given = (image.number or 0) + 1
                    changed = time.monotonic()  # what the taker needed is not idleness of the source
                expected = total(path, name, dataset)
        except (FormatError, FileNotFoundError):
            if ending and path.exists():
                raise  # it is not being written any more
        if ending or (expected is not None and given >= expected):
            return
        if given == before:
            yield None
            time.sleep(TICK)
