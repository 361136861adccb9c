"""Sizes of what moves numbers about: reshaping, cutting, padding, repeating, resizing."""

import math
from math import prod

from insitu.models.shape_step import Shape, Step, axis_of, fitted, need, put, sizes_of


def reshape(s: Step) -> list[Shape]:
    x, wanted = s.shape(0), [int(n) for n in s.numbers(1)]
    if not s.of("allowzero", 0):
        need(all(n or i < len(x) for i, n in enumerate(wanted)), f"{x} as {wanted}")
        wanted = [n or x[i] for i, n in enumerate(wanted)]
    need(wanted.count(-1) <= 1 and min(wanted, default=0) >= -1, f"{x} as {wanted}")
    if -1 in wanted:
        others = prod(n for n in wanted if n != -1)
        need(others > 0 and prod(x) % others == 0, f"{x} as {wanted}")
        wanted[wanted.index(-1)] = prod(x) // others
    need(prod(wanted) == prod(x), f"{x} as {wanted}")
    return [tuple(wanted)]


def flatten(s: Step) -> list[Shape]:
    x, axis = s.shape(0), s.of("axis", 1)
    axis = axis + len(x) if axis < 0 else axis
    need(0 <= axis <= len(x), f"axis {axis} of {x}")
    return [(prod(x[:axis]), prod(x[axis:]))]


def transpose(s: Step) -> list[Shape]:
    x = s.shape(0)
    order = s.of("perm", tuple(range(len(x)))[::-1])
    need(sorted(order) == list(range(len(x))), f"the order {order} of {x}")
    return [tuple(x[i] for i in order)]


def squeeze(s: Step) -> list[Shape]:
    x = s.shape(0)
    axes = {axis_of(a, len(x)) for a in s.numbers(1)} if len(s) > 1 else {i for i, n in enumerate(x) if n == 1}
    need(all(x[i] == 1 for i in axes), f"axes {sorted(axes)} of {x}")
    return [tuple(n for i, n in enumerate(x) if i not in axes)]


def unsqueeze(s: Step) -> list[Shape]:
    x, axes = s.shape(0), s.numbers(1)
    rank = len(x) + len(axes)
    need(rank <= 8, f"{rank} axes")
    new, old = {axis_of(a, rank) for a in axes}, iter(x)
    need(len(new) == len(axes), f"axes {axes} twice")
    return [tuple(1 if i in new else next(old) for i in range(rank))]


def concat(s: Step) -> list[Shape]:
    shapes = [s.shape(i) for i in range(len(s))]
    axis = axis_of(s.of("axis", 0), len(shapes[0]))
    alike = {put(shape, axis, 0) if len(shape) == len(shapes[0]) else shape for shape in shapes}
    need(len(alike) == 1, f"the shapes {shapes} beside each other")
    return [put(shapes[0], axis, sum(shape[axis] for shape in shapes))]


def split(s: Step) -> list[Shape]:
    x, count = s.shape(0), s.outputs
    axis = axis_of(s.of("axis", 0), len(x))
    if len(s) > 1 and s.has(1):
        parts = [int(n) for n in s.numbers(1)]
    else:
        size = math.ceil(x[axis] / count)
        parts = [min(size, max(0, x[axis] - i * size)) for i in range(count)]
    need(len(parts) == count and min(parts) >= 0 and sum(parts) == x[axis], f"{x[axis]} in parts of {parts}")
    return [put(x, axis, n) for n in parts]


def cut(s: Step) -> list[Shape]:
    x, starts, ends = s.shape(0), s.numbers(1), s.numbers(2)
    axes = s.numbers(3) if len(s) > 3 and s.has(3) else range(len(starts))
    steps = s.numbers(4) if len(s) > 4 and s.has(4) else [1] * len(starts)
    need(len(starts) == len(ends) == len(axes) == len(steps) and 0 not in steps, "a slice of odd lists")
    out = list(x)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        i = axis_of(axis, len(x))
        out[i] = len(range(x[i])[slice(int(start), _open(int(end), int(step), x[i]), int(step))])
    return [tuple(out)]


def _open(end: int, step: int, size: int) -> int | None:
    """An end before the beginning means all of it where one goes backwards."""
    return None if step < 0 and end < -size else end


def pad(s: Step) -> list[Shape]:
    x, pads = s.shape(0), [int(n) for n in s.numbers(1)]
    axes = [axis_of(a, len(x)) for a in s.numbers(3)] if len(s) > 3 and s.has(3) else list(range(len(x)))
    need(len(pads) == 2 * len(axes), f"pads {pads} of {x}")
    out = list(x)
    for k, i in enumerate(axes):
        out[i] += pads[k] + pads[len(axes) + k]
    need(min(out, default=1) > 0, f"pads {pads} of {x}")
    return [tuple(out)]


def gather(s: Step) -> list[Shape]:
    x = s.shape(0)
    axis = axis_of(s.of("axis", 0), len(x))
    return [(*x[:axis], *s.shape(1), *x[axis + 1 :])]


def expand(s: Step) -> list[Shape]:
    return [fitted([s.shape(0), sizes_of(s.numbers(1))])]


def tile(s: Step) -> list[Shape]:
    x, times = s.shape(0), sizes_of(s.numbers(1))
    need(len(times) == len(x), f"{x} repeated {times} times")
    return [tuple(n * k for n, k in zip(x, times, strict=True))]


def shape_of(s: Step) -> list[Shape]:
    rank = len(s.shape(0))
    return [(len(range(rank)[s.of("start", 0) : s.of("end", rank)]),)]


def filled(s: Step) -> list[Shape]:
    return [sizes_of(s.numbers(0))]


def counted(s: Step) -> list[Shape]:
    (start,), (limit,), (step,) = s.numbers(0), s.numbers(1), s.numbers(2)
    need(step != 0, "a range with a step of 0")
    return [(max(0, math.ceil((limit - start) / step)),)]


def resize(s: Step) -> list[Shape]:
    x = s.shape(0)
    axes = [axis_of(a, len(x)) for a in s.of("axes", range(len(x)))]
    need(s.of("keep_aspect_ratio_policy", b"stretch") == b"stretch", "keep_aspect_ratio_policy")
    out = list(x)
    if len(s) > 3 and s.has(3):
        new = sizes_of(s.numbers(3))
    else:
        scales = s.numbers(2)
        need(len(scales) == len(axes) and all(0 < f < 2**20 for f in scales), f"{x} scaled by {scales}")
        new = tuple(math.floor(x[i] * f) for i, f in zip(axes, scales, strict=True))
    need(len(new) == len(axes), f"{x} as {new}")
    for i, n in zip(axes, new, strict=True):
        out[i] = n
    s.work(prod(out) * 4)
    s.room(prod(out))
    return [tuple(out)]


def depth_to_space(s: Step) -> list[Shape]:
    (n, c, h, w), b = s.shape(0), s.of("blocksize", 1)
    need(b > 0 and c % (b * b) == 0, f"blocks of {b} in {c} channels")
    return [(n, c // (b * b), h * b, w * b)]


def space_to_depth(s: Step) -> list[Shape]:
    (n, c, h, w), b = s.shape(0), s.of("blocksize", 1)
    need(b > 0 and h % b == 0 and w % b == 0, f"blocks of {b} in {h} x {w}")
    return [(n, c * b * b, h // b, w // b)]
