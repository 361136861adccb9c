"""1-D diffraction patterns from files: one file, a folder or a glob as a series, or a folder that is followed.

What a file is, its content says first (a BANK line: GSAS; a zip with profiles: RASX) and its name second (.xy, .xye,
.chi, .dat: columns). Names that are known to be something else (instrument files, structures, images, notes) are
passed over; others that hold no pattern are skipped and told, unless `pattern` picked them: then they count. A file
that cannot be decoded is an `Invalid` of the series; given alone, it is an error. A file with several scans is as many
frames.

`source_seq` is the position in the series, from 0, counted over all files: numbers in file names may skip without a
frame being lost. The time is the header's; where it has none, the modification time stands in (clock "arrival").
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.file_series import check_series
from insitu.readers.follow import State, follow
from insitu.readers.formats import FORMATS, KNOWN_OTHER, format_of, no_pattern, start_time
from insitu.readers.header import LABELS as HEADER_LABELS
from insitu.readers.header import SECOND, zone
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern, Truncated
from insitu.readers.series import Found, by_time, find, fits, natural_key, read_whole
from insitu.readers.wavelength import Beside, Wavelengths, instrument_beside, value_of
from insitu.types import Arrival, Axis, Detector, Invalid

log = logging.getLogger(__name__)
_SCAN_LABELS = ("scan", "scan_axis", "scan_status", "wavelength_intended", "monochromator", "divergence_slit")
_DONE_LABELS = ("attenuator", "counting_times", "unit_in_file", "counts_in_file")


class Patterns:
    """A reader of 1-D patterns.

    `path`: a file, a folder, or a glob such as `run7/*.xy`. `pattern`: which names of a folder count, such as `*.txt`.
    `order`: by name (`OH_9` before `OH_10`) or by the time in the header. `follow`: watch the folder for files that
    appear, until none has for `idle` s, or `count` frames are there, or a file named `sentinel` is; a file is read
    when it has not changed for `settle` s. `timezone`: of header times (default: the detector's). `x_unit`: of the
    first column, where the file must not be believed. After a reading, `skipped` names the files and scans that were no
    patterns, `contradictions` says where headers contradict the detector file (which wins), and `changed` names files
    that were still written to after they had been read.
    """

    labels = ("file", "instrument_file", "scan_direction", "axis_in_file", *HEADER_LABELS, *_SCAN_LABELS, *_DONE_LABELS)

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        order: Literal["natural", "time"] = "natural",
        follow: bool = False,
        idle: Annotated[float, "s"] = 30.0,
        count: int | None = None,
        sentinel: str = "",
        settle: Annotated[float, "s"] = 0.5,
        timezone: str = "",
        x_unit: Literal["", "deg", "centideg", "rad", "1/angstrom", "1/nm"] = "",
        detector: Detector | None = None,
    ) -> None:
        check_series(path, pattern, sentinel, idle, settle, count)
        if follow and Path(path).expanduser().is_file():
            raise ConfigError("a file cannot be followed", where="follow", expected="a folder", remedy="Drop follow")
        self.path, self.pattern, self.order, self.follow = str(path), pattern, order, follow
        self.idle, self.count, self.sentinel, self.settle = float(idle), count, sentinel, float(settle)
        self.timezone = timezone or (detector.timezone if detector else "UTC")
        zone(self.timezone)
        self.x_unit: str = x_unit
        self.source, self.unit = (detector.source, detector.unit) if detector else ("det", "counts")
        self._dtype = np.dtype(detector.dtype) if detector and detector.dtype else None
        self._wavelengths = Wavelengths(detector)
        self._axis = np.empty(0)
        self.skipped: list[str] = []
        self.changed: list[str] = []

    @property
    def contradictions(self) -> list[str]:
        """What headers say otherwise than the detector file, one sentence each."""
        return self._wavelengths.contradictions

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped, self.changed, self._axis = [], [], np.empty(0)
        alone = Path(self.path).expanduser().is_file()
        seq = 0
        with closing(self._followed() if self.follow else self._listed()) as files:
            for found in files:
                for part in (None,) if found is None else self._parts(found, alone):
                    if part is None or found is None:
                        yield None
                        continue
                    yield (
                        self._arrival(found, seq, part)
                        if isinstance(part, Pattern)
                        else self._invalid(found, seq, part)
                    )
                    seq += 1
                    if seq == self.count:
                        return
        if seq == 0:
            raise self._nothing()

    def _listed(self) -> Generator[Found | None]:
        """The files that are there."""
        files = find(self.path, self.pattern)
        if len(files) != 1 or files[0] != Path(self.path).expanduser():
            files = [p for p in files if self._candidate(p.name)]
        self._wavelengths.begin({p.parent for p in files})
        if self.order == "time":
            for step in by_time(files, self.timezone, start_time):
                if step is None:
                    yield None
                else:
                    files = step
        for path in files:
            yield read_whole(path)

    def _followed(self) -> Generator[Found | None]:
        """The files that are there, and those that come."""
        folder, pattern = Path(self.path).expanduser(), self.pattern
        if not folder.is_dir() and glob.has_magic(folder.name):
            folder, pattern = folder.parent, pattern or folder.name
        self._wavelengths.begin({folder})
        return follow(
            folder,
            lambda name: fits(name, pattern) and self._candidate(name),
            self._state,
            self._ordered,
            idle=self.idle,
            settle=self.settle,
            sentinel=self.sentinel,
            changed=self.changed,
        )

    def _ordered(self, files: list[Path]) -> list[Path]:
        files = sorted(files, key=natural_key)
        if self.order == "time" and len(files) > 1:
            return next(step for step in by_time(files, self.timezone, start_time) if step is not None)
        return files

    def _candidate(self, name: str) -> bool:
        """Whether a name may be a pattern's; one that `pattern` picked always may."""
        return name != self.sentinel and (bool(self.pattern) or Path(name).suffix.lower() not in KNOWN_OTHER)

    def _state(self, found: Found) -> State:
        """Whether a file that is being followed is whole: its format says so, or it is as long as the one before."""
        decode = format_of(found.path, found.data, picked=bool(self.pattern))
        if decode is None:
            return "incomplete"  # perhaps only a header yet; what stays no pattern is skipped at the end
        whole, ended = True, found.data.endswith((b"\n", b"\r"))
        try:
            for part in decode(found.data, self._how(found, None, found.name)):
                if isinstance(part, Pattern) and not part.whole:
                    whole = whole and ended and np.array_equal(part.two_theta, self._axis)
        except Truncated:
            return "incomplete"
        except FormatError:
            return "complete"  # broken, and waiting does not mend it
        return "complete" if whole else "unsure"

    def _how(self, found: Found, wavelength: float | None, name: str) -> How:
        return How(
            name=name,
            timezone=self.timezone,
            unit=self.unit,
            x_unit=self.x_unit,
            calibrated=self._wavelengths.calibrated,
            wavelength=wavelength,
        )

    def _parts(self, found: Found, alone: bool) -> Iterator[Pattern | BadScan | None]:
        """The patterns of a file and what cannot be read of it, in order; None for what is skipped and told."""
        name = self.path if alone else found.name
        decode = None if found.problem else format_of(found.path, found.data, picked=alone or bool(self.pattern))
        beside = instrument_beside(found.path, self._wavelengths.only)
        how = self._how(found, value_of(beside[1].get("wavelength")), name)
        given, held = False, None  # `held`: a bad scan of a file given alone; it is an error where nothing follows
        try:
            if found.problem:
                raise FormatError(found.problem, where=name, remedy="Check its permissions and its size")
            if decode is None:
                raise no_pattern(found.path, name)
            for part in decode(found.data, how):
                if isinstance(part, NoPattern):
                    yield self._skip(part)
                    continue
                part = self._completed(part, found, beside, name) if isinstance(part, Pattern) else part
                if alone and not given and held is None and isinstance(part, BadScan):
                    held = part
                    continue
                if held is not None:
                    yield held
                given, held = True, None
                yield part
            if held is not None:
                raise held.error
        except FormatError as error:
            if alone and not given:
                raise
            if isinstance(error, NoPattern) or (decode is None and not found.problem):
                yield self._skip(error)
            else:
                yield BadScan(error, found.data)

    def _skip(self, error: FormatError) -> None:
        self.skipped.append(str(error.where))
        log.warning("skipped %s", error)

    def _completed(self, part: Pattern, found: Found, beside: Beside, name: str) -> Pattern | BadScan:
        """A pattern with the wavelength that counts, in the type that the detector file promises."""
        try:
            intensity = self._converted(part.intensity, name)
        except FormatError as error:
            return BadScan(error, found.data)
        context, labels = self._wavelengths.resolved(part.context, found.name, beside)
        labels = {**part.labels, **labels, "file": found.name}
        return replace(part, intensity=intensity, context=context, labels=labels)

    def _invalid(self, found: Found, seq: int, part: BadScan) -> Invalid:
        return Invalid(
            source=self.source, reason=str(part.error), payload=part.payload, name=found.name, source_seq=seq
        )

    def _converted(self, intensity: np.ndarray, name: str) -> np.ndarray:
        """Intensities in the type that the detector file promises, if it promises one that holds them."""
        if self._dtype is None or intensity.dtype == self._dtype:
            return intensity
        with np.errstate(all="ignore"):
            converted = intensity.astype(self._dtype)
        if self._dtype.kind in "iu" and not np.array_equal(converted, intensity):
            raise FormatError(
                f"the intensities do not fit {self._dtype}",
                where=name,
                expected=f'dtype = "{self._dtype}", as the detector file says',
                remedy='Leave dtype out of the detector file, or set dtype = "float64"',
            )
        return converted

    def _arrival(self, found: Found, seq: int, pattern: Pattern) -> Arrival:
        if not np.array_equal(self._axis, pattern.two_theta):
            self._axis = pattern.two_theta  # one array for a series
        two_theta = self._axis
        for array in (two_theta, pattern.intensity, pattern.sigma):
            if array is not None:
                array.flags.writeable = False
        timed = pattern.time_ns is not None
        return Arrival(
            source=self.source,
            data=pattern.intensity,
            dims=("two_theta",),
            unit=pattern.unit,
            time_ns=pattern.time_ns if pattern.time_ns is not None else found.mtime_ns,
            duration_ns=pattern.duration_ns,
            clock="header" if timed else "arrival",
            clock_sigma_ns=pattern.clock_sigma_ns if timed else max(SECOND, pattern.duration_ns),
            source_seq=seq,
            sigma=pattern.sigma,
            axes={"two_theta": Axis(two_theta, "deg")},
            context=pattern.context,
            labels=pattern.labels,
        )

    def _nothing(self) -> SourceError:
        """The error of a series without a pattern."""
        if self.follow:
            what, remedy = f"no pattern came within {self.idle:g} s", "Start the scan earlier, or make idle longer"
        else:
            what, remedy = "there is no pattern here", "Check the path"
            folder = Path(self.path).expanduser()
            if folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir()):
                remedy += f", or take those of the folders in it: --input '{folder}/*/*.xy'"
        if self.skipped:
            what += f"; {len(self.skipped)} files were skipped, {self.skipped[0]} first"
        return SourceError(what, where=self.path, expected=FORMATS, remedy=remedy)
