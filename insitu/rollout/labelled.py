"""Labelled frames of stored runs as a network saw them: through the same prepare steps and references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.catalog import find_run
from insitu.config import Setup, load_stored
from insitu.models.manifest import Manifest
from insitu.models.preparing import Prepared, preparation
from insitu.replay.fold import reference_fold
from insitu.rollout.labels import parts_of
from insitu.store.canonical import feature_from
from insitu.store.runs import StoredRun
from insitu.types import Frame, Measurement, References

BLOCKS = 10
"""Frames of one run are neighbours: that many stretches of them are never split."""


class Seen(NamedTuple):
    """One labelled frame: its address, its label, the prepared input, the stretch of its run, its source (what was
    measured with, and on which day), and whether a simulator made it."""

    address: str
    label: str
    input: np.ndarray
    group: str
    source: str
    simulated: bool


def seen(labels: Mapping[str, str], data_root: Path, manifest: Manifest) -> tuple[list[Seen], list[str]]:
    """Every labelled frame that the network of `manifest` can see, and a sentence about each one that it cannot.
    Raises `UsageError` where a frame is of no run in `data_root`."""
    wanted: dict[str, dict[tuple[str, int], str]] = {}
    for address, label in labels.items():
        run, source, seq = parts_of(address)
        wanted.setdefault(run, {})[source, seq] = label
    prepare = preparation(manifest.preparation.name, manifest.preparation.params)
    found: list[Seen] = []
    told: list[str] = []
    for uid, frames in wanted.items():
        with StoredRun(find_run(uid, data_root)) as run:
            things = _measured(run, frames) if manifest.preparation.name == "features" else _prepared(run, frames)
            last = max(seq for _, seq in frames)
            for source, seq, thing in things:
                address = f"insitu:{run.uid}/{source}/{seq}"
                made = thing if isinstance(thing, Prepared) else prepare(thing)
                if made.input is None:
                    told.append(f"{address} cannot be used: {made.why}")
                    continue
                if not _fits(made.input, manifest):
                    told.append(
                        f"{address} cannot be used: it is prepared as {list(made.input.shape)}, the network takes "
                        f"{list(manifest.inputs.shape[1:])}"
                    )
                    continue
                if not np.isfinite(made.input).all():
                    told.append(f"{address} cannot be used: the network would see numbers that are not finite")
                    continue
                found.append(
                    Seen(
                        address=address,
                        label=frames[source, seq],
                        input=made.input,
                        group=f"{run.uid}/{source}/{seq * BLOCKS // (last + 1)}",
                        source=f"{run.path.absolute().parent.name} {source}",
                        simulated=bool(run.open_body().get("simulated", False)),
                    )
                )
    return found, told


def _fits(made: np.ndarray, manifest: Manifest) -> bool:
    """Whether a prepared input has the network's shape, where that is given."""
    wanted = manifest.inputs.shape[1:]
    return made.ndim == len(wanted) and all(w in (None, n) for n, w in zip(made.shape, wanted, strict=True))


def _measured(run: StoredRun, frames: Mapping[tuple[str, int], str]) -> Iterator[tuple[str, int, Any]]:
    """The features that the run recorded."""
    for source, seq in sorted(frames):
        record = run.record(run.n_of(source, seq))
        if record is None:
            yield source, seq, Prepared(None, "it has no record")
            continue
        features = {key: feature_from(body) for key, body in record["features"].items()}
        context = {key: feature_from(body) for key, body in record.get("context", {}).items()}
        times = {"n": record["n"], "time_ns": record["time_ns"]}
        yield source, seq, Measurement(source=source, seq=seq, features=features, context=context, **times)


def _prepared(run: StoredRun, frames: Mapping[tuple[str, int], str]) -> Iterator[tuple[str, int, Any]]:
    """The frames as extractors see them."""
    setup = load_stored(run.path)
    pipeline, references = setup.pipeline(), reference_fold(setup)
    wanted = {run.n_of(source, seq): (source, seq) for source, seq in frames}
    for n in sorted(wanted.keys() | set(_folded(run, setup, max(wanted)))):
        frame = run.frame_n(n)
        if n in wanted:
            yield (*wanted[n], _one(pipeline, frame, references.of(frame.source)))
        references.see(frame)


def _folded(run: StoredRun, setup: Setup, last: int) -> Iterator[int]:
    """`n` of the frames, up to `last`, that references are made of."""
    left = {source: max((r.first or 0 for r in setup.references if r.source == source), default=0)
            for source in run.sources()}  # fmt: skip
    for entry in run.entries("frame"):
        if entry.n is None or entry.n > last:
            return
        if entry.body["role"] != "sample":
            yield entry.n
        elif left.get(entry.body["source"], 0) > 0:
            left[entry.body["source"]] -= 1
            yield entry.n


def _one(pipeline: Any, frame: Frame, refs: References) -> Frame | Prepared:
    try:
        return pipeline.prepared(frame, refs)
    except (ValueError, ArithmeticError) as e:
        return Prepared(None, str(e) or type(e).__name__)
