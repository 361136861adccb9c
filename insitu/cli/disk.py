"""What `insitu doctor` measures of the disk: kind of file system, durable write rate, fsync time, free hours."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

from insitu.cli.checks import Finding, standing
from insitu.cli.say import size, span

BLOCK = 4 << 20
LONGEST_WRITE_S = 1.5
LARGEST_WRITE = 512 << 20
FSYNCS = 15
SLOW_FSYNC_S = 0.05
LITTLE_HOURS = 8.0


def file_system(folder: Path) -> Finding:
    """Whether the folder lies on a network file system, where a finished fsync proves nothing."""
    from insitu.store.files import NETWORK_FILE_SYSTEMS
    from insitu.store.files import file_system as kind_of

    kind = kind_of(standing(folder))
    values = {"kind": kind}
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(
            name="file system",
            state="failed",
            text=f"network file system ({kind}): live runs are refused here",
            remedy="Choose a local disk with --data-root and copy sealed runs afterwards",
            values=values,
        )
    if kind in ("tmpfs", "ramfs"):
        return Finding(
            name="file system",
            state="warning",
            text=f"memory only ({kind}): a power cut loses every run",
            remedy="Choose a folder on a disk with --data-root",
            values=values,
        )
    return Finding(name="file system", state="ok", text=kind or "local", values=values)


def disk(folder: Path, needed: float | None) -> list[Finding]:
    """Write rate, fsync time and free space, measured with a file that is removed again. `needed`: raw bytes a second
    of the recipe, where known."""
    there = standing(folder)
    free = shutil.disk_usage(there).free
    path = there / f".insitu-doctor-{os.getpid()}"
    try:
        written, took, syncs = _measure(path, min(LARGEST_WRITE, free // 4))
    except OSError as error:
        text = f"cannot write: {error.strerror}"
        return [Finding(name="disk", state="failed", text=text, remedy="Choose another folder with --data-root")]
    finally:
        path.unlink(missing_ok=True)
    rate, sync = written / took, median(syncs)
    return [_write_rate(rate, needed), _fsync(sync, max(syncs)), _space(free, needed)]


def _measure(path: Path, most: int) -> tuple[int, float, list[float]]:
    """Bytes written, seconds with the final fdatasync, and the seconds of each of several small fdatasyncs."""
    block, written = os.urandom(BLOCK), 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        began = time.perf_counter()
        while written == 0 or (written + BLOCK <= most and time.perf_counter() - began < LONGEST_WRITE_S):
            written += os.write(fd, block)
        os.fdatasync(fd)
        took = time.perf_counter() - began
        syncs = []
        for _ in range(FSYNCS):
            os.write(fd, block[:4096])
            began = time.perf_counter()
            os.fdatasync(fd)
            syncs.append(time.perf_counter() - began)
    finally:
        os.close(fd)
    return written, took, syncs


def _write_rate(rate: float, needed: float | None) -> Finding:
    values = {"bytes_per_s": rate, "needed_bytes_per_s": needed}
    text = f"{size(rate)}/s written durably"
    if needed is None:
        return Finding(name="disk rate", state="ok", text=text, values=values)
    text += f", {size(needed)}/s needed before compression"
    if needed <= 0.7 * rate:
        return Finding(name="disk rate", state="ok", text=text, values=values)
    return Finding(
        name="disk rate",
        state="warning" if needed <= rate else "failed",
        text=text,
        remedy="Use a faster disk, a lower frame rate, or smaller frames; frames that find no memory are dropped",
        values=values,
    )


def _fsync(typical: float, worst: float) -> Finding:
    text, values = f"{span(typical)} typical, {span(worst)} at most", {"median_s": typical, "max_s": worst}
    if typical < SLOW_FSYNC_S:
        return Finding(name="fsync", state="ok", text=text, values=values)
    return Finding(
        name="fsync",
        state="warning",
        text=text,
        remedy="Every commit waits for this: use an SSD, or stop what else writes to this disk",
        values=values,
    )


def _space(free: int, needed: float | None) -> Finding:
    """Free bytes, and for how many hours they last."""
    if not needed:
        state: Literal["ok", "warning"] = "ok" if free > 10e9 else "warning"
        hint = "; for how many hours is not known without --rate and a recipe whose detector says shape and dtype"
        remedy = "" if state == "ok" else "Free some space, or choose another disk with --data-root"
        values: dict[str, Any] = {"bytes": free, "hours": None}
        return Finding(name="free space", state=state, text=f"{size(free)}{hint}", remedy=remedy, values=values)
    hours = free / needed / 3600
    text, values = (
        f"{size(free)}: enough for {hours:,.1f} h of {size(needed)}/s, uncompressed",
        {"bytes": free, "hours": hours},
    )
    if hours >= LITTLE_HOURS:
        return Finding(name="free space", state="ok", text=text, values=values)
    return Finding(
        name="free space",
        state="warning" if hours >= 1 else "failed",
        text=text,
        remedy="Free some space, or choose another disk with --data-root",
        values=values,
    )
