"""Area-detector images from files: one file, a folder or a glob as a series, or what is being written while we watch.

What a file is, its first bytes say: image files (`image_files`), one frame or many in each, or HDF5 stacks
(`image_stacks`). A frame has dims (y, x), the detector's own type and row order; flips, masks and dark frames are the
geometry's business. A file that cannot be decoded is an `Invalid` of the series; given alone, it is an error. Frames
that were never written, or whose linked file is missing, leave a gap in `source_seq` that ends in an `Invalid` which
says why: so they are counted as lost.

What headers say about wavelength, distance and pixel size is compared with the detector file (`image_known`):
`contradictions` holds what does not agree, and the detector file wins.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers import image_stacks
from insitu.readers.file_series import check_series
from insitu.readers.follow import State, follow
from insitu.readers.formats import KNOWN_OTHER
from insitu.readers.header import SECOND, zone
from insitu.readers.image_files import FORMATS, PACKED, SUFFIXES, Image, check_structure, images, kind_of, no_image
from insitu.readers.image_growing import grow
from insitu.readers.image_known import known, settled
from insitu.readers.pattern import Truncated
from insitu.readers.series import Found, find, fits, natural_key, read_whole, shown
from insitu.types import Arrival, Detector, Invalid

_MASKS = frozenset((".npy",))
"""Arrays that lie beside images are masks and dark frames: they count only where `pattern` picks them."""

log = logging.getLogger(__name__)


class Images:
    """A reader of images.

    `path`: a file, a folder, or a glob such as `run7/*.tif`. `pattern`: which names of a folder count. `order`: by name
    (`a_9` before `a_10`) or by the time in the header. `dataset`: which one of an HDF5 file. `follow`: watch the folder
    for files that appear, or an HDF5 file that grows (it need not be there yet), until nothing has come for `idle` s,
    or `count` frames are there, or a file named `sentinel` is; a file is read when it has not changed for `settle` s.
    `timezone`: of header times (default: the detector's). After reading, `skipped` says which files were no images,
    and `contradictions` where the headers contradict the detector file.
    """

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        order: Literal["natural", "time"] = "natural",
        dataset: str = "",
        follow: bool = False,
        idle: Annotated[float, "s"] = 30.0,
        count: int | None = None,
        sentinel: str = "",
        settle: Annotated[float, "s"] = 0.5,
        timezone: str = "",
        detector: Detector | None = None,
    ) -> None:
        check_series(path, pattern, sentinel, idle, settle, count)
        self.path, self.pattern, self.order, self.follow = str(path), pattern, order, follow
        self.place, self.dataset = Path(path).expanduser(), dataset
        self._grows = follow and not self.place.is_dir() and self.place.suffix.lower() in image_stacks.SUFFIXES
        if follow and self.place.is_file() and not self._grows:
            raise ConfigError(
                "a file cannot be followed", where="follow", expected="a folder, or an HDF5 file", remedy="Drop follow"
            )
        self.idle, self.count, self.sentinel, self.settle = float(idle), count, sentinel, float(settle)
        self.timezone = timezone or (detector.timezone if detector else "UTC")
        zone(self.timezone)
        self.source, self.unit = (detector.source, detector.unit) if detector else ("det", "counts")
        self._dtype = np.dtype(detector.dtype) if detector and detector.dtype else None
        self._known = known(detector)
        self.skipped: list[str] = []
        self.contradictions: list[str] = []

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped, self.contradictions = [], []
        given = 0
        with closing(self._items()) as items:
            for item in items:
                yield item
                given += item is not None
                if given == self.count:
                    return
        if given == 0:
            raise self._nothing()

    # ---- which files ----

    def _items(self) -> Generator[Arrival | Invalid | None]:
        first = 0
        with closing(self._files()) as files:
            for found in files:
                if found is None:
                    yield None
                    continue
                following = first
                with closing(self._of_file(found, first)) as items:
                    for item in items:
                        yield item
                        if item is not None and item.source_seq is not None:
                            following = item.source_seq + 1
                first = following

    def _files(self) -> Generator[Found | None]:
        """The files that are there, and those that come; their bytes are left where they are."""
        if self._grows:
            yield Found(path=self.place)
        elif self.follow:
            yield from self._followed()
        else:
            yield from self._listed()

    def _listed(self) -> Generator[Found | None]:
        files = find(self.path, self.pattern)
        if files != [self.place]:
            files = image_stacks.without_parts([p for p in files if self._candidate(p.name)])
        if self.order == "time" and len(files) > 1:
            times: list[tuple[int, int]] = []
            for i, path in enumerate(files):
                time_ns = self._time_of(path)
                times.append((time_ns if time_ns is not None else times[-1][0] if times else 0, i))
                yield None
            files = [files[i] for _, i in sorted(times)]
        for path in files:
            try:
                yield Found(path=path, mtime_ns=path.stat().st_mtime_ns)
            except OSError as error:
                yield Found(path=path, problem=f"the file cannot be read: {error.strerror or error}")

    def _followed(self) -> Generator[Found | None]:
        folder, pattern = self.place, self.pattern
        if not folder.is_dir() and glob.has_magic(folder.name):
            folder, pattern = folder.parent, pattern or folder.name
        return follow(
            folder,
            lambda name: fits(name, pattern) and self._candidate(name) and not image_stacks.is_part(folder / name),
            self._state,
            lambda files: sorted(files, key=natural_key),
            idle=self.idle,
            settle=self.settle,
            sentinel=self.sentinel,
        )

    def _candidate(self, name: str) -> bool:
        """Whether a name may be an image's; one that `pattern` picked always may."""
        if name == self.sentinel:
            return False
        if self.pattern:
            return True
        suffixes = [suffix.lower() for suffix in Path(name).suffixes]
        last = suffixes[-2] if suffixes and suffixes[-1] in PACKED and len(suffixes) > 1 else (suffixes or [""])[-1]
        if last in SUFFIXES or last in image_stacks.SUFFIXES:
            return last not in _MASKS
        return last not in KNOWN_OTHER and last not in (".xy", ".xye", ".chi", ".dat", ".fxye", ".txt", ".csv", ".prm")

    def _state(self, found: Found) -> State:
        """Whether a file that is being followed is whole."""
        name = shown(found.path)
        try:
            if kind_of(found.path, found.data[:64]) == "hdf5":
                image_stacks.check_structure(found.path, name, self.dataset)
            else:
                check_structure(found.path, name)
        except Truncated:
            return "incomplete"
        except FormatError:
            return "complete"  # broken, and waiting does not mend it
        return "complete"

    # ---- one file ----

    def _images(self, found: Found) -> Iterator[Image | None]:
        name = self._name(found)
        if self._grows:
            return grow(found.path, name, self.dataset, self.timezone, idle=self.idle, sentinel=self.sentinel)
        with open(found.path, "rb") as file:
            head = file.read(64)
        if kind_of(found.path, head) == "hdf5":
            return image_stacks.stack(found.path, name, dataset=self.dataset, timezone=self.timezone)
        return images(found.path, name, self.timezone)

    def _of_file(self, found: Found, first: int) -> Generator[Arrival | Invalid | None]:
        """The frames of a file, numbered from `first` on."""
        given = 0
        try:
            if found.problem and not found.data:
                raise FormatError(found.problem, where=self._name(found), remedy="Check its permissions")
            for index, image in enumerate(self._images(found)):
                if image is None:
                    yield None
                    continue
                number = image.number if image.number is not None else index
                if image.invalid:
                    log.warning("%s", image.invalid)
                    yield self._invalid(found, first + number, image.invalid, b"")
                else:
                    yield self._arrival(found, image, first + number, number)
                given = number + 1
        except FormatError as error:
            yield self._refused(found, error, first + given, given)
        except OSError as error:
            problem = FormatError(f"the file cannot be read: {error.strerror or error}", where=self._name(found))
            yield self._refused(found, problem, first + given, given)

    def _refused(self, found: Found, error: FormatError, seq: int, given: int) -> Invalid | None:
        """A file that cannot be decoded (further): an error alone, an invalid thing of a series, or skipped."""
        alone = found.path == self.place
        if alone and given == 0:
            raise error
        if given == 0 and not self.pattern and error.what == no_image("").what:
            self.skipped.append(found.name)
            log.warning("skipped %s", error)
            return None
        return self._invalid(found, seq, str(error), b"" if given else read_whole(found.path).data)

    def _invalid(self, found: Found, seq: int, why: str, payload: bytes) -> Invalid:
        return Invalid(source=self.source, reason=why, payload=payload, name=found.name, source_seq=seq)

    def _name(self, found: Found) -> str:
        return self.path if found.path == self.place else found.name

    def _arrival(self, found: Found, image: Image, seq: int, number: int) -> Arrival | Invalid:
        head, where = image.head, f"{self._name(found)}, frame {number}"
        try:
            data = self._converted(image.data, where)
        except FormatError as error:
            return self._invalid(found, seq, str(error), image.data.tobytes())
        for array in (data, image.mask):
            if array is not None:
                array.flags.writeable = False
        timed = head.time_ns is not None
        mtime_ns = found.mtime_ns or found.path.stat().st_mtime_ns
        return Arrival(
            source=self.source,
            data=data,
            dims=("y", "x"),
            unit=self.unit,
            time_ns=head.time_ns if head.time_ns is not None else mtime_ns,
            duration_ns=head.duration_ns,
            clock="header" if timed else "arrival",
            clock_sigma_ns=head.clock_sigma_ns if timed else max(SECOND, head.duration_ns),
            source_seq=seq,
            mask=image.mask,
            context=settled(head.context, self._known, self.contradictions, where),
            labels={**head.labels, "file": found.name, "frame": str(number)},
        )

    def _converted(self, data: np.ndarray, where: str) -> np.ndarray:
        """Pixels in the type that the detector file promises, if it promises one that holds them."""
        if self._dtype is None or data.dtype == self._dtype:
            return data
        with np.errstate(all="ignore"):
            converted = data.astype(self._dtype)
        if not np.array_equal(converted, data):
            raise FormatError(
                f"the pixels are {data.dtype} and do not fit {self._dtype}",
                where=where,
                expected=f'dtype = "{self._dtype}", as the detector file says',
                remedy=f'Leave dtype out of the detector file, or set dtype = "{data.dtype}"',
            )
        return converted

    def _time_of(self, path: Path) -> int | None:
        """The time in the header of a file's first frame."""
        try:
            with closing(self._images(Found(path=path))) as found:  # type: ignore[type-var]
                image = next((image for image in found if image is not None), None)
        except (FormatError, OSError):
            return None  # reading it in its turn will say what is wrong
        return image.head.time_ns if image is not None else None

    def _nothing(self) -> SourceError:
        """The error of a series without an image."""
        if self.follow:
            what, remedy = f"no image came within {self.idle:g} s", "Start the scan earlier, or make idle longer"
        else:
            what, remedy = "there is no image here", "Check the path"
        if self.skipped:
            what += f"; {len(self.skipped)} files were skipped, {self.skipped[0]} first"
        return SourceError(what, where=self.path, expected=FORMATS, remedy=remedy)
