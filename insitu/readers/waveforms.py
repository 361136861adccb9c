"""Waveforms from files: one file, a folder or a glob as a series, or a folder that is followed; cut into windows.

What a file is, its first bytes say: WAV, TDMS, HDF5, .npy, .npz, else text with rows of numbers. A frame has dims
(sample), or (channel, sample), in the type in which the samples are stored; the label `channels` holds their names in
order. The context has `sample_rate` where it is known, and `first_sample`, counted from the beginning of the recording.

A recording is one file; or several that go on where the one before ends: with `continuous`, or where the times in the
files say so. Windows are cut from the whole recording, over the seams between files. The last one is as long as what is
left, and has the label `window` = "short". `source_seq` counts windows. A window with a sample that is no finite number
is an `Invalid`. Where a file is cut off, the samples that it has are given, and an `Invalid` says what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from insitu.errors import FormatError
from insitu.readers.file_series import FileSeries, Order
from insitu.readers.follow import State
from insitu.readers.pattern import Truncated
from insitu.readers.series import Found, by_time, find
from insitu.readers.waveform_channels import Chosen, choose, wanted
from insitu.readers.waveform_open import FORMATS, OTHER, is_other, opener
from insitu.readers.waveform_run import Run, begin, too_large
from insitu.readers.waveform_settings import check_windows, checked_channels, checked_units, length
from insitu.readers.waveform_track import How, Recording
from insitu.readers.waveform_windows import TooLarge, Window
from insitu.types import Arrival, Detector, Feature, Invalid

Item = Callable[[int], Arrival | Invalid]
"""What is given, as a function of its number."""

log = logging.getLogger(__name__)


class Waveforms:
    """A reader of waveforms.

    `path`: a file, a folder, or a glob such as `run7/*.wav`. `pattern`: which names of a folder count. `order`: by name
    or by the time in the file. `window`: a time such as "0.1 s" or a number of samples; without it, a file is a frame.
    `overlap`: what a window shares with the next. `continuous`: whether files go on where the one before ends (default:
    where the times in them say so). `sample_rate`, where the files do not say or are not to be believed. `channels`:
    their names, or {name: number of the column from 1, or title, or dataset}; `channel_units`: {name: unit}. `dataset`:
    of an HDF5 file, a group of a TDMS file, an array of a .npz. `layout`: which side of a table is the channel, where
    its shape does not tell. `follow`: watch the folder for files that appear, until none has for `idle` s, or `count`
    frames are there, or a file named `sentinel` is; a file is read when it has not changed for `settle` s. `timezone`:
    of times in files. After a reading, `skipped` names files that were no waveforms, `warnings` what could be borne.
    """

    labels = ("file", "channels", "recording", "timing", "rate", "window", "warning")

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        order: Order = "natural",
        window: Feature | None = None,
        overlap: Feature | None = None,
        continuous: bool | None = None,
        sample_rate: Annotated[float, "Hz"] | None = None,
        channels: list[str] | dict[str, int | str] | None = None,
        channel_units: dict[str, str] | None = None,
        dataset: str = "",
        layout: Literal["auto", "sample_channel", "channel_sample"] = "auto",
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
            other=frozenset(OTHER),
            state=self._state,
            start=self._start,
        )
        self.window, self.overlap = length(window, "window"), length(overlap, "overlap")
        check_windows(self.window, self.overlap, continuous, sample_rate)
        self.channels, self.channel_units = checked_channels(channels), checked_units(channel_units)
        self.continuous, self.sample_rate, self.count = continuous, sample_rate, count
        self.dataset, self.layout = dataset, layout
        self.source, self.unit = (detector.source, detector.unit) if detector else ("wave", "arb")
        self.skipped: list[str] = []
        self.warnings: list[str] = []
        self._run: Run | None = None
        self._recordings = 0

    @property
    def changed(self) -> list[str]:
        """Files that were still written to after they had been read."""
        return self._series.changed

    def __call__(self) -> Generator[Arrival | Invalid | None]:
        self.skipped, self.warnings, self._run, self._recordings, seq = [], [], None, 0, 0
        with closing(self._items()) as items:
            for item in items:
                if item is None:
                    yield None
                    continue
                yield item(seq)
                seq += 1
                if seq == self.count:
                    return
        if seq == 0:
            raise self._series.nothing("waveform", FORMATS, self.skipped)

    # ---- files ----

    def _items(self) -> Generator[Item | None]:
        given = False
        with closing(self._series.files() if self._series.follow else self._listed()) as files:
            for found in files:
                if found is None:
                    yield None
                    continue
                try:
                    for item in self._of_file(found):
                        given = given or item is not None
                        yield item
                except (FormatError, OSError) as error:
                    told = error if isinstance(error, FormatError) else _unreadable(error, self._name(found))
                    for item in self._end(keep=self.window is not None):
                        given = True
                        yield item
                    if self._series.alone and not given:
                        raise told from error
                    if not self._series.alone and not self._series.pattern and is_other(found.path, told):
                        self.skipped.append(found.name)
                        log.warning("skipped %s", told)
                        continue
                    log.warning("%s", told)
                    yield self._refused(found, told)
        yield from self._end()

    def _listed(self) -> Generator[Found | None]:
        files = find(self._series.path, self._series.pattern)
        if len(files) != 1 or files[0] != Path(self._series.path).expanduser():
            files = [p for p in files if self._series.candidate(p.name)]
        if self._series.order == "time":
            for step in by_time(files, self._series.timezone, self._start):
                if step is None:
                    yield None
                else:
                    files = step
        for path in files:
            try:
                yield Found(path=path, mtime_ns=path.stat().st_mtime_ns)
            except OSError as error:
                yield Found(path=path, problem=f"the file cannot be read: {error.strerror or error}")

    def _of_file(self, found: Found) -> Generator[Item | None]:
        """Windows that are full after a file; what is left waits for the next one, where that may go on."""
        name = self._name(found)
        if found.problem and not found.data:
            raise FormatError(found.problem, where=name, remedy="Check its permissions")
        with opener(found.path, name)(found.path, self._how(name)) as recording:
            chosen = choose(recording, self.channels, self.channel_units, self.unit, self.sample_rate, name)
            self._warn(found.name, recording.warnings)
            if self._run is not None and not self._goes_on(self._run, chosen, recording, found):
                yield from self._end()
            if self._run is None:
                self._recordings += 1
                self._run = begin(self._recordings, chosen, recording, found.mtime_ns, self.window, self.overlap, name)
            run = self._run
            run.add(found.name, recording)
            try:
                for window in run.windows.feed([t.blocks for t in chosen.tracks]):
                    yield None if window is None else self._given(run, window)
            except TooLarge as error:
                raise too_large(int(error.args[0]), name) from error
            if recording.problem is not None:
                raise recording.problem
            if self.window is None or self.continuous is False or not run.windows.even:
                yield from self._end()

    def _goes_on(self, run: Run, chosen: Chosen, recording: Recording, found: Found) -> bool:
        """Whether a file goes on where the recording ends. Where it cannot, though it should, that is told."""
        off = run.off(recording)
        if not run.chosen.like(chosen):
            if self.continuous:
                self._warn(found.name, (f"a new recording begins: {chosen.told()} after {run.chosen.told()}",))
            return False
        if self.continuous is None:
            return off is not None and chosen.rate is not None and abs(off) <= 2e9 / chosen.rate
        if off is not None and abs(off) > 2e9:
            told = f"it begins {off / 1e9:+.3f} s after the end of the file before, and is joined (continuous = true)"
            self._warn(found.name, (told,))
        return True

    def _end(self, keep: bool = True) -> Generator[Item]:
        """What is left of the recording; the next file begins another one."""
        run, self._run = self._run, None
        if run is not None and keep:
            for window in run.windows.rest():
                yield self._given(run, window)

    # ---- what is given ----

    def _given(self, run: Run, window: Window) -> Item:
        error = run.broken(window)
        if error is None:
            return lambda seq: run.arrival(window, self.source, seq)
        if self._series.alone and self.window is None:
            raise error
        log.warning("%s", error)
        return lambda seq: self._invalid(seq, error, window.data.tobytes(), run.name(window))

    def _refused(self, found: Found, error: FormatError) -> Item:
        payload = found.data or _beginning(found.path)
        return lambda seq: self._invalid(seq, error, payload, found.name)

    def _invalid(self, seq: int, error: FormatError, payload: bytes, name: str) -> Invalid:
        return Invalid(source=self.source, reason=str(error), payload=payload, name=name, source_seq=seq)

    # ---- helpers ----

    def _how(self, name: str) -> How:
        return How(
            name=name,
            timezone=self._series.timezone,
            dataset=self.dataset,
            wanted=wanted(self.channels),
            sample_rate=self.sample_rate,
            layout=self.layout,
        )

    def _name(self, found: Found) -> str:
        return self._series.path if self._series.alone else found.name

    def _warn(self, name: str, warnings: tuple[str, ...]) -> None:
        """Tell of each kind of warning once in a series."""
        for text in warnings:
            if text not in self.warnings:
                self.warnings.append(text)
                log.warning("%s: %s", name, text)

    def _state(self, found: Found) -> State:
        """Whether a file that is followed is whole; text, HDF5 and TDMS do not say where they end."""
        try:
            with opener(found.path, found.name)(found.path, self._how(found.name)) as recording:
                if recording.problem is not None:
                    return "incomplete"
                return "complete" if recording.certain else "unsure"
        except Truncated:
            return "incomplete"
        except (FormatError, OSError):
            return "complete"  # broken, and waiting does not mend it

    def _start(self, path: Path, timezone: str) -> int | None:
        """When a recording was begun; None where the file does not say, or cannot be read."""
        try:
            with opener(path, path.name)(path, self._how(path.name)) as recording:
                return recording.start_ns
        except (FormatError, OSError):
            return None  # reading it in its turn will say what is wrong


def _beginning(path: Path) -> bytes:
    """What is kept of a file that cannot be read: all of it, but at most 16 MiB."""
    try:
        with open(path, "rb") as file:
            return file.read(min(path.stat().st_size, 16 << 20))
    except OSError:
        return b""  # it is gone: that is what the reason says


def _unreadable(error: OSError, name: str) -> FormatError:
    return FormatError(f"the file cannot be read: {error.strerror or error}", where=name, remedy="Check its disk")
