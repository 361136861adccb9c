"""Archives of arrays that numpy saved (.npz), each array read whole.

Arrays of one dimension are channels by their names; one table beside nothing else is its columns. Numbers called `fs`,
`sample_rate`, `dt`, ... tell the rate (of one channel: `fs_NAME`), texts called `units` and `channels` what they say,
an array called `time` or `t` the rate where nothing else does. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_npy import TIMES, allow, header, said
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
    rate_in,
    unit_of,
)

MAGIC = b"PK\x03\x04"
_MOST_ARRAYS = 10_000


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Recording]:
    """The recording in a .npz file: each array is read whole, one after the other."""
    size_of(path, how.name)
    with guarded(how.name):
        try:
            with zipfile.ZipFile(path) as archive:
                recording = _of_arrays(_arrays(archive, how.name), how)
        except zipfile.BadZipFile as error:
            raise Truncated(f"the archive is damaged or cut off ({error})", where=how.name, remedy=DAMAGED) from error
    yield recording


def _arrays(archive: zipfile.ZipFile, name: str) -> dict[str, np.ndarray]:
    """The arrays of an archive by name; their sizes are checked before they are unpacked."""
    out: dict[str, np.ndarray] = {}
    total = 0
    members = archive.infolist()
    if len(members) > _MOST_ARRAYS:
        raise FormatError(f"{len(members)} arrays are no recording", where=name, expected=f"at most {_MOST_ARRAYS}")
    for member in members:
        if not member.filename.endswith(".npy"):
            continue
        title, where = member.filename.removesuffix(".npy"), f"{name}, array {member.filename[:60]}"
        with archive.open(member) as file:
            shape, fortran, dtype = header(file, where)  # type: ignore[arg-type]
            nbytes = math.prod(shape) * dtype.itemsize
            total += nbytes
            if total > LARGEST or nbytes > member.file_size or nbytes > 1100 * member.compress_size + BLOCK:
                raise FormatError(
                    f"the arrays declare {total} bytes",
                    where=where,
                    expected=f"at most {LARGEST >> 30} GiB that the file can hold",
                    remedy="Save long recordings as .npy",
                )
            raw = file.read(nbytes)
        if len(raw) < nbytes:
            raise Truncated(f"the array declares {nbytes} bytes and has {len(raw)}", where=where, remedy=DAMAGED)
        out[title] = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return out


def _of_arrays(arrays: Mapping[str, np.ndarray], how: How) -> Recording:
    if how.dataset and how.dataset not in arrays:
        raise FormatError(
            f"there is no array {how.dataset!r}", where=how.name, expected=", ".join(list(arrays)[:20]) or "an array"
        )
    numbers = {k: a[()] for k, a in arrays.items() if a.size == 1 and a.dtype.kind in "iufUS"}
    texts = {
        k.lower(): [str(x) for x in a.reshape(-1)[:MOST_CHANNELS]] for k, a in arrays.items() if a.dtype.kind in "US"
    }
    series = {k: a for k, a in arrays.items() if a.size > 1 and a.dtype.kind in "iuf" and a.ndim in (1, 2)}
    time = next((k for k in series if k.lower() in TIMES and series[k].ndim == 1), None)
    clock = time if time is not None and len(series) > 1 else None
    rate, rate_from = rate_in(numbers.items()), "header"
    if rate is None and clock is not None and how.sample_rate is None:
        rate, rate_from = rate_of_blocks((series[clock].astype(np.float64),), f"{how.name}, array {clock}"), "time"
    chosen = {how.dataset: series.get(how.dataset, arrays[how.dataset])} if how.dataset else series
    chosen = {k: a for k, a in chosen.items() if k != clock}
    tables = [k for k, a in chosen.items() if a.ndim == 2]
    if not chosen or (tables and len(chosen) > 1):
        what = "there is no series of numbers" if not chosen else f"there are {len(chosen)} arrays, tables among them"
        raise FormatError(
            what, where=how.name, expected="arrays of one dimension, or one table (sample, channel)",
            remedy=f'Say which one: dataset = "{tables[0]}"' if tables else "Save the samples as arrays of numbers",
        )  # fmt: skip
    names = next((texts[k] for k in ("channels", "channel_names", "names", "labels") if k in texts), [])
    units = next((texts[k] for k in ("units", "unit") if k in texts), [])
    if tables:
        return _table(tables[0], chosen[tables[0]], how, names, units, rate, rate_from)
    allow(len(chosen), how.name)
    titles = list(chosen)
    tracks = []
    for i, title in enumerate(titles):
        own = rate_in((key, numbers[k]) for k in numbers for key in [_of_channel(k, title)] if key)
        native = checked_dtype(chosen[title].dtype, how.name)
        unit = texts.get(f"unit_{title.lower()}", units[i : i + 1] if len(units) == len(titles) else units[:1] or [""])
        tracks.append(
            Track(
                titles=(title,),
                units=(unit_of(unit[0]),),
                dtype=native,
                blocks=iter((chosen[title][None].astype(native),)),
                rate=own or rate,
                length=chosen[title].size,
            )
        )
    return Recording(tracks=tuple(tracks), rate_from=rate_from if rate else "", certain=True)


def _of_channel(key: str, title: str) -> str:
    """`fs` of `fs_NAME` or `NAME_fs`; nothing where a number is not about this channel."""
    low, name = key.lower(), title.lower()
    return (
        low.removeprefix(name)
        if low.startswith(f"{name}_")
        else low.removesuffix(name)
        if low.endswith(f"_{name}")
        else ""
    )


def _table(
    title: str, table: np.ndarray, how: How, names: list[str], units: list[str], rate: float | None, rate_from: str
) -> Recording:
    samples, channels, rows = orientation(table.shape, how.layout, said(how), how.name)
    allow(channels, how.name)
    native = checked_dtype(table.dtype, f"{how.name}, array {title}")
    named = len(names) == channels
    track = Track(
        titles=tuple(names) if named else tuple(f"c{k + 1}" for k in range(channels)),
        units=tuple(unit_of(u) for u in (units if len(units) == channels else (units[:1] or [""]) * channels)),
        dtype=native,
        blocks=iter(((table if rows else table.T).astype(native),)),
        rate=rate,
        length=samples,
    )
    return Recording(tracks=(track,), rate_from=rate_from if rate else "", nameless=not named, certain=True)
