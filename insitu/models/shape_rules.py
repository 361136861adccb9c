"""Which operators a network may use, and how large what they give is: one rule for each, by ONNX's definitions.

A rule is handed the `Step` (shapes of the inputs, values where they are known, attributes) and gives the shapes of the
outputs. What a shape depends on must be known without running the network; else the rule raises.
"""

import math
from collections.abc import Callable, Sequence
from math import prod
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


Rule = Callable[[Step], list[Shape]]


def same(s: Step) -> list[Shape]:
    return [s.shape(0)] * s.outputs


def broadcast(s: Step) -> list[Shape]:
    shapes = [s.shape(i) for i in range(len(s))]
    return [_broadcast(shapes)]


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that all fit into, by numpy's rule.

    >>> _broadcast([(3, 1), (4,), ()])
    (3, 4)
    """
    rank = max(len(shape) for shape in shapes)
    out = []
    for sizes in zip(*[(1,) * (rank - len(shape)) + shape for shape in shapes], strict=True):
        large = {n for n in sizes if n != 1}
        _need(len(large) <= 1, f"the sizes {sizes} do not fit each other")
        out.append(large.pop() if large else 1)
    return tuple(out)


def convolve(s: Step) -> list[Shape]:
    x, w = s.shape(0), s.shape(1)
    return [_convolved(s, x, w)]


def convolve_quantised(s: Step) -> list[Shape]:
    return [_convolved(s, s.shape(0), s.shape(3))]


def _convolved(s: Step, x: Shape, w: Shape) -> Shape:
    group = s.of("group", 1)
    _need(len(x) == len(w) >= 3 and group > 0 and x[1] == w[1] * group, f"an input of {x} for weights of {w}")
    out = (x[0], w[0], *_windows(s, x[2:], s.of("kernel_shape", w[2:])))
    _need(tuple(s.of("kernel_shape", w[2:])) == w[2:], "kernel_shape is not that of the weights")
    s.work(prod(out) * prod(w[1:]))
    return out


def _windows(s: Step, sizes: Shape, kernel: Sequence[int], *, ceil: bool = False) -> list[int]:
    """How many windows fit along each axis."""
    n = len(sizes)
    strides, dilations = (s.of(name, (1,) * n) for name in ("strides", "dilations"))
    pads, auto = s.of("pads", (0,) * 2 * n), s.of("auto_pad", b"NOTSET")
    _need(len(kernel) == len(strides) == len(dilations) == n and len(pads) == 2 * n, "attributes of another rank")
    _need(min((*kernel, *strides, *dilations)) > 0 and min(pads) >= 0, "sizes of a window below 1, or pads below 0")
    _need(max((*kernel, *strides, *dilations, *pads)) < 2**20, "sizes of a window beyond a million")
    out = []
    for i, size in enumerate(sizes):
        span = (kernel[i] - 1) * dilations[i] + 1
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            out.append(math.ceil(size / strides[i]))
            continue
        free = size + (0 if auto == b"VALID" else pads[i] + pads[n + i]) - span
        _need(free >= 0, f"a window of {span} in {size} points")
        count = (math.ceil(free / strides[i]) if ceil else free // strides[i]) + 1
        beyond = ceil and (count - 1) * strides[i] >= size + pads[i]  # a window that would begin in the padding
        out.append(count - beyond)
    return out


def convolve_up(s: Step) -> list[Shape]:
    x, w, group = s.shape(0), s.shape(1), s.of("group", 1)
    n = len(x) - 2
    _need(len(x) == len(w) >= 3 and x[1] == w[0] and group > 0, f"an input of {x} for weights of {w}")
    strides, dilations = (s.of(name, (1,) * n) for name in ("strides", "dilations"))
    pads, extra = s.of("pads", (0,) * 2 * n), s.of("output_padding", (0,) * n)
    _need(len(strides) == len(dilations) == len(extra) == n and len(pads) == 2 * n, "attributes of another rank")
    _need(s.of("auto_pad", b"NOTSET") == b"NOTSET" and not s.of("output_shape", ()), "auto_pad or output_shape")
    sizes = [
        strides[i] * (x[2 + i] - 1) + extra[i] + (w[2 + i] - 1) * dilations[i] + 1 - pads[i] - pads[n + i]
        for i in range(n)
    ]
    _need(min(sizes) > 0, f"an output of {sizes}")
    out = (x[0], w[1] * group, *sizes)
    s.work(prod(x) * prod(w[1:]))
    return [out]


def pool(s: Step) -> list[Shape]:
    x = s.shape(0)
    out = (*x[:2], *_windows(s, x[2:], s.of("kernel_shape", ()), ceil=bool(s.of("ceil_mode", 0))))
    s.work(prod(out) * prod(s.of("kernel_shape", ())))
    return [out] * s.outputs


def pool_all(s: Step) -> list[Shape]:
    x = s.shape(0)
    return [(*x[:2], *(1 for _ in x[2:]))]


def gemm(s: Step) -> list[Shape]:
    a, b = s.shape(0), s.shape(1)
    _need(len(a) == len(b) == 2, f"matrices of {a} and {b}")
    a, b = a[::-1] if s.of("transA", 0) else a, b[::-1] if s.of("transB", 0) else b
    _need(a[1] == b[0], f"matrices of {a} and {b}")
    s.work(a[0] * a[1] * b[1])
    return [(a[0], b[1])]


def matmul(s: Step) -> list[Shape]:
    return [_product(s, s.shape(0), s.shape(1))]


def matmul_quantised(s: Step) -> list[Shape]:
    return [_product(s, s.shape(0), s.shape(3))]


def _product(s: Step, a: Shape, b: Shape) -> Shape:
    _need(bool(a) and bool(b), "a product with a single number")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    _need(left[-1] == right[-2], f"matrices of {a} and {b}")
    out = (*_broadcast([left[:-2], right[:-2]]), left[-2], right[-1])
    s.work(prod(out) * left[-1])
    if len(b) == 1:
        out = out[:-1]
    return (*out[:-2], *out[-1:]) if len(a) == 1 and len(b) > 1 else out[:-1] if len(a) == 1 else out


def quantise(s: Step) -> list[Shape]:
    return [s.shape(0), *[() for _ in range(s.outputs - 1)]]


def reduce(s: Step) -> list[Shape]:
    x = s.shape(0)
    axes = s.numbers(1) if len(s) > 1 and s.has(1) else s.of("axes", ())
    if not len(axes):
        gone = set() if s.of("noop_with_empty_axes", 0) else set(range(len(x)))
    else:
        gone = {_axis(a, len(x)) for a in axes}
    return [_without(x, gone, keep=bool(s.of("keepdims", 1)))]


def arg(s: Step) -> list[Shape]:
    x = s.shape(0)
    return [_without(x, {_axis(s.of("axis", 0), len(x))}, keep=bool(s.of("keepdims", 1)))]


def _without(x: Shape, gone: set[int], *, keep: bool) -> Shape:
    return tuple(1 if i in gone else n for i, n in enumerate(x) if keep or i not in gone)


def top(s: Step) -> list[Shape]:
    x, (k,) = s.shape(0), s.numbers(1)
    axis = _axis(s.of("axis", -1), len(x))
    _need(0 <= k <= x[axis], f"the {k} largest of {x[axis]}")
    return [_put(x, axis, int(k))] * s.outputs


def reshape(s: Step) -> list[Shape]:
    x, wanted = s.shape(0), [int(n) for n in s.numbers(1)]
    if not s.of("allowzero", 0):
        _need(all(n or i < len(x) for i, n in enumerate(wanted)), f"{x} as {wanted}")
        wanted = [n or x[i] for i, n in enumerate(wanted)]
    _need(wanted.count(-1) <= 1 and min(wanted, default=0) >= -1, f"{x} as {wanted}")
    if -1 in wanted:
        others = prod(n for n in wanted if n != -1)
        _need(others > 0 and prod(x) % others == 0, f"{x} as {wanted}")
        wanted[wanted.index(-1)] = prod(x) // others
    _need(prod(wanted) == prod(x), f"{x} as {wanted}")
    return [tuple(wanted)]


def flatten(s: Step) -> list[Shape]:
    x, axis = s.shape(0), s.of("axis", 1)
    axis = axis + len(x) if axis < 0 else axis
    _need(0 <= axis <= len(x), f"axis {axis} of {x}")
    return [(prod(x[:axis]), prod(x[axis:]))]


def transpose(s: Step) -> list[Shape]:
    x = s.shape(0)
    order = s.of("perm", tuple(range(len(x)))[::-1])
    _need(sorted(order) == list(range(len(x))), f"the order {order} of {x}")
    return [tuple(x[i] for i in order)]


def squeeze(s: Step) -> list[Shape]:
    x = s.shape(0)
    axes = {_axis(a, len(x)) for a in s.numbers(1)} if len(s) > 1 else {i for i, n in enumerate(x) if n == 1}
    _need(all(x[i] == 1 for i in axes), f"axes {sorted(axes)} of {x}")
    return [tuple(n for i, n in enumerate(x) if i not in axes)]


def unsqueeze(s: Step) -> list[Shape]:
    x, axes = s.shape(0), s.numbers(1)
    rank = len(x) + len(axes)
    _need(rank <= 8, f"{rank} axes")
    new, old = {_axis(a, rank) for a in axes}, iter(x)
    _need(len(new) == len(axes), f"axes {axes} twice")
    return [tuple(1 if i in new else next(old) for i in range(rank))]


def concat(s: Step) -> list[Shape]:
    shapes = [s.shape(i) for i in range(len(s))]
    axis = _axis(s.of("axis", 0), len(shapes[0]))
    alike = {_put(shape, axis, 0) if len(shape) == len(shapes[0]) else shape for shape in shapes}
    _need(len(alike) == 1, f"the shapes {shapes} beside each other")
    return [_put(shapes[0], axis, sum(shape[axis] for shape in shapes))]


def split(s: Step) -> list[Shape]:
    x, count = s.shape(0), s.outputs
    axis = _axis(s.of("axis", 0), len(x))
    if len(s) > 1 and s.has(1):
        parts = [int(n) for n in s.numbers(1)]
    else:
        size = math.ceil(x[axis] / count)
        parts = [min(size, max(0, x[axis] - i * size)) for i in range(count)]
    _need(len(parts) == count and min(parts) >= 0 and sum(parts) == x[axis], f"{x[axis]} in parts of {parts}")
    return [_put(x, axis, n) for n in parts]


def cut(s: Step) -> list[Shape]:
    x, starts, ends = s.shape(0), s.numbers(1), s.numbers(2)
    axes = s.numbers(3) if len(s) > 3 and s.has(3) else range(len(starts))
    steps = s.numbers(4) if len(s) > 4 and s.has(4) else [1] * len(starts)
    _need(len(starts) == len(ends) == len(axes) == len(steps) and 0 not in steps, "a slice of odd lists")
    out = list(x)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        i = _axis(axis, len(x))
        out[i] = len(range(x[i])[slice(int(start), _open(int(end), int(step), x[i]), int(step))])
    return [tuple(out)]


def _open(end: int, step: int, size: int) -> int | None:
    """An end before the beginning means all of it where one goes backwards."""
    return None if step < 0 and end < -size else end


def pad(s: Step) -> list[Shape]:
    x, pads = s.shape(0), [int(n) for n in s.numbers(1)]
    axes = [_axis(a, len(x)) for a in s.numbers(3)] if len(s) > 3 and s.has(3) else list(range(len(x)))
    _need(len(pads) == 2 * len(axes), f"pads {pads} of {x}")
    out = list(x)
    for k, i in enumerate(axes):
        out[i] += pads[k] + pads[len(axes) + k]
    _need(min(out, default=1) > 0, f"pads {pads} of {x}")
    return [tuple(out)]


def gather(s: Step) -> list[Shape]:
    x = s.shape(0)
    axis = _axis(s.of("axis", 0), len(x))
    return [(*x[:axis], *s.shape(1), *x[axis + 1 :])]


def expand(s: Step) -> list[Shape]:
    return [_broadcast([s.shape(0), _sizes(s.numbers(1))])]


def tile(s: Step) -> list[Shape]:
    x, times = s.shape(0), _sizes(s.numbers(1))
    _need(len(times) == len(x), f"{x} repeated {times} times")
    return [tuple(n * k for n, k in zip(x, times, strict=True))]


def shape_of(s: Step) -> list[Shape]:
    rank = len(s.shape(0))
    return [(len(range(rank)[s.of("start", 0) : s.of("end", rank)]),)]


def filled(s: Step) -> list[Shape]:
    return [_sizes(s.numbers(0))]


def counted(s: Step) -> list[Shape]:
    (start,), (limit,), (step,) = s.numbers(0), s.numbers(1), s.numbers(2)
    _need(step != 0, "a range with a step of 0")
    return [(max(0, math.ceil((limit - start) / step)),)]


def resize(s: Step) -> list[Shape]:
    x = s.shape(0)
    axes = [_axis(a, len(x)) for a in s.of("axes", range(len(x)))]
    _need(s.of("keep_aspect_ratio_policy", b"stretch") == b"stretch", "keep_aspect_ratio_policy")
    out = list(x)
    if len(s) > 3 and s.has(3):
        new = _sizes(s.numbers(3))
    else:
        scales = s.numbers(2)
        _need(len(scales) == len(axes) and all(0 < f < 2**20 for f in scales), f"{x} scaled by {scales}")
        new = tuple(math.floor(x[i] * f) for i, f in zip(axes, scales, strict=True))
    _need(len(new) == len(axes), f"{x} as {new}")
    for i, n in zip(axes, new, strict=True):
        out[i] = n
    s.work(prod(out) * 4)
    return [tuple(out)]


def depth_to_space(s: Step) -> list[Shape]:
    (n, c, h, w), b = s.shape(0), s.of("blocksize", 1)
    _need(b > 0 and c % (b * b) == 0, f"blocks of {b} in {c} channels")
    return [(n, c // (b * b), h * b, w * b)]


def space_to_depth(s: Step) -> list[Shape]:
    (n, c, h, w), b = s.shape(0), s.of("blocksize", 1)
    _need(b > 0 and h % b == 0 and w % b == 0, f"blocks of {b} in {h} x {w}")
    return [(n, c * b * b, h // b, w // b)]


def constant(s: Step) -> list[Shape]:
    return [s.shape(0)]  # the walk puts the value there


def _axis(axis: int, rank: int) -> int:
    _need(-rank <= axis < rank, f"axis {axis} of {rank}")
    return int(axis) % rank


def _put(shape: Shape, axis: int, n: int) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


def _sizes(numbers: Sequence[Any]) -> Shape:
    out = tuple(int(n) for n in numbers)
    _need(len(out) <= 8 and all(0 <= n < 2**40 for n in out), f"the sizes {list(out[:8])}")
    return out


def _need(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


_SAME = """
Abs BatchNormalization Cast Ceil Celu Clip Cos DequantizeLinear Dropout Elu Erf Exp Floor Gelu GroupNormalization
HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Log LogSoftmax
LpNormalization LRN Mish Neg Not QuantizeLinear Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Softsign
Sqrt Tanh ThresholdedRelu
"""
_BROADCAST = (
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow PRelu Sub Sum Where Xor"
)
_REDUCE = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), same),
    **dict.fromkeys(_BROADCAST.split(), broadcast),
    **{f"Reduce{name}": reduce for name in _REDUCE.split()},
    "ArgMax": arg,
    "ArgMin": arg,
    "AveragePool": pool,
    "Concat": concat,
    "Constant": constant,
    "ConstantOfShape": filled,
    "Conv": convolve,
    "ConvInteger": convolve,
    "ConvTranspose": convolve_up,
    "DepthToSpace": depth_to_space,
    "DynamicQuantizeLinear": quantise,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalAveragePool": pool_all,
    "GlobalMaxPool": pool_all,
    "MatMul": matmul,
    "MatMulInteger": matmul,
    "MaxPool": pool,
    "Pad": pad,
    "QLinearConv": convolve_quantised,
    "QLinearMatMul": matmul_quantised,
    "Range": counted,
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape_of,
    "Slice": cut,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "TopK": top,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""Every operator that a network may use, and its rule."""
