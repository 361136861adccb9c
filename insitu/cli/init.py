"""`insitu init`: writes a commented recipe and its detector, or copies shipped ones, for a beamline to own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from insitu.cli.options import AsJson, recipes
from insitu.cli.say import answer
from insitu.errors import ConfigError, UsageError

NAME = re.compile(r"[a-z][a-z0-9_]*")


class Wish(NamedTuple):
    """What the recipe is to do. `window`: where the peak is looked for; `keep`: where it may be; both in deg."""

    name: str
    title: str
    window: tuple[float, float] | None = None
    keep: tuple[float, float] | None = None
    in_a_row: int = 3
    wavelength: str = ""
    follow: bool = False


def init(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the recipe and its detector.")] = "",
    title: Annotated[str, typer.Option(help="One sentence about the experiment.")] = "",
    window: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Where to look for the peak, 2-theta in deg.")
    ] = None,
    keep: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Where the peak may be: else HALT (deg).")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many patterns in a row have to say so.")] = 3,
    wavelength: Annotated[str, typer.Option(help='Where no file tells it right: "1.5406 angstrom".')] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Read files as they appear, until told to stop.")] = False,
    copy: Annotated[
        str, typer.Option(metavar="RECIPE", autocompletion=recipes, help="Copy this shipped recipe and its detectors.")
    ] = "",
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where `pipelines/` and `detectors/` are made.")] = Path(),
    as_json: AsJson = False,
) -> int:
    """Write a recipe and a detector to start from. Asks what was not given, if there is someone to ask."""
    if copy:
        files = _copies(copy, name)
        recipe = name or copy
    else:
        asked = not name and not as_json and sys.stdin.isatty()
        wish = _ask() if asked else Wish(name, title, window, keep, count, wavelength, follow)
        _check(wish)
        files, recipe = {Path("pipelines", f"{wish.name}.toml"): _recipe(wish)}, wish.name
        files[Path("detectors", f"{wish.name}.toml")] = _detector(wish)
    written = _write(folder, files)
    missing = _try(folder / "pipelines" / f"{recipe}.toml", copied=bool(copy))
    body = {"recipe": recipe, "written": [str(path) for path in written]}
    if missing:
        body["missing"] = missing
    answer(body, _text(body), as_json=as_json)
    return 0


def _ask() -> Wish:
    """A few questions; Enter takes what stands in brackets."""
    name = typer.prompt("Name of the recipe (a-z, 0-9, _)", default="my_ramp", err=True)
    title = typer.prompt("One sentence about the experiment", default="Patterns over temperature", err=True)
    window = keep = None
    if typer.confirm("Do you know where the peak is that matters?", default=False, err=True):
        window = _pair("Look for it in this window of 2-theta, in deg (low high)")
        if typer.confirm("Shall the run be halted when it leaves its place?", default=False, err=True):
            keep = _pair("It may be in this range, in deg (low high)")
    follow = typer.confirm("Will the files appear while we watch?", default=False, err=True)
    return Wish(name, title, window, keep, follow=follow)


def _pair(question: str) -> tuple[float, float]:
    text = typer.prompt(question, err=True)
    try:
        low, high = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise UsageError(f"{text!r} is no range", expected="two numbers such as 28.2 28.7") from None
    return low, high


def _check(wish: Wish) -> None:
    if not NAME.fullmatch(wish.name):
        raise UsageError(
            f"{wish.name!r} cannot be the name of a recipe" if wish.name else "the recipe needs a name",
            expected="a-z, 0-9 and _, a letter first",
            remedy="For example: insitu init my_ramp --window 28.2 28.7 --keep 28.3 28.6",
        )
    for option, pair in (("--window", wish.window), ("--keep", wish.keep)):
        if pair and not 0 < pair[0] < pair[1] < 180:
            raise UsageError(
                f"{pair[0]:g} {pair[1]:g} is no range", where=option, expected="0 < LOW < HIGH < 180 (deg)"
            )
    if wish.wavelength:
        from insitu.units import convert, parse

        found = parse(wish.wavelength)
        if not convert(found.value or 0.0, found.unit, "angstrom") > 0:  # refuses what is no length
            raise UsageError(f"{wish.wavelength} is no wavelength", where="--wavelength", expected="more than 0")
    if wish.keep and not wish.window:
        raise UsageError("--keep needs --window", remedy="Say where the peak is to be looked for")
    if wish.keep and wish.window and not wish.window[0] <= wish.keep[0] < wish.keep[1] <= wish.window[1]:
        low, high = wish.window
        raise UsageError(
            f"the peak cannot be kept in {wish.keep[0]:g} to {wish.keep[1]:g} deg: it is looked for elsewhere",
            where="--keep",
            expected=f"a range inside the window, {low:g} to {high:g} deg",
        )


def _recipe(wish: Wish) -> str:
    """The text of the recipe, with a comment for everything that a newcomer would ask."""
    parts = [
        f"""# Made by `insitu init`; yours to change. Check it with: insitu check {wish.name}
format = 1
title = {_quoted(wish.title or wish.name)}
detectors = ["{wish.name}"]          # detectors/{wish.name}.toml

# What is computed of every pattern. `insitu check {wish.name}` lists the keys with their units.
[[features]]
use = "totals\""""
    ]
    if wish.window:
        low, high = wish.window
        parts.append(
            f"""[[features]]
use = "xrd.peaks"
name = "peak"                        # its keys: peak1_position, peak1_width, peak1_height, peak1_area ...
windows = [["{low:.12g} deg", "{high:.12g} deg"]]  # one peak for each window"""
        )
    else:
        parts.append(
            """[[features]]
use = "xrd.peaks"
name = "peak"                        # its keys: peak1_position, peak1_width, peak1_height, peak1_area ...
max_peaks = 3                        # the strongest ones; better, once you know where to look:
# windows = [["28.2 deg", "28.7 deg"]]"""
        )
    parts.append(_judging(wish))
    parts.append(
        """# What may leave this machine, besides counts, verdicts and decisions. Raw data never does.
[policy]
features = ["peak1_*"]
max_rate = "10 Hz"

[budget]
latency = "50 ms"                    # from frame to decision; `insitu run` reports what was reached
in_flight = "512 MB"                 # memory for frames that are not on the disk yet"""
    )
    return "\n\n".join(parts) + "\n"


def _judging(wish: Wish) -> str:
    """Models and rules: bounds and a halt where a range is known, else a change point that only speaks."""
    if wish.keep:
        low, high = wish.keep
        return f"""# What is normal. `unknown_is`: a pattern in which the peak cannot be found counts as an anomaly.
[[models]]
use = "limits"
name = "place"
feature = "peak1_position"
low = "{low:.12g} deg"
high = "{high:.12g} deg"
unknown_is = "anomaly"

# What to do about it. With `--mode act` this ends the run; by default it is only shown and recorded.
[[rules]]
use = "halt_after"
model = "place"
count = {wish.in_a_row}"""
    return """# Says where something changes; it halts nothing.
[[models]]
use = "change_point"
name = "change"
feature = "peak1_width"

# To act on it (with `--mode act`), for example:
# [[rules]]
# use = "halt_after"
# model = "change"
# count = 3"""


def _detector(wish: Wish) -> str:
    """The text of the detector file."""
    wavelength = f'wavelength = "{wish.wavelength}"' if wish.wavelength else '# wavelength = "1.5406 angstrom"'
    follow = "follow = true" if wish.follow else "# follow = true"
    return f"""# Made by `insitu init`: where the patterns come from. The path is given with --input, or here.
format = 1
source = "det"
live = false                         # true: cannot be made to wait (analysis is shed before frames are lost)
unit = "counts"
dims = ["two_theta"]

[reader]
use = "patterns"                     # .fxye .esd .std .gsa .xye .xy .chi .dat: a file, or a folder as a series
# path = "/data/today"
{follow}                        # read files as they appear

[calibration]                        # known better than what the files say, or not said by them
{wavelength}
"""


def _quoted(text: str) -> str:
    """A text as TOML writes it: JSON's basic strings are TOML's."""
    import orjson

    return orjson.dumps(text).decode()


def _copies(recipe: str, name: str) -> dict[Path, str]:
    """The files of a shipped recipe, under another name if one is given."""
    import tomllib

    from insitu.catalog import find_detector, shipped
    from insitu.units import did_you_mean

    there = {path.stem: path for path in shipped("pipelines")}
    if recipe not in there:
        raise UsageError(
            f"no shipped recipe is named {recipe!r}", expected=", ".join(there), remedy=did_you_mean(recipe, there)
        )
    text = there[recipe].read_text(encoding="utf-8")
    files = {Path("pipelines", f"{name or recipe}.toml"): text}
    for detector in tomllib.loads(text)["detectors"]:
        path = find_detector(detector, there[recipe])
        files[Path("detectors", path.name)] = path.read_text(encoding="utf-8")
    return files


def _write(folder: Path, files: dict[Path, str]) -> list[Path]:
    """Writes all of them, or none where one is there already."""
    paths = {folder / relative: text for relative, text in files.items()}
    if there := [str(path) for path in paths if path.exists()]:
        are = "is" if len(there) == 1 else "are"
        raise UsageError(f"{', '.join(there)} {are} there already", remedy="Choose another name, or another --folder")
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(paths)


def _try(recipe: Path, *, copied: bool) -> str:
    """What was written must load: a wrong unit in an answer is told now. A shipped recipe is right, but may need a
    file that only its user has: what it lacks is told then."""
    from insitu.config import load

    try:
        load(recipe, purpose="check")
    except ConfigError as lacking:
        if not copied:
            raise
        return str(lacking.problems[0])
    return ""


def _text(body: dict[str, Any]) -> str:
    lines = [f"Wrote {path}" for path in body["written"]]
    if "missing" in body:
        lines.append(f"Before it can run: {body['missing']}")
    lines.append(
        f"Look at them, then: insitu check {body['recipe']}   and   insitu run {body['recipe']} --input FOLDER"
    )
    return "\n".join(lines)
