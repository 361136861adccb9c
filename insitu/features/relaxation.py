"""What a sweep of the permeability over frequency tells: static permeability, relaxation or resonance, and its shape.

- `mu_s`: static permeability; `f_r`: frequency of the relaxation or resonance, Hz; `mu_inf`: far above it;
- `exponent` a (Cole-Cole) and `skew` b (Cole-Davidson), `damping` g (resonance): of the model that fits best;
- `mu_h`: what hysteresis adds to mu'' at every frequency; `resonant`: 1 where a resonance fits best, else 0;
- `misfit`: rms of what is left, over that of mu; `mu_imag_max` and `f_max`: the largest mu'' in the sweep, and where.

Models and choice: `maths.magnetic.relaxation`. A frame has dims (channel, frequency) and channels `mu_real mu_imag`; or
`l r` (series inductance and resistance), or `z theta` (impedance and its angle) of a wound core with `turns`, `area`
and `length`; a frame without them has no permeability, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from insitu import units
from insitu.errors import ConfigError, InsituError
from insitu.features.permeability_frame import prefix, told, without
from insitu.maths.magnetic.permeability import MU0, Number
from insitu.maths.magnetic.relaxation import SHAPES, Complex, fit_dispersion
from insitu.types import ArrayFeature, Feature, Frame, Output, References

UNITS = {
    "mu_s": "", "f_r": "Hz", "mu_inf": "", "exponent": "", "skew": "", "damping": "", "mu_h": "", "resonant": "",
    "misfit": "", "mu_imag_max": "", "f_max": "Hz",
}  # fmt: skip
NAMES = {"mu_s": "mu_s", "f_r": "f_r", "mu_inf": "mu_inf", "exponent": "a", "skew": "b", "damping": "g", "mu_h": "mu_h"}


class Relaxation:
    """Extractor: dispersion of the permeability in a sweep.

    `models`: out of which the best is taken (default: all). `turns`, `area`, `length` of a wound core, `resistance` of
    its wire, where the channels are `l r` or `z theta`. `name`: prefix of the keys.
    """

    def __init__(
        self,
        *,
        name: str = "",
        models: list[str] | None = None,
        turns: float | None = None,
        area: Annotated[float, "m^2"] | None = None,
        length: Annotated[float, "m"] | None = None,
        resistance: Annotated[float, "ohm"] = 0.0,
    ) -> None:
        unknown = [model for model in models or () if model not in SHAPES]
        if unknown or models == []:
            raise ConfigError(
                f"{', '.join(unknown) or 'nothing'} is no model",
                where="models",
                expected=f"some of {', '.join(SHAPES)}",
            )
        for key, number in (("turns", turns), ("area", area), ("length", length)):
            if number is not None and not number > 0:
                raise ConfigError(f"{key} is {number}", where=key, expected="more than 0")
        self.models, self.resistance = tuple(models or SHAPES), resistance
        self.wound = (turns, area, length)
        self._at = prefix(name)
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-4, atol=1e-9) for key, unit in UNITS.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """All declared features of one frame."""
        try:
            f, mu, sigma = self._sweep(frame)
            good = np.isfinite(mu.real) & np.isfinite(mu.imag) & np.isfinite(f)
            if not good.any():
                raise ValueError("the sweep holds no finite permeability")
            top = int(np.argmax(np.where(good, -mu.imag, -np.inf)))
            found = without(self.outputs, "no dispersion was fitted")
            found |= self._named({"mu_imag_max": Number(float(-mu[top].imag)), "f_max": Number(float(f[top]))})
        except (ValueError, ArithmeticError, InsituError) as e:
            return without(self.outputs, str(e))
        try:
            fit = fit_dispersion(f, mu, sigma, models=self.models)
        except (ValueError, ArithmeticError) as e:
            return found | {
                key: Feature(None, feature.unit, why=str(e))
                for key, feature in found.items()
                if isinstance(feature, Feature) and feature.value is None
            }
        numbers = {key: fit.number(own) for key, own in NAMES.items()}
        numbers |= {"resonant": Number(int(fit.model == "resonance")), "misfit": Number(fit.misfit)}
        return found | self._named(numbers)

    def _named(self, numbers: Mapping[str, Number]) -> dict[str, Feature | ArrayFeature]:
        return {f"{self._at}{key}": told(number, UNITS[key]) for key, number in numbers.items()}

    def _sweep(self, frame: Frame) -> tuple[np.ndarray, Complex, np.ndarray | None]:
        """Frequencies in Hz, mu' - j mu'' and, where the frame has it, its standard uncertainty; all `(n,)`."""
        axis = frame.axes.get("frequency")
        if axis is None or frame.data.ndim != 2 or frame.dims != ("channel", "frequency"):
            raise ValueError(f"this is no sweep: its dimensions are {', '.join(frame.dims)}")
        f = units.convert(1.0, axis.unit or "Hz", "Hz") * np.asarray(axis.values, np.float64)
        names = frame.labels.get("channels", "").split()
        if len(names) != frame.data.shape[0]:
            raise ValueError("the frame does not name its channels")
        data = np.asarray(frame.data, np.float64)
        if frame.mask is not None:
            data = np.where(frame.mask, np.nan, data)
        rows = dict(zip(names, data, strict=True))
        if {"mu_real", "mu_imag"} <= rows.keys():
            sigma = None
            if frame.sigma is not None:
                own = dict(zip(names, np.asarray(frame.sigma, np.float64), strict=True))
                sigma = np.sqrt(0.5 * (own["mu_real"] ** 2 + own["mu_imag"] ** 2))
            return f, rows["mu_real"] - 1j * rows["mu_imag"], sigma
        return f, self._of_impedance(f, self._impedance(f, rows, names, frame)), None

    def _impedance(self, f: np.ndarray, rows: dict[str, np.ndarray], names: list[str], frame: Frame) -> np.ndarray:
        """Z in ohm from the channels of an impedance analyser."""

        def row(name: str, unit: str) -> np.ndarray:
            given = frame.unit if isinstance(frame.unit, str) else frame.unit[names.index(name)]
            return rows[name] * (units.convert(1.0, given, unit) if given else 1.0)

        if {"z", "theta"} <= rows.keys():
            return row("z", "ohm") * np.exp(1j * np.radians(row("theta", "deg")))
        if {"l", "r"} <= rows.keys():
            return row("r", "ohm") + 2j * math.pi * f * row("l", "H")
        if {"z_real", "z_imag"} <= rows.keys():
            return row("z_real", "ohm") + 1j * row("z_imag", "ohm")
        raise ValueError(
            f"the channels {', '.join(names)} hold no permeability: mu_real and mu_imag, l and r, or z and theta"
        )

    def _of_impedance(self, f: np.ndarray, z: np.ndarray) -> Complex:
        """mu_r = (Z - R) length / (j w mu0 turns^2 area)."""
        turns, area, length = self.wound
        if turns is None or area is None or length is None:
            raise ValueError("a permeability from an impedance needs turns, area and length of the wound core")
        return (z - self.resistance) * length / (2j * math.pi * f * MU0 * turns**2 * area)
