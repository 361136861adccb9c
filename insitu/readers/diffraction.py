"""1-D diffraction patterns from files: one file, a folder or a glob as a series, or a folder that is followed.

What a file is, its content says first (a BANK line: GSAS) and its name second (.xy, .xye, .chi, .dat: columns). Names
that are known to be something else (instrument files, structures, images, notes) are passed over; others that hold no
pattern are skipped and told, unless `pattern` picked them: then they count. A file that cannot be decoded is an
`Invalid` of the series; given alone, it is an error.

`source_seq` is the position in the series, from 0: numbers in file names may skip without a frame being lost. The time
is the header's; where it has none, the modification time stands in (clock "arrival").
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from insitu import units
from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.follow import State, follow
from insitu.readers.formats import FORMATS, KNOWN_OTHER, format_of, no_pattern
from insitu.readers.gsas import instrument_wavelengths
from insitu.readers.header import SECOND, zone
from insitu.readers.pattern import How, Pattern, Truncated
from insitu.readers.series import Found, by_time, find, fits, natural_key, read_whole
from insitu.types import Arrival, Axis, Detector, Feature, Invalid

log = logging.getLogger(__name__)


class Patterns:
    """A reader of 1-D patterns.

    `path`: a file, a folder, or a glob such as `run7/*.xy`. `pattern`: which names of a folder count, such as `*.txt`.
    `order`: by name (`OH_9` before `OH_10`) or by the time in the header. `follow`: watch the folder for files that
    appear, until none has for `idle` s, or `count` frames are there, or a file named `sentinel` is; a file is read
    when it has not changed for `settle` s. `timezone`: of header times (default: the detector's). `x_unit`: of the
    first column, where the file must not be believed. `skipped` says which files were no patterns, and why.
    """

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
        if not str(path):
            raise ConfigError("the path is empty", where="path", expected="a file, a folder or a glob")
        for key, text in (("pattern", pattern), ("sentinel", sentinel)):
            if "/" in text:
                raise ConfigError(f"{text!r} holds a folder", where=key, expected="a file name", remedy="Use path")
        if not idle > 0:
            raise ConfigError(f"{idle} s is no time to wait", where="idle", expected="more than 0 s")
        if not settle >= 0:
            raise ConfigError(f"{settle} s is no time to wait", where="settle", expected="0 s or more")
        if count is not None and count < 1:
            raise ConfigError(f"{count} frames is no series", where="count", expected="1 or more")
        if follow and Path(path).expanduser().is_file():
            raise ConfigError("a file cannot be followed", where="follow", expected="a folder", remedy="Drop follow")
        self.path, self.pattern, self.order, self.follow = str(path), pattern, order, follow
        self.idle, self.count, self.sentinel, self.settle = float(idle), count, sentinel, float(settle)
        self.timezone = timezone or (detector.timezone if detector else "UTC")
        zone(self.timezone)
        self.x_unit: str = x_unit
        self.source, self.unit = (detector.source, detector.unit) if detector else ("det", "counts")
        self._dtype = np.dtype(detector.dtype) if detector and detector.dtype else None
        self._calibrated = _in_angstrom(detector.calibration.get("wavelength")) if detector else None
        self._instrument: Path | None = None
        self.skipped: list[str] = []

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped = []
        alone = Path(self.path).expanduser().is_file()
        seq, axis = 0, np.empty(0)
        with closing(self._followed() if self.follow else self._listed()) as files:
            for found in files:
                item = None if found is None else self._item(found, seq, alone, axis)
                if item is None:
                    yield None
                    continue
                if isinstance(item, Arrival):
                    axis = item.axes["two_theta"].values
                yield item
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
        self._instrument = _only_instrument({p.parent for p in files})
        if self.order == "time":
            for step in by_time(files, self.timezone):
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
        self._instrument = _only_instrument({folder})
        return follow(
            folder,
            lambda name: fits(name, pattern) and self._candidate(name),
            self._state,
            self._ordered,
            idle=self.idle,
            settle=self.settle,
            sentinel=self.sentinel,
        )

    def _ordered(self, files: list[Path]) -> list[Path]:
        files = sorted(files, key=natural_key)
        if self.order == "time" and len(files) > 1:
            return next(step for step in by_time(files, self.timezone) if step is not None)
        return files

    def _candidate(self, name: str) -> bool:
        """Whether a name may be a pattern's; one that `pattern` picked always may."""
        return name != self.sentinel and (bool(self.pattern) or Path(name).suffix.lower() not in KNOWN_OTHER)

    def _state(self, found: Found) -> State:
        """Whether a file that is being followed is whole."""
        how = self._how(found, {}, found.name)
        decode = format_of(found.path, found.data, picked=bool(self.pattern))
        try:
            if decode is None:
                return "incomplete"  # perhaps only a header yet; what stays no pattern is skipped at the end
            decode(found.data, how)
        except Truncated:
            return "incomplete"
        except FormatError:
            return "complete"  # broken, and waiting does not mend it
        return "complete" if found.data.endswith((b"\n", b"\r")) else "unsure"

    def _how(self, found: Found, beside: Mapping[str, Feature], name: str) -> How:
        return How(
            name=name,
            timezone=self.timezone,
            unit=self.unit,
            x_unit=self.x_unit,
            calibrated=_value(self._calibrated),
            wavelength=_value(beside.get("wavelength")),
        )

    def _item(self, found: Found, seq: int, alone: bool, axis: np.ndarray) -> Arrival | Invalid | None:
        """A file as an arrival, as an invalid thing, or as nothing (skipped and told)."""
        instrument, beside = ("", {}) if self._calibrated else _instrument(found.path, self._instrument)
        decode = None if found.problem else format_of(found.path, found.data, picked=alone or bool(self.pattern))
        name = self.path if alone else found.name
        try:
            if found.problem:
                raise FormatError(found.problem, where=name, remedy="Check its permissions and its size")
            if decode is None:
                raise no_pattern(found.path, name)
            pattern = decode(found.data, self._how(found, beside, name))
            intensity = self._converted(pattern.intensity, name)
        except FormatError as error:
            if alone:
                raise
            if decode is None and not found.problem:
                self.skipped.append(found.name)
                log.warning("skipped %s", error)
                return None
            return Invalid(source=self.source, reason=str(error), payload=found.data, name=found.name, source_seq=seq)
        context, labels = dict(pattern.context), {**pattern.labels, "file": found.name}
        if self._calibrated:
            context["wavelength"] = self._calibrated
        elif beside and _value(context.get("wavelength")) is None:
            context.update(beside)
            labels["instrument_file"] = instrument
        return self._arrival(found, seq, replace(pattern, intensity=intensity, context=context, labels=labels), axis)

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

    def _arrival(self, found: Found, seq: int, pattern: Pattern, axis: np.ndarray) -> Arrival:
        two_theta = axis if np.array_equal(axis, pattern.two_theta) else pattern.two_theta  # one array for a series
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


def _value(feature: Feature | None) -> float | None:
    return None if feature is None or feature.value is None else float(feature.value)


def _in_angstrom(wavelength: Feature | None) -> Feature | None:
    """The wavelength that the detector file knows."""
    if wavelength is None or wavelength.value is None:
        return None
    value = units.convert(wavelength.value, wavelength.unit, "angstrom")
    return replace(wavelength, value=value, unit="angstrom")


def _only_instrument(folders: set[Path]) -> Path | None:
    """The GSAS instrument file of a folder, if there is exactly one."""
    if len(folders) != 1 or not (folder := next(iter(folders))).is_dir():
        return None
    files = [p for p in folder.iterdir() if p.suffix.lower() == ".prm"]
    return files[0] if len(files) == 1 else None


def _instrument(path: Path, only: Path | None) -> tuple[str, dict[str, Feature]]:
    """The name and the wavelengths of the instrument file of a pattern: the same stem, else the folder's only one."""
    for candidate in (path.with_suffix(".prm"), path.with_suffix(".PRM"), only):
        if candidate is not None and candidate.is_file():
            data = read_whole(candidate).data
            return candidate.name, instrument_wavelengths(data)
    return "", {}
