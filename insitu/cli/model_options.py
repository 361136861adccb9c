"""Arguments and options that several commands of `insitu model` share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="The bundle: a folder with a manifest.json, or the name of a shipped one."),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the new bundle.")]
Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="FILE", help="A public key that is trusted as well (or a folder of *.pub); repeat."),
]
Sign = Annotated[
    Path | None, typer.Option("--sign", metavar="FILE", help="The private key to sign with; else it is unsigned.")
]
Unsigned = Annotated[bool, typer.Option("--allow-unsigned", help="Take a bundle that nobody signed.")]
Serial = Annotated[int | None, typer.Option("--serial", metavar="N", help="Of the new bundle; else the next one.")]
Runs = Annotated[
    list[str] | None,
    typer.Option("--run", "-r", metavar="RUN", help="Stored frames to calibrate and try on; repeatable."),
]
Labelled = Annotated[
    Path | None,
    typer.Option("--labelled", metavar="FILE", help="npz with `input` and `right`: prepared inputs, labels by people."),
]
MostLoss = Annotated[float, typer.Option("--most-loss", metavar="POINTS", help="What may be lost, in points of 100.")]
LeastGain = Annotated[float, typer.Option("--least-gain", metavar="TIMES", help="How much faster it must be.")]


def folder_of(folder: Path) -> Path:
    """The folder that is given, or that of a shipped bundle by its name: `xrd_phases`, also as it is called in the
    checkout, `pipelines/models/xrd_phases`."""
    from insitu.catalog import shipped_folder

    name = folder.as_posix().removeprefix("pipelines/models/")
    shipped = shipped_folder("pipelines") / "models" / name
    by_name = not folder.exists() and re.fullmatch(r"[a-z][a-z0-9_]*", name) and shipped.is_dir()
    return shipped if by_name else folder
