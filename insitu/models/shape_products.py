"""Sizes of what multiplies: convolutions, pools, matrices."""

import math
from collections.abc import Sequence
from math import prod

from insitu.models.shape_step import Shape, Step, fitted, need


def convolve(s: Step) -> list[Shape]:
    x, w = s.shape(0), s.shape(1)
    return [_convolved(s, x, w)]


def convolve_integers(s: Step) -> list[Shape]:
    return [_unrolled(s, s.shape(0), s.shape(1))]


def convolve_quantised(s: Step) -> list[Shape]:
    return [_unrolled(s, s.shape(0), s.shape(3))]


def _unrolled(s: Step, x: Shape, w: Shape) -> Shape:
    """onnxruntime writes every window of 8-bit numbers out before it multiplies."""
    out = _convolved(s, x, w)
    s.room(prod(w[1:]) * s.of("group", 1) * prod(out[2:]) // 4)
    return out


def _convolved(s: Step, x: Shape, w: Shape) -> Shape:
    group = s.of("group", 1)
    need(len(x) == len(w) >= 3 and group > 0 and x[1] == w[1] * group, f"an input of {x} for weights of {w}")
    out = (x[0], w[0], *_windows(s, x[2:], s.of("kernel_shape", w[2:])))
    need(tuple(s.of("kernel_shape", w[2:])) == w[2:], "kernel_shape is not that of the weights")
    s.work(prod(out) * prod(w[1:]))
    return out


def _windows(s: Step, sizes: Shape, kernel: Sequence[int], *, ceil: bool = False) -> list[int]:
    """How many windows fit along each axis."""
    n = len(sizes)
    strides, dilations = (s.of(name, (1,) * n) for name in ("strides", "dilations"))
    pads, auto = s.of("pads", (0,) * 2 * n), s.of("auto_pad", b"NOTSET")
    need(len(kernel) == len(strides) == len(dilations) == n and len(pads) == 2 * n, "attributes of another rank")
    need(min((*kernel, *strides, *dilations)) > 0 and min(pads) >= 0, "sizes of a window below 1, or pads below 0")
    need(max((*kernel, *strides, *dilations, *pads)) < 2**20, "sizes of a window beyond a million")
    out = []
    for i, size in enumerate(sizes):
        span = (kernel[i] - 1) * dilations[i] + 1
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            out.append(math.ceil(size / strides[i]))
            continue
        free = size + (0 if auto == b"VALID" else pads[i] + pads[n + i]) - span
        need(free >= 0, f"a window of {span} in {size} points")
        count = (math.ceil(free / strides[i]) if ceil else free // strides[i]) + 1
        beyond = ceil and (count - 1) * strides[i] >= size + pads[i]  # a window that would begin in the padding
        out.append(count - beyond)
    return out


def convolve_up(s: Step) -> list[Shape]:
    x, w, group = s.shape(0), s.shape(1), s.of("group", 1)
    n = len(x) - 2
    need(len(x) == len(w) >= 3 and x[1] == w[0] and group > 0, f"an input of {x} for weights of {w}")
    strides, dilations = (s.of(name, (1,) * n) for name in ("strides", "dilations"))
    pads, extra = s.of("pads", (0,) * 2 * n), s.of("output_padding", (0,) * n)
    need(len(strides) == len(dilations) == len(extra) == n and len(pads) == 2 * n, "attributes of another rank")
    need(s.of("auto_pad", b"NOTSET") == b"NOTSET" and not s.of("output_shape", ()), "auto_pad or output_shape")
    sizes = [
        strides[i] * (x[2 + i] - 1) + extra[i] + (w[2 + i] - 1) * dilations[i] + 1 - pads[i] - pads[n + i]
        for i in range(n)
    ]
    need(min(sizes) > 0, f"an output of {sizes}")
    out = (x[0], w[1] * group, *sizes)
    s.room(prod(w[1:]) * prod(x[2:]))  # the products, before they are added up
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
    need(len(a) == len(b) == 2, f"matrices of {a} and {b}")
    a, b = a[::-1] if s.of("transA", 0) else a, b[::-1] if s.of("transB", 0) else b
    need(a[1] == b[0], f"matrices of {a} and {b}")
    s.work(a[0] * a[1] * b[1])
    return [(a[0], b[1])]


def matmul(s: Step) -> list[Shape]:
    return [_product(s, s.shape(0), s.shape(1))]


def matmul_quantised(s: Step) -> list[Shape]:
    return [_product(s, s.shape(0), s.shape(3))]


def _product(s: Step, a: Shape, b: Shape) -> Shape:
    need(bool(a) and bool(b), "a product with a single number")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    need(left[-1] == right[-2], f"matrices of {a} and {b}")
    out = (*fitted([left[:-2], right[:-2]]), left[-2], right[-1])
    s.work(prod(out) * left[-1])
    if len(b) == 1:
        out = out[:-1]
    return (*out[:-2], *out[-1:]) if len(a) == 1 and len(b) > 1 else out[:-1] if len(a) == 1 else out
