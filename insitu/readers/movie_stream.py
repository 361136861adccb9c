"""Movies of a container: AVI, MP4, MOV, MKV, MPEG, GIF, decoded by PyAV, each frame at the time that it carries.

Times are those of the frames (`pts`), never a rate; the first is when the movie begins. Grey streams (grey formats, or
colour ones without any colour) give the grey values over the full range of the type, others red, green, blue.
A frame that is damaged, and frames that the head declares and that are not there, are told as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import FormatError
from insitu.readers.header import label, read_time, zone
from insitu.readers.image_layout import BROKEN, LARGEST_FRAME
from insitu.readers.movie_frame import NOTHING, Picture, guarded, imported

SUFFIXES = frozenset((".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif", ".ts"))
_DEEP = {"gray10le", "gray12le", "gray14le", "gray16le", "gray16be", "gray10be", "gray12be", "gray14be"}
_RGB = {"rgb24", "bgr24", "rgb48le", "rgb48be", "rgba", "bgra", "argb", "abgr", "gbrp", "pal8", "rgb0", "bgr0", "0rgb"}


_MAGIC = (b"\x1a\x45\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"GIF8", b"\x30\x26\xb2\x75")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free")


def looks_like(head: bytes) -> bool:
    """Whether a file begins as a container of a movie."""
    avi = head.startswith(b"RIFF") and head[8:12] == b"AVI "
    return avi or head[4:8] in _BOXES or head.startswith(_MAGIC)


def pictures(path: Path, name: str, timezone: str) -> Iterator[Picture]:
    """The frames of the first video stream. Raises `FormatError` where it cannot be opened at all."""
    av = imported("av", "av")
    av.logging.set_level(av.logging.PANIC)
    with guarded(name):
        container = av.open(str(path))
    with container:
        if not container.streams.video:
            raise FormatError("there is no video in this file", where=name, expected="a movie")
        stream = container.streams.video[0]
        with guarded(name):
            labels, start_ns = _said(container, stream, timezone)
            _check(stream.codec_context.height, stream.codec_context.width, name)
        yield from _frames(container, stream, labels, start_ns, name)


def check(path: Path, name: str) -> None:
    """Raise `FormatError` where the file cannot be opened (yet)."""
    av = imported("av", "av")
    with guarded(name), av.open(str(path)) as container:
        if not container.streams.video:
            raise FormatError("there is no video in this file", where=name, expected="a movie")


def _frames(container: Any, stream: Any, labels: dict[str, str], start_ns: int | None, name: str) -> Iterator[Picture]:
    first, given, damaged = None, 0, 0
    last_s, longest_s = 0.0, 0.0
    frames = container.decode(stream)
    while True:
        try:
            with guarded(f"{name}, frame {given + damaged}"):
                frame = next(frames, None)
                if frame is None:
                    break
                _check(frame.height, frame.width, name)
                data = None if frame.is_corrupt else pixels(frame)
        except FormatError as error:
            if given == 0 and damaged == 0:
                raise
            yield Picture(NOTHING, invalid=str(error))
            damaged += 1
            break  # a decoder that has raised does not go on
        if data is None:
            yield Picture(NOTHING, invalid=f"{name}, frame {given + damaged} is damaged")
            damaged += 1
            continue
        after = None
        if frame.pts is not None and frame.time_base:
            seconds = float(frame.pts * frame.time_base)
            first = seconds if first is None else first
            after = seconds - first
            last_s, longest_s = after, max(longest_s, after - last_s)
        yield Picture(data, after, start_ns, "pts" if after is not None else "", labels=labels)
        given += 1
    declared_s = float((stream.duration or 0) * (stream.time_base or 0))
    if given > 1 and declared_s > last_s + max(3.0 * longest_s, 0.02 * declared_s):
        yield Picture(NOTHING, invalid=f"{name} declares {declared_s:.4g} s of video and holds {last_s:.4g} s")


def _check(height: int, width: int, name: str) -> None:
    if height < 1 or width < 1 or height * width * 8 > LARGEST_FRAME:
        raise FormatError(
            f"the head declares frames of {height} x {width}", where=name, expected="a movie", remedy=BROKEN
        )


def pixels(frame: Any) -> np.ndarray:
    """Grey `(y, x)` or colours `(y, x, 3)` of a decoded frame; more than 8 bits as uint16."""
    form = frame.format.name
    if form in ("gray", "gray8"):
        return frame.to_ndarray(format="gray")
    if form in _DEEP:
        return frame.to_ndarray(format="gray16le")
    if form in _RGB:
        return frame.to_ndarray(format="rgb48le" if "48" in form else "rgb24")
    deep = any(component.bits > 8 for component in frame.format.components)
    if _colourless(frame, deep):
        return frame.to_ndarray(format="gray16le" if deep else "gray")
    return frame.to_ndarray(format="rgb48le" if deep else "rgb24")


def _colourless(frame: Any, deep: bool) -> bool:
    """Whether the two colour planes of a YUV frame hold nothing but the middle."""
    if deep or len(frame.planes) < 3:
        return False
    for plane in frame.planes[1:3]:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        if (rows != 128).any():
            return False
    return True


def _said(container: Any, stream: Any, timezone: str) -> tuple[dict[str, str], int | None]:
    """Labels, and when the movie was begun, where it says so."""
    labels = {"codec": label(stream.codec_context.name), "pixel_format": label(str(stream.codec_context.pix_fmt or ""))}
    for key in ("title", "comment"):
        if text := label(str(container.metadata.get(key, ""))):
            labels[key] = text
    read = read_time(str(container.metadata.get("creation_time", "")), zone(timezone))
    return {key: text for key, text in labels.items() if text}, read[0] if read else None
