"""How much memory and work a network needs, found by following the sizes from node to node. Nothing is computed but
sizes, and the few whole numbers that sizes are made of.

A file of a kilobyte can ask for any amount of memory (`Expand`, `Tile`, `Resize`, `ConstantOfShape`, ...). So sizes
must be known without running the network, and what lives at one time must stay inside `MOST_LIVE`.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from insitu.errors import ModelError
from insitu.models.protobuf import WHERE
from insitu.models.shape_rules import RULES
from insitu.models.shape_step import Shape
from insitu.models.shape_values import computed, constant
from insitu.models.wire import Graph, Node

MOST_ELEMENTS = 2**26
"""Numbers in one tensor."""
MOST_LIVE = 2**27
"""Numbers that live at one time, weights included: 512 MiB of float32."""
MOST_WORK = 10**12
"""Multiplications of one call: some minutes of one core."""
_KNOWN = 256
"""Tensors of so many numbers at most are followed by value: shapes, axes, scales."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one call: numbers that live at one time at most, multiplications, and numbers in the weights."""

    live: int
    work: int
    weights: int


def follow(graph: Graph, given: Shape, wanted: tuple[Shape, ...]) -> Sizes:
    """Sizes for an input of shape `given`; the outputs must have the shapes `wanted`. Raises `ModelError`."""
    walk = _Walk(graph, given)
    for i, node in enumerate(graph.nodes):
        walk.step(i, node)
    for value, shape in zip(graph.outputs, wanted, strict=True):
        if walk.shapes.get(value.name) != shape:
            raise ModelError(
                f"the output {value.name!r} has the shape {list(walk.shapes.get(value.name, ()))}", where=WHERE,
                expected=f"{list(shape)}, as the manifest says",
            )  # fmt: skip
    for value in graph.values:  # only told, but onnxruntime reads them
        if value.shape is not None and prod(n or 1 for n in value.shape) > MOST_ELEMENTS:
            raise _large(f"the value {value.name!r} declares {list(value.shape)}")
    return Sizes(walk.peak, walk.macs, walk.weights)


class _Walk:
    """The sizes so far."""

    def __init__(self, graph: Graph, given: Shape) -> None:
        self.shapes: dict[str, Shape] = {name: s.shape for name, s in graph.stored.items()}
        self.known = {name: s.array() for name, s in graph.stored.items() if prod(s.shape) <= _KNOWN}
        if graph.inputs[0].name in self.shapes:
            raise ModelError(f"the input {graph.inputs[0].name!r} is an initializer as well", where=WHERE)
        self.shapes[graph.inputs[0].name] = given
        self.weights = sum(prod(s.shape) for s in graph.stored.values())
        self.live = self.peak = self.weights + prod(given)
        self.macs = self.numbers = self.room = 0
        outputs = {value.name for value in graph.outputs} | graph.stored.keys()
        last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        self.ends: dict[int, set[str]] = {}
        for name, i in last.items():
            if name not in outputs:
                self.ends.setdefault(i, set()).add(name)

    def step(self, i: int, node: Node) -> None:
        """One node further."""
        what = f"node {i} ({node.op} {node.name})".replace(" )", ")")
        for name in node.inputs:
            if name and name not in self.shapes:
                raise ModelError(f"{what} needs {name!r}, which no node before it gives", where=WHERE)
        step = _Step(self, node, what)
        try:
            found = _constant(node) if node.op == "Constant" else RULES[node.op](step)
        except ModelError:
            raise
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as e:  # of a rule: nothing fits
            raise ModelError(f"{what}: {e}", where=WHERE, remedy="Export the network again") from e
        if len(found) < len(node.outputs):
            raise ModelError(f"{what} has {len(node.outputs)} outputs", where=WHERE, expected=f"{len(found)}")
        self._add(node, found, what)
        self._fold(node, found)
        self.live -= sum(prod(self.shapes[name]) for name in self.ends.get(i, ()) if name)

    def _add(self, node: Node, found: list[Shape], what: str) -> None:
        for name, shape in zip(node.outputs, found, strict=False):
            if name in self.shapes:
                raise ModelError(f"{what} gives {name!r}, which is there already", where=WHERE)
            if name:
                n = prod(shape)
                if n > MOST_ELEMENTS:
                    raise _large(f"{what} gives {list(shape)}")
                self.shapes[name] = shape
                self.live += n
                self.numbers += n
        self.peak, self.room = max(self.peak, self.live + self.room), 0
        if self.peak > MOST_LIVE or self.macs + self.numbers > MOST_WORK:
            raise _large(f"up to {what} {self.peak:,} numbers live at one time, after {self.macs:,} multiplications")

    def _fold(self, node: Node, found: list[Shape]) -> None:
        """The values of what sizes are made of."""
        if not node.outputs or prod(found[0]) > _KNOWN:
            return
        inputs = [self.known.get(name) for name in node.inputs]
        if node.op == "Constant":
            value = constant(node)
        elif node.op == "Shape":
            rank = self.shapes[node.inputs[0]]
            value = np.array(rank[node.attributes.get("start", 0) : node.attributes.get("end", len(rank))], np.int64)
        elif any(x is None for x in inputs):
            return
        else:
            value = computed(node, [x for x in inputs if x is not None], found[0])
        if value is not None and value.shape == found[0]:
            self.known[node.outputs[0]] = value


class _Step:
    """A node for its rule."""

    def __init__(self, walk: _Walk, node: Node, what: str) -> None:
        self._walk, self._node, self._what = walk, node, what
        self.outputs = len(node.outputs)

    def __len__(self) -> int:
        return len(self._node.inputs)

    def has(self, i: int) -> bool:
        return i < len(self._node.inputs) and bool(self._node.inputs[i])

    def shape(self, i: int) -> Shape:
        return self._walk.shapes[self._node.inputs[i]]

    def numbers(self, i: int) -> list[Any]:
        found = self._walk.known.get(self._node.inputs[i])
        if found is None:
            raise ModelError(
                f"the sizes of {self._what} depend on the data", where=WHERE, expected="sizes known beforehand",
                remedy="Export the network with fixed sizes (all but the batch)",
            )  # fmt: skip
        return found.ravel().tolist()

    def of(self, name: str, default: Any) -> Any:
        return self._node.attributes.get(name, default)

    def work(self, macs: int) -> None:
        self._walk.macs += macs

    def room(self, n: int) -> None:
        self._walk.room = n


def _constant(node: Node) -> list[Shape]:
    return [tuple(constant(node).shape)]


def _large(what: str) -> ModelError:
    return ModelError(
        what, where=WHERE,
        expected=f"at most {MOST_ELEMENTS:,} in one tensor, {MOST_LIVE:,} at one time, {MOST_WORK:,} multiplications",
        remedy="Make the network, its input or its batch smaller",
    )  # fmt: skip
