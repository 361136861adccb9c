"""Stored frames as a network's bundle sees them: through the run's own references and prepare steps, then through the
preparation that the bundle names."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.config import load_stored
from insitu.errors import ModelError
from insitu.models.manifest import Manifest
from insitu.models.preparing import preparation
from insitu.replay.fold import origin, reference_fold
from insitu.store.runs import StoredRun


class Inputs(NamedTuple):
    """`values` `(k, ...)` float32; the address of each; `refused`: {why: how many frames could not be prepared}."""

    values: np.ndarray
    addresses: tuple[str, ...]
    refused: dict[str, int]


def stored_inputs(path: Path, manifest: Manifest, *, most: int = 256) -> Inputs:
    """Up to `most` frames of a run, evenly over it. Raises `ModelError` where none can be prepared."""
    setup = load_stored(path)
    pipeline, references = setup.pipeline(), reference_fold(setup)
    prepare = preparation(manifest.preparation.name, manifest.preparation.params)
    shape = tuple(n or 1 for n in manifest.inputs.shape[1:])
    on_features = manifest.preparation.name == "features"
    values: list[np.ndarray] = []
    addresses: list[str] = []
    refused: dict[str, int] = {}
    with StoredRun(path) as given, origin(given) as run:
        total = sum(1 for _ in run.entries("frame"))
        step = max(1, -(-total // most))
        for i, frame in enumerate(run.frames()):
            refs = references.of(frame.source)
            references.see(frame)
            if i % step or frame.role != "sample" or frame.provisional:
                continue
            try:
                found = prepare(pipeline.measure(frame, refs) if on_features else pipeline.prepared(frame, refs))
            except (ValueError, ArithmeticError) as e:
                refused[str(e)] = refused.get(str(e), 0) + 1
                continue
            parts = [] if found.input is None else _parts(found.input, shape)
            if not parts:
                told = "" if found.input is None else f"the prepared frame has the shape {list(found.input.shape)}"
                refused[found.why or told] = refused.get(found.why or told, 0) + 1
            values += parts
            addresses += [frame.address(run.uid)] * len(parts)
    if not values:
        told = "; ".join(f"{n} frames: {why}" for why, n in refused.items()) or "the run has no frames"
        raise ModelError(f"no frame can be prepared for {manifest.name}: {told}", where=str(path))
    return Inputs(np.stack(values), tuple(addresses), refused)


def _parts(x: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The input itself, or up to 4 tiles out of the middle of a larger image; none where it does not fit."""
    if x.shape == shape:
        return [x]
    if x.ndim != 3 or len(shape) != 3 or x.shape[0] != shape[0] or x.shape[1] < shape[1] or x.shape[2] < shape[2]:
        return []
    rows, columns = ({0, n - t, (n - t) // 2} for n, t in zip(x.shape[1:], shape[1:], strict=True))
    places = [(r, c) for r in sorted(rows) for c in sorted(columns)][:4]
    return [np.ascontiguousarray(x[:, r : r + shape[1], c : c + shape[2]]) for r, c in places]
