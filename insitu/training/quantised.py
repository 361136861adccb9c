"""A trained network in 8 bits, made of the one in full precision, with figures of its own: the bundle that is shipped.

The gate is that of `insitu model quantise`. What is taken keeps the temperature and thresholds of its parent, so that
the figures of both can be compared; they are measured anew with its own numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from insitu.models import quantise as q
from insitu.models.bundle import Bundle
from insitu.models.manifest import Metric
from insitu.training.options import Options


def quantised(
    options: Options,
    parent: Bundle,
    *,
    name: str,
    calibration: np.ndarray,
    trial: q.Trial,
    figures: Callable[[str, bytes], Sequence[Mapping[str, Any]]],
) -> Bundle | None:
    """Write the bundle `name` to `options.int8`, signed with `options.key`; None where it pays in no form. `figures`
    gives the metrics of a form by its kind and model. Its serial is one above the parent's."""
    outcome = q.quantise(parent, calibration, trial, rounds=200)
    for row in outcome.table:
        print(f"{row['kind']}: {row['gain']:.2f} times, {row['size']:.3f} of the bytes, {row['loss']:.3f} points lost")
    taken = outcome.taken
    if taken is outcome.candidates[0] or options.int8 is None:
        return None
    manifest = replace(
        q.successor(parent, taken, outcome),
        name=name,
        metrics=tuple(Metric(**m) for m in figures(taken.kind, taken.model)),
    )
    made = q.write(Path(options.int8), parent, manifest, taken.model, key=options.key)
    size = sum(len(content) for content in made.files.values())
    print(f"{options.int8}: {name} {manifest.version} in {taken.kind}, {size / 1e3:.0f} kB, {made.digest[:19]}...")
    return made
