"""Values of what sizes are made of: constants, and what a few operators make of small tensors that are known.

Nothing here refuses a network. What cannot be computed, or would not be the same number everywhere (a float that no
whole number of the type can hold), is not known, and only a size that depends on it is refused.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from insitu.models.shape_step import Shape
from insitu.models.wire import Node, Stored

_PAIRS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Min": np.minimum,
    "Max": np.maximum,
    "Equal": np.equal,
}
_SINGLE: dict[str, Callable[..., Any]] = {"Identity": np.array, "Floor": np.floor, "Ceil": np.ceil}
_MANY = ("Min", "Max")
"""Take any number of inputs."""
_CAST = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}
_GIVEN = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}


def constant(node: Node) -> np.ndarray:
    """The value of a Constant. Raises `ValueError`."""
    if len(node.attributes) != 1:
        raise ValueError(f"{len(node.attributes)} values in place of one")
    ((name, value),) = node.attributes.items()
    if isinstance(value, Stored) and name == "value":
        return value.array()
    if name not in _GIVEN or isinstance(value, Stored | bytes):
        raise ValueError(f"a constant that is given as {name!r}")
    return np.asarray(value, _GIVEN[name])


def computed(node: Node, inputs: Sequence[np.ndarray], shape: Shape) -> np.ndarray | None:
    """What a node gives for known inputs, of `shape`, where it can be part of a size; else None."""
    try:
        with np.errstate(all="ignore"):
            found = _computed(node, inputs, shape)
    except (ValueError, IndexError, TypeError, OverflowError, KeyError, AttributeError):  # odd inputs or attributes
        return None
    return found if found is not None and found.shape == shape else None


def _computed(node: Node, inputs: Sequence[np.ndarray], shape: Shape) -> np.ndarray | None:
    op, attributes = node.op, node.attributes
    if op in _PAIRS:
        fits = len(inputs) == 2 or (op in _MANY and inputs)
        return np.asarray(reduce(_PAIRS[op], inputs)) if fits else None
    if op in _SINGLE:
        return np.asarray(_SINGLE[op](inputs[0])) if len(inputs) == 1 else None
    if op == "Where":
        return np.where(*inputs) if len(inputs) == 3 else None
    if op == "Div" and inputs[0].dtype.kind == "i" and np.all(inputs[1] != 0):
        return np.trunc(inputs[0] / inputs[1]).astype(inputs[0].dtype)
    if op == "Gather":
        return np.take(inputs[0], inputs[1], axis=attributes.get("axis", 0))
    if op == "Concat":
        return np.concatenate(inputs, axis=attributes.get("axis", 0))
    if op in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return inputs[0].reshape(shape)
    if op == "Slice" and inputs[0].ndim == 1 and all(part.size == 1 for part in inputs[1:]):
        start, end = int(inputs[1].item()), int(inputs[2].item())
        return inputs[0][slice(start, end, int(inputs[4].item()) if len(inputs) > 4 else 1)]
    if op == "Cast":
        return _cast(inputs[0], np.dtype(_CAST[attributes["to"]]))
    if op == "ConstantOfShape":
        fill = attributes.get("value")
        return np.full(shape, fill.array().ravel()[0] if fill is not None else np.float32(0))
    return None


def _cast(x: np.ndarray, to: np.dtype) -> np.ndarray | None:
    """`x` in another type, where every number fits into it: beyond that processors differ."""
    if to.kind in "iu" and x.dtype.kind in "iuf":
        limits = np.iinfo(to)
        if not np.all((x >= limits.min) & (x.astype(np.float64) < float(limits.max))):
            return None
    return x.astype(to)
