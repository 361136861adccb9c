"""`insitu reanalyse`: measures and judges the stored frames of a run again, into a new run beside the old one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Processes, Run, Sets, Verbose, recipes
from insitu.cli.run import ending, unseen
from insitu.cli.say import answer, note


def reanalyse(
    run: Run = "last",
    recipe: Annotated[
        str,
        typer.Option("--recipe", "-r", autocompletion=recipes, help="Another recipe; without it, the run's own one."),
    ] = "",
    data_root: DataRoot = DATA_ROOT,
    sets: Sets = None,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Compute every feature, also those that would come out the same.")
    ] = False,
    processes: Processes = 0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Analyse a stored run again, with another recipe if wanted. The stored run is not touched."""
    from insitu.catalog import find_run
    from insitu.config import load, stored_detectors
    from insitu.replay import reanalyse as again

    path = find_run(run, data_root)
    chosen = recipe or path / "recipe.toml"
    setup = load(chosen, sets=sets or (), detectors=stored_detectors(path), purpose="replay")
    root = _root_of(path) or data_root
    summary = again(
        path,
        setup,
        data_root=root,
        observer=_progress if verbose or not as_json else None,
        afresh=afresh,
        processes=processes or None,
    )
    body = summary.as_dict()
    if not any((root / "runs").glob(f"*/{path.name}")):
        body["notes"].append(
            f"the frames lie in {path}, where this run does not find them: `verify` and `plot` need that folder as "
            f"{root}/runs/<date>/<uid>"
        )
    if summary.exit_code != 4:
        body["notes"] += unseen(summary.path)
    answer(body, ending(body), as_json=as_json)
    return summary.exit_code


def _root_of(path: Path) -> Path | None:
    """The data root that a run lies in: the new run belongs beside the old one. None for a folder on its own."""
    folder = path.absolute()
    return folder.parents[2] if len(folder.parents) > 2 and folder.parents[1].name == "runs" else None


def _progress(status: Mapping[str, Any]) -> None:
    note(f"{status['done']:,} of {status['total']:,} frames, {status['rate_hz']:.0f} Hz")
