"""Which mixture of standards a spectrum is: a linear combination fit of normalised mu(E).

For every standard, under the name of its file, `<name>_share`; and `mix_total` of the shares, `mix_residual` (rms of
what is left, in steps), `mix_r_factor`, `mix_spanned` (1: what is left is noise, or as little as standards are good
for; 0: a component is missing), `mix_worst` (energy of the largest rest) and, where it may be one, `mix_shift`.

Standards are normalised with the same settings as the spectrum. Definitions: `maths.absorption.mixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.xafs_frame import Looked, look, of_use, prefix, told, without
from insitu.maths.absorption.mixture import Mixture, combine
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable
from insitu.maths.absorption.standards import Standard, read_standards
from insitu.types import Axis, Feature, Frame, Output, References

UNITS = {"total": "", "residual": "", "r_factor": "", "spanned": "", "worst": "eV"}


class Combination:
    """Extractor: shares of standards in a spectrum mu(E), dims (energy).

    `standards`: files or folders (XDI, columns, Athena projects, of which `groups` names those wanted). `low`, `high`:
    the window, from the middle of the standards' E0.
    `sum_to_one`: shares add up to 1. `shift`: how far the standards may be moved together (0: not at all).
    `tolerance`: rms of a rest, in steps, that imperfect standards may leave. `flat`: fit flattened spectra.
    `element`, `edge`, `pre1` to `nvict` and `normalised` as in `xafs.edge`, for spectra and standards alike.
    """

    def __init__(
        self,
        *,
        standards: Path | list[Path],
        groups: list[str] | None = None,
        name: str = "mix",
        low: Annotated[float, "eV"] = -20.0,
        high: Annotated[float, "eV"] = 60.0,
        sum_to_one: bool = False,
        shift: Annotated[float, "eV"] = 0.0,
        tolerance: float = 0.01,
        flat: bool = True,
        element: str = "",
        edge: str = "",
        pre1: Annotated[float, "eV"] | None = None,
        pre2: Annotated[float, "eV"] | None = None,
        norm1: Annotated[float, "eV"] | None = None,
        norm2: Annotated[float, "eV"] | None = None,
        nnorm: int | None = None,
        nvict: int | None = None,
        normalised: bool | None = None,
    ) -> None:
        if not low < high:
            raise ConfigError("the window is empty", where="low", expected="low below high, eV from E0")
        of_use("shift", shift, 0.0, 20.0, "eV")
        of_use("tolerance", tolerance, 0.0, 1.0)
        self.look = look(
            element, edge, None, normalised, pre1=pre1, pre2=pre2, norm1=norm1, norm2=norm2, nnorm=nnorm, nvict=nvict
        )
        self.shift, self.sum_to_one, self.tolerance, self.flat = shift, sum_to_one, tolerance, flat
        self._at = prefix(name)
        read = read_standards(standards, groups)
        seen = [self._looked(one) for one in read]
        middle = float(np.median([one.rise.value for one in seen]))
        self.low, self.high = middle + low, middle + high
        for one, spectrum in zip(read, seen, strict=True):
            first, last = spectrum.energy[0], spectrum.energy[-1]
            if first > self.low - shift or last < self.high + shift:
                raise ConfigError(
                    f"the standard {one.file} covers {first:.1f} to {last:.1f} eV",
                    where="low" if first > self.low - shift else "high",
                    expected=f"{self.low - shift:.1f} to {self.high + shift:.1f} eV, as the window asks for",
                    remedy="Narrow the window, or take other standards",
                )
        self.names = [one.name for one in read]
        self._curves = [(one.energy, self._curve(one)) for one in seen]
        self.outputs = {f"{self._at}{n}_share": Output(unit="", rtol=1e-4, atol=1e-6) for n in self.names}
        self.outputs |= {f"{self._at}{key}": Output(unit=unit, rtol=1e-4, atol=1e-6) for key, unit in UNITS.items()}
        if shift > 0.0:
            self.outputs[f"{self._at}shift"] = Output(unit="eV", rtol=1e-4, atol=1e-3)

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            seen = self.look(frame)
            found = combine(
                seen.energy,
                self._curve(seen),
                self._curves,
                low=self.low,
                high=self.high,
                sigma=float(np.median(seen.sigma)) / seen.normal.step.value,
                sum_to_one=self.sum_to_one,
                largest_shift=self.shift,
                tolerance=self.tolerance,
            )
        except (ValueError, ArithmeticError) as e:
            return without(self.outputs, frame, str(e))
        return self._told(found)

    def _told(self, found: Mixture) -> dict[str, Feature]:
        out = {f"{self._at}{n}_share": told(share, "") for n, share in zip(self.names, found.shares, strict=True)}
        values = {
            "total": found.total,
            "residual": Estimate(found.rms),
            "r_factor": Estimate(found.r_factor),
            "spanned": Estimate(float(found.spanned)),
            "worst": Estimate(found.worst),
        }
        out |= {f"{self._at}{key}": told(value, UNITS[key]) for key, value in values.items()}
        if self.shift > 0.0:
            out[f"{self._at}shift"] = told(found.shift, "eV")
        return out

    def _curve(self, seen: Looked) -> np.ndarray:
        return seen.normal.flat if self.flat else seen.normal.norm

    def _looked(self, one: Standard) -> Looked:
        """A standard, seen as the frames will be."""
        labels = {key: text for key, text in (("element", one.element), ("edge", one.edge)) if text}
        frame = Frame(
            source="standard", data=one.mu, dims=("energy",), unit="", time_ns=0, seq=0, n=0,
            axes={"energy": Axis(one.energy, "eV")}, labels=labels,
        )  # fmt: skip
        try:
            return self.look(frame)
        except NotMeasurable as e:
            raise ConfigError(f"{one.file}: {e}", where="standards", expected="spectra with an absorption edge") from e
