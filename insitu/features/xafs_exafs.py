"""EXAFS of a spectrum: chi(k), chi(R), and the first shell.

- `shell_position` (angstrom, not corrected for the phase: 0.2 to 0.5 short of the bond) and `shell_height` of the first
  maximum of |chi(R)|, in 1/angstrom to the power kweight + 1;
- `chi_noise`: standard deviation of chi(R) where no shell reaches, same unit; `k_end`: how far chi(k) goes.

`chi` over k and `chi_magnitude` over R as arrays, if asked for. Definitions: `maths.absorption.background`, `fourier`.
What depends on the energies and on E0 alone is prepared once and kept; the numbers do not depend on that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from insitu.features.xafs_frame import Looked, ends_before, look, of_use, prefix, told, without
from insitu.maths.absorption.background import remove_background
from insitu.maths.absorption.fourier import KSTEP, WindowName, first_shell, fourier, noise_in_r
from insitu.maths.absorption.spectrum import KTOE, Estimate, NotMeasurable
from insitu.types import ArrayFeature, Axis, Feature, Frame, Output, References

LATEST_E0 = 20.0
"""E0 lies at most so far above the tabulated edge, eV, in what is kept as a series."""
UNIT_OF_HEIGHT = ("1/angstrom", "1/angstrom**2", "1/angstrom**3", "1/angstrom**4")


class Exafs:
    """Extractor: chi(k) and chi(R) of a spectrum mu(E), dims (energy).

    `rbkg`: what is nearer in R is background. `kmin`, `kmax`, `dk`, `window`, `kweight`: of the transform; kmax beyond
    the data, or beyond the next edge of the element, is cut. `clamp`: how firmly the end of chi(k) is held at 0.
    `rmin`, `rmax`: where the first shell is looked for. `arrays`: give chi(k) and |chi(R)| up to `rlast` as well.
    `element`, `edge`, `e0`, `pre1` to `nvict` and `normalised` as in `xafs.edge`; a fixed `e0` is faster.
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
        rbkg: Annotated[float, "angstrom"] = 1.0,
        kmin: Annotated[float, "1/angstrom"] = 3.0,
        kmax: Annotated[float, "1/angstrom"] = 12.0,
        dk: Annotated[float, "1/angstrom"] = 1.0,
        kweight: int = 2,
        window: WindowName = "hanning",
        clamp: float = 1.0,
        rmin: Annotated[float, "angstrom"] = 1.0,
        rmax: Annotated[float, "angstrom"] = 3.5,
        rlast: Annotated[float, "angstrom"] = 6.0,
        arrays: bool = False,
    ) -> None:
        for key, value, low, high in (
            ("rbkg", rbkg, 0.1, 3.0), ("kmin", kmin, 0.0, 15.0), ("kmax", kmax, kmin + 2.0, 40.0),
            ("dk", dk, 0.0, 10.0), ("kweight", kweight, 0, 3), ("clamp", clamp, 0.0, 1e4), ("rmin", rmin, 0.0, 8.0),
            ("rmax", rmax, rmin + 0.1, 10.0), ("rlast", rlast, rmax, 20.0),
        ):  # fmt: skip
            of_use(key, value, low, high)
        self.look = look(
            element, edge, e0, normalised, pre1=pre1, pre2=pre2, norm1=norm1, norm2=norm2, nnorm=nnorm, nvict=nvict
        )
        self._background: dict[str, Any] = {"rbkg": rbkg, "clamp_high": clamp}
        self._transform: dict[str, Any] = {
            "kmin": kmin, "kmax": kmax, "dk": dk, "kweight": kweight, "name": window, "rmax": rlast,
        }  # fmt: skip
        self.kmin, self.rmin, self.rmax, self.arrays, self._at = kmin, rmin, rmax, arrays, prefix(name)
        unit = UNIT_OF_HEIGHT[kweight]
        self._units = {"shell_position": "angstrom", "shell_height": unit, "chi_noise": unit, "k_end": "1/angstrom"}
        self.outputs = {f"{self._at}{key}": Output(unit=u, rtol=1e-6, atol=1e-9) for key, u in self._units.items()}
        if arrays:
            curve = {"rtol": 1e-6, "atol": 1e-9, "array": True}
            self.outputs[f"{self._at}chi"] = Output(unit="", **curve)
            self.outputs[f"{self._at}chi_magnitude"] = Output(unit=unit, **curve)

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """All declared features of one frame."""
        try:
            return self._measured(self.look(frame))
        except (ValueError, ArithmeticError) as e:
            return without(self.outputs, frame, str(e))

    def _measured(self, seen: Looked) -> dict[str, Feature | ArrayFeature]:
        plans, e0 = self.look.plans, seen.plan.e0
        keys, last = self._background, ends_before(seen.shell, seen.energy)
        if last is not None:
            keys = {**keys, "kmax": float(np.sqrt(max(last - e0, 0.0) / KTOE))}
        smooth = remove_background(seen.mu, seen.normal.step.value, plans.background(seen.energy, e0, keys))
        end = float(smooth.k[-1])
        if end < self.kmin + 2.0:
            raise NotMeasurable(f"chi(k) ends at {end:.2f} 1/angstrom: nothing to transform above kmin {self.kmin:g}")
        transform = plans.transform(smooth.k.size, self._transform)
        chi_r = fourier(smooth.chi, transform)
        shell = first_shell(chi_r, transform, self.rmin, self.rmax)
        values = {
            "shell_position": shell.position,
            "shell_height": shell.height,
            "chi_noise": Estimate(noise_in_r(chi_r)),
            "k_end": Estimate(end),
        }
        found: dict[str, Feature | ArrayFeature] = {
            f"{self._at}{key}": told(value, self._units[key]) for key, value in values.items()
        }
        if self.arrays:
            points = min(smooth.chi.size, _points(seen))
            found[f"{self._at}chi"] = _curve(smooth.chi[:points], "k", smooth.k[:points], "1/angstrom", "")
            size = np.abs(chi_r[: transform.r.size])
            unit = self._units["shell_height"]
            found[f"{self._at}chi_magnitude"] = _curve(size, "r", transform.r, "angstrom", unit)
        return found


def _points(seen: Looked) -> int:
    """How many points of chi(k) are kept: E0 moves in a series, and the last k with it; arrays of one length can be
    kept together."""
    lowest = seen.plan.e0 if seen.shell is None else seen.shell.energy + LATEST_E0
    return int(np.sqrt(max(float(seen.energy[-1]) - lowest, KTOE) / KTOE) / KSTEP)


def _curve(values: np.ndarray, dim: str, at: np.ndarray, axis_unit: str, unit: str) -> ArrayFeature:
    return ArrayFeature(
        values=np.ascontiguousarray(values), dims=(dim,), unit=unit, axes={dim: Axis(np.asarray(at), axis_unit)}
    )
