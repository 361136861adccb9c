"""What `insitu doctor` looks at besides the disk: each check gives one finding, with its remedy where one is needed."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from insitu.cli.say import size, span

CLOCK_ERROR_S = 0.1
TIME_ERROR = 5
"""What adjtimex(2) returns where nothing keeps the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`state`: ok, warning (works, but look at it) or failed (do not start a run like this)."""

    name: str
    state: Literal["ok", "warning", "failed"]
    text: str
    remedy: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "state": self.state,
            "text": self.text,
            "remedy": self.remedy,
            "values": dict(self.values),
        }


def standing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def writable(folder: Path) -> Finding:
    """Whether a run folder can be made."""
    there = standing(folder)
    way = folder.absolute().relative_to(there)
    if way.parts and (there / way.parts[0]).exists():
        return Finding(
            name="data root",
            state="failed",
            text=f"{there / way.parts[0]} is a file, no folder",
            remedy="Choose a folder with --data-root",
        )
    if os.access(there, os.W_OK | os.X_OK):
        return Finding(name="data root", state="ok", text=f"{folder.absolute()} can be written")
    return Finding(
        name="data root",
        state="failed",
        text=f"{there} cannot be written by this user",
        remedy="Choose another folder with --data-root, or ask for the right to write here",
    )


def clock() -> Finding:
    """Whether the clock tells a sane time and something keeps it."""
    year, steady = time.gmtime().tm_year, _steady()
    state, error_s = _kept()
    values = {"year": year, "steady": steady, "kept": state, "error_s": error_s}
    if not 2025 <= year <= 2100 or not steady:
        text = f"it says {year}" if steady else "it jumped while it was watched"
        return Finding(
            name="clock", state="failed", text=text, remedy="Set the clock: times of frames rely on it", values=values
        )
    if state is False or (error_s is not None and error_s > CLOCK_ERROR_S):
        return Finding(
            name="clock",
            state="warning",
            text="nothing keeps it in step with other machines (NTP)",
            remedy="Switch on chrony or systemd-timesyncd; else times of frames do not match other instruments",
            values=values,
        )
    known = f"kept by NTP, within {span(error_s)}" if state and error_s is not None else "sane; NTP state unknown"
    return Finding(name="clock", state="ok", text=known, values=values)


def _steady() -> bool:
    """Whether wall clock and monotonic clock agree over a moment."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.1)
    return abs((time.time() - wall) - (time.monotonic() - steady)) < 0.05


def _kept() -> tuple[bool | None, float | None]:
    """What the kernel says of the clock (adjtimex(2), read only): kept or not, largest error; None if it is silent."""
    if not sys.platform.startswith("linux"):
        return None, None
    buffer = (ctypes.c_long * 64)()  # a struct timex is 208 bytes; all zero asks for nothing but to read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(buffer))
    if state < 0:
        return None, None
    return state != TIME_ERROR, buffer[3] * 1e-6  # modes, offset, freq, maxerror in microseconds


def versions() -> Finding:
    """Whether every package that insitu needs is there."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    try:
        needed = [text for text in metadata.requires("insitu") or () if "extra ==" not in text]
    except metadata.PackageNotFoundError:
        text = "insitu itself is not installed, only its source is on the path"
        return Finding(name="versions", state="warning", text=text, remedy="pip install -e .", values=found)
    missing = []
    for text in needed:
        name = re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding(
            name="versions",
            state="failed",
            text=f"not installed: {', '.join(missing)}",
            remedy=f"pip install {' '.join(missing)}",
            values=found,
        )
    text = f"python {found['python']}, {len(found) - 1} packages"
    return Finding(name="versions", state="ok", text=text, values=found)


def memory(in_flight: int | None) -> Finding:
    """Whether the frames in flight fit into the memory that is free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return Finding(name="memory", state="ok", text="unknown on this system")
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    values = {"available_bytes": available, "in_flight_bytes": in_flight}
    if in_flight is None:
        return Finding(name="memory", state="ok", text=f"{size(available)} available", values=values)
    text = f"{size(available)} available, {size(in_flight)} in flight at most"
    if 2 * in_flight <= available:
        return Finding(name="memory", state="ok", text=text, values=values)
    return Finding(
        name="memory",
        state="failed",
        text=text,
        remedy='Close other programs, or lower it: --set budget.in_flight="256 MB"',
        values=values,
    )


def leftovers(data_root: Path) -> Finding:
    """Runs that were killed and wait to be recovered."""
    from insitu.store.recover import find_unsealed

    uids = [path.name for path in find_unsealed(data_root)]
    values = {"runs": uids}
    if not uids:
        return Finding(name="unsealed runs", state="ok", text="none", values=values)
    text = f"{len(uids)} of a process that was killed: {', '.join(uids[:3])}"
    remedy = "insitu recover (the next `insitu run` does it too)"
    return Finding(name="unsealed runs", state="warning", text=text, remedy=remedy, values=values)


def numba_cache() -> Finding:
    """Whether compiled kernels can be kept: without, every start compiles them again."""
    import insitu

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    package = Path(insitu.__file__).parent / "maths"
    folder = Path(chosen) if chosen else package / "__pycache__"
    places = [folder] if chosen else [folder, Path.home() / ".cache" / "numba"]
    kept = next((place for place in places if os.access(standing(place), os.W_OK)), None)
    if kept is not None:
        return Finding(name="kernel cache", state="ok", text=str(kept), values={"folder": str(kept)})
    return Finding(
        name="kernel cache",
        state="warning",
        text=f"{folder} cannot be written: every start compiles for some seconds",
        remedy="Set NUMBA_CACHE_DIR to a folder that can be written",
        values={"folder": str(folder)},
    )
