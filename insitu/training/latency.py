"""How long a model takes for one input here, and what "here" is."""

import time
from typing import Any

import numpy as np

from insitu.models.bundle import open_session
from insitu.models.stopwatch import processor


def outputs(model: bytes, inputs: np.ndarray) -> list[np.ndarray]:
    """Raw outputs of prepared inputs (k, ...), one by one as the edge does it, stacked."""
    ready = open_session(model)
    name = ready.get_inputs()[0].name
    rows = [ready.run(None, {name: one[None]}) for one in np.asarray(inputs)]
    return [np.concatenate(found) for found in zip(*rows, strict=True)]


def latency(model: bytes, one: np.ndarray, *, repeats: int = 200) -> dict[str, Any]:
    """Median and 99th percentile of one input (without batch) in ms, with the processor: the manifest's `latency`."""
    ready = open_session(model)
    name, batch = ready.get_inputs()[0].name, np.ascontiguousarray(one[None])
    taken = []
    for i in range(repeats + 10):
        began = time.perf_counter()
        ready.run(None, {name: batch})
        if i >= 10:
            taken.append(1e3 * (time.perf_counter() - began))
    cpu, flags = processor()
    p50, p99 = np.percentile(taken, [50.0, 99.0])
    return {"p50_ms": round(float(p50), 4), "p99_ms": round(float(p99), 4), "cpu": cpu, "flags": flags}
