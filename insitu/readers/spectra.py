"""X-ray absorption spectra from files: one file, a folder or a glob as a series, or a folder that is followed.

What a file is, its content says: XDI, an Athena project, or columns as beamlines write them. A frame is what the file
holds: `mu` alone has dims (energy); several channels have dims (channel, energy), one unit each, and their names stand
in the label `channels`, in order. Nothing is computed here but the energy itself (eV; from keV, or from a Bragg angle).

`source_seq` counts spectra from 0. The time is the header's; where it has none, the modification time stands in (clock
"arrival"). What is wrong with a file and can be borne is told once, and stands in the label `warning`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from insitu import units
from insitu.errors import ConfigError, FormatError
from insitu.readers import athena, xafs_columns, xdi
from insitu.readers.file_series import FileSeries, Order
from insitu.readers.follow import State
from insitu.readers.formats import KNOWN_OTHER
from insitu.readers.growth import Grown, whole_lines
from insitu.readers.header import SECOND
from insitu.readers.pattern import Truncated
from insitu.readers.series import Found, read_whole
from insitu.readers.spectrum import How, Spectrum
from insitu.types import Arrival, Axis, Detector, Feature, Invalid

FORMATS = "XDI, Athena projects (.prj), or columns with an energy (.dat, .txt, .xmu, .csv, ...)"
OTHER = (KNOWN_OTHER | {".mpt", ".mpr", ".fio", ".chi"}) - {".prj", ".out", ".inp"}
Decoder = Callable[[bytes, How], list[Spectrum]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Scan:
    """The file that is growing, and when it was first seen: where its header has no time, that is the scan's."""

    name: str = ""
    first_ns: int = 0


class Spectra:
    """A reader of absorption spectra.

    `path`: a file, a folder, or a glob such as `run7/*.xdi`. `pattern`: which names of a folder count. `order`: by
    name or by the time in the header. `follow`: watch the folder for files that appear, until none has for `idle` s, or
    `count` spectra are there, or a file named `sentinel` is; a file is read when it has not changed for `settle` s.
    `timezone`: of header times (default: the detector's). `columns`: {channel: number from 1, or title}, where a file
    does not say, or says wrongly: `{ energy = 1, i0 = 3, itrans = 4 }`. `d_spacing` of the monochromator, where the
    axis is an angle. `grow`: following, files are written point by point: what there is of a scan is given as a
    provisional frame each time, points in the order in which they were taken; the scan is over when nothing has been
    written for so long, or the next file has begun. After a reading, `skipped` names files that were no spectra,
    `warnings` what could be borne."""

    labels = (
        "file", "channels", "element", "edge", "sample", "composition", "facility", "beamline", "monochromator",
        "scan_uid", "scan_direction", "comment", "title", "run_number", "outer", "warning",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        order: Order = "natural",
        follow: bool = False,
        idle: Annotated[float, "s"] = 30.0,
        count: int | None = None,
        sentinel: str = "",
        settle: Annotated[float, "s"] = 0.5,
        grow: Annotated[float, "s"] | None = None,
        timezone: str = "",
        columns: dict[str, int | str] | None = None,
        d_spacing: Annotated[float, "angstrom"] | None = None,
        detector: Detector | None = None,
    ) -> None:
        if grow is not None and not (follow and grow > 0):
            raise ConfigError("files grow while they are followed", where="grow", expected="follow = true, and a time")
        if d_spacing is not None and not 0.1 < d_spacing < 100:
            raise ConfigError(f"{d_spacing} angstrom is no d-spacing", where="d_spacing", expected="0.1 to 100")
        self._series = FileSeries(
            path,
            pattern=pattern,
            order=order,
            follow=follow,
            idle=idle,
            count=count,
            sentinel=sentinel,
            settle=settle,
            timezone=timezone or (detector.timezone if detector else "UTC"),
            other=frozenset(OTHER),
            state=self._state,
            start=self._start,
        )
        self.count, self.columns = count, dict(columns or {})
        self.source = detector.source if detector else "xas"
        self._d = d_spacing or _calibrated(detector)
        self._grow, self._scan = grow, _Scan()
        self._axis = np.empty(0)
        self.skipped: list[str] = []
        self.warnings: list[str] = []

    @property
    def changed(self) -> list[str]:
        """Files that were still written to after they had been read."""
        return self._series.changed

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped, self.warnings, self._axis, seq = [], [], np.empty(0), 0
        alone = self._series.alone
        with closing(self._read(alone)) as items:
            for item in items:
                yield item
                if item is not None and not (isinstance(item, Arrival) and item.provisional):
                    seq += 1
                    if seq == self.count:
                        return
        if seq == 0:
            raise self._series.nothing("absorption spectrum", FORMATS, self.skipped)

    def _read(self, alone: bool) -> Generator[Arrival | Invalid | None]:
        """All files in order: whole ones, or those that grow."""
        seq = 0
        if self._grow is None:
            with closing(self._series.files()) as files:
                for found in files:
                    for item in (None,) if found is None else self._items(found, alone, seq):
                        yield item
                        seq += item is not None
            return
        with closing(self._series.growing(self._grow)) as growing:
            for grown in growing:
                item = None if grown is None else self._grown(grown, seq)
                yield item
                seq += isinstance(item, Invalid) or (isinstance(item, Arrival) and not item.provisional)

    def _grown(self, grown: Grown, seq: int) -> Arrival | Invalid | None:
        """What there is of a scan: all that can be read of its file. An `Invalid` if that is nothing to the end."""
        found = whole_lines(grown.found)
        try:
            if found.problem:
                raise FormatError(found.problem, where=found.name, remedy="Check its permissions and its size")
            spectrum = decoder(found)(found.data, replace(self._how(found.name), as_taken=True))[-1]
        except FormatError as error:
            if not grown.over:
                return None  # its first points are still to come
            return Invalid(
                source=self.source, reason=str(error), payload=found.data, name=found.name, source_seq=seq
            )  # fmt: skip
        if self._scan.name != found.name:
            self._scan = _Scan(found.name, found.mtime_ns)
        arrival = self._arrival(replace(found, mtime_ns=self._scan.first_ns), seq, spectrum, None)
        return arrival if grown.over else replace(arrival, complete=False, provisional=True)

    def _items(self, found: Found, alone: bool, seq: int) -> Iterator[Arrival | Invalid | None]:
        """The spectra of one file; an `Invalid` for one that cannot be read; None for one that is skipped."""
        name = self._series.path if alone else found.name
        try:
            if found.problem:
                raise FormatError(found.problem, where=name, remedy="Check its permissions and its size")
            spectra = decoder(found)(found.data, self._how(name))
        except FormatError as error:
            if alone:
                raise
            if not self._series.pattern and not found.problem and no_table(found):
                self.skipped.append(found.name)
                log.warning("skipped %s", error)
                yield None
                return
            yield Invalid(source=self.source, reason=str(error), payload=found.data, name=found.name, source_seq=seq)
            return
        for i, spectrum in enumerate(spectra):
            yield self._arrival(found, seq + i, spectrum, i if len(spectra) > 1 else None)

    def _how(self, name: str) -> How:
        return How(name=name, timezone=self._series.timezone, d_spacing=self._d, columns=self.columns)

    def _arrival(self, found: Found, seq: int, spectrum: Spectrum, part: int | None) -> Arrival:
        values, dims, unit = spectrum.values, ("channel", spectrum.dim), spectrum.units
        labels = {**spectrum.labels, "file": found.name}
        if part is not None:
            labels["scan"] = str(part + 1)
        if spectrum.names == ("mu",) or len(spectrum.names) == 1:
            values, dims, unit = values[0], (spectrum.dim,), spectrum.units[0]
        labels["channels"] = " ".join(spectrum.names)
        if spectrum.warnings:
            labels["warning"] = "; ".join(spectrum.warnings)[:400]
            self._warn(found.name, spectrum.warnings)
        if not np.array_equal(self._axis, spectrum.axis.values):
            self._axis = spectrum.axis.values  # one array for a series
        for array in (values, self._axis):
            array.flags.writeable = False
        timed = spectrum.time_ns is not None
        return Arrival(
            source=self.source,
            data=values,
            dims=dims,
            unit=unit,
            time_ns=spectrum.time_ns if spectrum.time_ns is not None else found.mtime_ns,
            duration_ns=spectrum.duration_ns,
            clock="header" if timed else "arrival",
            clock_sigma_ns=spectrum.clock_sigma_ns if timed else SECOND,
            source_seq=seq,
            axes={spectrum.dim: Axis(self._axis, spectrum.axis.unit)},
            context=spectrum.context,
            labels=labels,
        )

    def _warn(self, name: str, warnings: tuple[str, ...]) -> None:
        """Tell of each kind of warning once in a series."""
        for text in warnings:
            if text not in self.warnings:
                self.warnings.append(text)
                log.warning("%s: %s", name, text)

    def _state(self, found: Found) -> State:
        """Whether a file that is being followed is whole; columns do not say where they end."""
        try:
            spectra = decoder(found)(found.data, self._how(found.name))
        except Truncated:
            return "incomplete"
        except FormatError:
            return "complete"  # broken, and waiting does not mend it
        if athena.looks_like(found.data):
            return "complete"
        ended = found.data.endswith((b"\n", b"\r"))
        return "complete" if ended and np.array_equal(spectra[-1].axis.values, self._axis) else "unsure"

    def _start(self, path: Path, timezone: str) -> int | None:
        """When the first spectrum of a file was begun; None where the file does not say, or cannot be read."""
        found = read_whole(path)
        try:
            return decoder(found)(found.data, self._how(found.name))[0].time_ns
        except FormatError:
            return None


def decoder(found: Found) -> Decoder:
    """What reads a file: its content says, and a name that promises a format must keep it."""
    suffix = found.path.suffix.lower()
    if suffix == ".prj" or athena.looks_like(found.data):
        return athena.decode
    return xdi.decode if suffix == ".xdi" or xdi.looks_like(found.data) else xafs_columns.decode


def no_table(found: Found) -> bool:
    """Whether a file is something else altogether: no suffix of ours, and no table of numbers in it."""
    if found.path.suffix.lower() in (".xdi", ".prj", ".xmu"):
        return False
    try:
        xafs_columns.layout(found.data, found.name)
    except FormatError:
        return True
    return b"\0" in found.data[:4096]


def _calibrated(detector: Detector | None) -> float | None:
    """The d-spacing that the detector file knows, in angstrom."""
    spacing: Feature | None = detector.calibration.get("d_spacing") if detector else None
    if spacing is None or spacing.value is None:
        return None
    return units.convert(float(spacing.value), spacing.unit, "angstrom")
