"""`insitu plot`: one picture of a run: waterfall, feature traces, verdicts and decisions on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from insitu.cli.export import refuse_existing
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Run
from insitu.cli.say import answer
from insitu.errors import MissingExtraError, UsageError


def plot(
    run: Run = "last",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="PNG, PDF or SVG, by the end of the name.")
    ] = Path("run.png"),
    features: Annotated[
        list[str] | None,
        typer.Option("--feature", "-f", metavar="KEY", help="A feature to draw, e.g. 'peak1_*'; repeat for several."),
    ] = None,
    against: Annotated[
        str, typer.Option("--against", metavar="KEY", help="Draw against this (temperature, ...) instead of time.")
    ] = "",
    array: Annotated[
        str, typer.Option("--map", metavar="KEY", help="Draw this array feature as the map instead of the frames.")
    ] = "",
    source: Annotated[str, typer.Option(help="The source, where the run has several.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Draw a run: patterns over time, features with their uncertainty, verdicts and decisions."""
    from insitu.catalog import find_run

    path = find_run(run, data_root)
    body = picture(path, output, features=features or (), against=against, array=array, source=source, force=force)
    answer(body, f"Drew run {body['run_uid']} into {output}.", as_json=as_json)
    return 0


def picture(
    path: Path,
    output: Path,
    *,
    features: Sequence[str] = (),
    against: str = "",
    array: str = "",
    source: str = "",
    force: bool = False,
) -> dict[str, object]:
    """Draws a stored run into a file. Returns run_uid, output, source, frames (drawn) and features (drawn)."""
    refuse_existing(output, force=force)
    try:
        import matplotlib as mpl
    except ImportError as missing:
        raise MissingExtraError("matplotlib", "plot", purpose="insitu plot") from missing
    mpl.use("Agg")  # no window: it has to work over ssh and at night
    from insitu.cli.figure import draw
    from insitu.cli.series import collect
    from insitu.replay import origin
    from insitu.store.runs import StoredRun

    if output.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(f"cannot draw into {output.name!r}", expected="a name that ends in .png, .pdf or .svg")
    with StoredRun(path) as run, origin(run) as raw:
        series = collect(run, raw, source=source, patterns=features, against=against, array=array)
    draw(series, output)
    return {
        "run_uid": series.uid,
        "output": str(output),
        "source": series.source,
        "frames": len(series.x),
        "features": [trace.key for trace in series.traces],
    }
