"""What the first frames of recipes still compile, import or lay out, told by a process of its own: in one that has run
other tests nothing is cold.

    python tests/cold.py '[["RECIPE", "INPUT", ["KEY=VALUE"]]]'    (a recipe's name, or a recipe as an object)

Prints a JSON list with an object for each: `kernels` compiled (or read from numba's cache) and `modules` imported while
frames were measured and judged, `laid_out` how many maps for integration were made then, `frames` how many there were,
`told` how many features had a value. What an earlier recipe of the list has warmed is warm for those after it.
"""

import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

from insitu.config import Setup, load
from insitu.run.normal import Normal
from insitu.types import Arrival, Frame

MOST = 6


def kernels() -> set[str]:
    """Every signature that a kernel of ours is ready for."""
    if "numba" not in sys.modules:
        return set()
    from numba.core.dispatcher import Dispatcher

    ours = [d for d in gc.get_objects() if isinstance(d, Dispatcher) and d.__module__.startswith("insitu.")]
    return {f"{d.__module__}.{d.py_func.__name__}{signature}" for d in ours for signature in d.signatures}


def laid_out() -> int:
    """How many maps from pixels to bins were made."""
    module = sys.modules.get("insitu.maths.diffraction.azimuthal")
    return 0 if module is None else module.integrator_of.cache_info().misses


def frames_of(setup: Setup) -> list[Frame]:
    """The first frames of each source, as the run hands them on."""
    frames: list[Frame] = []
    for source in setup.sources:
        normal = Normal(source.detector)
        there = (a for a in source.reader()() if isinstance(a, Arrival) and a.complete and not a.provisional)
        for arrival in islice(there, MOST):
            kept = normal(arrival)
            values = {f.name: getattr(kept, f.name) for f in fields(Arrival)}
            frames.append(Frame(**values, seq=len(frames), n=len(frames)))
    return frames


def first_frames(recipe: str | dict[str, Any], given: str, sets: Sequence[str]) -> dict[str, Any]:
    """What was cold when the first frame came."""
    setup = load(recipe, inputs=given, sets=sets)
    frames, pipeline = frames_of(setup), setup.pipeline()
    ready, imported, maps, told = kernels(), set(sys.modules), laid_out(), 0
    for k, frame in enumerate(frames):
        record = pipeline.step(frame, {}, tuple(frames[max(0, k - pipeline.before(frame.source)) : k]))
        told += sum(feature.value is not None for feature in record.measurement.features.values())
    return {
        "frames": len(frames),
        "told": told,
        "kernels": sorted(kernels() - ready),
        "modules": sorted(set(sys.modules) - imported),
        "laid_out": laid_out() - maps,
    }


if __name__ == "__main__":
    print(json.dumps([first_frames(*job) for job in json.loads(sys.argv[1])]))
