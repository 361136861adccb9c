"""The bytes of an ONNX file as plain values, read strictly and without making anything of the sizes that it declares.

Protocol buffers forgive: unknown fields are skipped, a field given twice is merged, and what one reader takes another
may not. Here everything that is not expected is refused, so that what is checked is what onnxruntime then loads:
unknown or doubled fields, functions, sub-graphs, sparse and external tensors, training information. Importing `onnx`
would take as long as a session may take to start; the tests hold this reader against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from insitu.errors import ModelError
from insitu.models.protobuf import PLAIN, Reader, bad, signed, text, varints

ITEMS = {1: "<f4", 2: "|u1", 3: "|i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "|b1", 11: "<f8", 12: "<u4"}
"""Element types of ONNX that a bundle may use, as numpy writes them."""
MOST_LISTED = 1_000_000
"""Whole numbers of a tensor that are listed one by one; more must be raw bytes."""
_LISTS = {4: {1}, 5: {2, 3, 4, 5, 6, 9}, 7: {7}, 10: {11}, 11: {12}}
"""Field of a tensor that lists numbers: of which element types."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor that the file holds: an initializer or a constant. `raw` is its bytes, little-endian."""

    name: str
    item: str
    shape: tuple[int, ...]
    raw: memoryview

    def array(self) -> np.ndarray:
        """Its numbers."""
        return np.frombuffer(self.raw, self.item).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A declared input, output or value between: element type and sizes (None: not declared, or a name)."""

    name: str
    item: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole network, as the file says it."""

    ir_version: int
    opset: int
    nodes: tuple[Node, ...]
    stored: Mapping[str, Stored]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    values: tuple[Value, ...] = field(default=())


def read(data: bytes) -> Graph:
    """The graph of an ONNX file. Raises `ModelError` for anything unexpected."""
    reader = _Reader()
    model = reader.message(
        memoryview(data), "the model", one={1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2}, many={8: 2, 14: 2}
    )
    if 7 not in model.one:
        raise bad("no graph")
    for entry in model.many[14]:
        pair = reader.message(entry, "metadata", one={1: 2, 2: 2})
        if bytes(pair.one.get(1, b"")).startswith(b"ort"):
            raise bad("metadata that changes how onnxruntime works", expected="none")
    opset = reader.opset(model.many[8])
    return reader.graph(model.one[7], model.one.get(1, 0), opset)


class _Reader(Reader):
    """Reads the messages of ONNX."""

    def opset(self, entries: list[memoryview]) -> int:
        """The version of the standard operators; no others may be named."""
        versions = []
        for entry in entries:
            found = self.message(entry, "an operator set", one={1: 2, 2: 0})
            domain = text(found.one.get(1, b""), "the domain of an operator set")
            if domain not in ("", "ai.onnx"):
                remedy = f"{PLAIN}; an import that no node uses can be taken out of the file"
                raise bad(f"operators of {domain!r}", expected="standard operators only", remedy=remedy)
            versions.append(found.one.get(2, 0))
        if len(versions) != 1:
            raise bad(f"{len(versions)} versions of the standard operators", expected="one")
        return versions[0]

    def graph(self, data: memoryview, ir_version: int, opset: int) -> Graph:
        found = self.message(data, "the graph", one={2: 2, 10: 2}, many={1: 2, 5: 2, 11: 2, 12: 2, 13: 2, 14: 2, 16: 2})
        stored: dict[str, Stored] = {}
        for entry in found.many[5]:
            tensor = self.tensor(entry)
            if not tensor.name or tensor.name in stored:
                raise bad(f"two initializers named {tensor.name!r}")
            stored[tensor.name] = tensor
        return Graph(
            ir_version, opset, tuple(self.node(n) for n in found.many[1]), stored,
            *(tuple(self.value(v) for v in found.many[n]) for n in (11, 12, 13)),
        )  # fmt: skip

    def node(self, data: memoryview) -> Node:
        found = self.message(data, "a node", one={3: 2, 4: 2, 6: 2, 7: 2, 8: 2}, many={1: 2, 2: 2, 5: 2, 9: 2})
        domain, op = (text(found.one.get(n, b""), "a node") for n in (7, 4))
        if domain not in ("", "ai.onnx") or len(found.one.get(8, b"")):
            raise bad(f"the operator {domain}.{op}", expected="standard operators only", remedy=PLAIN)
        attributes: dict[str, Any] = {}
        for entry in found.many[5]:
            name, value = self.attribute(entry)
            if name in attributes:
                raise bad(f"the attribute {name!r} of a {op} is there twice")
            attributes[name] = value
        inputs, outputs = (tuple(text(v, "a node") for v in found.many[n]) for n in (1, 2))
        return Node(op, text(found.one.get(3, b""), "a node"), inputs, outputs, attributes)

    def attribute(self, data: memoryview) -> tuple[str, Any]:
        found = self.message(
            data, "an attribute", one={1: 2, 13: 2, 20: 0, 2: 5, 3: 0, 4: 2, 5: 2}, many={9: 2}, lists={7: 5, 8: 0}
        )
        kind = found.one.get(20, 0)
        readers = {1: 2, 2: 3, 3: 4, 4: 5, 6: 7, 7: 8, 8: 9}  # type of the attribute to the field that holds it
        given = {n for n in (2, 3, 4, 5) if n in found.one} | {n for n in (7, 8, 9) if found.many[n]}
        if kind not in readers or given - {readers[kind]}:
            raise bad(f"an attribute of type {kind} that holds something else", remedy=PLAIN)
        name = text(found.one.get(1, b""), "an attribute")
        at = readers[kind]
        if at == 5:
            return name, self.tensor(found.one[5]) if 5 in found.one else _missing(name)
        if at == 9:
            return name, tuple(bytes(v) for v in found.many[9])
        if at == 8:
            return name, tuple(varints(found.many[8], "an attribute", 10_000))
        if at == 7:
            return name, tuple(np.frombuffer(b"".join(v for _, v in found.many[7]), "<f4").tolist())
        value = found.one.get(at)
        if at == 2:
            return name, float(np.frombuffer(value, "<f4")[0]) if value is not None else 0.0
        return name, bytes(value or b"") if at == 4 else signed(value or 0)

    def tensor(self, data: memoryview) -> Stored:
        """A tensor whose bytes are exactly as many as its sizes say."""
        found = self.message(
            data,
            "a tensor",
            one={2: 0, 8: 2, 9: 2, 12: 2, 14: 0},
            many={16: 2},
            lists={1: 0, 4: 5, 5: 0, 7: 0, 10: 1, 11: 0},
        )
        name = text(found.one.get(8, b""), "a tensor")
        kind = found.one.get(2, 0)
        if kind not in ITEMS or found.one.get(14, 0):
            what = "lies outside the file" if found.one.get(14, 0) else f"has elements of type {kind}"
            raise bad(f"the tensor {name!r} {what}", expected="plain numbers in the file", remedy=PLAIN)
        shape = tuple(varints(found.many[1], "a shape", 8))
        if any(not 0 <= n < 2**31 for n in shape):
            raise bad(f"the tensor {name!r} declares the sizes {list(shape)}", expected="sizes of a network")
        size, item = prod(shape), np.dtype(ITEMS[kind])
        given = [n for n in (4, 5, 7, 10, 11) if found.many[n]]
        if len(given) + (9 in found.one) > 1 or any(kind not in _LISTS[n] for n in given):
            raise bad(f"the tensor {name!r} holds numbers of another type than it says")
        if size * item.itemsize > len(data) * 8:  # nothing is made of sizes that the bytes cannot hold
            raise _short(name, shape, size * item.itemsize, len(data))
        raw = memoryview(b"")
        if given or 9 in found.one:
            raw = found.one[9] if 9 in found.one else _listed(given[0], found.many, item)
        if len(raw) != size * item.itemsize:
            raise _short(name, shape, size * item.itemsize, len(raw))
        return Stored(name, ITEMS[kind], shape, raw)

    def value(self, data: memoryview) -> Value:
        found = self.message(data, "a value", one={1: 2, 2: 2, 3: 2}, many={4: 2})
        name = text(found.one.get(1, b""), "a value")
        kind = self.message(found.one.get(2, memoryview(b"")), "a type", one={1: 2, 6: 2})
        tensor = self.message(kind.one.get(1, memoryview(b"")), "a tensor type", one={1: 0, 2: 2})
        element = tensor.one.get(1, 0)
        if element not in ITEMS:
            raise bad(f"the value {name!r} has elements of type {element}", expected="plain numbers")
        if 2 not in tensor.one:
            return Value(name, ITEMS[element], None)
        shape: list[int | None] = []
        for entry in self.message(tensor.one[2], "a shape", one={}, many={1: 2}).many[1]:
            size = self.message(entry, "a size", one={1: 0, 2: 2, 3: 2})
            n = signed(size.one[1]) if 1 in size.one and 2 not in size.one else None
            if n is not None and not 0 <= n < 2**31:
                raise bad(f"the value {name!r} declares a size of {n}", expected="sizes of a network")
            shape.append(n)
        return Value(name, ITEMS[element], tuple(shape))


def _listed(number: int, many: Mapping[int, list[Any]], item: np.dtype) -> memoryview:
    """Numbers of a tensor that are listed in a field of their own type, as bytes of the tensor's type."""
    if number in (4, 10):
        return memoryview(b"".join(value for _, value in many[number]))
    numbers = np.fromiter(varints(many[number], "a tensor", MOST_LISTED), np.int64)
    return memoryview(numbers.astype(item).tobytes())


def _missing(name: str) -> Any:
    raise bad(f"the attribute {name!r} holds no tensor")


def _short(name: str, shape: tuple[int, ...], declared: int, there: int) -> ModelError:
    return bad(
        f"the tensor {name!r} declares {list(shape)}, {declared:,} bytes, and {there:,} are there",
        expected="as many bytes as declared",
    )


def dtype(item: str) -> str:
    """The name of an element type.

    >>> dtype("<f4")
    'float32'
    """
    return np.dtype(item).name
