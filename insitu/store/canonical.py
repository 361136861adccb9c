"""The canonical form: one way to write a value as bytes, and the digests that are taken of bytes and arrays.

Stored bytes are hashed, never re-encoded ones. Digests carry their name (`blake3:...`).
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from blake3 import blake3

from insitu.types import Axis, Decision, Feature, Frame, Record, Verdict

_LITTLE = sys.byteorder == "little"


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces; str, 64-bit int, finite float, bool, null, list, dict. What JSON cannot
    hold is made `plain` first, so that no text and no number of a reader or a role can stop the store.

    >>> canonical({"file": "caf\\udce9.xy", "score": np.float32(0.5)})
    b'{"file":"caf\\\\\\\\udce9.xy","score":0.5}'
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)


def text(value: Any) -> str:
    """A text that is valid UTF-8: undecodable bytes of file names are written as backslash escapes."""
    return str(value).encode("utf-8", "backslashreplace").decode()


DEEPEST = 64


def plain(value: Any, depth: int = 0) -> Any:
    """`value` in what JSON can hold: texts valid, numbers of numpy plain, integers beyond 64 bits as float, anything
    else as the name of its type (its text may hold an address, and would differ in a replay)."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return plain(value.item(), depth)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else float(value) if abs(value) < 10**300 else str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping | list | tuple) and depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {text(k): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, depth + 1) for v in value]
    return f"<{type(value).__name__}>"


def digest_bytes(data: bytes | memoryview) -> str:
    """`blake3:<hex>` of bytes."""
    return "blake3:" + blake3(data).hexdigest()


def little(array: np.ndarray) -> np.ndarray:
    """The array as C-contiguous little-endian, without a copy where it already is."""
    if _LITTLE and array.dtype.isnative and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def digest_array(array: np.ndarray) -> str:
    """`blake3:<hex>` over dtype.str, shape, NUL and the C-order little-endian bytes: of the data, not of a file,
    so it survives recompression.

    >>> digest_array(np.zeros(3, "u2")) == digest_array(np.zeros(3, ">u2"))
    True
    """
    a = little(array)
    h = blake3(_prefix(a.dtype.str, a.shape))
    h.update(a.data.cast("B") if a.size else b"")
    return "blake3:" + h.hexdigest()


@lru_cache(maxsize=256)
def _prefix(dtype: str, shape: tuple[int, ...]) -> bytes:
    return f"{dtype}{list(shape)}".encode() + b"\0"


def feature_body(f: Feature) -> dict[str, Any]:
    """A feature as a plain dict: value, unit, and sigma or why where there is one."""
    if f.value is None:
        return {"value": None, "unit": f.unit, "why": f.why}
    if f.sigma is None:
        return {"value": f.value, "unit": f.unit}
    return {"value": f.value, "unit": f.unit, "sigma": f.sigma}


def feature_from(body: Mapping[str, Any]) -> Feature:
    """The feature that `feature_body` wrote."""
    return Feature(body["value"], body["unit"], body.get("sigma"), body.get("why"))


def features_body(features: Mapping[str, Feature]) -> dict[str, Any]:
    """Features by key as plain dicts."""
    return {key: feature_body(f) for key, f in features.items()}


def _verdict(v: Verdict) -> dict[str, Any]:
    body: dict[str, Any] = {"label": v.label, "reason": v.reason, "model": v.model}
    if v.score is not None:
        body["score"] = v.score
    if v.scores:
        body["scores"] = dict(v.scores)
    return body


def decision_body(d: Decision) -> dict[str, Any]:
    """A decision as a plain dict; the action by name."""
    body: dict[str, Any] = {"action": d.action.name, "rule": d.rule, "reason": d.reason, "valid_s": d.valid_s}
    if d.params:
        body["params"] = features_body(d.params)
    return body


def record_body(record: Record) -> dict[str, Any]:
    """Everything said about one frame as a plain dict. No run uid, path, timing or wall clock is in it, so that the
    records of a replay compare byte for byte. Empty parts are left out."""
    m = record.measurement
    body: dict[str, Any] = {
        "n": m.n,
        "source": m.source,
        "seq": m.seq,
        "source_seq": m.source_seq,
        "time_ns": m.time_ns,
        "role": m.role,
        "features": features_body(m.features),
        "verdicts": {name: _verdict(v) for name, v in record.verdicts.items()},
        "decision": decision_body(record.decision),
    }
    if record.spoke:
        body["spoke"] = [decision_body(d) for d in record.spoke]
    if m.context:
        body["context"] = features_body(m.context)
    if m.labels:
        body["labels"] = dict(m.labels)
    if m.arrays:
        body["arrays"] = {
            key: {
                "digest": digest_array(a.values),
                "shape": list(a.values.shape),
                "dtype": a.values.dtype.newbyteorder("<").str,
                "unit": a.unit,
            }
            for key, a in m.arrays.items()
        }
    if m.references:
        body["references"] = dict(m.references)
    if m.faults:
        body["faults"] = list(m.faults)
    if not m.complete:
        body["complete"] = False
        body["k"] = m.points
    if m.provisional:
        body["provisional"] = True
    return body


def frame_body(frame: Frame, arrays: Mapping[str, str], *, refill: bool) -> dict[str, Any]:
    """The ledger entry of a stored frame. `arrays`: digest by array name (frames, sigma, mask, a varying axis).
    `refill`: the frame took the row of one that had been counted as lost."""
    body: dict[str, Any] = {
        "source": frame.source,
        "seq": frame.seq,
        "source_seq": frame.source_seq,
        "role": frame.role,
        "time_ns": frame.time_ns,
        "duration_ns": frame.duration_ns,
        "clock": frame.clock,
        "clock_sigma_ns": frame.clock_sigma_ns,
        "arrays": dict(arrays),
    }
    if frame.context:
        body["context"] = features_body(frame.context)
    if frame.labels:
        body["labels"] = dict(frame.labels)
    if frame.source_run_uid:
        body["source_run_uid"] = frame.source_run_uid
    if not frame.complete:
        body["complete"] = False
    if refill:
        body["refill"] = True
    return body


def axes_body(axes: Mapping[str, Axis]) -> dict[str, Any]:
    """Static axes by name: digest, unit, length and dtype (the values themselves lie beside the frames)."""
    return {
        name: {"digest": digest_array(a.values), "unit": a.unit, "n": len(a.values), "dtype": a.values.dtype.name}
        for name, a in axes.items()
    }
