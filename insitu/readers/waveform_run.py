"""The recording that is being cut: its channels, its time, the files that it is made of, the frames that it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from insitu.errors import FormatError
from insitu.readers.header import SECOND
from insitu.readers.waveform_channels import Chosen
from insitu.readers.waveform_track import LARGEST, Recording
from insitu.readers.waveform_windows import TooLarge, Window, Windows
from insitu.types import Arrival, Feature

_MOST_FILES = 64
"""How many files of a recording are remembered: windows are only cut from the last ones."""


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """One recording. `number`: from 1; `start_ns`: of its first sample, from a header where `timed`; `files`: (number
    of its first sample, name, what tells the line of a sample) of each."""

    number: int
    chosen: Chosen
    windows: Windows
    start_ns: int
    sigma_ns: int
    timed: bool
    warnings: tuple[str, ...] = ()
    files: list[tuple[int, str, Callable[[int], int] | None]] = field(default_factory=list)

    def add(self, name: str, recording: Recording) -> None:
        """Another file goes on here."""
        self.files.append((self.windows.samples, name, recording.line_of))
        del self.files[:-_MOST_FILES]

    def at(self, sample: int) -> int:
        """The time of a sample, in ns; that of the beginning where the rate is not known."""
        if not self.chosen.rate:
            return self.start_ns
        top, bottom = self.chosen.rate.as_integer_ratio()  # exact: a float would round after some days
        return self.start_ns + (2 * sample * SECOND * bottom + top) // (2 * top)

    def off(self, recording: Recording) -> int | None:
        """By how many ns a file begins after this one ends; None where times or rate are not known."""
        if not self.timed or recording.start_ns is None or self.chosen.rate is None:
            return None
        return recording.start_ns - self.at(self.windows.samples)

    def broken(self, window: Window) -> FormatError | None:
        """What is wrong with a window that holds something else than finite numbers."""
        if window.data.dtype.kind != "f" or np.isfinite(window.data).all():
            return None
        row, at = (int(i) for i in np.argwhere(~np.isfinite(window.data))[0])
        first, name, line_of = self._file(window.first + at)
        place = window.first + at - first
        return FormatError(
            f"sample {place} of channel {self.chosen.names[row]} is {window.data[row, at]}",
            where=f"{name}:{line_of(place)}" if line_of else name,
            expected="finite numbers",
            remedy="The frame that holds it is left out; smaller windows lose less",
        )

    def name(self, window: Window) -> str:
        """The file in which a window begins."""
        return self._file(window.first)[1]

    def arrival(self, window: Window, source: str, seq: int) -> Arrival:
        """A window as a frame."""
        chosen, single = self.chosen, len(self.chosen.names) == 1
        last = window.first + window.data.shape[1]
        labels = {
            "channels": " ".join(chosen.names),
            "file": self.name(window),
            "recording": str(self.number),
            "timing": "header" if self.timed else "file",
        }
        if chosen.rate is not None:
            labels["rate"] = chosen.rate_from
        if not window.whole:
            labels["window"] = "short"
        if self.warnings:
            labels["warning"] = "; ".join(self.warnings)[:400]
        return Arrival(
            source=source,
            data=window.data[0] if single else window.data,
            dims=("sample",) if single else ("channel", "sample"),
            unit=chosen.units[0] if len(set(chosen.units)) == 1 else chosen.units,
            time_ns=self.at(window.first),
            duration_ns=self.at(last) - self.at(window.first),
            clock="header" if self.timed else "arrival",
            clock_sigma_ns=self.sigma_ns,
            source_seq=seq,
            mask=window.mask[0] if single and window.mask is not None else window.mask,
            context={"first_sample": Feature(window.first), **_rates(chosen)},
            labels=labels,
        )

    def _file(self, sample: int) -> tuple[int, str, Callable[[int], int] | None]:
        return next((f for f in reversed(self.files) if f[0] <= sample), self.files[0])


def begin(
    number: int, chosen: Chosen, recording: Recording, mtime_ns: int, window: Feature | None, overlap: Feature | None,
    where: str,
) -> Run:  # fmt: skip
    """A recording that begins with a file."""
    size = _samples(window, chosen.rate, "window", where)
    shared = _samples(overlap, chosen.rate, "overlap", where) or 0
    if size is not None and shared >= size:
        raise FormatError(
            f"windows of {size} samples cannot overlap by {shared}",
            where=where,
            expected=f"less than {size}",
            remedy="Make overlap smaller, or window larger",
        )
    known = sum((t.length or 0) * len(t.titles) for t in chosen.tracks) * chosen.dtype.itemsize
    if size is None and known > LARGEST:
        raise too_large(known, where)
    try:
        windows = Windows(
            [t.rows for t in chosen.tracks], chosen.shares, chosen.dtype, window=size, overlap=shared, largest=LARGEST
        )
    except TooLarge as error:
        raise too_large(int(error.args[0]), where) from error
    timed = recording.start_ns is not None
    return Run(
        number=number,
        chosen=chosen,
        windows=windows,
        start_ns=mtime_ns if recording.start_ns is None else recording.start_ns,
        sigma_ns=recording.clock_sigma_ns if timed else SECOND,
        timed=timed,
        warnings=recording.warnings,
    )


def too_large(nbytes: int, where: str) -> FormatError:
    """The error of a frame that would fill the memory."""
    return FormatError(
        f"a frame would hold {nbytes / 2**20:.0f} MiB or more",
        where=where,
        expected=f"at most {LARGEST >> 20} MiB",
        remedy='Cut it into smaller windows, such as window = "1 s", in the detector\'s [reader]',
    )


def _samples(length: Feature | None, rate: float | None, key: str, where: str) -> int | None:
    """A length in samples of the channels with the highest rate."""
    if length is None or length.value is None:
        return None
    if length.unit == "":
        return int(length.value)
    if rate is None:
        raise FormatError(
            f"{key} is a time, and the sample rate is not known",
            where=where,
            expected="a sample rate in the file, or in the detector file",
            remedy=f'Set sample_rate = "..." in the detector\'s [reader], or give {key} as a number of samples',
        )
    samples = round(length.value * rate)
    if samples < 1 and length.value > 0:
        raise FormatError(
            f"{key} is {length.value:g} s, less than one sample at {rate:g} Hz",
            where=where,
            expected=f"at least {1 / rate:g} s",
            remedy=f"Make {key} larger",
        )
    return samples


def _rates(chosen: Chosen) -> dict[str, Feature]:
    """The rates that are known: of all channels, and of each one that has another."""
    if chosen.rate is None:
        return {}
    told = {"sample_rate": Feature(chosen.rate, "Hz")}
    for name, rate in zip(chosen.names, chosen.rates, strict=True):
        if rate is None:
            told[f"rate_{name}"] = Feature(None, "Hz", why="the file does not say the rate of this channel")
        elif rate != chosen.rate:
            told[f"rate_{name}"] = Feature(rate, "Hz")
    return told
