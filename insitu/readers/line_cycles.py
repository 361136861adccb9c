"""Cycles of a machine as arrays: a .npz or HDF5 file with one array `(cycle, sample)` for each channel.

Channels may have different numbers of samples in a cycle. Arrays `(cycle,)` are numbers of the cycles: `cycle` (or
`cycle_number`, `number`) is the machine's own count, `time` (or `timestamp`; seconds since 1970, or numpy dates) when
each began; any other one goes into the context under its name.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import FormatError, MissingExtraError, SourceError
from insitu.readers.header import SECOND
from insitu.readers.timelog import slugged

COUNTS = ("cycle", "cycle_number", "number", "cycle_no")
TIMES = ("time", "timestamp", "start_time", "times")
SUFFIXES = (".npz", ".h5", ".hdf5", ".hdf", ".nxs")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cycles:
    """`channels`: name to `(cycle, sample)`, all of one dtype; `units`, `rates` (Hz) by name where the file tells.
    `numbers` and `times_ns` `(cycle,)` or None; `context`: name to `(cycle,)`."""

    channels: Mapping[str, np.ndarray]
    units: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    numbers: np.ndarray | None = None
    times_ns: np.ndarray | None = None
    context: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.channels.values())))


def read_cycles(path: Path, data: bytes, wanted: tuple[str, ...] = ()) -> Cycles:
    """The cycles of a file that was read whole. `wanted`: channels by name, in order. Raises `FormatError`."""
    where = path.name
    arrays, units, rates = _npz(data, where) if data[:2] == b"PK" else _hdf5(data, where)
    named: dict[str, np.ndarray] = {}
    for title, array in arrays.items():
        name = slugged(title)
        while not name or name in named:
            name = f"{name or 'x'}_"
        named[name] = array
        units, rates = _renamed(units, title, name), _renamed(rates, title, name)
    return _cycles(named, units, rates, tuple(slugged(w) for w in wanted), where)


def _renamed(told: dict[str, Any], title: str, name: str) -> dict[str, Any]:
    return {name if key == title else key: value for key, value in told.items()}


def _npz(data: bytes, where: str) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, float]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            return {key: held[key] for key in held.files}, {}, {}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError, zipfile.LargeZipFile, MemoryError) as error:
        raise _broken(error, where, "an .npz file of numeric arrays") from error
    except Exception as error:
        # zlib.error, struct.error, SyntaxError, TypeError: whatever numpy meets in the header of a broken array
        raise _broken(error, where, "an .npz file of numeric arrays") from error


def _broken(error: Exception, where: str, expected: str) -> FormatError:
    return FormatError(
        f"the file cannot be read ({type(error).__name__}: {error})"[:300],
        where=where,
        expected=expected,
        remedy="Write it again; arrays of Python objects are refused, they could run code",
    )


def _hdf5(data: bytes, where: str) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, float]]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "magnetic", purpose="reading HDF5 files") from error
    arrays: dict[str, np.ndarray] = {}
    units: dict[str, str] = {}
    rates: dict[str, float] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.kind in "iufb":
            key = name.rsplit("/", 1)[-1]
            key = name.replace("/", "_") if key in arrays else key
            arrays[key] = item[()]
            for told in ("unit", "units"):
                if told in item.attrs:
                    text = item.attrs[told]
                    units[key] = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
            for told in ("sample_rate", "sampling_rate", "rate"):
                if told in item.attrs:
                    rates[key] = float(np.asarray(item.attrs[told]).ravel()[0])

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file.visititems(visit)
    except Exception as error:  # h5py raises whatever the library or a filter met in a broken file
        raise _broken(error, where, "an HDF5 file of numeric arrays") from error
    return arrays, units, rates


def _cycles(
    named: dict[str, np.ndarray], units: dict[str, str], rates: dict[str, float], wanted: tuple[str, ...], where: str
) -> Cycles:
    tables = {k: a for k, a in named.items() if a.ndim == 2 and a.dtype.kind in "iufb" and a.size}
    if wanted:
        missing = [name for name in wanted if name not in tables]
        if missing:
            raise FormatError(
                f"there is no channel {missing[0]!r}", where=where, expected=f"some of {', '.join(tables)[:200]}"
            )
        tables = {name: tables[name] for name in wanted}
    if not tables:
        raise FormatError(
            "there is no array (cycle, sample): the arrays are "
            + ", ".join(f"{k} {a.shape}" for k, a in list(named.items())[:8]),
            where=where,
            expected="one array (cycle, sample) for each channel",
            remedy='Long records without cycles are read by use = "waveforms"',
        )
    lengths = {len(a) for a in tables.values()}
    if len(lengths) > 1:
        said = ", ".join(f"{k} {len(a)}" for k, a in tables.items())
        raise FormatError(
            f"the channels have different numbers of cycles: {said}"[:300],
            where=where,
            expected="arrays (cycle, sample) with as many cycles each",
            remedy="Name those that belong together with channels = [...]",
        )
    count = lengths.pop()
    single = {k: a for k, a in named.items() if a.shape == (count,)}
    numbers = _numbers(single, where)
    times = _times(single, where)
    plain = {k: a for k, a in single.items() if a.dtype.kind in "iuf" and k not in (*COUNTS, *TIMES)}
    kind = np.result_type(*tables.values())
    kind = kind if kind.kind in "iuf" else np.dtype(np.uint8)
    kept = {k: np.ascontiguousarray(a, kind.newbyteorder("=")) for k, a in tables.items()}
    good = {k: r for k, r in rates.items() if k in kept and np.isfinite(r) and r > 0}
    return Cycles(
        channels=kept, units={k: u for k, u in units.items() if k in kept}, rates=good, numbers=numbers,
        times_ns=times, context=plain,
    )  # fmt: skip


def _numbers(single: Mapping[str, np.ndarray], where: str) -> np.ndarray | None:
    """The machine's own count of the cycles, (n,) int64."""
    found = next((single[k] for k in COUNTS if k in single), None)
    if found is None:
        return None
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all() or (np.asarray(found, np.float64) % 1).any():
        raise FormatError("the numbers of the cycles are no whole numbers", where=where, expected="1, 2, 3, ...")
    if (np.abs(np.asarray(found, np.float64)) > 2.0**62).any():
        raise FormatError("a number of a cycle is too large", where=where, expected="less than 2^62")
    return found.astype(np.int64)


def _times(single: Mapping[str, np.ndarray], where: str) -> np.ndarray | None:
    """When each cycle began, (n,) int64 ns since 1970 UTC."""
    found = next((single[k] for k in TIMES if k in single), None)
    if found is None:
        return None
    if found.dtype.kind == "M":
        return found.astype("datetime64[ns]").astype(np.int64)
    values = np.asarray(found, np.float64)
    if not np.isfinite(values).all() or (np.abs(values) > 4e9).any():
        raise FormatError("a time of a cycle is no time", where=where, expected="seconds since 1970, or numpy dates")
    return np.round(values * SECOND).astype(np.int64)


def is_cycles(path: Path) -> bool:
    """Whether a file holds arrays: its first bytes say."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    return head[:4] == b"PK\x03\x04" or head == b"\x89HDF\r\n\x1a\n" or path.suffix.lower() in SUFFIXES
