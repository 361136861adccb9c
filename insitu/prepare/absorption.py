"""The channels of an absorption scan to mu(E): see `maths.absorption.channels` for the formulas and the choice.

Points at one energy become their mean. Where the foil behind the sample is measured too, the energy axis can be put
right with it: shifted so that the foil's E0 (largest derivative) is at its known energy. What was added is told in the
context, `energy_shift` (eV, with its uncertainty, which energies measured on the spectrum share).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.absorption.channels import (
    Channels,
    Way,
    choose,
    merged,
    mu_of,
    reference_way,
    sort_channels,
    unnamed_ways,
    ways,
    without_dead,
)
from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import edge_of
from insitu.maths.absorption.foil import align, corrected, foil_mu, foil_shift
from insitu.maths.absorption.spectrum import NotMeasurable
from insitu.maths.absorption.standards import read_foil
from insitu.maths.absorption.warm import warm
from insitu.types import Axis, Feature, Frame, References

LARGEST = 20.0
"""How far off the energies of a scan may be from those of the foil's reference scan, eV."""
ROLES = ("i0", "itrans", "irefer", "ifluor", "mu")


class Absorption:
    """Prepare: (channel, energy) or (energy) to mu(E), dims (energy), unit "".

    `mode`: how it was measured; "auto" finds it from names, else from which spectrum shows an edge. `channels`:
    {i0, itrans, irefer, ifluor, mu: name} where the names do not say (`ifluor` several, with blanks). `exclude`:
    elements of the fluorescence detector that are not to be used; those that never count are left out anyway.
    `foil_energy` (eV): where the foil's E0 is to be. `foil_element`, `foil_edge`: its tabulated energy instead.
    `foil_reference`: a scan of the same foil, which the foil of each spectrum is laid on by least squares (finer than
    its E0 alone, and slower); of an Athena project `foil_group`. The energies become those of that scan, or where the
    foil's E0 is to be is told as well, its E0 is there.
    `offsets`: subtract what counters count in the dark (`offset_<channel>` in the context, per second) where a channel
    with the time is there. `maps`: take one row of a map for a spectrum.
    """

    def __init__(
        self,
        *,
        mode: Literal["auto", "transmission", "fluorescence", "reference", "mu"] = "auto",
        channels: dict[str, str] | None = None,
        exclude: list[str] | None = None,
        foil_energy: Annotated[float, "eV"] | None = None,
        foil_element: str = "",
        foil_edge: str = "K",
        foil_reference: Path | None = None,
        foil_group: str = "",
        offsets: bool = True,
        maps: bool = False,
    ) -> None:
        for role in channels or {}:
            if role not in ROLES:
                raise ConfigError(f"{role!r} is no channel", where="channels", expected=f"one of {', '.join(ROLES)}")
        self.mode, self.channels, self.exclude = mode, dict(channels or {}), frozenset(exclude or ())
        self.foil: float | None = foil_energy
        if foil_element:
            try:
                self.foil = edge_of(foil_element, foil_edge).energy
            except NotMeasurable as e:
                raise ConfigError(str(e), where="foil_element", expected="an element such as Fe") from e
        if foil_group and foil_reference is None:
            raise ConfigError("a group of no project", where="foil_group", expected="foil_reference as well")
        self.offsets, self.maps = offsets, maps
        warm()
        self.reference = None if foil_reference is None else self._reference(foil_reference, foil_group)

    def _reference(self, file: Path, group: str) -> tuple[np.ndarray, np.ndarray]:
        """Energy and mu (n,) of the foil, with its E0 where it is to be."""
        energy, mu = read_foil(file, group)
        if self.foil is None:
            return energy, mu
        try:
            off = self.foil - find_e0(energy, mu, (self.foil - 40.0, self.foil + 40.0)).value
        except NotMeasurable as e:
            raise ConfigError(str(e), where=str(file), expected=f"a foil with its edge at {self.foil:.1f} eV") from e
        return energy + off, mu

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The spectrum. ValueError with a sentence for people where there is none."""
        axis = frame.axes.get("energy")
        if axis is None or "energy" not in frame.dims or frame.dims[-1] != "energy":
            told = frame.labels.get("warning", f"its dimensions are {', '.join(frame.dims)}")
            raise NotMeasurable(f"no energy axis: {told}")
        if "outer" in frame.labels and not self.maps:
            raise NotMeasurable(
                f"this is a row of a map ({frame.labels['outer']}), no single spectrum; maps = true takes it for one"
            )
        if axis.unit != "eV":
            raise NotMeasurable(f"the energy is in {axis.unit!r}, expected eV")
        data = np.asarray(frame.data, np.float64)
        names = frame.labels.get("channels", "").split()
        values = data[np.newaxis] if data.ndim == 1 else data
        if len(names) != len(values):
            names = [f"col{i + 2}" for i in range(len(values))]
        energy, values = merged(np.asarray(axis.values, np.float64), values)
        values = self._without_dark(frame, values, names)
        found = self._sorted(names, frame.labels.get("element", ""))
        way = self._way(energy, values, names, found, data.ndim == 1, _near(frame))
        way = without_dead(way, values, names)
        mu = mu_of(values, way, names)
        context = frame.context
        if self.foil is not None or self.reference is not None:
            energy, shift = self._corrected(energy, values, names, found, frame)
            context = {**context, "energy_shift": shift}
        return replace(
            frame,
            data=mu,
            dims=("energy",),
            unit="",
            sigma=None,
            mask=None,
            axes={"energy": Axis(energy, "eV")},
            context=context,
            labels={**frame.labels, "measured": way.said, "mode": way.mode},
        )

    def _sorted(self, names: list[str], element: str) -> Channels:
        kept = ["" if name in self.exclude else name for name in names]
        found = sort_channels(kept, element)
        for role, said in self.channels.items():
            at = []
            for name in said.split():
                if name not in names:
                    raise NotMeasurable(f"there is no channel {name!r}: the frame has {', '.join(names)}")
                at.append(names.index(name))
            if role == "ifluor":
                found = found._replace(fluor=(tuple(at),))
            else:
                found = found._replace(**{{"itrans": "trans", "irefer": "refer"}.get(role, role): at[0]})
        return found

    def _way(
        self,
        energy: np.ndarray,
        values: np.ndarray,
        names: list[str],
        found: Channels,
        single: bool,
        near: tuple[float, float] | None,
    ) -> Way:
        if single:
            return Way("mu", (0,), (), "mu as it is")
        refer = reference_way(found, names)
        candidates = [*ways(found, names), *([refer] if refer and self.mode == "reference" else [])]
        if self.mode != "auto":
            way = next((w for w in candidates if w.mode == self.mode), None)
            if way is None:
                raise NotMeasurable(f"no {self.mode} can be made of the channels {', '.join(names)}")
            return way
        if len(candidates) == 1:
            return candidates[0]
        way = choose(energy, values, candidates, near) if candidates else None
        if way is None and not candidates:
            way = choose(energy, values, list(unnamed_ways(energy, values, names)), near)
        if way is None and candidates:
            way = candidates[0]
        if way is None:
            raise NotMeasurable(f"no pair of the channels {', '.join(names)[:120]} shows an absorption edge")
        return way

    def _without_dark(self, frame: Frame, values: np.ndarray, names: list[str]) -> np.ndarray:
        time = next((i for i, n in enumerate(names) if n in ("time_s", "time", "seconds", "count_time")), None)
        dark = {
            i: float(f.value)
            for i, name in enumerate(names)
            if (f := frame.context.get(f"offset_{name}")) is not None and f.value
        }
        if not self.offsets or not dark or time is None:
            return values
        values = values.copy()
        for i, rate in dark.items():
            values[i] -= rate * values[time]
        return values

    def _corrected(
        self, energy: np.ndarray, values: np.ndarray, names: list[str], found: Channels, frame: Frame
    ) -> tuple[np.ndarray, Feature]:
        """The energy axis with the foil's edge at its known place, and what was added to it there, with sigma."""
        mu = foil_mu(values, names, found, told="irefer" in self.channels)
        if mu is None:
            raise NotMeasurable("no channel behind a reference foil, which the energy should be put right with")
        if self.reference is not None:
            shift = align(energy, mu, *self.reference, largest=LARGEST)
            at = find_e0(energy, mu).value
        else:
            assert self.foil is not None
            edge = find_e0(energy, mu, (self.foil - 40.0, self.foil + 40.0))
            shift, at = foil_shift(edge, self.foil), edge.value
        spacing = frame.context.get("d_spacing")
        d = None if spacing is None or spacing.value is None else float(spacing.value)
        axis = corrected(energy, shift.value, d_spacing=d, at=at if d else None)
        return axis, Feature(shift.value, "eV", sigma=shift.sigma)


def _near(frame: Frame) -> tuple[float, float] | None:
    """Where the edge must be, if the header names element and edge."""
    if "element" not in frame.labels:
        return None
    try:
        return edge_of(frame.labels["element"], frame.labels.get("edge", "K")).near
    except NotMeasurable:
        return None
