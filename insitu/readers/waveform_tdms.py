"""TDMS files of LabVIEW and FlexLogger: every channel with numbers, at the rate of its own `wf_increment`.

Scaling that a file describes is applied (its units are those of the scaled values); what has none stays as it was
stored. Where some channels are waveforms, those without `wf_increment` (settings, notes) are left out and told. A
channel called `time` gives the rate where no `wf_increment` does. A file is read in the chunks in which it was
written. The decoder is npTDMS; source: National Instruments, TDMS File Format Internal Structure.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_npy import TIMES
from insitu.readers.waveform_rows import size_of
from insitu.readers.waveform_time import rate_of_blocks
from insitu.readers.waveform_track import (
    DAMAGED,
    MOST_CHANNELS,
    How,
    Recording,
    Track,
    checked_dtype,
    guarded,
    imported,
    rate_in,
    unit_of,
)

MAGIC = b"TDSm"
_MOST_LEFT = 5
"""How many names of channels that are left out are told."""


class _Bounded(io.BufferedReader):
    """A file of which nobody can ask for more bytes than there are: damaged lengths take no memory."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(io.FileIO(path))
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Recording]:
    """The recording in a TDMS file."""
    nptdms = imported("nptdms", "npTDMS", "reading TDMS files")
    size = size_of(path, how.name)
    if size < 28:
        raise Truncated("the file ends in its header", where=how.name, remedy=DAMAGED)
    with contextlib.ExitStack() as stack:
        with guarded(how.name):
            raw = stack.enter_context(_Bounded(path, size))  # ours to close: npTDMS leaves it open where it fails
            file = stack.enter_context(nptdms.TdmsFile.open(raw))
            recording = _recording(file, how, size)
        yield recording


def _recording(file: Any, how: How, size: int) -> Recording:
    found = _channels(file, how)
    if len(found) > MOST_CHANNELS:
        raise FormatError(f"{len(found)} channels", where=how.name, expected=f"at most {MOST_CHANNELS}")
    declared = sum(len(c) * _stored(c) for c in found)
    if declared > size:
        raise FormatError(
            f"the channels declare {declared} bytes of samples, the file has {size}", where=how.name, remedy=DAMAGED
        )
    rates = {c.path: rate_in([("wf_increment", c.properties.get("wf_increment", 0))]) for c in found}
    warnings: list[str] = []
    if any(rates.values()) and not how.dataset and not how.wanted:
        without = [c.name for c in found if not rates[c.path]]
        if without:
            told = ", ".join(without[:_MOST_LEFT]) + (" ..." if without[_MOST_LEFT:] else "")
            warnings.append(f"left out, because they have no wf_increment: {told}")
        found = [c for c in found if rates[c.path]]
    time = next((c for c in found if c.name.lower() in TIMES), None) if not any(rates.values()) else None
    shared = None
    if time is not None and len(found) > 1 and how.sample_rate is None:
        found = [c for c in found if c is not time]
        shared = rate_of_blocks((b[0].astype(np.float64) for b in _blocks(time, how.name)), f"{how.name}, {time.name}")
    starts = [t for c in found if (t := _start(c)) is not None]
    if starts and max(starts) - min(starts) > 1_000_000:
        warnings.append(f"the channels begin up to {(max(starts) - min(starts)) / 1e9:.3g} s apart: the first counts")
    names = [c.name for c in found]
    tracks = tuple(
        Track(
            titles=(c.name if names.count(c.name) == 1 else f"{c.group_name} {c.name}",),
            units=(unit_of(str(c.properties.get("unit_string", c.properties.get("NI_UnitDescription", "")))),),
            dtype=checked_dtype(np.dtype(c.dtype), f"{how.name}, {c.name}"),
            blocks=_blocks(c, how.name),
            rate=rates[c.path] or shared,
            length=len(c),
        )
        for c in found
    )
    return Recording(
        tracks=tracks,
        start_ns=min(starts) if starts else None,
        clock_sigma_ns=1_000_000_000 if starts else 0,
        rate_from="header" if any(rates.values()) else "time" if shared else "",
        problem=_missing(file, how.name),
        warnings=tuple(warnings),
    )


def _channels(file: Any, how: How) -> list[Any]:
    """Channels with numbers, of the group or channel that `dataset` names, or of all groups."""
    group, _, channel = how.dataset.strip("/").partition("/")
    groups = [g for g in file.groups() if not group or g.name == group]
    found = [c for g in groups for c in g.channels() if not channel or c.name == channel]
    numbers = [c for c in found if len(c) and c.data_type is not None and np.dtype(c.dtype).kind in "iufc"]
    if not numbers:
        names = ", ".join(f"{c.group_name}/{c.name}" for g in file.groups() for c in g.channels())[:200]
        kind = FormatError if found else Truncated if not how.dataset else FormatError
        raise kind(
            f"there is no channel of numbers{f' in {how.dataset!r}' if how.dataset else ''}",
            where=how.name,
            expected='a group, or a group and a channel: "group/channel"' if how.dataset else "channels with samples",
            remedy=f"There are: {names}" if names else "Record again, or remove the file",
        )
    return numbers


def _stored(channel: Any) -> int:
    """Bytes of one sample in the file, at least."""
    return 1 if channel._scaling is not None or channel.data_type.size is None else int(channel.data_type.size)


def _blocks(channel: Any, name: str) -> Iterator[np.ndarray]:
    """The chunks in which the file was written, each read once."""
    given, where = 0, f"{name}, {channel.name}"
    chunks = channel.data_chunks()
    while True:
        with guarded(where):
            chunk = next(chunks, None)
            values = None if chunk is None else np.asarray(chunk[:])
        if values is None:
            break
        given += len(values)
        yield values[None]
    if given < len(channel):
        raise Truncated(f"sample {given} is not there", where=where, expected=f"{len(channel)} samples", remedy=DAMAGED)


def _start(channel: Any) -> int | None:
    """The time of a channel's first sample in ns since 1970 UTC; NI's 1904 stands for none."""
    told = channel.properties.get("wf_start_time")
    try:
        start = int(np.datetime64(told, "ns").astype(np.int64))
        start += round(float(channel.properties.get("wf_start_offset", 0.0)) * 1e9)
    except (TypeError, ValueError, OverflowError):
        return None
    return start if 0 < start < 2**62 else None


def _missing(file: Any, name: str) -> FormatError | None:
    """What the last segment lacks."""
    status = file.file_status
    if not status.incomplete_final_segment:
        return None
    short: Sequence[str] = [
        f"{path} {s.read_length} of {s.expected_length}"
        for path, s in (status.channel_statuses or {}).items()
        if s.read_length < s.expected_length
    ]
    return Truncated(
        f"the last segment is cut off{': ' if short else ''}{', '.join(short[:4])}"[:300],
        where=name,
        expected="whole segments",
        remedy="The program that wrote it did not end: copy or record it again",
    )
