"""`insitu demo`: one whole heating experiment on the simulated diffractometer, halted at an anomaly planted in it.

Nothing is measured: the patterns are computed, and everything that is written says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from insitu.cli.live import watching
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Operator, Sets, Verbose, operator_name
from insitu.cli.run import ending
from insitu.cli.say import emit, note, say
from insitu.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from insitu.config import Setup

RECIPE = "xrd_heating_demo"
FAST = ("detector.reader.rate=1000 Hz", "detector.reader.exposure=1 ms")
"""What takes the pauses out; the counts do not depend on it."""


class Planted(NamedTuple):
    """The first anomaly that the simulator was told to make: in which frame, and what."""

    frame: int
    what: str


def demo(
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as the machine can, not at the speed to watch.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to draw the picture (replaced if there).")
    ] = Path("run.png"),
    sets: Sets = None,
    operator: Operator = "",
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Run a simulated heating experiment and halt at the planted anomaly. Exit 0 only if that halt came."""
    from insitu.config import load
    from insitu.run import run as execute

    setup = load(RECIPE, sets=[*(FAST if fast else ()), *(sets or ())])
    planted = find_planted(setup)
    shown = verbose or not as_json
    if shown:
        note(f"A simulated experiment: {setup.title}. In frame {planted.frame}: {planted.what}. Watch for the halt.")
    with watching(shown=shown) as observer:
        summary = execute(setup, data_root=data_root, mode="act", operator=operator_name(operator), observer=observer)
    body = outcome(summary.as_dict(), planted, output)
    if as_json:
        emit({key: value for key, value in body.items() if key != "story"})
    else:
        say(_text(body))
    return summary.exit_code if summary.exit_code > 1 else 0 if body["ok"] else 1


def outcome(run: Mapping[str, Any], planted: Planted, output: Path) -> dict[str, Any]:
    """What the experiment came to: planted, run, ok, halt, late_by, picture, note, and the story of `why`."""
    body: dict[str, Any] = {"planted": planted._asdict(), "run": dict(run), "picture": None, "note": ""}
    if run["ended"] in ("interrupted", "failed"):
        return {**body, "ok": False, "halt": None, "late_by": None, "story": "", "note": "no picture: it was cut short"}
    body |= _judged(Path(run["path"]), planted, run["ended"])
    body["picture"], body["note"] = _drawn(Path(run["path"]), output)
    return body


def find_planted(setup: Setup) -> Planted:
    """The first fault of the simulated instrument, from the detector file."""
    from insitu.readers.faults import KINDS, parse_fault

    readers = [table.get("reader", {}) for table in tomllib.loads(setup.detectors_toml).values()]
    faults = [parse_fault(text) for reader in readers for text in reader.get("faults", [])]
    if not faults:
        raise UsageError("nothing is planted in this experiment", where=RECIPE, expected="faults of the reader")
    first = min(faults, key=lambda fault: fault.first)
    return Planted(first.first, KINDS[first.kind].text)


def _judged(path: Path, planted: Planted, ended: str) -> dict[str, Any]:
    """Whether the halt came, and not before there was a reason; with the explanation of `why`."""
    from insitu.cli.story import story
    from insitu.cli.why import explanation
    from insitu.store.runs import StoredRun

    with StoredRun(path) as run:
        found = explanation(run, run)
    decision, frame = found["decision"], found["frame"]
    halt: dict[str, Any] | None = None
    if ended == "halted" and decision is not None and decision["action"] == "HALT":
        halt = {"n": frame["n"], "seq": frame["seq"], "rule": decision["rule"], "reason": decision["reason"]}
    late_by = None if halt is None else halt["seq"] - planted.frame
    return {"ok": late_by is not None and late_by >= 0, "halt": halt, "late_by": late_by, "story": story(found)}


def _drawn(path: Path, output: Path) -> tuple[str | None, str]:
    """The picture, or why there is none: an extra that is not installed is no failure of the experiment."""
    from insitu.cli.plot import picture

    try:
        picture(path, output, force=True)
    except MissingExtraError as missing:
        return None, str(missing)
    return str(output), ""


def _text(body: Mapping[str, Any]) -> str:
    parts = [ending(body["run"]).rsplit("\nNext:", 1)[0], body["story"]]
    planted = body["planted"]
    if body["ok"]:
        late = f"{body['late_by']} frames later" if body["late_by"] else "in that very frame"
        parts.append(f"The anomaly was planted in frame {planted['frame']}; the halt came {late}, as it should.")
    elif body["halt"]:
        parts.append(f"FAILED: halted in frame {body['halt']['seq']}, before the planted frame {planted['frame']}.")
    else:
        parts.append(f"FAILED: the halt for the anomaly planted in frame {planted['frame']} did not come.")
    path = body["run"]["path"]
    lines = [f"Picture: {body['picture']}" if body["picture"] else body["note"]]
    lines.append(f"Next: insitu verify {path}   or, on your own patterns: insitu run xrd_1d --input FOLDER")
    return "\n\n".join(part for part in [*parts, "\n".join(lines)] if part)
