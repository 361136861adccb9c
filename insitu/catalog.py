"""Finds recipes and detectors by path or name, and runs by path, uid, beginning of a uid, or `last`.

Names are looked up in `./pipelines` and `./detectors` of the current folder, then beside the recipe that asks, then
among the shipped ones; the first in that order wins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from insitu.errors import NotFoundError
from insitu.units import did_you_mean

Kind = Literal["pipelines", "detectors"]
WORDS = {"pipelines": "recipe", "detectors": "detector"}
DATA_ROOT = "insitu-data"


def data_root(given: Path | None = None) -> Path:
    """The folder that holds `runs/`: as given, else INSITU_DATA_ROOT, else `insitu-data` in the current folder."""
    return given or Path(os.environ.get("INSITU_DATA_ROOT", DATA_ROOT))


def shipped_folder(kind: Kind) -> Path:
    """Where the shipped ones lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "_shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def shipped(kind: Kind) -> list[Path]:
    """The shipped recipes or detectors, by name."""
    return sorted(shipped_folder(kind).glob("*.toml"))


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe; `NotFoundError` with the nearest name and all that there are."""
    return _find(str(name), "pipelines", [Path("pipelines"), shipped_folder("pipelines")])


def find_detector(name: str, near: Path) -> Path:
    """The file of a detector. `near` is the recipe that asks, or its folder: relative paths start there too."""
    beside = near.parent if near.suffix == ".toml" else near
    folders = [Path("detectors"), beside.parent / "detectors", beside, shipped_folder("detectors")]
    if _is_path(name) and (path := beside / Path(name).expanduser()).is_file():
        return path
    return _find(name, "detectors", folders)


def _is_path(name: str) -> bool:
    return name.endswith(".toml") or "/" in name or os.sep in name


def _find(name: str, kind: Kind, folders: list[Path]) -> Path:
    path = Path(name).expanduser()
    if _is_path(name):
        if path.is_file():
            return path
        raise NotFoundError(
            f"there is no {WORDS[kind]} file {name}",
            expected=f"a file, or a name of {_listed(folders)}",
            remedy=did_you_mean(path.stem, _names(folders)),
        )
    for folder in folders:
        if (file := folder / f"{name}.toml").is_file():
            return file
    raise NotFoundError(
        f'no {WORDS[kind]} is named "{name}"',
        expected=f"one of {_listed(folders)}, or the path of a .toml file",
        remedy=did_you_mean(name, _names(folders)),
    )


def _names(folders: Iterable[Path]) -> list[str]:
    return sorted({file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.toml")})


def _listed(folders: Iterable[Path]) -> str:
    return ", ".join(_names(folders)) or f"those in {' or '.join(str(f) for f in folders)}; there are none"


def runs(root: Path) -> list[Path]:
    """The folders of all runs under `<root>/runs/<date>/<uid>`, oldest first: uids are in order of time as text."""
    folders = [ledger.parent for ledger in (root / "runs").glob("*/*/ledger.db")]
    return sorted(folders, key=lambda folder: (folder.name, folder.parent.name))


def find_run(what: str | Path, root: Path | None = None) -> Path:
    """The folder of a run: its path, its uid, a beginning of a uid that only one run has, or `last`."""
    text, root = str(what), data_root(root)
    path = Path(text).expanduser()
    if (path / "ledger.db").is_file():
        return path
    if os.sep in text or (text not in ("", "last") and path.is_dir()):
        raise _no_run(path)
    found = runs(root)
    if not found:
        raise NotFoundError(
            f'no run is called "{text}", because there are no runs', where=str(root / "runs"),
            expected="a folder of runs", remedy="Name the folder with --data-root, or start one: insitu run RECIPE",
        )  # fmt: skip
    if text == "last":
        return found[-1]
    matches = [folder for folder in found if text and folder.name.startswith(text)]
    exact = [folder for folder in matches if folder.name == text]
    if len(exact or matches) == 1:
        return (exact or matches)[0]
    if matches:
        what, expected, remedy = f'"{text}" begins the uid of {len(matches)} runs', _choices(matches), "Give more of it"
    else:
        what, expected = f'no run is called "{text}"', f'"last", or {_choices(found)}'
        remedy = did_you_mean(text, [folder.name for folder in found])
    raise NotFoundError(what, where=str(root / "runs"), expected=expected, remedy=remedy)


def _no_run(path: Path) -> NotFoundError:
    """Why a path that was given is not a run."""
    if not path.is_dir():
        return NotFoundError(
            "there is no such folder", where=str(path), expected='the folder of a run, a uid or "last"'
        )
    if (path / "runs").is_dir():
        what, remedy = "this is a data root, not a run", f"Say --data-root {path}, and which of its runs"
    elif (path / "recipe.toml").is_file():
        what, remedy = "this run has lost its ledger.db", "Copy it back from where the folder came from"
    else:
        what, remedy = "this folder is not a run", ""
    return NotFoundError(what, where=str(path), expected="a folder with a ledger.db", remedy=remedy)


def _choices(folders: list[Path]) -> str:
    """The newest few, for people."""
    more = f" and {len(folders) - 5} older ones" if len(folders) > 5 else ""
    return "one of " + ", ".join(f"{folder.name} ({folder.parent.name})" for folder in folders[:-6:-1]) + more
