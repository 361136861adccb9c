"""Frequency sweeps from files: permeability, impedance, inductance over frequency; one file, a folder, a glob, or a
folder that is followed.

A frame is one sweep: dims (channel, frequency), axis `frequency` in Hz, the label `channels` with names such as
`mu_real mu_imag`, `l r`, `z theta`. A file may hold several, for instance one for each amplitude, which then stands in
the context (`b_peak`). Points without a number are masked. `sweep_text`, `sweep_archive` and `sweep_names` say what can
be read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np

from insitu.errors import FormatError
from insitu.maths.aligned import aligned
from insitu.readers.file_series import FileSeries, Order
from insitu.readers.follow import State
from insitu.readers.formats import KNOWN_OTHER
from insitu.readers.header import SECOND
from insitu.readers.series import Found
from insitu.readers.sweep_archive import from_archive
from insitu.readers.sweep_names import REMEDY, Sweep
from insitu.readers.sweep_text import from_text
from insitu.types import Arrival, Axis, Detector, Feature, Invalid

LARGEST = 50_000_000
ARCHIVE = b"PK\x03\x04"
FORMATS = "tables of numbers over frequency (.csv, .txt, .dat, .npz)"

log = logging.getLogger(__name__)


class Sweeps:
    """A reader of frequency sweeps.

    `path`: a file, a folder, or a glob such as `run7/*.csv`. `pattern`: which names of a folder count. `columns`:
    {channel: number from 1, or title}, where a text file does not say: `{ frequency = 1, mu_real = 2, mu_imag = 3 }`.
    `order`, `follow`, `idle`, `count`, `sentinel`, `settle`, `timezone`: as `patterns`. After a reading, `skipped`
    names files that were no sweeps.
    """

    labels = ("file", "channels")

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        order: Order = "natural",
        columns: dict[str, int | str] | None = None,
        follow: bool = False,
        idle: Annotated[float, "s"] = 30.0,
        count: int | None = None,
        sentinel: str = "",
        settle: Annotated[float, "s"] = 0.5,
        timezone: str = "",
        detector: Detector | None = None,
    ) -> None:
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
            other=frozenset(KNOWN_OTHER - {".npz"}),
            state=self._state,
            start=_no_time,
        )
        self.count, self.columns = count, dict(columns or {})
        self.source = detector.source if detector else "sweep"
        self.skipped: list[str] = []

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped, seq = [], 0
        alone = self._series.alone
        with closing(self._series.files()) as files:
            for found in files:
                for item in (None,) if found is None else self._items(found, alone, seq):
                    yield item
                    if item is not None:
                        seq += 1
                        if seq == self.count:
                            return
        if seq == 0:
            raise self._series.nothing("frequency sweep", FORMATS, self.skipped)

    def _items(self, found: Found, alone: bool, seq: int) -> Iterator[Arrival | Invalid | None]:
        """The sweeps of one file; an `Invalid` for one that cannot be read; None for one that is skipped."""
        name = self._series.path if alone else found.name
        try:
            if found.problem:
                raise FormatError(found.problem, where=name, remedy="Check its permissions and its size")
            sweeps = decode(found.data, name, self.columns)
        except FormatError as error:
            if alone:
                raise
            if not self._series.pattern and not found.problem and b"\0" in found.data[:4096].replace(ARCHIVE, b""):
                self.skipped.append(found.name)
                log.warning("skipped %s", error)
                yield None
                return
            yield Invalid(source=self.source, reason=str(error), payload=found.data, name=found.name, source_seq=seq)
            return
        for i, sweep in enumerate(sweeps):
            yield self._arrival(found, seq + i, sweep)

    def _arrival(self, found: Found, seq: int, sweep: Sweep) -> Arrival:
        missing = ~np.isfinite(sweep.values)
        return Arrival(
            source=self.source,
            data=aligned(np.where(missing, 0.0, sweep.values)),
            dims=("channel", "frequency"),
            unit=sweep.units,
            time_ns=found.mtime_ns,
            clock="arrival",
            clock_sigma_ns=SECOND,
            source_seq=seq,
            mask=aligned(missing) if missing.any() else None,
            axes={"frequency": Axis(aligned(sweep.frequency), "Hz")},
            context={name: Feature(value, unit) for name, (value, unit) in sweep.about.items()},
            labels={"file": found.name, "channels": " ".join(sweep.names)},
        )

    def _state(self, found: Found) -> State:
        """Whether a file that is being followed is whole; a table does not say where it ends."""
        try:
            decode(found.data, found.name, self.columns)
        except FormatError:
            return "unsure"
        return "complete" if found.data[:4] == ARCHIVE else "unsure"


def decode(data: bytes, name: str, columns: Mapping[str, int | str]) -> list[Sweep]:
    """The sweeps of one file. Raises `FormatError` naming it."""
    if len(data) > LARGEST:
        raise FormatError(f"{len(data)} bytes are no table of sweeps", where=name, expected=f"at most {LARGEST}")
    sweeps = from_archive(data, name) if data[:4] == ARCHIVE else from_text(data, name, columns)
    if not sweeps:
        raise FormatError("there is no sweep in it", where=name, expected="frequencies and values", remedy=REMEDY)
    return sweeps


def _no_time(path: Path, timezone: str) -> int | None:
    """Tables of sweeps have no time of their own."""
    return None
