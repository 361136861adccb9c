"""E0 of the reference foil behind the sample: how far the energy scale is off.

- `foil_e0`: largest derivative of ln(itrans / irefer), or of the channel that holds the foil's mu;
- `foil_offset`: what is to be added to the energies (known energy - `foil_e0`); `foil_known`: that energy;
- `foil_step`: its edge step.

A raw extractor: it sees the channels, before `absorption` has made mu(E) of the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.xafs_frame import named_edge, of_use, prefix, told, without
from insitu.maths.absorption.channels import merged, sort_channels
from insitu.maths.absorption.edge import EdgeEnergy, find_e0
from insitu.maths.absorption.edges import Edge, edge_of, guess_edge
from insitu.maths.absorption.foil import FOILS, foil_mu, foil_shift
from insitu.maths.absorption.normalise import normalise
from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.series import Plans
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, checked
from insitu.maths.absorption.warm import warm
from insitu.types import Feature, Frame, Output, References

UNITS = {"e0": "eV", "offset": "eV", "known": "eV", "step": ""}


class Foil:
    """Extractor (raw): the reference foil measured with each spectrum.

    `energy`: where the foil's E0 belongs; else that of the foil `element`, `edge`; else that of the element in the
    header; else of the foil whose edge is nearest. `channels`: { itrans, irefer, reference: name }, where names do not
    say; `reference` holds mu. `largest`: how far off the scale may be. `name`: prefix of the keys.
    """

    raw = True

    def __init__(
        self,
        *,
        name: str = "foil",
        energy: Annotated[float, "eV"] | None = None,
        element: str = "",
        edge: str = "",
        channels: dict[str, str] | None = None,
        largest: Annotated[float, "eV"] = 30.0,
    ) -> None:
        for role in channels or {}:
            if role not in ("itrans", "irefer", "reference"):
                raise ConfigError(
                    f"{role!r} is no channel of a foil", where="channels", expected="itrans, irefer or reference"
                )
        of_use("largest", largest, 0.5, 200.0, "eV")
        self.channels, self.largest, self._at, self._plans = dict(channels or {}), largest, prefix(name), Plans()
        self.known: float | None = energy
        self.shell: Edge | None = None
        if element:
            try:
                self.shell = edge_of(element, edge or _usual(element))
            except NotMeasurable as e:
                raise ConfigError(str(e), where="element", expected="an element such as Fe") from e
        warm()
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-6, atol=1e-6) for key, unit in UNITS.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            found = self._measured(frame)
        except (ValueError, ArithmeticError) as e:
            return without(self.outputs, frame, str(e))
        return {f"{self._at}{key}": told(value, UNITS[key]) for key, value in found.items()}

    def _measured(self, frame: Frame) -> dict[str, Estimate]:
        energy, mu = checked(*self._spectrum(frame))
        expected = self.known or (None if self.shell is None else foil_energy(self.shell))
        header = None if expected is not None else named_edge(frame, energy)
        if header is not None:
            expected = foil_energy(header)
        rise = self._rise(energy, mu, expected, fixed=header is None)
        known = expected if expected is not None and abs(rise.value - expected) <= self.largest else None
        if known is None:
            known = self._nearest(rise.value)
        plan = self._plans.normalisation(energy, rise.at)
        step = normalise(mu, plan, point_noise(energy, mu, rise.value)).step
        return {
            "e0": Estimate(rise.value, rise.sigma),
            "offset": foil_shift(rise, known),
            "known": Estimate(known),
            "step": step,
        }

    def _nearest(self, e0: float) -> float:
        """Where the foil belongs whose edge is nearest: one of those that beamlines have, if it can be."""
        known = min(FOILS.values(), key=lambda energy: abs(energy - e0))
        return known if abs(known - e0) <= self.largest else foil_energy(guess_edge(e0))

    def _rise(self, energy: np.ndarray, mu: np.ndarray, expected: float | None, *, fixed: bool) -> EdgeEnergy:
        """E0 near where it belongs; where only the header says so, a foil of another element counts too."""
        if expected is None:
            return find_e0(energy, mu)
        near = (expected - self.largest, expected + self.largest)
        if fixed:
            return find_e0(energy, mu, near)
        try:
            return find_e0(energy, mu)
        except NotMeasurable:
            return find_e0(energy, mu, near)

    def _spectrum(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        axis = frame.axes.get("energy")
        if axis is None or axis.unit != "eV":
            raise NotMeasurable(f"no energy axis in eV: {frame.labels.get('warning', ', '.join(frame.dims))}")
        names = frame.labels.get("channels", "").split()
        if frame.dims != ("channel", "energy") or len(names) != len(frame.data):
            raise NotMeasurable("the frame has no named channels, so none behind a reference foil")
        energy, values = merged(np.asarray(axis.values, np.float64), np.asarray(frame.data, np.float64))
        reference = self._named(names, "reference")
        found = sort_channels(names, frame.labels.get("element", ""))
        trans, refer = self._named(names, "itrans"), self._named(names, "irefer")
        found = found._replace(
            trans=found.trans if trans is None else trans, refer=found.refer if refer is None else refer
        )
        if reference is not None:
            return energy, np.ascontiguousarray(values[reference])
        mu = foil_mu(values, names, found, told=refer is not None)
        if mu is None:
            raise NotMeasurable(f"no channel behind a reference foil among {', '.join(names)[:120]}")
        return energy, mu

    def _named(self, names: list[str], role: str) -> int | None:
        name = self.channels.get(role)
        if name is None:
            return None
        if name not in names:
            raise NotMeasurable(f"there is no channel {name!r}: the frame has {', '.join(names)[:120]}")
        return names.index(name)


def foil_energy(edge: Edge) -> float:
    """Where E0 of a metal foil belongs, eV: the value that beamlines calibrate to, else the tabulated edge."""
    known = FOILS.get(edge.element)
    return known if known is not None and abs(known - edge.energy) < 20.0 else edge.energy


def _usual(element: str) -> str:
    """The edge of a foil of this element that beamlines use: K below 35 keV, else L3."""
    return "K" if edge_of(element, "K").energy < 35_000.0 else "L3"
