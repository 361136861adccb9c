"""Waveforms in HDF5 files: the dataset that `dataset` names, or the largest one with what lies beside it.

A table is `(sample, channel)` or `(channel, sample)`; datasets of one dimension in one group are channels by their
names; records have a channel in each field. Attributes of the dataset, its groups or the file, and single numbers
beside it, tell rate (`fs`, `sample_rate`, `dt`, `wf_increment`, ...), units, names and start; a dataset called `time`
or `t` tells the rate where they do not. Samples that were never written are not zeros: they are missing.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import FormatError
from insitu.readers.header import SECOND
from insitu.readers.image_chunks import chunk_is_whole
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_hdf5_about import own_rate, rate_of, start_of, text_of, texts, titles_of
from insitu.readers.waveform_npy import TIMES
from insitu.readers.waveform_rows import orientation, size_of
from insitu.readers.waveform_time import rate_of_blocks
from insitu.readers.waveform_track import (
    BLOCK,
    DAMAGED,
    LARGEST,
    MOST_CHANNELS,
    How,
    Recording,
    Track,
    checked_dtype,
    guarded,
    imported,
    per_block,
    unit_of,
)

MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_OBJECTS = 100_000


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Recording]:
    """The recording in an HDF5 file."""
    h5py = imported("h5py", "h5py", "reading HDF5 files")
    if importlib.util.find_spec("hdf5plugin"):
        importlib.import_module("hdf5plugin")  # its codecs, where they are installed
    size_of(path, how.name)
    with contextlib.ExitStack() as stack:
        with guarded(how.name):
            try:
                file = stack.enter_context(h5py.File(path, "r", locking=False))
            except OSError as error:
                kind = Truncated if "truncated" in str(error) or "EOF" in str(error) else FormatError
                raise kind(f"HDF5 cannot open it ({error})"[:300], where=how.name, remedy=DAMAGED) from error
            recording = _recording(file, how, h5py)
        yield recording


def _recording(file: Any, how: How, h5py: Any) -> Recording:
    chosen, time = _chosen(file, how, h5py)
    tracks: list[Track] = []
    problems: list[FormatError] = []
    shared = None
    if time is not None and how.sample_rate is None and not all(rate_of(item, file, h5py) for item in chosen):
        seconds = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}.get(unit_of(text_of(time.attrs.get("units", ""))), 1.0)
        blocks = (b[0] * seconds for b in _blocks(time, time.size, _kind(time), how.name))
        shared = rate_of_blocks(blocks, f"{how.name}, {time.name}")
    for item in chosen:
        track, problem = _track(item, how, file, rate_of(item, file, h5py) or shared, h5py)
        tracks.append(track)
        problems += [problem] if problem else []
    if sum(len(t.titles) for t in tracks) > MOST_CHANNELS:
        raise FormatError("there are too many channels", where=how.name, expected=f"at most {MOST_CHANNELS}")
    start = start_of(chosen[0], file, how.timezone)
    known = any(t.rate for t in tracks)
    return Recording(
        tracks=tuple(tracks),
        start_ns=start,
        clock_sigma_ns=SECOND if start is not None else 0,
        rate_from=("time" if shared else "header") if known else "",
        nameless=len(tracks) == 1 and tracks[0].titles[0] == "c1",
        problem=problems[0] if problems else None,
    )


def _chosen(file: Any, how: How, h5py: Any) -> tuple[list[Any], Any]:
    """The datasets that are read, and the one with their times."""
    root = file.get(how.dataset) if how.dataset else file
    if root is None:
        raise FormatError(
            f"there is no dataset {how.dataset!r}", where=how.name, expected="the path of a dataset or a group",
            remedy=f"There are: {', '.join(d.name for d in _datasets(file, h5py))[:200]}",
        )  # fmt: skip
    if isinstance(root, h5py.Dataset):
        return [root], _time_beside(root, h5py)
    found = _datasets(root, h5py)
    if not found:
        raise Truncated(
            "there is no dataset with samples", where=how.name, expected="numbers in one or two dimensions",
            remedy="Check that this is a recording, and that it was written to its end",
        )  # fmt: skip
    largest = max(found, key=lambda d: d.size)
    time = _time_beside(largest, h5py)
    if largest.name == getattr(time, "name", None):
        largest = max((d for d in found if d.name != largest.name), key=lambda d: d.size, default=largest)
        time = _time_beside(largest, h5py)
    same = [d for d in found if d.size == largest.size and d.parent.name != largest.parent.name]
    if same:
        names = ", ".join(sorted({largest.name, *(d.name for d in same)}))[:200]
        raise FormatError(
            f"there are several recordings: {names}", where=how.name, expected="one of them",
            remedy=f'Say which one: dataset = "{largest.name}", or a group of them',
        )  # fmt: skip
    if not _flat(largest) or largest.dtype.names:
        return [largest], time
    beside = [d for d in found if d.parent.name == largest.parent.name and _flat(d) and not d.dtype.names]
    beside = [d for d in beside if time is None or d.name != time.name]
    equal = [d for d in beside if d.size == largest.size or own_rate(d)]
    return equal or [largest], time


def _datasets(group: Any, h5py: Any) -> list[Any]:
    """Datasets of numbers with more than one of them, in the order of their names."""
    found: list[Any] = []
    seen = 0

    def look(_: str, item: Any) -> bool | None:
        nonlocal seen
        seen += 1
        series = isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.size and item.size > 1
        if series and (item.dtype.kind in "iuf" or item.dtype.names):
            found.append(item)
        return True if seen > _MOST_OBJECTS else None

    group.visititems(look)
    return found


def _flat(item: Any) -> bool:
    """Whether a dataset is one channel: of one dimension, or of two with one line, as MATLAB has no others."""
    return item.ndim == 1 or (item.ndim == 2 and 1 in item.shape)


def _time_beside(item: Any, h5py: Any) -> Any:
    """The dataset of times in the same group that has as many values as there are samples."""
    for name, other in item.parent.items():
        if name.lower() not in TIMES or not isinstance(other, h5py.Dataset) or other.name == item.name:
            continue
        if _flat(other) and other.size > 1 and other.size in item.shape and other.dtype.kind in "iuf":
            return other
    return None


def _track(item: Any, how: How, file: Any, rate: float | None, h5py: Any) -> tuple[Track, FormatError | None]:
    where = f"{how.name}, {item.name}"
    if item.dtype.names:
        if item.ndim != 1:
            raise FormatError("the records have more than one dimension", where=where, expected="one dimension")
        titles = tuple(item.dtype.names)
        dtype = checked_dtype(np.result_type(*(checked_dtype(item.dtype[n], where) for n in titles)), where)
        samples, kind = item.shape[0], "fields"
    else:
        dtype = checked_dtype(item.dtype, where)
        wanted = len(how.wanted) if how.wanted and all(isinstance(w, str) for w in how.wanted) else 0
        samples, channels, rows = orientation(item.shape, how.layout, wanted, where)
        kind = "one" if item.ndim == 1 else "rows" if rows else "columns"
        titles = titles_of(item, channels, h5py)
        if titles == ("c1",) and _flat(item):
            titles = (item.name.rsplit("/", 1)[-1],)
    problem = None
    there = _written(item, 1 if kind == "rows" else 0, where)
    if there < samples:
        problem = Truncated(
            f"of {samples} samples only the first {there} were written", where=where, expected=f"{samples} samples",
            remedy="The program that wrote it did not end: record again, or use what is there",
        )  # fmt: skip
        if there == 0:
            raise problem
    told = [u for key in ("units", "unit", "unit_string", "Units", "Unit") for u in texts(item.attrs.get(key))]
    units = told if len(told) == len(titles) else told[:1] * len(titles) or [""] * len(titles)
    track = Track(
        titles=titles,
        units=tuple(unit_of(u) for u in units),
        dtype=dtype,
        blocks=_blocks(item, there, kind, where),
        rate=rate,
        length=there,
    )
    return track, problem


def _kind(item: Any) -> str:
    """How one channel lies in its dataset."""
    return "one" if item.ndim == 1 else "rows" if item.shape[0] == 1 else "columns"


def _blocks(item: Any, samples: int, kind: str, where: str) -> Iterator[np.ndarray]:
    """Blocks of whole chunks: each chunk is unpacked once."""
    axis = 1 if kind == "rows" else 0
    channels = item.size // max(1, item.shape[axis])
    step, chunk = per_block(channels, item.dtype.itemsize), item.chunks[axis] if item.chunks else 1
    step = max(chunk, step // chunk * chunk)
    if item.chunks and (int(np.prod(item.chunks, dtype=object)) * item.dtype.itemsize > LARGEST // 4):
        raise FormatError(
            f"the chunks {item.chunks} are too large", where=where, expected=f"at most {LARGEST >> 22} MiB a chunk",
            remedy="Write the file again with smaller chunks",
        )  # fmt: skip
    step = min(step, max(1, 16 * BLOCK // max(1, channels * item.dtype.itemsize)))
    for first in range(0, samples, step):
        last = min(first + step, samples)
        with guarded(where):
            _check(item, axis, first, last, where)
            block = item[:, first:last] if kind == "rows" else item[first:last]
        if kind == "fields":
            common = np.result_type(*(block.dtype[n] for n in block.dtype.names))
            block = np.stack([block[n].astype(common) for n in block.dtype.names])
        yield block[None] if block.ndim == 1 else block if kind in ("rows", "fields") else block.T


def _check(item: Any, axis: int, first: int, last: int, where: str) -> None:
    """Refuse chunks that would unpack into more than they may."""
    if not item.chunks or not item.id.get_create_plist().get_nfilters():
        return
    for place in range(first // item.chunks[axis], -(-last // item.chunks[axis])):
        corner = [0] * item.ndim
        corner[axis] = place * item.chunks[axis]
        chunk_is_whole(item, tuple(corner), where)


def _written(item: Any, axis: int, where: str) -> int:
    """How many samples were written, from the first one on, without a hole."""
    samples = item.shape[axis]
    if item.is_virtual:
        missing = [s.file_name for s in item.virtual_sources() if s.file_name != "." and not _there(item, s.file_name)]
        if missing:
            raise Truncated(f"the linked file {missing[0]!r} is missing", where=where, remedy="Put it beside this one")
        return samples
    if item.external:
        return samples
    if not item.chunks:
        return samples if item.id.get_storage_size() > 0 else 0
    due = int(np.prod([-(-n // c) for n, c in zip(item.shape, item.chunks, strict=True)], dtype=object))
    count = item.id.get_num_chunks()
    if count >= due:
        return samples
    there: dict[int, int] = {}
    for i in range(count):
        place = item.id.get_chunk_info(i).chunk_offset[axis] // item.chunks[axis]
        there[place] = there.get(place, 0) + 1
    across = due // -(-samples // item.chunks[axis])
    k = 0
    while there.get(k, 0) == across:
        k += 1
    return min(samples, k * item.chunks[axis])


def _there(item: Any, name: str) -> bool:
    return (Path(item.file.filename).parent / name).exists()
