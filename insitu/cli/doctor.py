"""`insitu doctor`: whether this machine can take a run, before the beamtime begins; each failure with its remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Inputs, Sets, recipes
from insitu.cli.say import answer
from insitu.errors import UnitError, UsageError

if TYPE_CHECKING:
    from insitu.cli.checks import Finding
    from insitu.config import Setup
    from insitu.types import Feature

MARK = {"ok": "ok     ", "warning": "WARNING", "failed": "FAILED "}


def doctor(
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", autocompletion=recipes, help="The recipe that is to run.")
    ] = "",
    rate: Annotated[str, typer.Option(metavar="RATE", help='Frames per second, e.g. "10 Hz".')] = "",
    inputs: Inputs = None,
    sets: Sets = None,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Check this machine: disk, clock, memory, versions. Exit 1 if a run should not be started."""
    from insitu.config import load
    from insitu.units import parse

    setup = load(recipe, inputs=inputs, sets=sets or (), purpose="check") if recipe else None
    findings = examine(data_root, setup, _hertz(parse(rate)) if rate else None)
    failed = any(finding.state == "failed" for finding in findings)
    body = {"ok": not failed, "data_root": str(data_root.absolute()), "findings": [f.as_dict() for f in findings]}
    answer(body, _text(body), as_json=as_json)
    return 1 if failed else 0


def examine(data_root: Path, setup: Setup | None = None, rate_hz: float | None = None) -> Sequence[Finding]:
    """All findings, in the order in which they matter. `rate_hz`: frames a second of every source; without, the
    recipe's own where it says one."""
    from insitu.cli import checks, disk

    return [
        checks.writable(data_root),
        disk.file_system(data_root),
        *disk.disk(data_root, bytes_per_s(setup, rate_hz) if setup else None),
        checks.memory(int(setup.budget.in_flight_bytes) if setup else None),
        checks.clock(),
        checks.leftovers(data_root),
        checks.numba_cache(),
        checks.versions(),
    ]


def bytes_per_s(setup: Setup, rate_hz: float | None) -> float | None:
    """Raw bytes a second of all sources; None where a shape or a rate is not known."""
    from math import prod

    import numpy as np

    from insitu.config import describe
    from insitu.units import parse

    total = 0.0
    for source in describe(setup)["sources"]:
        rate = rate_hz or (_hertz(parse(source["rate"])) if source["rate"] else None)
        if rate is None or source["shape"] is None or source["dtype"] is None:
            return None
        total += rate * prod(source["shape"]) * np.dtype(source["dtype"]).itemsize
    return total


def _hertz(rate: Feature) -> float:
    from insitu.units import convert

    if not rate.value or rate.value < 0:
        raise UsageError("this is no frame rate", where="--rate", expected='a positive rate such as "10 Hz"')
    try:
        return convert(rate.value, rate.unit or "Hz", "Hz")
    except UnitError as e:
        raise UnitError(e.what, where="--rate", expected='a rate such as "10 Hz"', remedy=e.remedy) from e


def _text(body: Mapping[str, Any]) -> str:
    findings = body["findings"]
    width = max(len(finding["name"]) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{MARK[finding['state']]}  {finding['name'].ljust(width)}  {finding['text']}")
        if finding["remedy"]:
            lines.append(f"{' ' * (len(MARK['ok']) + width + 4)}-> {finding['remedy']}")
    failed = sum(finding["state"] == "failed" for finding in findings)
    warned = sum(finding["state"] == "warning" for finding in findings)
    if failed:
        lines.append(f"{failed} failed: do not start a run before this is put right.")
    else:
        lines.append("Ready." if not warned else f"Ready; {warned} warning{'s' if warned > 1 else ''} to look at.")
    return "\n".join(lines)
