"""Images in HDF5 files: NeXus stacks, Eiger masters with their data files, Lambda, areaDetector, virtual datasets.

Frames are read one by one (or chunk by chunk, where a chunk holds several), so memory does not grow with the stack.
What was never written is no frame of zeros: chunks that are not there, linked files that are missing and frames that a
virtual dataset cannot find are told, with the numbers they would have had. The largest number of an unsigned type of
32 or 64 bits is a mark, no count, as it is with 8 and 16 bits where the detector is known to use it so (Eiger,
Lambda).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import FormatError, InsituError, MissingExtraError
from insitu.readers.header import Header
from insitu.readers.image_chunks import check_chunk, chunked
from insitu.readers.image_files import Image
from insitu.readers.image_find import Part, find_parts
from insitu.readers.image_layout import MOST_FRAMES, checked_shape
from insitu.readers.image_nexus import About, about, at_frame
from insitu.readers.pattern import Truncated

SUFFIXES = frozenset((".h5", ".hdf5", ".nxs", ".hdf", ".cxi", ".nx5", ".he5"))
_PART = re.compile(r"(.+)_data_\d+(\.h5)", re.IGNORECASE)
_BROKEN = "Copy the file again, or measure it again"


def imported() -> Any:
    """h5py, with the codecs of hdf5plugin registered."""
    try:
        import h5py
        import hdf5plugin  # noqa: F401 - importing it registers the codecs
    except ImportError as missing:
        raise MissingExtraError(missing.name or "h5py", "xrd", purpose="reading HDF5 images") from missing
    return h5py


@contextlib.contextmanager
def opened(path: Path, name: str) -> Iterator[Any]:
    """An HDF5 file for reading; also one that is being written (SWMR where its writer allows it)."""
    h5py = imported()
    if path.stat().st_size == 0:
        raise Truncated("the file is empty", where=name, remedy="Measure again, or remove the file")
    file = None
    for swmr in (True, False):
        try:
            file = h5py.File(path, "r", swmr=swmr, libver="latest" if swmr else None, locking=False)
            break
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            if not swmr:
                kind = Truncated if "truncated" in str(error) or "EOF" in str(error) else FormatError
                raise kind(f"HDF5 cannot open it ({error})"[:300], where=name, remedy=_BROKEN) from error
    assert file is not None
    try:
        yield file
    finally:
        file.close()


@contextlib.contextmanager
def _guarded(where: str) -> Iterator[None]:
    try:
        yield
    except InsituError:
        raise
    except MemoryError as error:
        raise FormatError("the file declares more than there is memory", where=where, remedy=_BROKEN) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, IndexError, UnicodeError) as error:
        raise FormatError(f"HDF5 cannot read it ({error})"[:300], where=where, remedy=_BROKEN) from error


def linked_files(path: Path) -> set[Path]:
    """Files that an HDF5 file takes its frames from; empty where it cannot be read."""
    try:
        with opened(path, path.name) as file, _guarded(path.name):
            parts = find_parts(file, "", path.name)
            names = {part.linked for part in parts if part.linked}
            for part in parts:
                item = None if part.linked else file.get(part.path)
                if item is not None and item.is_virtual:
                    names |= {source.file_name for source in item.virtual_sources()}
    except (FormatError, OSError):
        return set()
    return {(path.parent / name).resolve() for name in names - {".", ""}}


def is_part(path: Path) -> bool:
    """Whether a file is a data file of an Eiger master beside it."""
    match = _PART.fullmatch(path.name)
    return match is not None and (path.parent / f"{match[1]}_master{match[2]}").exists()


def without_parts(files: list[Path]) -> list[Path]:
    """The files without those that others of them take their frames from."""
    files = [path for path in files if not is_part(path)]
    stacks = [path for path in files if path.suffix.lower() in SUFFIXES]
    if len(stacks) < 2:
        return files
    parts = set[Path]().union(*(linked_files(path) for path in stacks))
    return [path for path in files if path.resolve() not in parts]


def stack(
    path: Path, name: str, *, dataset: str = "", timezone: str = "UTC", start: int = 0, growing: bool = False
) -> Iterator[Image]:
    """The frames of an HDF5 file from number `start` on; `Image.number` counts from 0 and skips what is lost.

    What is lost is one `Image` without pixels whose `invalid` says why, numbered as the last of what is lost.
    `growing`: stop before the first frame that is not there yet, instead. Raises `FormatError`.
    """
    with opened(path, name) as file:
        with _guarded(name):
            parts = find_parts(file, dataset, name)
        known: About | None = None
        first = 0
        for index, part in enumerate(parts):
            with _guarded(name):
                item, missing = _resolved(file, path, part)
                known = known or about(file, parts[0], 1, timezone)
                if item is None:
                    if growing:
                        return
                    last = _end_of_missing(file, path, parts, index, first, known) - 1
                    if last >= start:
                        yield _lost(f"{missing}: frames {first} to {last} are lost", last)
                    first = last + 1
                    continue
                number = _first_number(item, first)
                count = _frames(item, f"{name}:/{part.path}")
                if len(parts) == 1:
                    known = about(file, part, count, timezone)
            for image in _of_dataset(item, known, number, max(start, number), f"{name}:/{part.path}", growing):
                if image is None:
                    return
                yield image
            first = number + count
        expected = known.expected if known is not None else None
        if expected is not None and first < expected and not growing and len(parts) > 1:
            yield _lost(f"{name}: the detector was set to {expected} frames, {first} are in its files", expected - 1)


def check_structure(path: Path, name: str, dataset: str) -> None:
    """Raise `Truncated` where frames are not there yet (a writer has the file open, a linked file or the last frame is
    missing, fewer frames than the detector was set to take), `FormatError` where there cannot be any."""
    h5py = imported()
    if h5py.is_hdf5(path):
        try:
            h5py.File(path, "r", locking=False).close()  # not as a SWMR reader: a file that is being written says so
        except OSError as error:
            raise Truncated(f"it is being written ({error})"[:200], where=name) from error
    with opened(path, name) as file, _guarded(name):
        parts, first = find_parts(file, dataset, name), 0
        for part in parts:
            item, missing = _resolved(file, path, part)
            if item is None:
                raise Truncated(missing, where=name, remedy="Copy it beside the file")
            first = _first_number(item, first) + _frames(item, name)
            last = tuple(edge - 1 for edge in item.shape[:-2])
            if 0 in item.shape or not check_chunk(item, last, name):
                raise Truncated("the last frame is not written yet", where=name)
        expected = about(file, parts[0], 1, "UTC").expected
        if expected is not None and first < expected:
            raise Truncated(f"{first} of {expected} frames are there", where=name)


def total(path: Path, name: str, dataset: str = "") -> int | None:
    """How many frames the detector was set to take, where the file says so (for one that grows)."""
    with opened(path, name) as file, _guarded(name):
        return about(file, find_parts(file, dataset, name)[0], 1, "UTC").expected


def _lost(why: str, number: int) -> Image:
    return Image(np.empty((0, 0)), Header(), number, None, why)


def _resolved(file: Any, path: Path, part: Part) -> tuple[Any, str]:
    """The dataset of a part, or None and what is missing."""
    target = path.parent / part.linked if part.linked else None
    if target is not None and not target.is_file():
        return None, f"the file {part.linked} that {path.name} links to is missing"
    try:
        item = file.get(part.path)
    except (KeyError, RuntimeError, OSError) as error:
        return None, f"{part.linked or part.path} cannot be read ({error})"[:300]
    if item is None:
        return None, f"{part.linked or path.name} has no /{part.path}"
    if item.is_virtual:
        for source in item.virtual_sources():
            if source.file_name != "." and not (path.parent / source.file_name).is_file():
                return None, f"the file {source.file_name} that {path.name} takes frames from is missing"
    return item, ""


def _end_of_missing(file: Any, path: Path, parts: list[Part], index: int, first: int, known: About) -> int:
    """The number behind the last frame of a part that is missing: where the next begins, else what was expected."""
    begins, sizes = [], []
    for part in parts[index + 1 :]:
        item, _ = _resolved(file, path, part)
        if item is not None and "image_nr_low" in item.attrs:
            begins.append(_first_number(item, 0))
            break
    for part in parts[:index]:
        item, _ = _resolved(file, path, part)
        if item is not None:
            sizes.append(item.shape[0])
    if begins and begins[0] > first:
        return begins[0]
    if index == len(parts) - 1 and known.expected is not None and known.expected > first:
        return known.expected
    return first + (max(sizes) if sizes else 1)


def _first_number(item: Any, otherwise: int) -> int:
    """The number (from 0) of a dataset's first frame, by Eiger's attribute (from 1) where it is no step back."""
    low = item.attrs.get("image_nr_low")
    number = int(low) - 1 if isinstance(low, (int, np.integer)) else otherwise
    return number if otherwise <= number <= MOST_FRAMES else otherwise


def _frames(item: Any, where: str) -> int:
    """How many frames a dataset has, after its sizes were checked."""
    shape = item.shape
    if shape is None or len(shape) < 2 or item.dtype.kind not in "iuf":
        raise FormatError(f"{shape} of {item.dtype} is no stack of images", where=where, expected="numbers (n, y, x)")
    checked_shape(shape[-2], shape[-1], item.dtype.itemsize, where)
    count = int(np.prod(shape[:-2], dtype=object))
    if count > MOST_FRAMES:
        raise FormatError(f"the file declares {count} frames", where=where, expected=f"at most {MOST_FRAMES}")
    return count


def _of_dataset(item: Any, known: About, first: int, start: int, where: str, growing: bool) -> Iterator[Image | None]:
    """Frames of one dataset; None: the next is not there yet (only where it grows)."""
    leading = item.shape[:-2]
    count = int(np.prod(leading, dtype=np.int64))
    with _guarded(where):
        reader = chunked(item, where)
    unwritten = -1
    for k in range(max(0, start - first), count):
        place = tuple(int(i) for i in np.unravel_index(k, leading)) if leading else ()
        frame = f"{where}[{', '.join(map(str, place))}]"
        try:
            with _guarded(frame):
                if not check_chunk(item, place, frame):
                    if growing:
                        yield None
                        return
                    unwritten = k
                    continue
                data = reader(place)
        except FormatError as error:
            if growing:
                yield None
                return
            data, problem = None, str(error)
        else:
            problem = ""
        if unwritten >= 0:
            yield _lost(f"{where}: the frames up to {unwritten} were never written", first + unwritten)
            unwritten = -1
        if data is None:
            yield _lost(problem, first + k)
            continue
        yield Image(data, at_frame(known, first + k), first + k, _masked(data, known))
    if unwritten >= 0:
        yield _lost(f"{where}: the frames up to {unwritten} were never written", first + unwritten)


def _masked(data: np.ndarray, known: About) -> np.ndarray | None:
    """Pixels to ignore: those the file masks, and those marked by the largest number of their type."""
    mask = known.mask if known.mask is not None and known.mask.shape == data.shape else None
    if data.dtype.kind == "u" and (data.dtype.itemsize >= 4 or known.marked):
        marked = data == np.iinfo(data.dtype).max
        if marked.any():
            mask = marked if mask is None else marked | mask
    return mask
