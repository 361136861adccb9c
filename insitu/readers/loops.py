"""Hysteresis loops and backfield curves from files: one file, a folder or a glob as a series, or a folder that is
followed.

One file is one frame: dims (channel, point), channels `field moment`, the numbers and units of the file. No slope is
taken off and nothing is converted. The label `curve` says what it is, "loop" or "backfield": by what the field does
first, by what the file or its name says second. Formats: `insitu.readers.loop_table`.

`source_seq` counts curves from 0; their time is the file's (clock "arrival"). What is wrong with a file and can be
borne is told once, and stands in the label `warning`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError, FormatError
from insitu.maths.magnetic.backfield import kind_of
from insitu.maths.magnetic.units import FIELDS, MOMENTS
from insitu.readers.file_series import FileSeries, Order
from insitu.readers.follow import State
from insitu.readers.formats import KNOWN_OTHER
from insitu.readers.header import SECOND
from insitu.readers.loop_columns import How
from insitu.readers.loop_table import Curve, decode, hint
from insitu.readers.pattern import Truncated
from insitu.readers.series import Found
from insitu.types import Arrival, Detector, Invalid

FORMATS = "tables of field and moment (.csv, .txt, .dat), Quantum Design .dat, MicroMag text"
_KINDS = r"(?:hyst(?:eresis)?|loop|back[ _-]?field|bf|dcd|vsm|mh|m[ _-]h)"
_PREFIX = re.compile(rf"^{_KINDS}[ _-]+|[ _-]+{_KINDS}$", re.IGNORECASE)

log = logging.getLogger(__name__)


class Loops:
    """A reader of hysteresis loops and backfield curves.

    `path`: a file, a folder, or a glob such as `run7/*.csv`. `pattern`, `order`, `follow`, `idle`, `count`, `sentinel`,
    `settle`, `timezone`: as reader `spectra`. `columns`: {"field" or "moment": number from 1, or title}, where a file
    does not say, or says wrongly. `field_unit`, `moment_unit`: of files that do not tell their units. After a reading,
    `skipped` names files that were no curves, `warnings` what could be borne.
    """

    labels = (
        "file",
        "channels",
        "curve",
        "sample",
        "instrument",
        "appname",
        "sample_material",
        "sample_comment",
        "warning",
    )

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
        timezone: str = "",
        columns: dict[str, int | str] | None = None,
        field_unit: str = "",
        moment_unit: str = "",
        detector: Detector | None = None,
    ) -> None:
        for key, unit, known in (("field_unit", field_unit, FIELDS), ("moment_unit", moment_unit, MOMENTS)):
            if unit and unit not in known:
                raise ConfigError(f"{unit!r} is no such unit", where=key, expected=", ".join(known))
        wrong = set(columns or {}) - {"field", "moment"}
        if wrong:
            raise ConfigError(f"{min(wrong)!r} is no column", where="columns", expected="field, moment")
        if order == "time":
            raise ConfigError("loops carry no time in their head", where="order", expected='"natural"')
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
            other=KNOWN_OTHER,
            state=self._state,
            start=_no_time,
        )
        self.count = count
        self.source = detector.source if detector else "vsm"
        self._how = {"columns": dict(columns or {}), "field_unit": field_unit, "moment_unit": moment_unit}
        self._points = 0
        self.skipped: list[str] = []
        self.warnings: list[str] = []

    @property
    def changed(self) -> list[str]:
        """Files that were still written to after they had been read."""
        return self._series.changed

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        self.skipped, self.warnings, self._points, seq = [], [], 0, 0
        alone = self._series.alone
        with closing(self._series.files()) as files:
            for found in files:
                item = None if found is None else self._item(found, alone, seq)
                yield item
                if item is not None:
                    seq += 1
                    if seq == self.count:
                        return
        if seq == 0:
            raise self._series.nothing("hysteresis loop or backfield curve", FORMATS, self.skipped)

    def _item(self, found: Found, alone: bool, seq: int) -> Arrival | Invalid | None:
        """The curve of one file; an `Invalid` for one that cannot be read; None for one that is skipped."""
        name = self._series.path if alone else found.name
        try:
            if found.problem:
                raise FormatError(found.problem, where=name, remedy="Check its permissions and its size")
            return self._arrival(found, seq, decode(found.data, How(name=name, **self._how)))
        except FormatError as error:
            if alone:
                raise
            if not self._series.pattern and not found.problem and _no_table(found.data):
                self.skipped.append(found.name)
                log.warning("skipped %s", error)
                return None
            return Invalid(source=self.source, reason=str(error), payload=found.data, name=found.name, source_seq=seq)

    def _arrival(self, found: Found, seq: int, curve: Curve) -> Arrival:
        data = np.stack([curve.field, curve.moment])
        data.flags.writeable = False
        self._points = data.shape[1]
        stem = Path(found.name).stem
        labels = {
            **curve.labels,
            "file": found.name,
            "channels": "field moment",
            "sample": _PREFIX.sub("", stem) or stem,
        }
        labels["curve"] = kind_of(curve.field, curve.moment, curve.hint or hint(stem))
        if curve.warnings:
            labels["warning"] = "; ".join(curve.warnings)[:400]
            for text in curve.warnings:
                if text not in self.warnings:
                    self.warnings.append(text)
                    log.warning("%s: %s", found.name, text)
        return Arrival(
            source=self.source,
            data=data,
            dims=("channel", "point"),
            unit=curve.units,
            time_ns=found.mtime_ns,
            clock="arrival",
            clock_sigma_ns=SECOND,
            source_seq=seq,
            context=curve.context,
            labels=labels,
        )

    def _state(self, found: Found) -> State:
        """Whether a file that is being followed is whole: a table does not say where it ends."""
        try:
            curve = decode(found.data, How(name=found.name, **self._how))
        except Truncated:
            return "incomplete"
        except FormatError:
            return "complete"  # broken, and waiting does not mend it
        if curve.whole:
            return "complete"
        ended = found.data.endswith((b"\n", b"\r"))
        return "complete" if ended and curve.field.size == self._points else "unsure"


def _no_table(data: bytes) -> bool:
    """Whether a file is something else altogether: no line of it holds two numbers."""
    return (
        b"\0" in data[:4096]
        or re.search(rb"(?m)^[\s\"]*[-+]?\.?\d[\d.eEdD+-]*[\s,;]+[\s,]*[-+]?\.?\d", data[:65536]) is None
    )


def _no_time(path: Path, timezone: str) -> None:
    """Loops carry no time in their head."""
    del path, timezone
