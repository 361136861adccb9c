"""WAV files: integers of 8 (unsigned), 16, 24 and 32 bits and floats of 32 and 64, as they are stored, not scaled.

RIFF and RF64 (ds64) with the chunks `fmt ` (PCM, IEEE float, extensible) and `data`. A size of 0, or of all ones, is
what writers leave that were not able to come back: the data then go on to the end of the file. 24 bits are given as
int32 with their own value. Sources: IBM and Microsoft, Multimedia Programming Interface 1.0 (1991); EBU Tech 3306
(RF64).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveform_rows import interleaved, size_of, wide24
from insitu.readers.waveform_track import DAMAGED, MOST_CHANNELS, How, Recording, Track, plausible

MAGIC = (b"RIFF", b"RF64")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_OPEN = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFE)
_TYPES = {(_PCM, 1): "u1", (_PCM, 2): "<i2", (_PCM, 4): "<i4", (_FLOAT, 4): "<f4", (_FLOAT, 8): "<f8"}
_KINDS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x11: "ADPCM", 0x55: "MP3", 0xFF: "AAC"}


class _Head(NamedTuple):
    form: int
    channels: int
    rate: int
    sample_bytes: int
    frame_bytes: int
    offset: int
    declared: int


def looks_like(head: bytes) -> bool:
    """Whether the first bytes are those of a WAV file."""
    return head[:4] in MAGIC and head[8:12] == b"WAVE"


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Recording]:
    """The recording in a WAV file."""
    size = size_of(path, how.name)
    head = _head(path, how.name, size)
    there = size - head.offset
    endless = head.declared in _OPEN
    problem = None
    if not endless and there < head.declared:
        problem = Truncated(
            f"the header declares {head.declared} bytes of samples, the file holds {there}",
            where=how.name,
            expected=f"{head.declared // head.frame_bytes} samples",
            remedy="The file was cut off: copy or record it again",
        )
    samples = (there if endless else min(there, head.declared)) // head.frame_bytes
    if samples == 0:
        raise Truncated("there is no sample in the file", where=how.name, remedy="Record again, or remove the file")
    known = {"offset": head.offset, "samples": samples, "channels": head.channels}
    if head.sample_bytes == 3:
        dtype, blocks = np.dtype(np.int32), wide24(path, how.name, **known)
    else:
        stored = np.dtype(_TYPES[head.form, head.sample_bytes])
        dtype, blocks = stored.newbyteorder("="), interleaved(path, how.name, dtype=stored, **known)
    with contextlib.closing(blocks):  # type: ignore[type-var]
        yield Recording(
            tracks=(
                Track(
                    titles=tuple(f"c{k + 1}" for k in range(head.channels)),
                    units=("",) * head.channels,
                    dtype=dtype,
                    blocks=blocks,
                    rate=float(head.rate),
                    length=samples,
                ),
            ),
            rate_from="header",
            nameless=True,
            certain=not endless,
            problem=problem,
        )


def _head(path: Path, name: str, size: int) -> _Head:
    form: tuple[int, ...] | None = None
    with open(path, "rb") as file:
        magic = file.read(12)
        if len(magic) < 12:
            raise Truncated("the file ends in its header", where=name, remedy=DAMAGED)
        if not looks_like(magic):
            raise FormatError("this is no WAV file", where=name, expected="RIFF ... WAVE", remedy=DAMAGED)
        position, wide = 12, 0
        for _ in range(1000):
            file.seek(position)
            chunk = file.read(8)
            if len(chunk) < 8:
                break
            kind, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if kind == b"ds64" and length >= 16:
                wide = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
            elif kind == b"fmt ":
                form = _format(file.read(min(length, 40)), name)
            elif kind == b"data":
                if form is None:
                    break
                declared = wide if magic[:4] == b"RF64" and length == 0xFFFFFFFF and wide else length
                if declared in _OPEN and declared == 0 and position + 8 < size and _chunk_follows(file):
                    declared = -1  # an empty recording, and other chunks behind it
                return _Head(*form, position + 8, declared) if declared >= 0 else _Head(*form, size, 1)
            position += 8 + length + length % 2
    what = "no format stands before its data" if form is None else "there are no data in it"
    raise Truncated(f"the WAV file is damaged: {what}", where=name, expected="the chunks fmt and data", remedy=DAMAGED)


def _chunk_follows(file: object) -> bool:
    """Whether the bytes at the place of a file look like the name of another chunk."""
    return file.read(4) in (b"LIST", b"fact", b"cue ", b"id3 ", b"bext", b"smpl")  # type: ignore[attr-defined]


def _format(raw: bytes, name: str) -> tuple[int, int, int, int, int]:
    """Form, channels, rate in Hz, bytes of a sample and of all channels together."""
    if len(raw) < 16:
        raise Truncated("the WAV file ends in its format", where=name, remedy=DAMAGED)
    form, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", raw[:16])
    if form == _EXTENSIBLE and len(raw) >= 26:
        form = struct.unpack("<H", raw[24:26])[0]
    width = -(-bits // 8)
    if form not in (_PCM, _FLOAT):
        raise FormatError(
            f"the samples are coded as {_KINDS.get(form, f'format {form}')}",
            where=name,
            expected="PCM integers or IEEE floats",
            remedy="Record or export without compression",
        )
    if (form, width) not in _TYPES and (form, width) != (_PCM, 3):
        raise FormatError(
            f"the samples have {bits} bits", where=name, expected="8, 16, 24 or 32 bits, or floats", remedy=DAMAGED
        )
    if not 1 <= channels <= MOST_CHANNELS or frame_bytes != channels * width:
        raise FormatError(
            f"the header declares {channels} channels of {width} bytes, and {frame_bytes} bytes for all of them",
            where=name,
            expected=f"1 to {MOST_CHANNELS} channels, and as many bytes as they need",
            remedy=DAMAGED,
        )
    if not plausible(rate):
        raise FormatError(f"the sample rate is {rate} Hz", where=name, expected="more than 0 Hz", remedy=DAMAGED)
    return form, channels, rate, width, frame_bytes
