"""Arguments and options that several commands share, and how a shell completes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def recipes(incomplete: str) -> list[str]:
    """Names of recipes for the shell: those of the current folder and the shipped ones."""
    # not by insitu.catalog: it knows units, and a key press must not wait for that import
    folders = (Path("pipelines"), *_shipped("pipelines"))
    names = {file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.toml")}
    return sorted(name for name in names if name.startswith(incomplete))


def runs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Uids of runs for the shell, newest first, with their date; and `last`."""
    root = Path(ctx.params.get("data_root") or DATA_ROOT)
    days = sorted((day for day in (root / "runs").glob("*") if day.is_dir()), reverse=True)
    found = [(run.name, day.name) for day in days[:30] for run in day.iterdir() if run.is_dir()]
    return [pair for pair in [("last", "the newest run"), *found] if pair[0].startswith(incomplete)]


def _shipped(what: str) -> tuple[Path, ...]:
    """Where shipped files lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    return (package / "_shipped" / what, package.parent / what)


AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout; text for people goes to stderr.")
]
DataRoot = Annotated[
    Path,
    typer.Option(
        "--data-root",
        metavar="DIR",
        envvar="INSITU_DATA_ROOT",
        help="Folder that holds `runs/`; on a local disk.",
    ),
]
Run = Annotated[
    str,
    typer.Argument(metavar="[RUN]", autocompletion=runs, help="Path, uid, unique beginning of a uid, or `last`."),
]
Processes = Annotated[
    int, typer.Option("--processes", min=0, help="At most so many measure frames; 0: as many as processors are idle.")
]
Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", autocompletion=recipes, help="Name or path of a recipe, e.g. xrd_1d.")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="[SOURCE=]PATH", help="File or folder to read; repeat for several sources."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help='Change one key, e.g. --set policy.max_rate="1 Hz"; repeat.'),
]
Operator = Annotated[
    str, typer.Option("--operator", envvar="INSITU_OPERATOR", show_default="the login name", help="Who answers for it.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="With --json: show progress on stderr as well.")]
DATA_ROOT = Path("insitu-data")
"""Where runs are kept unless told otherwise: in the current folder."""


def operator_name(given: str) -> str:
    """Who to write into the log: as given, else the login name, else the number of the user."""
    import getpass
    import os

    if given:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number that has no name
        return f"uid {os.getuid()}"
