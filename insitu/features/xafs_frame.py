"""What the XAFS extractors have in common: the spectrum of a frame, which edge it shows, and its normalisation.

Which edge: `element` and `edge` of the recipe; else what the file's header names, where the spectrum gets there; else
the largest rise, and the tabulated edge nearest to it. A file that holds normalised mu (its channel is called so, or it
runs around 0 and 1) keeps its own normalisation.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.absorption.channels import merged
from insitu.maths.absorption.edge import EdgeEnergy, find_e0
from insitu.maths.absorption.edges import Edge, edge_of, guess_edge
from insitu.maths.absorption.normalise import Normalised, NormPlan, is_normalised, keep_normalised, normalise
from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.series import Plans
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, checked
from insitu.maths.absorption.warm import warm
from insitu.types import KEY, Feature, Frame, Output

NORMALISED = re.compile(r"norm(ali[sz]ed)?|flat(tened)?|norm_mu|mu_norm")
SHELLS_BY_HABIT = ("K", "L3", "M5")
CLEAR_OF_NEXT = 15.0
"""Post-edge and EXAFS end so many eV before the next edge of the same element."""
ROOM = 60.0
"""An edge that follows sooner than this (3d L2 after L3) is part of the same structure and ends nothing."""
AROUND = 20.0
LEAST_ABOVE = 8.0
"""A spectrum that ends sooner above a rise does not tell whether that is an edge, eV."""
LEAST_TOP = 0.5
"""An edge that stays lower, in steps, is not the one that was normalised."""


class Looked(NamedTuple):
    """A spectrum as it was found: `energy` eV, `mu` and its noise `sigma` (n,); the flank `rise`; the tabulated edge,
    None where no table knows one there; `plan` and what normalising gave."""

    energy: np.ndarray
    mu: np.ndarray
    sigma: np.ndarray
    rise: EdgeEnergy
    shell: Edge | None
    plan: NormPlan
    normal: Normalised


class Seen(NamedTuple):
    """How far looking got: `energy`, `mu`, `known` noise (n,); the flank and the tabulated edge; `looked`: all of it.
    What is None was not found, and `why` says why."""

    energy: np.ndarray | None = None
    mu: np.ndarray | None = None
    known: np.ndarray | None = None
    rise: EdgeEnergy | None = None
    shell: Edge | None = None
    looked: Looked | None = None
    why: str = ""


Found = dict[tuple[Edge | None, float | None], Seen]
"""Spectrum and flank of one frame, by which edge was asked for: what looks with other ranges have in common."""


class _Last(threading.local):
    """What was seen last, in each thread: the extractors of a recipe look at one frame in turn, and mostly alike."""

    frame: Frame | None = None
    look: Look | None = None
    seen = Seen()
    found: Found


_LAST = _Last()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How to look at spectra: the recipe's keys, checked. `ranges`: what is given of pre1 ... nvict."""

    shell: Edge | None
    e0: float | None
    ranges: Mapping[str, float | int]
    normalised: bool | None
    plans: Plans = field(compare=False)

    def __call__(self, frame: Frame) -> Looked:
        """The normalised spectrum. `NotMeasurable` with a sentence for people."""
        seen = self.seen(frame)
        if seen.looked is None:
            raise NotMeasurable(seen.why)
        return seen.looked

    def seen(self, frame: Frame) -> Seen:
        """The spectrum, as far as it can be looked at. The numbers hang on frame and settings alone."""
        if _LAST.frame is not frame:
            _LAST.frame, _LAST.look, _LAST.found = frame, None, {}
        if _LAST.look != self:
            _LAST.look, _LAST.seen = self, self._see(frame, _LAST.found)
        return _LAST.seen

    def _see(self, frame: Frame, found: Found) -> Seen:
        seen = found.get((self.shell, self.e0), Seen())
        try:
            if seen.rise is None:
                energy, mu, known = spectrum_of(frame)
                seen = Seen(energy, mu, known)
                rise, shell = self._edge(frame, energy, mu)
                seen = found[self.shell, self.e0] = Seen(energy, mu, known, rise, shell)
            return seen._replace(looked=self._normalise(frame, seen))
        except (ValueError, ArithmeticError) as e:
            return seen._replace(why=str(e) or type(e).__name__)

    def _normalise(self, frame: Frame, seen: Seen) -> Looked:
        """A spectrum normalised at an edge that was found."""
        energy, mu, known, rise, shell = seen[:5]
        assert energy is not None
        assert mu is not None
        assert rise is not None
        at = rise.at if self.e0 is None else self.e0
        if self._keeps(frame, energy, mu, at):
            plan = keep_normalised(energy, at)
        else:
            plan = self.plans.normalisation(energy, at, self._ranges(energy, at, shell))
        sigma = point_noise(energy, mu, rise.value) if known is None else known
        normal = normalise(mu, plan, sigma)
        top = float(np.max(normal.norm[rise.valley : rise.crest + 1]))
        if top < LEAST_TOP:
            raise NotMeasurable(
                f"the edge step is not known: its rise reaches {top:.2f} of the step that pre-edge and post-edge give"
                f" (fitted {plan.ranges.pre1:.0f} to {plan.ranges.pre2:.0f} and {plan.ranges.norm1:.0f} to"
                f" {plan.ranges.norm2:.0f} eV from E0)"
            )
        return Looked(energy, mu, sigma, rise, shell, plan, normal)

    def _edge(self, frame: Frame, energy: np.ndarray, mu: np.ndarray) -> tuple[EdgeEnergy, Edge | None]:
        """Where mu rises, and which tabulated edge that is."""
        shell = self.shell or (None if self.e0 is not None else named_edge(frame, energy))
        near = shell.near if shell else None
        if self.e0 is not None:
            near = (self.e0 - AROUND, self.e0 + AROUND)
        rise = find_e0(energy, mu, near)
        if energy[-1] < rise.value + LEAST_ABOVE:
            raise NotMeasurable(f"the spectrum ends at {energy[-1]:.1f} eV, just above a rise at {rise.value:.1f} eV")
        return rise, shell or _guessed(rise)

    def _keeps(self, frame: Frame, energy: np.ndarray, mu: np.ndarray, e0: float) -> bool:
        if self.normalised is not None:
            return self.normalised
        told = frame.labels.get("measured", frame.labels.get("channels", "")).split()
        called = bool(told) and NORMALISED.fullmatch(told[0]) is not None
        return called or (not self.ranges and is_normalised(energy, mu, e0))

    def _ranges(self, energy: np.ndarray, e0: float, shell: Edge | None) -> Mapping[str, float | int]:
        last = ends_before(shell, energy)
        if "norm2" in self.ranges or last is None:
            return self.ranges
        return {**self.ranges, "norm2": last - e0}


def look(
    element: str, edge: str, e0: float | None, normalised: bool | None, **ranges: float | int | None
) -> Look:  # fmt: skip
    """The setting from a recipe's keys; ConfigError where they do not make sense."""
    if edge and not element:
        raise ConfigError("an edge without an element", where="edge", expected='both, such as element = "Fe"')
    shell = None
    if element:
        try:
            shell = edge_of(element, edge or "K")
        except NotMeasurable as e:
            raise ConfigError(str(e), where="element", expected='such as element = "Pt", edge = "L3"') from e
    if e0 is not None and not 30.0 < e0 < 200_000.0:
        raise ConfigError(f"e0 = {e0:g} eV is no X-ray energy", where="e0", expected="30 to 200000 eV")
    given = {key: value for key, value in ranges.items() if value is not None}
    for low, high in (("pre1", "pre2"), ("norm1", "norm2")):
        if low in given and high in given and not given[low] < given[high]:
            raise ConfigError(f"{low} is not below {high}", where=low, expected="the lower end first, relative to E0")
    if not 0 <= given.get("nnorm", 0) <= 3 or given.get("pre2", -1.0) >= 0.0 or given.get("norm1", 1.0) <= 0.0:
        raise ConfigError(
            "these ranges cannot normalise", where="pre2", expected="pre2 below 0, norm1 above 0 eV, nnorm 0 to 3"
        )
    warm()
    return Look(shell=shell, e0=e0, ranges=given, normalised=normalised, plans=Plans())


def spectrum_of(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`energy` eV strictly increasing, `mu` and (where the frame has it) `sigma`, `(n,)`, without masked points."""
    axis = frame.axes.get("energy")
    if axis is None or frame.dims != ("energy",):
        what = "channels" if frame.dims[:1] == ("channel",) and axis is not None else ", ".join(frame.dims)
        told = frame.labels.get("warning", "")
        hint = "; make mu(E) of them with the prepare `absorption`" if what == "channels" else ""
        raise NotMeasurable(f"no spectrum over energy: the frame has {what}{hint}" + (f" ({told})" if told else ""))
    if axis.unit != "eV":
        raise NotMeasurable(f"the energy is in {axis.unit!r}, expected eV")
    rows = [np.asarray(axis.values, np.float64), np.asarray(frame.data, np.float64)]
    if frame.sigma is not None:
        rows.append(np.asarray(frame.sigma, np.float64))
    if frame.mask is not None:
        seen = ~np.asarray(frame.mask, dtype=bool)
        rows = [row[seen] for row in rows]
    energy, values = merged(rows[0], np.stack(rows[1:]))
    energy, mu = checked(energy, values[0])
    return energy, mu, values[1] if len(values) > 1 else None


def named_edge(frame: Frame, energy: np.ndarray) -> Edge | None:
    """The edge that the file's header names, where the spectrum gets there; None where it does not."""
    element, named = frame.labels.get("element", ""), frame.labels.get("edge", "")
    for shell in (named,) if named else SHELLS_BY_HABIT:
        try:
            edge = edge_of(element, shell)
        except NotMeasurable:
            continue
        low, high = edge.near
        if energy[0] < high and energy[-1] > low:
            return edge
    return None


def _guessed(rise: EdgeEnergy) -> Edge | None:
    try:
        return guess_edge(rise.value)
    except NotMeasurable:
        return None


def ends_before(shell: Edge | None, energy: np.ndarray) -> float | None:
    """Energy at which the next edge of the same element ends what belongs to this one; None where none does."""
    if shell is None:
        return None
    following = {"L3": "L2", "L2": "L1", "M5": "M4"}.get(shell.shell)
    if following is None:
        return None
    try:
        last = edge_of(shell.element, following).energy
    except NotMeasurable:
        return None
    if last - shell.energy < ROOM or energy[-1] <= last - CLEAR_OF_NEXT:
        return None
    return last - CLEAR_OF_NEXT


def told(found: Estimate, unit: str) -> Feature:
    """An estimate as a feature."""
    if found.why or not math.isfinite(found.value):
        return Feature(None, unit, why=found.why or "it is not a finite number")
    return Feature(found.value, unit, sigma=found.sigma if math.isfinite(found.sigma) else None)


def without(outputs: Mapping[str, Output], frame: Frame, why: str) -> dict[str, Feature]:
    """No numbers at all, and why; a scan that is not complete is said to be so."""
    if not frame.complete:
        why = f"{why} (the scan is not complete: {frame.data.shape[-1]} points so far)"
    return {key: Feature(None, output.unit, why=why) for key, output in outputs.items()}


def of_use(key: str, value: float, low: float, high: float, unit: str = "") -> None:
    """ConfigError for a setting that lies outside."""
    if not low <= value <= high:
        raise ConfigError(f"{key} = {value:g} is of no use", where=key, expected=f"{low:g} to {high:g} {unit}".rstrip())


def prefix(name: str) -> str:
    """What keys begin with."""
    if name and not KEY.fullmatch(name):
        raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
    return f"{name}_" if name else ""
