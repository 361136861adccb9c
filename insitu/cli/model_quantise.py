"""`insitu model quantise|distil|prune`: a smaller or faster network out of a bundle, if it is as good."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insitu.cli.model_options import (
    Folder,
    Keys,
    Labelled,
    LeastGain,
    MostLoss,
    Out,
    Runs,
    Serial,
    Sign,
    Unsigned,
    folder_of,
)
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot
from insitu.cli.say import answer, table
from insitu.errors import ModelError

LABELLED = "an npz with the arrays `input` and `right`"

if TYPE_CHECKING:
    import numpy as np

    from insitu.models.bundle import Bundle
    from insitu.models.quantise import Outcome, Trial


def quantise(
    folder: Folder,
    out: Out,
    sign: Sign = None,
    key: Keys = None,
    allow_unsigned: Unsigned = False,
    runs: Runs = None,
    labelled: Labelled = None,
    most_loss: MostLoss = 0.5,
    least_gain: LeastGain = 1.2,
    serial: Serial = None,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Try 8 bits on this machine: times, size and score side by side, and a new bundle of what pays."""
    from insitu.models import quantise as q

    bundle = _bundle(folder, key, allow_unsigned, (most_loss, least_gain), serial)
    calibration, trial = _inputs(bundle, runs, labelled, data_root)
    outcome = q.quantise(bundle, calibration, trial, most_loss=most_loss, least_gain=least_gain)
    return _written(bundle, outcome, out, sign, serial, as_json=as_json)


def prune(
    folder: Folder,
    out: Out,
    share: Annotated[float, typer.Option("--share", help="Part of the channels to take away: 0 to 0.9.")] = 0.25,
    sign: Sign = None,
    key: Keys = None,
    allow_unsigned: Unsigned = False,
    runs: Runs = None,
    labelled: Labelled = None,
    most_loss: MostLoss = 0.5,
    least_gain: LeastGain = 1.2,
    serial: Serial = None,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Take the weakest channels away: a smaller network without training, if it is as good."""
    from insitu.models import prune as p

    bundle = _bundle(folder, key, allow_unsigned, (most_loss, least_gain), serial)
    calibration, trial = _inputs(bundle, runs, labelled, data_root)
    outcome = p.prune(bundle, calibration, trial, share=share, most_loss=most_loss, least_gain=least_gain)
    return _written(bundle, outcome, out, sign, serial, as_json=as_json)


def distil(
    folder: Folder,
    out: Out,
    width: Annotated[int, typer.Option("--width", help="Channels (or units) of the student's first layer.")] = 16,
    rounds: Annotated[int, typer.Option("--rounds", help="Times that the student sees the inputs.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Of everything drawn.")] = 0,
    sign: Sign = None,
    key: Keys = None,
    allow_unsigned: Unsigned = False,
    runs: Runs = None,
    labelled: Labelled = None,
    most_loss: MostLoss = 0.5,
    least_gain: LeastGain = 1.2,
    serial: Serial = None,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Teach a smaller network what a bundle's network says (needs the extra `train`)."""
    from insitu.training import distil as d

    bundle = _bundle(folder, key, allow_unsigned, (most_loss, least_gain), serial)
    calibration, trial = _inputs(bundle, runs, labelled, data_root)
    outcome = d.distil(
        bundle, calibration, trial, width=width, rounds=rounds, seed=seed, most_loss=most_loss, least_gain=least_gain
    )
    return _written(bundle, outcome, out, sign, serial, as_json=as_json)


def _bundle(
    folder: Path, keys: list[Path] | None, allow_unsigned: bool, limits: tuple[float, float], serial: int | None
) -> Bundle:
    """The bundle to begin with. `limits`: most loss and least gain, which are looked at first, as the new serial is."""
    from insitu.errors import UsageError
    from insitu.models.bundle import read_bundle

    for name, value in zip(("--most-loss", "--least-gain"), limits, strict=True):
        if not isfinite(value):
            raise UsageError(f"{name} {value:g}", where=name, expected="a number")
    bundle = read_bundle(folder_of(folder), keys=keys or (), allow_unsigned=allow_unsigned)
    least = bundle.manifest.serial
    if serial is not None and serial <= least:
        raise UsageError(f"the serial {serial}", where="--serial", expected=f"more than {least}, or none: the next")
    return bundle


def _inputs(bundle: Bundle, runs: list[str] | None, labelled: Path | None, data_root: Path) -> tuple[np.ndarray, Trial]:
    """Inputs to calibrate with, and those to try on: of stored runs, else what comes with the bundle. Every fourth of
    them is only tried on. Raises `ModelError` where there are too few."""
    import numpy as np

    from insitu.models.quantise import FEWEST, Trial

    if runs:
        from insitu.catalog import find_run
        from insitu.replay.inputs import stored_inputs

        folders = [find_run(run, data_root) for run in runs]
        found = np.concatenate([stored_inputs(path, bundle.manifest).values for path in folders])
        said = f"run {', '.join(path.name for path in folders)}"
    else:
        own = bundle.calibration()
        found, said = (bundle.golden()[0], "golden.npz") if own is None else (own, "calibration.npz")
        if len(found) < FEWEST:
            raise _too_few(bundle, len(found), said)
    if labelled is not None:
        return found, _labelled(labelled, bundle)
    held = np.arange(len(found)) % 4 == 3
    if len(found) < 32:  # too few to hold any back: the golden ones are tried as well
        return found, Trial(inputs=np.concatenate([found, bundle.golden()[0]]), origin=f"{said} and golden.npz")
    return found[~held], Trial(inputs=found[held], origin=f"{said}, every fourth")


def _too_few(bundle: Bundle, count: int, said: str) -> ModelError:
    from insitu.models.quantise import FEWEST

    none = "" if said == "calibration.npz" else "it has no calibration.npz, and "
    return ModelError(
        f"{none}{said} holds {count} inputs", where=bundle.manifest.name,
        expected=f"{FEWEST} or more prepared inputs, by which the ranges of its numbers are found",
        remedy="Run a recipe that names it (`insitu run RECIPE`), and give that run: --run last",
    )  # fmt: skip


def _labelled(path: Path, bundle: Bundle) -> Trial:
    from insitu.errors import UsageError
    from insitu.models.arrays import read_arrays
    from insitu.models.quality import check_right
    from insitu.models.quantise import Trial

    try:
        arrays = read_arrays(path.read_bytes(), str(path), ("input", "right"))
    except (OSError, ModelError) as e:
        what = e.strerror if isinstance(e, OSError) else e.what
        raise UsageError(f"the labels cannot be read: {what}", where=str(path), expected=LABELLED) from e
    check_right(bundle.manifest, arrays["input"], arrays["right"], str(path))
    return Trial(inputs=arrays["input"], right=arrays["right"], origin=path.name)


def _written(
    bundle: Bundle, outcome: Outcome, out: Path, sign: Path | None, serial: int | None, *, as_json: bool
) -> int:
    """Write the bundle of what was taken, and say what was compared."""
    from insitu.models.quantise import successor, write

    manifest = successor(bundle, outcome.taken, outcome, serial=serial)
    new = write(out, bundle, manifest, outcome.taken.model, key=sign)
    m = new.manifest
    body = {
        "path": str(out), "name": m.name, "version": m.version, "serial": m.serial, "digest": new.digest,
        "parent": m.parent, "signed_by": new.signed_by, "taken": outcome.taken.kind, "table": list(outcome.table),
        "left_out": dict(outcome.left_out),
    }  # fmt: skip
    answer(body, _text(body), as_json=as_json)
    return 0


def _text(body: dict[str, Any]) -> str:
    head = ("", "median", "p99", "gain", "size", "score", "loss", "")
    rows = [
        (
            r["kind"], f"{r['p50_ms']:g} ms", f"{r['p99_ms']:g} ms", f"{r['gain']:.2f}", f"{r['size']:.2f}",
            f"{r['score']:.2f}", f"{r['loss']:.2f}", "taken" if r["taken"] else r["why"],
        )
        for r in body["table"]
    ]  # fmt: skip
    first = body["table"][0]
    tried = f"Tried on {first['n']} inputs ({first['from']}); right is {first['right']}."
    signed = "signed" if body["signed_by"] else "NOT SIGNED (give --sign)"
    new = f"{body['name']} {body['version']}, serial {body['serial']}, {signed}: {body['path']}"
    left_out = "".join(f"\n{kind} was left out: {why}" for kind, why in body["left_out"].items())
    return f"{table([head, *rows])}\n{tried}{left_out}\n{new}"
