"""What an HDF5 file says about its images: exposure, times, wavelength, distance, pixels to ignore, motors.

Sources: NeXus NXdetector, NXbeam, NXsample; Dectris' Eiger file format; areaDetector's NDFileHDF5 attributes (times
there count from 1990).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from insitu import units
from insitu.errors import UnitError
from insitu.readers.header import SECOND, Header, read_time, zone
from insitu.readers.image_find import EIGER, Part, class_of, get, is_images, text_of
from insitu.readers.image_headers import UNITS, finished, in_units, plain
from insitu.readers.image_layout import MOST_FRAMES
from insitu.types import KEY, Feature

EPICS_S = 631_152_000
"""1990-01-01 UTC in seconds since 1970: where EPICS counts from."""
MOST_COLUMNS = 32
"""How many numbers for each frame (motors, monitors) are taken."""
_DETECTOR = {
    "distance": (("detector_distance", "distance"), "m"),
    "pixel_size_x": (("x_pixel_size",), "m"),
    "pixel_size_y": (("y_pixel_size",), "m"),
    "exposure_s": (("count_time", "exposure_time", "acq_expo_time"), "s"),
    "period": (("frame_time", "frame_period"), "s"),
    "wavelength": (("wavelength", "incident_wavelength"), "angstrom"),
    "energy": (("photon_energy",), "eV"),
}
_BEAM = {
    "wavelength": (("incident_wavelength", "wavelength"), "angstrom"),
    "energy": (("incident_energy", "energy"), ""),
}
_TIMES = ("NDArrayTimeStamp", "timestamp", "timestamps", "time_stamp", "epoch", "frame_epoch", "start_timestamp")


class About(NamedTuple):
    """What a file says: of all frames (`head`, `period_s` from start to start, expected number of frames), and of each:
    `times` ns, `columns` {context name: (values, unit)}; a pixel mask (True = ignore), and whether the
    largest number of a type of 8 or 16 bits marks a pixel."""

    head: Header
    period_s: float
    expected: int | None
    times: np.ndarray | None
    columns: dict[str, tuple[np.ndarray, str]]
    mask: np.ndarray | None
    marked: bool


def about(file: Any, part: Part, frames: int, timezone: str) -> About:
    """What a file says about the images of a part (all parts of it); `frames`: how many there are by now."""
    entry = part.path.strip("/").split("/")[0]
    groups = _detector_groups(file, part.path, entry)
    head = Header()
    for group in groups:
        _take(head, group, _DETECTOR)
    for path in ("instrument/beam", "instrument/monochromator", "instrument/source", "sample/beam", "beam"):
        _take(head, get(file, f"{entry}/{path}"), _BEAM)
    _take(head, get(file, f"{entry}/sample"), {"temperature": (("temperature",), "")})
    for label, path in (("sample", f"{entry}/sample/name"), ("title", f"{entry}/title")):
        text = text_of(_scalar(get(file, path)))
        if text and text.isprintable() and "@" not in text and "/" not in text:
            head.labels[label] = text[:200]
    starts = [f"{entry}/start_time", *(f"{g.name}/detectorSpecific/data_collection_date" for g in groups)]
    for path in starts:
        if head.time_ns is None and (found := read_time(text_of(_scalar(get(file, path))), zone(timezone))):
            head.time_ns, head.clock_sigma_ns = found
    period = head.context.get("period") or head.context.get("exposure_s")
    columns = dict(_columns(file, part.path, entry, frames))
    found = (_times(values, name) for name, values in _time_columns(file, part.path, entry, frames))
    times = next((t for t in found if t is not None), None)
    described = " ".join(text_of(_scalar(get(g, "description"))) for g in groups).lower()
    marked = any(word in described for word in ("eiger", "lambda", "dectris", "x-spectrum", "pilatus"))
    return About(
        head=finished(head),
        period_s=float(period.value) if period is not None and period.value is not None else 0.0,
        expected=_expected(groups),
        times=times,
        columns=columns,
        mask=_pixel_mask(groups),
        marked=marked or bool(EIGER.fullmatch(part.path.rpartition("/")[2])),
    )


def _detector_groups(file: Any, path: str, entry: str) -> list[Any]:
    """Groups that describe the detector: the one that holds the images first."""
    parents = [path.rpartition("/")[0]]
    instrument = get(file, f"{entry}/instrument")
    names = list(instrument.keys())[:200] if instrument is not None and hasattr(instrument, "keys") else []
    classed = [n for n in names if class_of(get(instrument, n)) == "NXdetector"]
    parents += [f"{entry}/instrument/{n}" for n in ("detector", *(classed if len(classed) == 1 else ()))]
    parents += [f"{parent}/{below}" for parent in parents for below in ("acquisition", "acq_parameters")]
    found = [get(file, p) for p in dict.fromkeys(parents)]
    return [g for g in found if g is not None and hasattr(g, "keys")]


def _take(head: Header, group: Any, table: dict[str, tuple[tuple[str, ...], str]]) -> None:
    for target, (names, unit) in table.items():
        for name in names if group is not None and hasattr(group, "keys") else ():
            item = get(group, name)
            value = _scalar(item)
            if target in head.context or not isinstance(value, (int, float, np.integer, np.floating)):
                continue
            feature = in_units(float(value), text_of(item.attrs.get("units")) or unit, target)
            if feature is not None:
                head.context[target] = feature


def _scalar(item: Any) -> Any:
    """The only value of a small dataset, or None."""
    if item is None or getattr(item, "size", 0) != 1 or item.dtype.itemsize > 4096:
        return None
    try:
        value = item[()]
    except (OSError, ValueError, TypeError):
        return None
    return value.reshape(-1)[0] if isinstance(value, np.ndarray) else value


def _column(item: Any, frames: int) -> np.ndarray | None:
    """A number for each frame, float64 `(n,)`; None where it is none, or where less are there than frames."""
    shape = getattr(item, "shape", None)
    if not shape or len(shape) != 1 or not frames <= shape[0] <= MOST_FRAMES or item.dtype.kind not in "iuf":
        return None
    try:
        values = item[:]
    except (OSError, ValueError):
        return None
    return values


def _places(file: Any, path: str, entry: str) -> Iterator[Any]:
    """Groups in which numbers for each frame may stand."""
    parent = path.rpartition("/")[0]
    for place in dict.fromkeys((parent, f"{entry}/instrument/NDAttributes", f"{entry}/measurement", f"{entry}/data")):
        group = get(file, place)
        if group is not None and hasattr(group, "keys"):
            yield group


def _columns(file: Any, path: str, entry: str, frames: int) -> Iterator[tuple[str, tuple[np.ndarray, str]]]:
    """Numbers with a unit for each frame: motors, monitors, temperatures."""
    count = 0
    temperature = get(file, f"{entry}/sample/temperature")
    candidates = [("temperature", temperature)] if temperature is not None else []
    if frames > 1:
        candidates += [(k, get(g, k)) for g in _places(file, path, entry) for k in list(g.keys())[:500]]
    for name, item in candidates:
        key, unit = plain(name).strip("_"), text_of(item.attrs.get("units")) if item is not None else ""
        if count >= MOST_COLUMNS or not KEY.fullmatch(key) or not unit or (values := _column(item, frames)) is None:
            continue
        try:
            units.check_unit(unit)
        except UnitError:
            continue
        count += 1
        yield key, (values, unit)


def _time_columns(file: Any, path: str, entry: str, frames: int) -> Iterator[tuple[str, np.ndarray]]:
    for group in _places(file, path, entry):
        for name in _TIMES:
            if (values := _column(get(group, name), frames)) is not None:
                yield name, values


def _times(values: np.ndarray, name: str) -> np.ndarray | None:
    """Times in ns since 1970 UTC, int64 `(n,)`, from seconds, ms, us or ns; None where they are no such times."""
    if not len(values) or not np.isfinite(values).all():
        return None
    first = float(values[0])
    if name == "NDArrayTimeStamp" and 0 < first < 2e9:
        return ((values.astype(np.float64) + EPICS_S) * SECOND).astype(np.int64)
    for scale, factor in ((1.0, SECOND), (1e3, 10**6), (1e6, 10**3), (1e9, 1)):
        if 5e8 * scale < first < 4e9 * scale:
            whole = values.dtype.kind in "iu"
            return values.astype(np.int64) * factor if whole else (values.astype(np.float64) * factor).astype(np.int64)
    return None


def _expected(groups: list[Any]) -> int | None:
    """How many frames the detector was set to take."""
    for group in groups:
        counts = [_scalar(get(group, f"detectorSpecific/{name}")) for name in ("nimages", "ntrigger")]
        if isinstance(counts[0], (int, np.integer)):
            total = int(counts[0]) * (int(counts[1]) if isinstance(counts[1], (int, np.integer)) else 1)
            if 0 < total <= MOST_FRAMES:
                return total
    return None


def _pixel_mask(groups: list[Any]) -> np.ndarray | None:
    """Pixels that the file says to ignore (NXdetector pixel_mask, not 0), bool `(y, x)`."""
    for group in groups:
        for name in ("pixel_mask", "detectorSpecific/pixel_mask"):
            item = get(group, name)
            if is_images(item, 1) and len(item.shape) == 2 and item.size * item.dtype.itemsize <= 2**29:
                try:
                    mask = item[:] != 0
                except (OSError, ValueError):
                    continue
                return mask if mask.any() else None
    return None


def at_frame(known: About, number: int) -> Header:
    """What is known of one frame: the file's words, its own numbers, and its time."""
    head = Header(dict(known.head.context), dict(known.head.labels), known.head.time_ns, known.head.clock_sigma_ns)
    head.duration_ns = known.head.duration_ns
    for key, (values, unit) in known.columns.items():
        value = float(values[number]) if number < len(values) else float("nan")
        target = UNITS.get(key)
        if not np.isfinite(value):
            head.context[key] = Feature(None, target or unit, why="the file has no number for this frame")
        elif target:
            head.context[key] = in_units(value, unit, key) or Feature(
                None, target, why=f"the file says {value:g} {unit}"
            )
        else:
            head.context[key] = Feature(value, unit)
    if known.times is not None and number < len(known.times) and known.times[number] > 0:
        head.time_ns, head.clock_sigma_ns = int(known.times[number]), SECOND
    elif head.time_ns is not None:
        head.time_ns += round(number * known.period_s * SECOND)
    return head
