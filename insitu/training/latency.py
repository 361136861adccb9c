"""How long a model takes for one input here, and what "here" is."""

import time
from pathlib import Path
from typing import Any

import numpy as np

TOLD = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
"""Flags of processors that decide which kernels onnxruntime takes."""


def session(model: bytes) -> Any:
    """An onnxruntime session as the edge has it: one thread, one after the other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def outputs(model: bytes, inputs: np.ndarray) -> list[np.ndarray]:
    """Raw outputs of prepared inputs (k, ...), one by one as the edge does it, stacked."""
    ready = session(model)
    name = ready.get_inputs()[0].name
    rows = [ready.run(None, {name: one[None]}) for one in np.asarray(inputs)]
    return [np.concatenate(found) for found in zip(*rows, strict=True)]


def latency(model: bytes, one: np.ndarray, *, repeats: int = 200) -> dict[str, Any]:
    """Median and 99th percentile of one input (without batch) in ms, with the processor: the manifest's `latency`."""
    ready = session(model)
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


def processor() -> tuple[str, str]:
    """Name of the processor, and those of its flags that matter."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        import platform

        return platform.machine(), ""
    named = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}
    flags = (named.get("flags") or named.get("Features") or "").split()
    return named.get("model name", "")[:80], " ".join(f for f in TOLD if f in flags)
