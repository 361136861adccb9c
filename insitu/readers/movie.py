"""Microscope video from files: a stack, a movie, or a folder or glob of pictures, stacks or movies, also followed.

TIFF stacks (ImageJ, OME, BigTIFF), PNG, JPEG, BMP, and what PyAV opens (AVI, MP4, MOV, MKV, GIF). A frame has dims
(y, x); colours are kept as measured, (y, x, channel), unless all channels say the same (or `channel` picks one). Once a
colour was seen, later frames of the run keep three channels.

When a frame was taken, in this order: what the file says of each frame (OME's DeltaT, a movie's pts), the interval that
it declares (ImageJ's finterval, OME's TimeIncrement), `rate`, else the time of the file (clock "arrival"). The label
`timing` names it: OME, ImageJ, pts, rate, file. No rate is ever assumed.

`source_seq` counts frames. In a folder of pictures whose names differ by a number alone it follows that number, so that
missing pictures are counted as lost; `numbers = "count"` turns that off.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers import movie_picture, movie_stream, movie_tiff
from insitu.readers.file_series import check_series
from insitu.readers.follow import State, follow
from insitu.readers.formats import KNOWN_OTHER
from insitu.readers.header import SECOND, zone
from insitu.readers.movie_frame import Channel, Picture, chosen
from insitu.readers.movie_numbers import numbers_in
from insitu.readers.pattern import Truncated
from insitu.readers.series import Found, find, fits, natural_key, read_whole, shown
from insitu.types import Arrival, Detector, Feature, Invalid

FORMATS = "TIFF, PNG, JPEG, BMP, or a movie (AVI, MP4, MOV, MKV, GIF)"
PICTURES = frozenset((".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".btf", ".tf8")) | movie_stream.SUFFIXES
_OTHER = (KNOWN_OTHER | {".csv", ".txt", ".dat", ".xls", ".db"}) - PICTURES

log = logging.getLogger(__name__)


class Movie:
    """A reader of microscope video.

    `path`: a file, a folder, or a glob such as `run7/*.png`. `pattern`: which names of a folder count. `rate`: frames
    per second, where the files do not say when frames were taken. `channel`: keep colours `as_stored`, or their
    `luminance`, or one of them. `plane`: of several named channels of a stack, the one that is taken (default: all).
    `follow`: watch the folder for files that appear, until none has for `idle` s, or `count` frames are there, or a
    file named `sentinel` is; a file is read when it has not changed for `settle` s. `numbers`: whether names number the
    frames. `timezone`: of times in files. After reading, `skipped` says which files were no pictures.
    """

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        rate: Annotated[float, "Hz"] | None = None,
        channel: Channel = "as_stored",
        plane: str = "",
        numbers: Literal["auto", "name", "count"] = "auto",
        follow: bool = False,
        idle: Annotated[float, "s"] = 30.0,
        count: int | None = None,
        sentinel: str = "",
        settle: Annotated[float, "s"] = 0.5,
        timezone: str = "",
        detector: Detector | None = None,
    ) -> None:
        check_series(path, pattern, sentinel, idle, settle, count)
        if rate is not None and not rate > 0:
            raise ConfigError(f"rate is {rate}", where="rate", expected="more than 0")
        self.path, self.pattern, self.rate, self.plane = str(path), pattern, rate, plane
        self.place, self.numbers = Path(path).expanduser(), numbers
        self.channel: Channel = channel
        if follow and self.place.is_file():
            raise ConfigError("a file cannot be followed", where="follow", expected="a folder", remedy="Drop follow")
        self.follow, self.idle, self.count = follow, float(idle), count
        self.sentinel, self.settle = sentinel, float(settle)
        self.timezone = timezone or (detector.timezone if detector else "UTC")
        zone(self.timezone)
        self.source, self.unit = (detector.source, detector.unit) if detector else ("video", "counts")
        pixel = detector.calibration.get("pixel_size") if detector else None
        self._pixel: dict[str, Feature] = {} if pixel is None else {"pixel_size": pixel}
        self.skipped: list[str] = []
        self._coloured, self._zero_ns = False, 0

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped, self._coloured, self._zero_ns = [], False, 0
        given = 0
        with closing(self._items()) as items:
            for item in items:
                yield item
                given += item is not None
                if given == self.count:
                    return
        if given == 0:
            raise self._nothing()

    def _items(self) -> Generator[Arrival | Invalid | None]:
        """Frames of all files, numbered on."""
        following = 0
        with closing(self._files()) as files:
            for found, number in files:
                if found is None:
                    yield None
                    continue
                first = following if number is None else number
                with closing(self._of_file(found, first)) as items:
                    for item in items:
                        yield item
                        if item is not None and item.source_seq is not None:
                            following = item.source_seq + 1

    def _files(self) -> Generator[tuple[Found | None, int | None]]:
        """Files that are there, and those that come, with their numbers where names tell them."""
        if self.follow:
            folder, pattern = self.place, self.pattern
            if not folder.is_dir() and glob.has_magic(folder.name):
                folder, pattern = folder.parent, pattern or folder.name
            coming = follow(
                folder,
                lambda name: fits(name, pattern) and self._candidate(name),
                self._state,
                lambda files: sorted(files, key=natural_key),
                idle=self.idle,
                settle=self.settle,
                sentinel=self.sentinel,
            )
            with closing(coming):
                for found in coming:
                    number = numbers_in([found.path], forced=True)[0] if found and self.numbers == "name" else None
                    yield found, number
            return
        files = find(self.path, self.pattern)
        if files != [self.place]:
            files = [p for p in files if self._candidate(p.name)]
        plain: list[int | None] = [None] * len(files)
        stills = all(p.suffix.lower() not in movie_stream.SUFFIXES for p in files)
        named = numbers_in(files, forced=self.numbers == "name") if self.numbers != "count" and stills else plain
        for path, number in zip(files, named, strict=True):
            try:
                yield Found(path=path, mtime_ns=path.stat().st_mtime_ns), number
            except OSError as error:
                yield Found(path=path, problem=f"the file cannot be read: {error.strerror or error}"), number

    def _candidate(self, name: str) -> bool:
        """Whether a name may be one of a movie; one that `pattern` picked always may."""
        return name != self.sentinel and (bool(self.pattern) or Path(name).suffix.lower() not in _OTHER)

    def _state(self, found: Found) -> State:
        """Whether a file that is followed is whole."""
        try:
            with open(found.path, "rb") as file:
                head = file.read(64)
            if head.startswith(movie_tiff.MAGIC):
                movie_tiff.check(found.path, found.name)
            elif movie_picture.looks_like(head):
                movie_picture.check(found.path.read_bytes(), found.name)
            elif movie_stream.looks_like(head):
                movie_stream.check(found.path, found.name)
                return "unsure"
            elif not head.strip(b"\0"):
                return "incomplete"
        except Truncated:
            return "incomplete"
        except (FormatError, OSError):
            return "unsure" if movie_stream.looks_like(found.data[:64]) else "complete"
        return "complete"

    def _pictures(self, found: Found) -> Iterator[Picture]:
        name = self._name(found)
        with open(found.path, "rb") as file:
            head = file.read(64)
            if movie_picture.looks_like(head):
                return iter((Picture(movie_picture.decode(head + file.read(), name)),))
        if head.startswith(movie_tiff.MAGIC):
            return movie_tiff.pictures(found.path, name, self.timezone)
        if movie_stream.looks_like(head) or (head and found.path.suffix.lower() in movie_stream.SUFFIXES):
            return movie_stream.pictures(found.path, name, self.timezone)
        if not head.strip(b"\0"):
            raise Truncated("the file is empty", where=name, remedy="Record again, or remove the file")
        raise _no_picture(name)

    def _of_file(self, found: Found, first: int) -> Generator[Arrival | Invalid | None]:
        given = 0
        try:
            if found.problem and not found.data:
                raise FormatError(found.problem, where=self._name(found), remedy="Check its permissions")
            for index, picture in enumerate(self._pictures(found)):
                if picture.invalid:
                    log.warning("%s", picture.invalid)
                    yield self._invalid(found, first + given, picture.invalid, b"")
                elif self.plane and picture.labels.get("channel", self.plane) != self.plane:
                    continue
                else:
                    yield self._arrival(found, picture, first + given, index)
                given += 1
        except FormatError as error:
            yield self._refused(found, error, first + given, given)
        except OSError as error:
            problem = FormatError(f"the file cannot be read: {error.strerror or error}", where=self._name(found))
            yield self._refused(found, problem, first + given, given)

    def _refused(self, found: Found, error: FormatError, seq: int, given: int) -> Invalid | None:
        """A file that cannot be decoded (further): an error alone, an invalid thing of a series, or skipped."""
        if found.path == self.place and given == 0:
            raise error
        if given == 0 and not self.pattern and error.what == _no_picture("").what:
            self.skipped.append(found.name)
            log.warning("skipped %s", error)
            return None
        return self._invalid(found, seq, str(error), b"" if given else read_whole(found.path).data)

    def _invalid(self, found: Found, seq: int, why: str, payload: bytes) -> Invalid:
        return Invalid(source=self.source, reason=why, payload=payload, name=found.name, source_seq=seq)

    def _name(self, found: Found) -> str:
        return self.path if found.path == self.place else shown(found.path)

    def _arrival(self, found: Found, picture: Picture, seq: int, number: int) -> Arrival:
        data = chosen(picture.data, self.channel, self._coloured, self._name(found))
        self._coloured = self._coloured or data.ndim == 3
        mtime_ns = found.mtime_ns or found.path.stat().st_mtime_ns
        self._zero_ns = self._zero_ns or mtime_ns
        timing, time_ns = picture.timing, mtime_ns
        if picture.after_s is not None:
            time_ns = (mtime_ns if picture.start_ns is None else picture.start_ns) + round(picture.after_s * 1e9)
        elif self.rate is not None:
            timing, time_ns = "rate", self._zero_ns + round(seq * 1e9 / self.rate)
        elif picture.start_ns is not None:
            timing, time_ns = "header", picture.start_ns
        known = bool(timing)
        return Arrival(
            source=self.source,
            data=data,
            dims=("y", "x", "channel")[: data.ndim],
            unit=self.unit,
            time_ns=time_ns,
            duration_ns=round(picture.duration_s * 1e9),
            clock="header" if known else "arrival",
            clock_sigma_ns=SECOND,
            source_seq=seq,
            context={**picture.context, **self._pixel},
            labels={**picture.labels, "file": found.name, "frame": str(number), "timing": timing or "file"},
        )

    def _nothing(self) -> SourceError:
        """The error of a series without a picture."""
        if self.follow:
            what, remedy = f"no picture came within {self.idle:g} s", "Start earlier, or make idle longer"
        else:
            what, remedy = "there is no picture here", "Check the path"
        if self.plane:
            what += f" of a channel named {self.plane!r}"
        if self.skipped:
            what += f"; {len(self.skipped)} files were skipped, {self.skipped[0]} first"
        return SourceError(what, where=self.path, expected=FORMATS, remedy=remedy)


def _no_picture(name: str) -> FormatError:
    return FormatError(
        "this is no picture and no movie that can be read",
        where=name,
        expected=FORMATS,
        remedy='Say which files count, for example --set detector.reader.pattern="*.tif"',
    )
