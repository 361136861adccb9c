"""The preparation `spectrum`: normalised mu(E) on a grid of energies relative to the tabulated edge.

Relative to the table, not to the measured E0: where mu rises is what tells the oxidation state. Normalisation as in
`insitu.maths.absorption.normalise`; a spectrum that runs around 0 and 1 already is kept. Which edge: the given one,
else what the frame's labels name, else the tabulated one nearest to where mu rises.
"""

from functools import lru_cache

import numpy as np

from insitu.maths.absorption.channels import merged
from insitu.maths.absorption.edge import EdgeEnergy, find_e0
from insitu.maths.absorption.edges import Edge, edge_of, guess_edge
from insitu.maths.absorption.normalise import is_normalised, keep_normalised, normalise, prepare_normalisation
from insitu.maths.absorption.spectrum import NotMeasurable, checked
from insitu.maths.absorption.warm import warm
from insitu.maths.resample import covered, means_between
from insitu.models.preparing import Prepared, given
from insitu.types import Frame

SHELLS = ("K", "L3", "M5")
COARSEST = 6.0
"""Neighbouring energies farther apart than this, eV, have a hole between them."""
LEAST_TOP = 0.5
"""An edge that stays lower, in steps, is not the one that was normalised."""


def spectrum(
    frame: Frame,
    *,
    element: str = "",
    edge: str = "K",
    e0: float | None = None,
    elements: tuple[str, ...] = (),
    low: float = -20.0,
    high: float = 60.0,
    points: int = 160,
    pre1: float | None = None,
    pre2: float | None = None,
    norm1: float | None = None,
    norm2: float | None = None,
    nnorm: int | None = None,
    derivative: bool = False,
    coverage: float = 0.95,
) -> Prepared:
    """float32 `(1 + derivative + len(elements), points)`: normalised mu; d(mu)/dE in 1/eV with `derivative`; with
    `elements` a row for each, 1 in that of the frame's element and 0 elsewhere.

    `element`, `edge`: which edge is meant ("" leaves it to the frame). `e0`: the energy that the grid is relative to,
    eV, instead of the tabulated one. `low`, `high`: of the grid, eV from there. `pre1` to `nnorm`: as in the extractor
    `xafs.edge`. `coverage`: least share of the grid that the spectrum must cover.
    """
    warm()
    try:
        energy, mu = _spectrum(frame)
        shell, rise = _edge(frame, energy, mu, element, edge, elements)
        zero = shell.energy if e0 is None else e0
        norm = _normalised(energy, mu, rise, (pre1, pre2, norm1, norm2, nnorm))
    except (ValueError, ArithmeticError) as e:
        return Prepared(None, str(e) or type(e).__name__)
    edges = _edges(low, high, points)
    seen = covered(energy - zero, edges, COARSEST)
    share = float(np.count_nonzero(seen)) / points
    if share < coverage:
        return Prepared(
            None,
            f"the spectrum covers {energy[0]:.1f} to {energy[-1]:.1f} eV, {100 * share:.0f} % of {zero + low:.1f} to "
            f"{zero + high:.1f} eV: the network needs {100 * coverage:.0f} %",
        )
    rows = [means_between(energy - zero, norm, edges)]
    if derivative:
        rows.append(np.gradient(rows[0], (high - low) / points))
    rows += [np.full(points, float(shell.element == name)) for name in elements]
    return given(np.stack(rows))


def ready() -> None:
    """Compiles, or loads, the kernels of absorption."""
    warm()


def _spectrum(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """`energy` eV strictly increasing and `mu`, `(n,)`, without masked points; a sentence where there is none."""
    axis = frame.axes.get("energy")
    if axis is None or frame.dims != ("energy",):
        hint = "; make mu(E) of the channels with the prepare `absorption`" if "channel" in frame.dims else ""
        raise NotMeasurable(f"no spectrum over energy: the frame has {', '.join(frame.dims)}{hint}")
    if axis.unit != "eV":
        raise NotMeasurable(f"the energy is in {axis.unit!r}, expected eV")
    energy, mu = np.asarray(axis.values, np.float64), np.asarray(frame.data, np.float64)
    if frame.mask is not None:
        seen = ~np.asarray(frame.mask, bool)
        energy, mu = energy[seen], mu[seen]
    energy, values = merged(energy, mu[None])
    return checked(energy, values[0])


def _edge(
    frame: Frame, energy: np.ndarray, mu: np.ndarray, element: str, edge: str, elements: tuple[str, ...]
) -> tuple[Edge, EdgeEnergy]:
    """The tabulated edge and the rise of mu that belongs to it."""
    shell = edge_of(element, edge) if element else _labelled(frame, energy)
    rise = find_e0(energy, mu, shell.near if shell else None)
    shell = shell or guess_edge(rise.value)
    if elements and shell.element not in elements:
        raise NotMeasurable(
            f"this is the {shell.shell} edge of {shell.element}, the network knows {', '.join(elements)}"
        )
    return shell, rise


def _labelled(frame: Frame, energy: np.ndarray) -> Edge | None:
    """The edge that the file's header names, where the spectrum gets there."""
    element, named = frame.labels.get("element", ""), frame.labels.get("edge", "")
    for shell in (named,) if named else SHELLS:
        try:
            found = edge_of(element, shell)
        except NotMeasurable:
            continue
        if energy[0] < found.near[1] and energy[-1] > found.near[0]:
            return found
    return None


def _normalised(
    energy: np.ndarray, mu: np.ndarray, rise: EdgeEnergy, ranges: tuple[float | int | None, ...]
) -> np.ndarray:
    """Normalised mu `(n,)`."""
    free = all(r is None for r in ranges)
    if free and is_normalised(energy, mu, rise.at):
        plan = keep_normalised(energy, rise.at)
    else:
        pre1, pre2, norm1, norm2, nnorm = ranges
        plan = prepare_normalisation(
            energy, rise.at, pre1=pre1, pre2=pre2, norm1=norm1, norm2=norm2,
            nnorm=None if nnorm is None else int(nnorm),
        )  # fmt: skip
    norm = normalise(mu, plan).norm
    top = float(np.max(norm[rise.valley : rise.crest + 1]))
    if top < LEAST_TOP:
        raise NotMeasurable(f"the edge step is not known: the rise reaches {top:.2f} of it")
    return norm


@lru_cache(maxsize=16)
def _edges(low: float, high: float, points: int) -> np.ndarray:
    edges = np.linspace(low, high, points + 1)
    edges.flags.writeable = False
    return edges
