"""What one absorption edge tells: E0, step, energy at half height, white line and pre-edge peak.

- `e0`: where mu rises fastest on the flank of the edge; `edge_energy`: the tabulated edge that it was taken for;
- `edge_step`: how much mu rises, in its own unit; 1 where the file is normalised already;
- `energy_half`: where the normalised spectrum rises through `level`: moves with the valence, and is steadier than E0;
- `white_line_position`, `_height` (in steps), `_area` (of what is above 1, eV);
- `pre_edge_centroid`, `pre_edge_area` (eV), `pre_edge_height` (in steps), above a smooth baseline.

Uncertainties are those of the noise; those of energies hold that of `energy_shift` too, where the context tells by how
much a reference foil moved the axis. Definitions: `maths.absorption.edge`, `normalise`, `shape`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from insitu.features.xafs_frame import Looked, look, of_use, prefix, told, without
from insitu.maths.absorption.shape import energy_at, pre_edge_peak, white_line
from insitu.maths.absorption.spectrum import Estimate, nothing
from insitu.types import ArrayFeature, Axis, Feature, Frame, Output, References

UNITS = {
    "e0": "eV", "edge_energy": "eV", "edge_step": "", "energy_half": "eV",
    "white_line_position": "eV", "white_line_height": "", "white_line_area": "eV",
    "pre_edge_centroid": "eV", "pre_edge_area": "eV", "pre_edge_height": "",
}  # fmt: skip
MOVED = ("e0", "energy_half", "white_line_position", "pre_edge_centroid")
"""Energies that are as uncertain as the scale."""


class EdgeFeatures:
    """Extractor: the edge of a spectrum mu(E), dims (energy).

    `element`, `edge`: which one, where header and spectrum do not tell. `e0`: fixed, for normalising (the feature `e0`
    stays measured, within 20 eV of it). `pre1`, `pre2`, `norm1`, `norm2`: where the pre-edge line and the post-edge
    curve of degree `nnorm` are fitted, eV from E0; `nvict`: the pre-edge line is one of mu E^nvict. `normalised`: the
    file holds normalised mu that is to be kept (default: found). `level` of `energy_half`. `arrays`: give
    `normalised` and `flattened` as well. `name`: prefix of the keys.
    """

    def __init__(
        self,
        *,
        name: str = "",
        element: str = "",
        edge: str = "",
        e0: Annotated[float, "eV"] | None = None,
        pre1: Annotated[float, "eV"] | None = None,
        pre2: Annotated[float, "eV"] | None = None,
        norm1: Annotated[float, "eV"] | None = None,
        norm2: Annotated[float, "eV"] | None = None,
        nnorm: int | None = None,
        nvict: int | None = None,
        normalised: bool | None = None,
        level: float = 0.5,
        arrays: bool = False,
    ) -> None:
        of_use("level", level, 0.05, 0.95)
        self.look = look(
            element, edge, e0, normalised, pre1=pre1, pre2=pre2, norm1=norm1, norm2=norm2, nnorm=nnorm, nvict=nvict
        )
        self.level, self.arrays, self._at = level, arrays, prefix(name)
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-6, atol=1e-6) for key, unit in UNITS.items()}
        curves = {
            f"{self._at}{key}": Output(unit="", rtol=1e-6, atol=1e-9, array=True) for key in ("normalised", "flattened")
        }
        self.outputs |= curves if arrays else {}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """All declared features of one frame."""
        seen = self.look.seen(frame)
        found: dict[str, Feature | ArrayFeature] = {**without(self.outputs, frame, seen.why or "no edge")}
        if seen.rise is not None:
            table = Estimate(seen.shell.energy) if seen.shell else nothing("no edge is tabulated near E0")
            rise = {"e0": Estimate(seen.rise.value, seen.rise.sigma), "edge_energy": table}
            found |= self._named(_on_scale(rise, frame))
        if seen.looked is not None:
            found |= self._named(_on_scale(self._shape(seen.looked), frame)) | (
                self._curves(seen.looked) if self.arrays else {}
            )
        return found

    def _named(self, numbers: Mapping[str, Estimate]) -> dict[str, Feature]:
        return {f"{self._at}{key}": told(value, UNITS[key]) for key, value in numbers.items()}

    def _shape(self, seen: Looked) -> dict[str, Estimate]:
        energy, normal, plan, rise, sigma = seen.energy, seen.normal, seen.plan, seen.rise, seen.sigma
        line = white_line(energy, normal, plan, rise, sigma)
        peak = pre_edge_peak(energy, normal, plan, rise, sigma)
        return {
            "edge_step": normal.step,
            "energy_half": energy_at(energy, normal, plan, rise, sigma, self.level),
            "white_line_position": line.position,
            "white_line_height": line.height,
            "white_line_area": line.area,
            "pre_edge_centroid": peak.centroid,
            "pre_edge_area": peak.area,
            "pre_edge_height": peak.height,
        }

    def _curves(self, seen: Looked) -> dict[str, ArrayFeature]:
        axes = {"energy": Axis(seen.energy, "eV")}
        curves = {"normalised": seen.normal.norm, "flattened": seen.normal.flat}
        return {
            f"{self._at}{key}": ArrayFeature(values=values, dims=("energy",), unit="", axes=axes)
            for key, values in curves.items()
        }


def _on_scale(numbers: Mapping[str, Estimate], frame: Frame) -> dict[str, Estimate]:
    """Energies with the uncertainty of the scale, where the context has it, added in quadrature."""
    shift = frame.context.get("energy_shift")
    of_scale = 0.0 if shift is None or shift.sigma is None else shift.sigma
    return {
        key: one._replace(sigma=math.hypot(one.sigma, of_scale)) if key in MOVED else one
        for key, one in numbers.items()
    }
