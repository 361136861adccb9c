"""X-ray magnetic circular dichroism of a pair of spectra: difference, integrals over L3 and L2, moments.

- `xmcd_l3_height`, `xmcd_l3_energy`, `xmcd_l2_height`, `xmcd_l2_energy`: the largest difference at either edge;
- `xmcd_p`, `xmcd_q`, `xmcd_r`: the integrals of the sum rules, eV; `xmcd_left`: difference that is left behind the
  edges, where there is none (drift, another gain): the pair is as good as this is small;
- `xmcd_m_orb`, `xmcd_m_spin` in Bohr magnetons per atom, `xmcd_orb_to_spin`; `xmcd_n_holes` that they assume.

A pair is this spectrum and the one before it, of opposite sign: by a label, by a number of the context, or in turns.
The difference is positive minus negative. Formulas and assumptions: `maths.absorption.dichroism`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.features.xafs_frame import named_edge, of_use, prefix, spectrum_of, told, without
from insitu.features.xmcd_pair import pairing
from insitu.maths.absorption.dichroism import Assumed, Dichroism, Windows, dichroism, windows_of
from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import edge_of, guess_edge
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, nothing
from insitu.maths.absorption.spline import prepare_spline, read_spline
from insitu.maths.absorption.warm import warm
from insitu.types import ArrayFeature, Axis, Feature, Frame, Output, References

HOLES = {"Fe": 3.39, "Co": 2.49}
"""Holes in the 3d shell per atom of the bulk metals: C. T. Chen et al., Phys. Rev. Lett. 75 (1995) 152."""
UNITS = {
    "l3_height": "", "l3_energy": "eV", "l2_height": "", "l2_energy": "eV", "left": "",
    "p": "eV", "q": "eV", "r": "eV", "m_orb": "mu_B", "m_spin": "mu_B", "orb_to_spin": "", "n_holes": "",
}  # fmt: skip
MOMENTS = ("m_orb", "m_spin", "orb_to_spin")
Span = tuple[Annotated[float, "eV"], Annotated[float, "eV"]]


class _Pair(NamedTuple):
    """Both spectra on the grid of this frame: `energy`, `plus`, `minus` (n,)."""

    energy: np.ndarray
    plus: np.ndarray
    minus: np.ndarray


class Xmcd:
    """Extractor: dichroism of this spectrum and the one before it, mu(E) with dims (energy).

    `pair`: "auto" (a label or context number named helicity, polarisation, field, ...; where there is none, in
    turns), "label:KEY", "context:KEY" or "alternate" (the first of each two is positive); `swap`: the other way round.
    `element`, or `l3` and `l2`: where the edges are (default: header, or the largest rise). `windows`: pre, l3, l2 and
    post, instead of those made from the edges. `scale`: both spectra are divided by their mean below the edges
    ("pre_edge"), by the rise of their sum ("step"), or taken as they are.
    Assumed: `n_holes` per atom (default: of the bulk metal, for Fe and Co), `polarisation` of the light, `angle`
    between beam and magnetisation, `step_ratio` of L3 in the two steps. `arrays`: give difference and sum as well.
    """

    before = 2

    def __init__(
        self,
        *,
        name: str = "xmcd",
        pair: str = "auto",
        swap: bool = False,
        element: str = "",
        l3: Annotated[float, "eV"] | None = None,
        l2: Annotated[float, "eV"] | None = None,
        windows: dict[str, Span] | None = None,
        scale: Literal["none", "pre_edge", "step"] = "none",
        n_holes: float | None = None,
        polarisation: float = 1.0,
        angle: Annotated[float, "deg"] = 0.0,
        step_ratio: float = 2.0 / 3.0,
        arrays: bool = False,
    ) -> None:
        for key, value, low, high in (
            ("n_holes", 1.0 if n_holes is None else n_holes, 1e-3, 14.0), ("polarisation", polarisation, 1e-3, 1.0),
            ("angle", angle, -89.0, 89.0), ("step_ratio", step_ratio, 0.0, 1.0),
        ):  # fmt: skip
            of_use(key, value, low, high)
        if (l3 is None) != (l2 is None) or (l3 is not None and l2 is not None and not l3 < l2):
            raise ConfigError("both edges are needed, L3 below L2", where="l3", expected='l3 = "706.8 eV", l2 = ...')
        self.pair, self.swap, self.scale, self.n_holes = pairing(pair), swap, scale, n_holes
        self.edges, self.element = (None if l3 is None or l2 is None else (l3, l2)), element
        if element and self.edges is None:
            try:
                self.edges = _edges(element)
            except NotMeasurable as e:
                raise ConfigError(str(e), where="element", expected="an element with L edges, such as Fe") from e
        self.windows = None if windows is None else _checked(windows)
        self.polarisation, self.angle, self.step_ratio = polarisation, angle, step_ratio
        self.arrays, self._at = arrays, prefix(name)
        warm()
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-6, atol=1e-9) for key, unit in UNITS.items()}
        if arrays:
            curve = Output(unit="", rtol=1e-6, atol=1e-9, array=True)
            self.outputs |= {f"{self._at}difference": curve, f"{self._at}sum": curve}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """All declared features of one frame."""
        try:
            positive = self.pair.first(frame, before)
            if isinstance(positive, str):
                raise NotMeasurable(positive)
            return self._measured(frame, before[-1], positive is not self.swap)
        except (ValueError, ArithmeticError) as e:
            return without(self.outputs, frame, str(e))

    def _measured(self, frame: Frame, other: Frame, positive: bool) -> dict[str, Feature | ArrayFeature]:
        pair = _common(frame, other, positive)
        element, (l3, l2) = self._where(frame, pair)
        windows = self.windows or windows_of(pair.energy, l3, l2)
        pair = self._scaled(pair, windows)
        holes = self.n_holes or HOLES.get(element)
        assumed = Assumed(
            n_holes=holes or 1.0, polarisation=self.polarisation, angle_deg=self.angle, step_ratio=self.step_ratio
        )
        found = dichroism(pair.energy, pair.plus, pair.minus, windows, assumed)
        values = self._values(found, holes, element)
        out: dict[str, Feature | ArrayFeature] = {
            f"{self._at}{key}": told(value, UNITS[key]) for key, value in values.items()
        }
        if self.arrays:
            axes = {"energy": Axis(pair.energy, "eV")}
            for key, curve in (("difference", found.difference), ("sum", found.total)):
                out[f"{self._at}{key}"] = ArrayFeature(values=curve, dims=("energy",), unit="", axes=axes)
        return out

    def _values(self, found: Dichroism, holes: float | None, element: str) -> dict[str, Estimate]:
        values = {
            "l3_height": found.l3,
            "l3_energy": found.l3_at,
            "l2_height": found.l2,
            "l2_energy": found.l2_at,
            "left": Estimate(found.left),
            "p": found.p,
            "q": found.q,
            "r": found.r,
            "m_orb": found.m_orb,
            "m_spin": found.m_spin,
            "orb_to_spin": found.orb_to_spin,
            "n_holes": Estimate(holes or 1.0),
        }
        if holes is None:
            why = nothing(f"the holes per atom of {element or 'the element'} are not given: n_holes in the recipe")
            values |= {"m_orb": why, "m_spin": why, "n_holes": why}
        return values

    def _where(self, frame: Frame, pair: _Pair) -> tuple[str, tuple[float, float]]:
        """Element, where known, and the energies of L3 and L2."""
        if self.edges is not None:
            return self.element or frame.labels.get("element", ""), self.edges
        shell = named_edge(frame, pair.energy)
        if shell is None or shell.shell not in ("L3", "L2"):
            rise = find_e0(pair.energy, pair.plus + pair.minus)
            shell = guess_edge(rise.value)
        if shell.shell not in ("L3", "L2"):
            raise NotMeasurable(
                f"the largest edge is {shell.element} {shell.shell}: the sum rules here are for L3 and L2"
            )
        return shell.element, _edges(shell.element)

    def _scaled(self, pair: _Pair, windows: Windows) -> _Pair:
        if self.scale == "none":
            return pair
        low, high = windows.pre
        part = (pair.energy >= low) & (pair.energy < high)
        after = pair.energy >= windows.post[0]
        if not (part.any() and after.any()):
            raise NotMeasurable("no points before or behind the edges to scale by")
        levels = [float(np.mean(mu[part])) for mu in (pair.plus, pair.minus)]
        if self.scale == "step":
            rise = 0.5 * sum(
                float(np.mean(mu[after])) - at for mu, at in zip((pair.plus, pair.minus), levels, strict=True)
            )
            levels = [rise, rise]
        if not min(levels) > 0.0:
            raise NotMeasurable(f"the spectra cannot be scaled by {min(levels):.3g}")
        return _Pair(pair.energy, pair.plus / levels[0], pair.minus / levels[1])


def _common(frame: Frame, other: Frame, positive: bool) -> _Pair:
    """Both spectra where both have points, on the grid of the positive one."""
    (energy, mu, _), (grid, second, _) = (spectrum_of(f) for f in ((frame, other) if positive else (other, frame)))
    step = float(np.median(np.diff(energy)))
    inside = (energy >= grid[0] - 0.5 * step) & (energy <= grid[-1] + 0.5 * step)
    if np.count_nonzero(inside) < 20:
        raise NotMeasurable(f"the two spectra share {np.count_nonzero(inside)} points (a pair needs 20)")
    at = np.clip(energy[inside], grid[0], grid[-1])
    return _Pair(energy[inside], mu[inside], read_spline(second, prepare_spline(grid, at)))


def _edges(element: str) -> tuple[float, float]:
    return edge_of(element, "L3").energy, edge_of(element, "L2").energy


def _checked(windows: dict[str, Span]) -> Windows:
    if set(windows) != {"pre", "l3", "l2", "post"}:
        raise ConfigError("windows are not complete", where="windows", expected="pre, l3, l2 and post, in eV")
    if not all(low < high for low, high in windows.values()):
        raise ConfigError("a window is empty", where="windows", expected="the lower end first")
    return Windows(**windows)
