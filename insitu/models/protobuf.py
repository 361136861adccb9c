"""Protocol buffers' wire format, read strictly: a field is one that was named beforehand, and is there once.

Protocol buffers forgive: unknown fields are skipped, and a field that is there twice is merged, so that what one reader
checks another may not run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from insitu.errors import ModelError

WHERE = "model.onnx"
MOST_FIELDS = 100_000
"""Fields of a whole file. A network has thousands."""


class Field(NamedTuple):
    """One field of a message: number, wire type (0 varint, 1 eight bytes, 2 bytes, 5 four bytes) and value."""

    number: int
    kind: int
    value: Any


@dataclass(slots=True)
class Message:
    """The fields of one message by number: those that are there once, and those that may be there more often."""

    one: dict[int, Any]
    many: dict[int, list[Any]]


class Reader:
    """Reads messages and counts their fields."""

    def __init__(self) -> None:
        self.count = 0

    def fields(self, data: memoryview, what: str) -> Iterator[Field]:
        """The fields of one message, in order."""
        at, end = 0, len(data)
        while at < end:
            self.count += 1
            if self.count > MOST_FIELDS:
                raise bad("more fields than a network has", expected=f"at most {MOST_FIELDS:,}")
            tag, at = varint(data, at, what)
            number, kind = tag >> 3, tag & 7
            if kind == 0:
                value, at = varint(data, at, what)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, at = data[at : at + size], at + size
            elif kind == 2:
                size, at = varint(data, at, what)
                value, at = data[at : at + size], at + size
            else:
                raise bad(f"{what} is damaged (wire type {kind})")
            if at > end:
                raise bad(f"{what} is cut off")
            yield Field(number, kind, value)

    def message(
        self, data: memoryview, what: str, *, one: Mapping[int, int], many: Mapping[int, int] | None = None,
        lists: Mapping[int, int] | None = None,
    ) -> Message:  # fmt: skip
        """A message whose fields are named beforehand, number to wire type: `one` at most once, `many` any number,
        `lists` numbers that may be packed."""
        many, lists = many or {}, lists or {}
        found = Message({}, {n: [] for n in (*many, *lists)})
        for number, kind, value in self.fields(data, what):
            if number in one and kind == one[number]:
                if number in found.one:
                    raise bad(f"field {number} of {what} is there twice")
                found.one[number] = value
            elif (number in many and kind == many[number]) or (number in lists and kind in (2, lists[number])):
                found.many[number].append((kind, value) if number in lists else value)
            else:
                raise bad(f"{what} has {_NAMES.get((what.split(' ')[-1], number), f'a field {number}')}", remedy=PLAIN)
        return found


PLAIN = "Export the network again with standard operators, weights inside the file, and no functions"
_NAMES = {
    ("model", 20): "training information",
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse tensors",
    ("attribute", 6): "a sub-graph",
    ("attribute", 11): "sub-graphs",
    ("attribute", 21): "a reference to an attribute of a function",
    ("tensor", 13): "data outside the file",
    ("tensor", 6): "text",
}
"""What forbidden fields are, by the last word of their message."""


def varint(data: memoryview, at: int, what: str) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and where it ends."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at
        shift += 7
        if shift > 63:
            break
    raise bad(f"{what} is damaged (a number without an end)")


def varints(found: list[tuple[int, Any]], what: str, most: int) -> Iterator[int]:
    """Signed numbers, packed or one by one, at most so many."""
    count = 0
    for kind, value in found:
        at = 0
        while at < (1 if kind == 0 else len(value)):
            count += 1
            if count > most:
                raise bad(f"{what} lists more than {most:,} numbers", remedy="Write large tensors as raw bytes")
            n, at = (value, 1) if kind == 0 else varint(value, at, what)
            yield signed(n)


def signed(n: int) -> int:
    """A number of 64 bits with its sign."""
    return n - (1 << 64) if n >= 1 << 63 else n


def text(data: Any, what: str) -> str:
    """A name: messages quote it, so it must be short and printable."""
    if len(data) > 1000:
        raise bad(f"a name of {what} has {len(data):,} letters", expected="at most 1,000")
    try:
        name = bytes(data).decode()
    except UnicodeDecodeError:
        raise bad(f"a name of {what} is no text") from None
    if not name.isprintable():
        raise bad(f"a name of {what} is {name[:40]!r}", expected="printable letters")
    return name


def bad(what: str, expected: str = "", remedy: str = "") -> ModelError:
    """The refusal."""
    return ModelError(what, where=WHERE, expected=expected, remedy=remedy)
