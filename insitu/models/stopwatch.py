"""How long networks take for one input on this machine, side by side, so that a busy moment meets all of them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOLD = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
"""Flags of processors that decide which kernels onnxruntime takes."""


class Taken(NamedTuple):
    """Median and 99th percentile, ms."""

    p50_ms: float
    p99_ms: float


def side_by_side(
    sessions: Mapping[str, "InferenceSession"], one: np.ndarray, *, rounds: int = 60, most_s: float = 20.0
) -> dict[str, Taken]:
    """Times of one input `(1, ...)` in each session, in turn: the first 5 rounds are not counted."""
    names = {key: session.get_inputs()[0].name for key, session in sessions.items()}
    taken: dict[str, list[float]] = {key: [] for key in sessions}
    end = time.perf_counter() + most_s
    for i in range(rounds + 5):
        for key, session in sessions.items():
            began = time.perf_counter()
            session.run(None, {names[key]: one})
            if i >= 5:
                taken[key].append(1e3 * (time.perf_counter() - began))
        if i >= 15 and time.perf_counter() > end:
            break
    return {key: Taken(float(np.median(t)), float(np.percentile(t, 99.0))) for key, t in taken.items()}


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
