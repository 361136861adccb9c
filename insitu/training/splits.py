"""Splits of data by group: what belongs to one sample, compound, file or day is never on both sides.

A group is any hashable name per row, `groups` of length n. Indices are int64, in order.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np


def leave_one_out(groups: Sequence[Hashable]) -> Iterator[tuple[Hashable, np.ndarray, np.ndarray]]:
    """Every group once as the test: (its name, training rows, test rows), in order of first appearance.

    >>> [(name, train.tolist(), test.tolist()) for name, train, test in leave_one_out(["a", "b", "a"])]
    [('a', [1], [0, 2]), ('b', [0, 2], [1])]
    """
    for name in dict.fromkeys(groups):
        held = np.array([g == name for g in groups])
        yield name, np.flatnonzero(~held), np.flatnonzero(held)


def folds(groups: Sequence[Hashable], count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`count` folds of whole groups: (training rows, test rows). Groups are dealt in seeded order, largest first, each
    to the fold with fewest rows; `ValueError` where there are fewer groups than folds.

    >>> [test.tolist() for _, test in folds(["a", "a", "b", "c"], 2)]
    [[0, 1], [2, 3]]
    """
    names = list(dict.fromkeys(groups))
    if not 2 <= count <= len(names):
        raise ValueError(f"{len(names)} groups cannot make {count} folds")
    sizes = {name: sum(g == name for g in groups) for name in names}
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    order.sort(key=lambda name: -sizes[name])
    rows, fold_of = [0] * count, {}
    for name in order:
        fold_of[name] = rows.index(min(rows))
        rows[fold_of[name]] += sizes[name]
    at = np.array([fold_of[g] for g in groups])
    for fold in range(count):
        yield np.flatnonzero(at != fold), np.flatnonzero(at == fold)


def held_out(groups: Sequence[Hashable], part: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One split: groups drawn in seeded order until at least `part` of the rows is held out: (training, test rows).

    >>> [rows.size for rows in held_out(["a", "a", "b", "b", "c", "c"], 0.3)]
    [4, 2]
    """
    names = list(dict.fromkeys(groups))
    chosen: set[Hashable] = set()
    for i in np.random.default_rng(seed).permutation(len(names)):
        if sum(g in chosen for g in groups) >= part * len(groups) or len(chosen) == len(names) - 1:
            break
        chosen.add(names[i])
    held = np.array([g in chosen for g in groups])
    return np.flatnonzero(~held), np.flatnonzero(held)


def apart(train: Sequence[Hashable], test: Sequence[Hashable]) -> None:
    """`ValueError` where a group is on both sides."""
    if both := set(train) & set(test):
        raise ValueError(f"groups on both sides of the split: {', '.join(sorted(map(str, both)))}")
