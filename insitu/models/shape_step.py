"""What a rule of sizes is handed, and what several rules need."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Shape = tuple[int, ...]


class Step(Protocol):
    """One node, while the sizes are followed through it."""

    outputs: int
    """How many outputs it has."""

    def __len__(self) -> int:
        """How many inputs it has."""
        ...

    def shape(self, i: int) -> Shape:
        """The shape of an input."""
        ...

    def has(self, i: int) -> bool:
        """Whether an optional input is given."""
        ...

    def numbers(self, i: int) -> list[Any]:
        """The numbers of an input that does not depend on data; else `ModelError`."""
        ...

    def of(self, name: str, default: Any) -> Any:
        """An attribute."""
        ...

    def work(self, macs: int) -> None:
        """Count so many multiplications."""
        ...

    def room(self, n: int) -> None:
        """Count so many numbers of float32 that onnxruntime needs beside inputs and outputs while it works."""
        ...


Rule = Callable[[Step], list[Shape]]


def fitted(shapes: Sequence[Shape]) -> Shape:
    """The shape that all fit into, by numpy's rule.

    >>> fitted([(3, 1), (4,), ()])
    (3, 4)
    """
    rank = max(len(shape) for shape in shapes)
    out = []
    for sizes in zip(*[(1,) * (rank - len(shape)) + shape for shape in shapes], strict=True):
        large = {n for n in sizes if n != 1}
        need(len(large) <= 1, f"the sizes {sizes} do not fit each other")
        out.append(large.pop() if large else 1)
    return tuple(out)


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    need(-rank <= axis < rank, f"axis {axis} of {rank}")
    return int(axis) % rank


def put(shape: Shape, axis: int, n: int) -> Shape:
    """A shape with another size along one axis."""
    return (*shape[:axis], n, *shape[axis + 1 :])


def sizes_of(numbers: Sequence[Any]) -> Shape:
    """Numbers as a shape."""
    out = tuple(int(n) for n in numbers)
    need(len(out) <= 8 and all(0 <= n < 2**40 for n in out), f"the sizes {list(out[:8])}")
    return out


def need(fits: bool, what: str) -> None:
    """Raise `ValueError`: the inputs do not fit."""
    if not fits:
        raise ValueError(what)
