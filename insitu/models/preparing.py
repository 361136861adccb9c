"""What a network sees of a frame: one function per kind of data, used by training and beside the instrument alike.

A bundle's manifest names the function and its parameters, with a digest over name, parameters and version. A
preparation is pure: `prepare(frame, **params) -> Prepared`, whose `input` is float32 and C-contiguous, of the network's
input shape without the batch. Whoever trains makes frames of simulated data too, and calls the same function.

| name | of | input |
|---|---|---|
| `pattern` | a 1-D diffraction pattern | `(1, points)`; with `cover` `(2, points)` |
| `spectrum` | mu(E) | `(1, points)`, `derivative` adds a row, `elements` one row for each |
| `image` | an image (y, x), colours become grey | `(1, y, x)`; `shrink` divides, `size` fixes both |
| `waveform` | channels over samples | `(channels, points)` |
| `features` | the features of a measurement | `(keys,)` |

A module may have `many(frames, **params)`: the same for several frames, and for one alike.
A change of what a function gives for the same frame raises its number in `VERSIONS`, and older bundles are refused.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson

from insitu.errors import ModelError

PREPARATIONS = {
    "features": "insitu.models.preparing_features:features",
    "image": "insitu.models.preparing_image:image",
    "pattern": "insitu.models.preparing_pattern:pattern",
    "spectrum": "insitu.models.preparing_spectrum:spectrum",
    "waveform": "insitu.models.preparing_waveform:waveform",
}
VERSIONS = {"features": 1, "image": 1, "pattern": 1, "spectrum": 1, "waveform": 1}


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """`input`: what the network gets, float32 without the batch; None where the frame cannot be prepared, and `why`
    then is a sentence for people."""

    input: np.ndarray | None
    why: str = ""


def given(values: np.ndarray) -> Prepared:
    """Numbers as a network's input; a frame whose numbers are not finite in float32 is none."""
    return given_each(np.asarray(values)[None])[0]


def given_each(values: np.ndarray) -> list[Prepared]:
    """`given` of several frames' numbers `(k, ...)`."""
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(values, np.float32)
    if np.isfinite(out).all():
        return [Prepared(x) for x in out]
    why = "the prepared frame holds numbers that are not finite"
    return [Prepared(x) if np.isfinite(x).all() else Prepared(None, why) for x in out]


def preparation(name: str, params: Mapping[str, Any]) -> partial[Prepared]:
    """The function of a manifest with its parameters; `ModelError` where it is not known or does not take them."""
    target = PREPARATIONS.get(name)
    if target is None:
        raise ModelError(
            f"no preparation is named {name!r}", where="preparation.name", expected=f"one of {', '.join(PREPARATIONS)}"
        )
    module, _, function = target.partition(":")
    room = importlib.import_module(module)
    prepare = getattr(room, function)
    getattr(room, "ready", lambda: None)()  # its kernels are compiled before a frame waits
    try:
        inspect.signature(prepare).bind(None, **params)
    except TypeError as e:
        known = [p.name for p in inspect.signature(prepare).parameters.values() if p.kind is p.KEYWORD_ONLY]
        raise ModelError(
            f"the preparation {name!r} does not take its parameters: {e}",
            where="preparation.params",
            expected=f"some of {', '.join(known)}",
        ) from e
    return partial(prepare, **{k: _frozen(v) for k, v in params.items()})


def preparations(name: str, params: Mapping[str, Any]) -> Callable[[Sequence[Any]], list[Prepared]]:
    """`preparation` for several frames, bit by bit: at once where the function's module has `many`."""
    one = preparation(name, params)
    many = getattr(importlib.import_module(one.func.__module__), "many", None)
    return (lambda frames: [one(frame) for frame in frames]) if many is None else partial(many, **one.keywords)


def digest(name: str, params: Mapping[str, Any]) -> str:
    """`sha256:...` over the canonical {name, params, version}: what the manifest's `preparation.digest` must be.

    >>> digest("pattern", {"points": 512}) == digest("pattern", {"points": 1024})
    False
    """
    if name not in VERSIONS:
        raise ModelError(
            f"no preparation is named {name!r}", where="preparation.name", expected=f"one of {', '.join(PREPARATIONS)}"
        )
    body = {"name": name, "params": dict(params), "version": VERSIONS[name]}
    return "sha256:" + hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _frozen(value: Any) -> Any:
    """Lists as tuples, so that plans can be kept by their parameters."""
    return tuple(_frozen(v) for v in value) if isinstance(value, (list, tuple)) else value
