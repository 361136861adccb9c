"""Numbers of frames from the names of their files, so that a missing picture is known to be missing."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

_PARTS = re.compile(r"(\d+)")
SHARE = 0.6
"""So many of the steps between neighbours must be the same for a number to count frames."""


def numbers_in(paths: list[Path], *, forced: bool = False) -> list[int | None]:
    """The number of each file, in steps of one; all None where the names do not number the files: more than one number
    varies, or the steps are of many sizes (times of day, temperatures). `forced`: the last number in each name counts,
    whatever it is; None for a name without one.

    >>> numbers_in([Path(f"a_{i:04}.png") for i in (10, 20, 30, 50)])
    [1, 2, 3, 5]
    """
    parts = [_PARTS.split(path.name) for path in paths]
    if forced:
        return [int(part[-2]) if len(part) > 1 and len(part[-2]) < 19 else None for part in parts]
    none: list[int | None] = [None] * len(paths)
    if len(paths) < 2 or len({(len(part), *part[::2]) for part in parts}) != 1:
        return none
    varying = [i for i in range(1, len(parts[0]), 2) if len({int(part[i]) for part in parts}) > 1]
    if len(varying) != 1 or any(len(part[varying[0]]) > 15 for part in parts):
        return none
    found = [int(part[varying[0]]) for part in parts]
    steps = [b - a for a, b in pairwise(found)]
    step, count = Counter(steps).most_common(1)[0]
    if step < 1 or count < SHARE * len(steps) or any(one < 1 or one % step for one in steps):
        return none
    return [number // step for number in found]
