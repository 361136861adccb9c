"""`insitu model refit`: a new last layer from labelled stored frames, signed, with a small update beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insitu.cli.model_options import Keys, Serial, Sign, folder_of
from insitu.cli.model_registry import Root
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot
from insitu.cli.say import answer, note, size, table

if TYPE_CHECKING:
    from insitu.models.bundle import Bundle


def refit(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="The folder of a bundle, or registry:NAME.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where the new bundle goes.")],
    sign: Sign = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table of labels, else all that `insitu label take` kept.")
    ] = None,
    update: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what has changed here as well: some kilobytes.")
    ] = None,
    serial: Serial = None,
    loss: Annotated[float, typer.Option(help="Share of right answers that a source may lose.")] = 0.01,
    root: Root = None,
    key: Keys = None,
    data_root: DataRoot = DATA_ROOT,
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="Begin with an unsigned bundle.")] = False,
    as_json: AsJson = False,
) -> int:
    """Fit a network's last layer anew with labels of stored frames. What it could before is held against it: a source
    that loses more than --loss ends it with exit status 6, and nothing is written."""
    from insitu.errors import UsageError
    from insitu.models.bundle import write_bundle
    from insitu.rollout.checking import check_enough, check_frames, check_labels, of_network
    from insitu.rollout.labelled import seen
    from insitu.rollout.labelling import kept_given
    from insitu.rollout.labels import labels_of, read_given
    from insitu.rollout.refit import FEWEST, check_task
    from insitu.rollout.refit import refit as fit
    from insitu.rollout.updating import write_update

    parent, highest = _parent(bundle, root, key or [], allow_unsigned=allow_unsigned)
    check_task(parent.manifest)
    if serial is not None and serial <= highest:
        raise UsageError(f"the serial {serial}", where="--serial", expected=f"more than {highest}, or none: the next")
    if update is not None and update.exists():
        raise UsageError("something is here already", where=str(update), remedy="Name a folder that does not exist")
    left_out: list[str] = []
    if labels is not None:
        given = read_given(labels)
    else:
        given, left_out = of_network(kept_given(data_root), parent.manifest, data_root)
    if not given:
        raise UsageError(
            "; ".join(["there are no labels", *left_out]), where=str(labels or data_root / "labels"),
            remedy="`insitu label choose RUN -o FILE`, fill it in, `insitu label take FILE`",
        )  # fmt: skip
    check_labels(given, parent.manifest)
    check_frames(given, data_root)
    cases, told = seen(labels_of(given), data_root, parent.manifest)
    for line in (left_out + told)[:5]:
        note(line)
    check_enough(given, len(cases), told, FEWEST)
    began = time.perf_counter()
    found = fit(parent, cases, serial=highest + 1 if serial is None else serial, loss=loss)
    took = time.perf_counter() - began
    new = write_bundle(
        out, found.manifest, model=found.model, golden=found.golden, calibration=found.calibration,
        licence=parent.files["LICENSE"].decode(), key=sign,
    )  # fmt: skip
    nbytes = None if update is None else write_update(parent, new, update)
    rows = [(g.source, str(g.n), f"{g.before:.1%}", f"{g.after:.1%}") for g in found.gates]
    whole = sum(map(len, new.files.values()))
    text = (
        f"{new.manifest.name} {new.manifest.version}, serial {new.manifest.serial}, re-fitted with {len(cases)} labels "
    )
    text += f"in {took:.1f} s:\n" + table([("source", "frames", "right before", "after"), *rows])
    text += f"\n{size(whole)} in {out}" + ("" if nbytes is None else f", {size(nbytes)} in {update}")
    text += f"\nTry it: insitu model add {out}; insitu model shadow {new.manifest.name} {new.manifest.serial}"
    body = {
        "name": new.manifest.name, "serial": new.manifest.serial, "digest": new.digest, "path": str(out),
        "labels": len(cases), "not_used": left_out + told, "fit_s": took, "bytes": whole, "update_bytes": nbytes,
        "sources": [{"source": g.source, "n": g.n, "before": g.before, "after": g.after} for g in found.gates],
    }  # fmt: skip
    answer(body, text, as_json=as_json)
    return 0


def _parent(name: str, root: Path | None, keys: list[Path], *, allow_unsigned: bool) -> tuple[Bundle, int]:
    """The bundle to begin with, and the highest serial of its name that is known."""
    from insitu.models.bundle import read_bundle
    from insitu.models.registry import Registry

    if not name.startswith("registry:"):
        bundle = read_bundle(folder_of(Path(name)), keys=keys, allow_unsigned=allow_unsigned)
        return bundle, bundle.manifest.serial
    registry, name = Registry(root, keys=keys), name.removeprefix("registry:")
    return registry.read(name, "current"), max(registry.standing(name).known.values())
