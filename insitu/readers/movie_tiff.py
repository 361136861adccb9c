"""TIFF stacks, page by page: grey or colour, plain or packed, classic, BigTIFF and ImageJ's stacks with one directory.

Where the pixels lie is found out and compared with the size of the file before one is read (`image_tiff` walks the
directories). Plain pixels are read from there; packed ones are unpacked by tifffile, or by OpenCV where tifffile lacks
the codec, and must come out as declared. Source: Adobe, TIFF Revision 6.0 (1992).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from insitu.errors import FormatError
from insitu.maths.aligned import empty
from insitu.readers.image_layout import BROKEN, MOST_FRAMES, size_of
from insitu.readers.image_tiff import directory, first_directory, tag_number, tag_text
from insitu.readers.movie_frame import NOTHING, Picture, checked_size, guarded, imported
from insitu.readers.movie_notes import Notes, notes
from insitu.readers.pattern import Truncated
from insitu.types import Feature

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GAIN = 3000
"""The most that a packing is believed to gain: deflate about 1032, LZW about 1400, a JPEG of nothing a little more."""
Tags = dict[int, tuple[int | bytes, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a page lies: shape (y, x) or (y, x, channel) of `dtype`; bytes of its strips; `packed`: a decoder is
    needed; `number` of its directory in the file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    strips: tuple[tuple[int, int], ...]
    packed: bool
    number: int
    description: str = ""
    date: str = ""


def pages(file: BinaryIO, where: str) -> Iterator[Page]:
    """The pages of an open file in order; thumbnails and masks are left out. Raises `FormatError`, `Truncated`."""
    size = size_of(file)
    form, position = first_directory(file, where)
    seen: set[int] = set()
    while position:
        if position in seen or len(seen) >= MOST_FRAMES:
            raise FormatError("the list of pages runs in a circle", where=where, remedy=BROKEN)
        seen.add(position)
        tags, position = directory(file, form, position, size, where)
        number = len(seen) - 1
        if tag_number(tags, 254, 0) & 5 and number:
            continue
        yield _page(tags, form.order, size, number, f"{where}, page {number + 1}" if number else where)


def _page(tags: Tags, order: str, size: int, number: int, where: str) -> Page:
    samples, bits = tag_number(tags, 277, 1), tag_number(tags, 258, 1)
    code = {1: "u", 2: "i", 3: "f", 4: "u"}.get(tag_number(tags, 339, 1), "")
    depths = {bit for bit in tags.get(258, ()) if isinstance(bit, int)} or {bits}
    photometric = tag_number(tags, 262, 1)
    if depths - {8, 16, 32, 64} or len(depths) > 1 or not code or (code == "f" and bits < 32) or samples > 4:
        raise FormatError(
            f"the pixels have {samples} samples of {sorted(depths)} bits",
            where=where,
            expected="1 to 4 samples of 8, 16, 32 or 64 bits, all alike",
            remedy="Convert it, for example with ImageJ: Image, Type, 8-bit",
        )
    rows, columns = tag_number(tags, 257, 0), tag_number(tags, 256, 0)
    tiled = 322 in tags
    places, lengths = (
        [v for v in tags.get(t, ()) if isinstance(v, int)] for t in ((324, 325) if tiled else (273, 279))
    )
    planar = tag_number(tags, 284, 1) == 2 and samples > 1
    packed = tag_number(tags, 259, 1) != 1 or tiled or planar or photometric in (3, 6)
    dtype = np.dtype(f"{order}{code}{bits // 8}")
    if not places:
        raise FormatError("the page has no pixels", where=where, remedy=BROKEN)
    if not lengths and len(places) == 1 and not packed:
        lengths = [rows * columns * samples * dtype.itemsize]
    if len(lengths) != len(places):
        raise FormatError(f"{len(places)} strips have {len(lengths)} lengths", where=where, remedy=BROKEN)
    for at, length in zip(places, lengths, strict=True):
        if at + length > size:
            raise Truncated(f"the file ends before byte {at + length}", where=where, remedy=BROKEN)
    checked_size(rows, columns, samples * dtype.itemsize, sum(lengths), _GAIN if packed else 1, where)
    needed = rows * columns * samples * dtype.itemsize
    if not packed and sum(lengths) < needed:
        raise FormatError(
            f"the header declares {rows} x {columns} pixels of {samples * dtype.itemsize} bytes in {sum(lengths)}",
            where=where,
            expected=f"{needed} bytes",
            remedy=BROKEN,
        )
    return Page(
        shape=(rows, columns) if samples == 1 and photometric != 3 else (rows, columns, samples),
        dtype=dtype,
        strips=tuple(zip(places, lengths, strict=True)),
        packed=packed,
        number=number,
        description=tag_text(tags, 270),
        date=tag_text(tags, 306),
    )


def check(path: Path, name: str) -> None:
    """Raise where the file is cut (`Truncated`) or damaged (`FormatError`), as far as can be seen without unpacking."""
    with open(path, "rb") as file:
        for page in pages(file, name):
            if page.number == 0:
                _whole_stack(page, notes(page.description, page.date, "UTC", name), size_of(file), name)


def pictures(path: Path, name: str, timezone: str) -> Iterator[Picture]:
    """The frames of a stack. Raises `FormatError`; `Truncated` where it ends too early."""
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        told, given, decoder, pixel = Notes(), 0, None, {}
        for page in pages(file, name):
            where = f"{name}, page {page.number + 1}" if page.number else name
            if page.number == 0:
                told = notes(page.description, page.date, timezone, name)
                pixel = _scale(path, told)
                inside = _whole_stack(page, told, size_of(file), name)
                if inside > 1:
                    for k in range(inside):
                        yield _picture(_plain(file, page, where, k), told, k, pixel)
                    return
            if page.packed and decoder is None:
                decoder = stack.enter_context(_Decoder(path))
            data = decoder.page(page, where) if page.packed and decoder else _plain(file, page, where)
            yield _picture(data, told, given, pixel)
            given += 1
        if given < told.count:
            yield Picture(NOTHING, invalid=f"{name} declares {told.count} frames and holds {given}")


def _whole_stack(page: Page, told: Notes, size: int, name: str) -> int:
    """Frames that lie behind the first page's without directories of their own (ImageJ's stacks over 4 GB)."""
    if told.kind != "ImageJ" or told.count < 2 or page.packed or len(page.strips) != 1:
        return 1
    nbytes = int(np.prod(page.shape)) * page.dtype.itemsize
    end = page.strips[0][0] + told.count * nbytes
    with_own = page.strips[0][1] >= told.count * nbytes  # some writers give the length of all
    if page.strips[0][1] == nbytes and size < 4 * 1024**3 and not with_own:
        return 1
    if end > size:
        raise Truncated(f"the file ends before byte {end}", where=name, remedy=BROKEN)
    return told.count


def _picture(data: np.ndarray, told: Notes, page: int, pixel: dict[str, Feature]) -> Picture:
    plane = told.plane(page)
    return Picture(
        data=data,
        after_s=plane.after_s,
        start_ns=told.start_ns,
        timing=told.kind if plane.after_s is not None else "",
        duration_s=plane.duration_s,
        labels={**told.labels, **plane.labels},
        context=pixel,
    )


def _plain(file: BinaryIO, page: Page, where: str, frame: int = 0) -> np.ndarray:
    """Pixels that lie plainly in the file, native byte order."""
    data = empty(page.shape, page.dtype)
    view, filled = memoryview(data).cast("B"), 0  # type: ignore[arg-type]
    for at, length in page.strips:
        piece = view[filled : filled + (len(view) if len(page.strips) == 1 else length)]
        file.seek(at + frame * len(view))
        got = file.readinto(piece)  # type: ignore[attr-defined]
        if got != len(piece):
            raise Truncated(f"the file ends after {filled + got} of {len(view)} bytes", where=where, remedy=BROKEN)
        filled += len(piece)
        if filled >= len(view):
            break
    return data if data.dtype.isnative else data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))


class _Decoder:
    """Unpacks pages of one file; opened when the first packed page comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tifffile = imported("tifffile", "tifffile")
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
        self.file: Any = None

    def __enter__(self) -> _Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def page(self, page: Page, where: str) -> np.ndarray:
        with guarded(where), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.file = self.file or self.tifffile.TiffFile(self.path)
                data = np.asarray(self.file.pages[page.number].asarray(maxworkers=1))
            except (ValueError, KeyError) as error:
                if "imagecodecs" not in str(error):
                    raise
                data = self._other(page)
        if data.ndim == 3 and data.shape[0] in (3, 4) and data.shape[1:] == page.shape[:2]:
            data = np.moveaxis(data, 0, 2)  # colour by colour
        if data.ndim == 3 and page.shape[2:] == (1,) and data.shape[:2] == page.shape[:2]:
            return data
        if data.shape != page.shape or data.dtype.newbyteorder("=") != page.dtype.newbyteorder("="):
            raise FormatError(
                f"{data.shape} of {data.dtype} came out", where=where, expected=f"{page.shape} of {page.dtype}"
            )
        return data.astype(data.dtype.newbyteorder("="), copy=False)

    def _other(self, page: Page) -> np.ndarray:
        cv2 = imported("cv2", "opencv-python-headless")
        done, found = cv2.imreadmulti(str(self.path), page.number, 1, flags=cv2.IMREAD_UNCHANGED)
        if not done or len(found) != 1:
            raise ValueError("the packing is not known")
        data = np.asarray(found[0])
        return data[..., [2, 1, 0, 3][: data.shape[2]]] if data.ndim == 3 and data.shape[2] > 2 else data


def _scale(path: Path, told: Notes) -> dict[str, Feature]:
    """Size of a pixel: of OME, or of ImageJ's resolution, where a length unit is given."""
    size = told.pixel_um
    if size is None and told.kind == "ImageJ":
        size = _imagej_pixel(path)
    return {"pixel_size": Feature(size, "um")} if size is not None and 0.0 < size < 1e6 else {}


def _imagej_pixel(path: Path) -> float | None:
    try:
        import tifffile
    except ImportError:
        return None
    try:
        with tifffile.TiffFile(path) as file:
            unit = (file.imagej_metadata or {}).get("unit", "")
            tag = file.pages[0].tags.get(282)  # type: ignore[union-attr]
            above, below = tag.value if tag is not None else (0, 0)
    except Exception:  # noqa: BLE001 - whatever the tags of a damaged file do: the pixels are good without a scale
        return None
    factor = {"micron": 1.0, "um": 1.0, "µm": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}.get(unit)
    return None if factor is None or not above else factor * below / above
