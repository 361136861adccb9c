"""`insitu label choose|take|list`: the frames that are most worth a person's look, and what the person said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Operator, operator_name, runs
from insitu.cli.say import answer, table

if TYPE_CHECKING:
    from insitu.rollout.labelling import Candidate
    from insitu.store.runs import StoredRun

HELP = """Labels for a re-fit: which stored frames are most worth one, and what a person said of them."""


def application() -> typer.Typer:
    """The sub-commands as one application."""
    app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)
    for name, function in (("choose", choose), ("take", take), ("list", listing)):
        app.command(name)(function)
    return app


def choose(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The table to fill in (CSV).")],
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", autocompletion=runs, help="Paths, uids, or `last`, which is the default."),
    ] = None,
    model: Annotated[str, typer.Option(help="Entry of [[models]] that runs the network.")] = "network",
    count: Annotated[int, typer.Option(min=1, help="How many frames.")] = 100,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw each of them into this folder, numbered like the rows.")
    ] = None,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Write the frames most worth a label, the most worthwhile first, into a table with an empty column `label`."""
    from insitu.catalog import find_run
    from insitu.rollout.labelling import choose as find
    from insitu.rollout.labelling import kept, write_table
    from insitu.store.runs import StoredRun

    with ExitStack() as stack:
        opened = [stack.enter_context(StoredRun(find_run(name, data_root))) for name in which or ["last"]]
        chosen = find(opened, model, count, kept(data_root))
        write_table(chosen, out)
        if pictures is not None:
            _draw(opened, chosen, pictures)
    text = f"{len(chosen)} frames are in {out}. Fill the column `label`, then: insitu label take {out}"
    rows = [(c.address, c.says, f"{c.margin:.3f}") for c in chosen[:5]]
    body = {"file": str(out), "frames": [{"frame": c.address, "says": c.says, "margin": c.margin} for c in chosen]}
    answer(body, text + "\n" + table([("frame", "it says", "margin"), *rows]), as_json=as_json)
    return 0


def _draw(opened: Sequence[StoredRun], chosen: Sequence[Candidate], folder: Path) -> None:
    from insitu.errors import MissingExtraError, StorageError

    try:
        from insitu.cli.frame_picture import draw
    except ImportError as missing:
        raise MissingExtraError("matplotlib", "plot", purpose="insitu label choose --pictures") from missing
    by_uid = {run.uid: run for run in opened}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for row, c in enumerate(chosen, 1):
            uid, source, seq = c.address.removeprefix("insitu:").split("/", 2)
            title = f"{row}: {source} {seq}, it says {c.says} ({c.score:.2f})"
            draw(by_uid[uid].frame(source, int(seq)), title, folder / f"{row:03d}.png")
    except OSError as e:
        raise StorageError(f"cannot draw: {e.strerror}", where=str(folder)) from e


def take(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table with the columns `frame` and `label`.")],
    data_root: DataRoot = DATA_ROOT,
    operator: Operator = "",
    as_json: AsJson = False,
) -> int:
    """Keep the labels of a table beside the runs; of one frame the last one counts."""
    from insitu.rollout.labelling import take as keep

    labels = keep(file, data_root, operator_name(operator))
    counts = Counter(labels.values())
    told = ", ".join(f"{n} {label}" for label, n in counts.most_common())
    answer({"taken": len(labels), "labels": dict(counts)}, f"{len(labels)} labels are kept: {told}.", as_json=as_json)
    return 0


def listing(data_root: DataRoot = DATA_ROOT, as_json: AsJson = False) -> int:
    """How many frames have which label."""
    from insitu.rollout.labelling import kept

    counts = Counter(kept(data_root).values())
    rows = [(label, str(n)) for label, n in counts.most_common()]
    answer({"labels": dict(counts)}, table(rows) if rows else "No labels are kept here.", as_json=as_json)
    return 0
