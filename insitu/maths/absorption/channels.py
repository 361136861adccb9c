"""From the channels of an absorption scan to mu(E): which is which, what is dead, and which way of measuring it was.

    transmission  ln(i0 / itrans)       fluorescence  sum(ifluor) / i0       reference  ln(itrans / irefer)

Channels are told by their names. Where these say nothing, or leave a choice, the spectrum with the clearest edge is
taken: the step over its uncertainty, at an edge that the table knows; the first candidate wins unless another one is
`BETTER` times clearer, so that noise does not change the choice from scan to scan.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import edges_between
from insitu.maths.absorption.normalise import normalise, prepare_normalisation
from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.spectrum import NotMeasurable

Mode = Literal["transmission", "fluorescence", "reference", "mu"]
BETTER = 3.0
CLEAR = 1000.0
"""A step of so many times the noise is as clear as any: what has no noise (a clock, a set value) is no better."""

MOST_CANDIDATES = 200
"""How many pairs of channels without names are looked at."""
FEWEST_COUNTS = 10.0

_I0 = re.compile(r"i_?0|io|izero|i0_.*|mon(itor)?|i0_?raw|norm_i0")
_TRANS = re.compile(r"i_?1|it|itrans|i_?t|trans|i1_.*eh1|transmission")
_REFER = re.compile(r"i_?2|irefer|iref|ir|i_?r|ref|ir_.*|i_ref|refer")
_MU = re.compile(
    r"mu|xmu|mutrans|mu_?t(rans)?|mufluor|mu_?f(luor)?|absorbance|normali[sz]ed|norm|flat|xanes|abs|mux|mue"
)
_FLUOR = re.compile(
    r"ifluor.*|if\d*|iff?|fluor?(escence)?\d*|fluo\d*|dtc\d+|lytle|pips|sdd\d*|roi\d+|mca\d+|(sum_)?[a-z]{1,2}_[kl][ab]?\d?(_.*)?"
)
_LINE = re.compile(r"(?:sum_)?([a-z]{1,2})_[kl][ab]?\d?(?:_.*)?")
_NO_COUNTER = re.compile(
    r"energy|angle|theta|time|clock|seconds|dwell|event|index|point|current|gap|motor|temperature|^k$|kname|^x_?\d"
)
_NOT_RAW = re.compile(r"ifluor_raw|sum_.*")


class Way(NamedTuple):
    """One way to mu(E): `mode`, and the channels (indices) above and below the line; `said` for people."""

    mode: Mode
    above: tuple[int, ...]
    below: tuple[int, ...]
    said: str


class Channels(NamedTuple):
    """Indices of channels by what they measure; `fluor`: one group for each fluorescence detector."""

    i0: int | None
    trans: int | None
    refer: int | None
    fluor: tuple[tuple[int, ...], ...]
    mu: int | None


def sort_channels(names: Sequence[str], element: str = "") -> Channels:
    """What channels measure, by their names; of several fluorescence lines those of `element`, if it is known.

    >>> sort_channels(["i0", "itrans", "irefer"])[:3]
    (0, 1, 2)
    """

    def first(form: re.Pattern[str]) -> int | None:
        return next((i for i, name in enumerate(names) if form.fullmatch(name)), None)

    fluor = [i for i, name in enumerate(names) if _FLUOR.fullmatch(name)]
    lines = {i: m[1] for i in fluor if (m := _LINE.fullmatch(names[i]))}
    if lines and element.lower() in lines.values():
        fluor = [i for i in fluor if lines.get(i) == element.lower()]
    elif len(set(lines.values())) > 1:
        fluor = [i for i in fluor if lines.get(i) in (None, next(iter(lines.values())))]
    single = [i for i in fluor if not _NOT_RAW.fullmatch(names[i])] or fluor
    groups: dict[str, list[int]] = {}
    for i in single:
        groups.setdefault(re.sub(r"\d+$", "", names[i]), []).append(i)
    return Channels(first(_I0), first(_TRANS), first(_REFER), tuple(map(tuple, groups.values())), first(_MU))


def ways(channels: Channels, names: Sequence[str]) -> list[Way]:
    """All ways to mu(E) that the channels allow, the plainest first; the reference is not among them."""
    found: list[Way] = []
    if channels.mu is not None:
        found.append(Way("mu", (channels.mu,), (), f"{names[channels.mu]} as it is"))
    if channels.i0 is not None and channels.trans is not None:
        said = f"ln({names[channels.i0]} / {names[channels.trans]})"
        found.append(Way("transmission", (channels.i0,), (channels.trans,), said))
    if channels.i0 is not None:
        for group in channels.fluor:
            told = " + ".join(names[i] for i in group)
            found.append(Way("fluorescence", group, (channels.i0,), f"({told}) / {names[channels.i0]}"))
    return found


def without_dead(way: Way, values: np.ndarray, names: Sequence[str]) -> Way:
    """The same way, with those elements of a fluorescence detector only that count."""
    if way.mode != "fluorescence" or len(names) != len(values):
        return way
    living = tuple(i for i in way.above if alive(values[i]))
    if len(living) in (0, len(way.above)):
        return way
    dead = ", ".join(names[i] for i in way.above if i not in living)
    told = " + ".join(names[i] for i in living)
    return Way(way.mode, living, way.below, f"({told}) / {names[way.below[0]]}, without {dead}")


def reference_way(channels: Channels, names: Sequence[str]) -> Way | None:
    """The way to mu(E) of the reference foil behind the sample."""
    if channels.trans is None or channels.refer is None:
        return None
    said = f"ln({names[channels.trans]} / {names[channels.refer]})"
    return Way("reference", (channels.trans,), (channels.refer,), said)


def mu_of(values: np.ndarray, way: Way, names: Sequence[str] = ()) -> np.ndarray:
    """mu(E) `(n,)` from `values` (channels, n). Raises `NotMeasurable` where a count is not above zero."""
    above = [i for i in way.above if way.mode != "fluorescence" or alive(values[i])]
    if not above:
        raise NotMeasurable("every element of the fluorescence detector is dead")
    top = values[above].sum(axis=0)
    if way.mode == "mu":
        return np.ascontiguousarray(top)
    under = values[list(way.below)].sum(axis=0)
    logarithm = way.mode in ("transmission", "reference")
    for part, index in ((under, way.below[0]), (top, way.above[0])):
        bad = np.flatnonzero(~(part > 0))
        if bad.size and (logarithm or part is under):
            name = names[index] if index < len(names) else f"channel {index + 1}"
            raise NotMeasurable(
                f"{name} is {part[bad[0]]:g} at point {bad[0]}: no beam, or a channel that did not count"
            )
    return np.log(top / under) if logarithm else top / under


def alive(counts: np.ndarray) -> bool:
    """Whether a detector element counted: not all the same, not nearly always nothing."""
    return bool(np.ptp(counts) > 0 and np.median(counts) > 0)


def clearness(energy: np.ndarray, mu: np.ndarray, near: tuple[float, float] | None = None) -> float:
    """Edge step over the noise of a point; 0 where there is no edge upwards at an energy that the table knows."""
    try:
        edge = find_e0(energy, mu, near)
        if near is None and not any(
            e.shell in ("K", "L3") for e in edges_between(edge.value - 25.0, edge.value + 10.0)
        ):
            return 0.0
        plan = prepare_normalisation(energy, edge.value)
        step = normalise(mu, plan).step.value
        noise = float(np.median(point_noise(energy, mu, edge.value)))
    except NotMeasurable:
        return 0.0
    if not math.isfinite(step) or step <= 0:
        return 0.0
    return step / max(noise, step / CLEAR)


def choose(
    energy: np.ndarray, values: np.ndarray, candidates: Sequence[Way], near: tuple[float, float] | None = None
) -> Way | None:
    """The first way, unless another one shows the edge `BETTER` times clearer; None where none shows an edge."""
    best, clear = None, 0.0
    for way in candidates:
        try:
            found = clearness(energy, mu_of(values, way), near)
        except NotMeasurable:
            continue
        if found > (BETTER * clear if best else 0.0):
            best, clear = way, found
    return best


def unnamed_ways(energy: np.ndarray, values: np.ndarray, names: Sequence[str] = ()) -> Iterator[Way]:
    """Ways to mu(E) from channels (channels, n) whose names do not tell: two counters each, neighbours first, then each
    channel as mu.

    Which of two counters is behind the sample, the edge tells: in transmission the counts behind it fall there, in
    fluorescence they rise, and those before it do neither.
    """
    said = [names[i] if i < len(names) else "" for i in range(len(values))]
    moving = [
        i
        for i, row in enumerate(values)
        if np.ptp(row) > 1e-9 * max(1.0, float(np.abs(row).max())) and not _NO_COUNTER.search(said[i])
    ]
    if len(moving) == 1:
        yield Way("mu", (moving[0],), (), f"column {moving[0] + 2} as it is")
        return
    moving = [i for i in moving if not _follows(energy, values[i])]
    counters = [i for i in moving if values[i].min() > FEWEST_COUNTS]
    made = 0
    for distance in range(1, len(counters)):
        for a in range(len(counters) - distance):
            if (made := made + 1) > MOST_CANDIDATES:
                break
            yield from _of_two(energy, values, counters[a], counters[a + distance])
    for i in moving:
        yield Way("mu", (i,), (), f"column {i + 2} as it is")


def _of_two(energy: np.ndarray, values: np.ndarray, i: int, j: int) -> Iterator[Way]:
    """The ways that two counters allow: at most one for each sense of their ratio."""
    ratio = np.log(values[i] / values[j])
    for upper, lower, mu in ((i, j, ratio), (j, i, -ratio)):
        try:
            edge = find_e0(energy, mu)
        except NotMeasurable:
            continue
        low, high = edge.valley, edge.crest
        rise, fall = (abs(float(np.log(values[c][high] / values[c][low]))) for c in (upper, lower))
        if rise > fall:
            yield Way("fluorescence", (upper,), (lower,), f"column {upper + 2} / column {lower + 2}")
        else:
            yield Way("transmission", (upper,), (lower,), f"ln(column {upper + 2} / column {lower + 2})")


def _follows(energy: np.ndarray, row: np.ndarray) -> bool:
    """Whether a channel is the axis once more, as set or as read back, in eV or keV, or the angle of the
    monochromator, not something that counts."""
    forms = [row, 1000.0 * row]
    if row.min() > 0.0 and row.max() < 90.0:
        sine = np.sin(np.radians(row))
        forms.append(energy[0] * sine[0] / sine)
    return any(bool(np.all(np.abs(form - energy) < 0.01 * energy)) for form in forms)


def merged(energy: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strictly increasing energies (m,) and values (..., m), whatever the order in which they were taken: points at one
    energy become their mean.

    >>> [a.tolist() for a in merged(np.array([1.0, 1.0, 2.0]), np.array([[3.0, 5.0, 7.0]]))]
    [[1.0, 2.0], [[4.0, 7.0]]]
    """
    if (energy[1:] < energy[:-1]).any():
        order = np.argsort(energy, kind="stable")
        energy, values = energy[order], values[..., order]
    first = np.flatnonzero(np.diff(energy, prepend=-np.inf) > 0)
    if first.size == energy.size:
        return energy, values
    counts = np.diff(np.append(first, energy.size))
    return energy[first], np.add.reduceat(values, first, axis=-1) / counts
