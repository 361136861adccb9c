"""Hysteresis loops and backfield curves: coercivity, remanence, saturation, loss, coercivity of remanence, and what is
wrong.

Works on frames with the channels `field` and `moment` (reader `loops`), with mu0 H in T: a field in Oe or A/m is
converted, and the moment to `unit`. Formulas, uncertainties and sources: `insitu.maths.magnetic.hysteresis`,
`insitu.maths.magnetic.backfield`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.magnetic.backfield import backfield, kind_of
from insitu.maths.magnetic.hysteresis import Value, hysteresis
from insitu.maths.magnetic.units import field_in_tesla, moment_factor
from insitu.maths.waveform import Wave, wave
from insitu.types import KEY, Feature, Frame, Output, References

Unit = Literal["A m^2/kg", "A m^2", "A/m"]
AREAS = {"A m^2/kg": "J/kg", "A m^2": "J", "A/m": "J/m^3"}
"""What the area of a loop is in, by the unit of its moment."""
LOOP = ("bc", "mr", "ms", "squareness", "slope", "loss", "field_offset", "moment_offset")
IN_MOMENTS = frozenset(LOOP) - {"bc", "squareness", "field_offset"}
RTOL = 1e-6
"""How far another computer may be off."""
ATOL = {"T": 1e-12, "A m^2": 1e-16, "A m^2/kg": 1e-10, "A/m": 1e-7, "J": 1e-16, "J/kg": 1e-10, "J/m^3": 1e-7, "": 1e-9}
"""What is nothing to a magnetometer, by unit: an offset, a slope, an uncertainty may be zero but for rounding."""
NO_BCR = Feature(None, "T", why="this is a loop: a backfield curve gives Bcr")
GOOD, BAD = Feature(1), Feature(0)

MOST_T = 150.0
"""No pulsed magnet goes beyond without destroying itself and the sample."""


class Loop:
    """Numbers of a hysteresis loop or of a backfield curve.

    Of a loop: `bc` (T), `mr`, `ms` (`unit`), `squareness` Mr/Ms, `slope` at high field (`unit`/T; chi_HF = mu0 slope),
    `loss` (area), `field_offset`, `moment_offset` (its centre), `drift` between two passages of the high field, as a
    part of the moment there. Of a backfield curve: `bcr` (T). Of both: `quality`, log10(signal/noise), and `curve_ok`,
    1 or 0. A bad curve has no numbers but says why, as `quality` does.

    `unit`: of moments. Moment and moment by mass convert with `mass` or the context `mass`; what does not convert is
    told. `field`, `moment`: names of the channels.

    >>> import numpy as np
    >>> b = np.concatenate([np.linspace(1, -1, 101), np.linspace(-1, 1, 101)])
    >>> m = np.tanh((b + np.where(np.arange(202) < 101, 0.1, -0.1)) / 0.2)
    >>> frame = Frame(source="vsm", seq=0, n=0, time_ns=0, data=np.stack([1e4 * b, m]), dims=("channel", "point"),
    ...               unit=("Oe", "emu/g"), labels={"channels": "field moment", "curve": "loop"})
    >>> found = Loop()(frame, {}, ())
    >>> round(found["bc"].value, 3), round(found["mr"].value, 2), found["ms"].unit, found["bcr"].value
    (0.1, 0.46, 'A m^2/kg', None)
    """

    raw = False

    def __init__(
        self,
        *,
        unit: Unit = "A m^2/kg",
        mass: Annotated[float, "kg"] | None = None,
        field: str = "field",
        moment: str = "moment",
        name: str = "",
    ) -> None:
        if unit not in AREAS:
            raise ConfigError(f"{unit!r} is no unit of a moment here", where="unit", expected=", ".join(AREAS))
        if mass is not None and not mass > 0.0:
            raise ConfigError(f"{mass} kg is no mass", where="mass", expected="more than 0 kg")
        if name and not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self.unit, self.mass, self.field, self.moment = unit, mass, field, moment
        start = f"{name}_" if name else ""
        self._units = {
            "bc": "T", "mr": unit, "ms": unit, "squareness": "", "slope": f"{unit}/T", "loss": AREAS[unit],
            "field_offset": "T", "moment_offset": unit, "drift": "", "bcr": "T", "quality": "", "curve_ok": "",
        }  # fmt: skip
        self._keys = {key: start + key for key in self._units}
        self.outputs: dict[str, Output] = {
            self._keys[key]: Output(unit=unit, rtol=RTOL, atol=ATOL[unit.removesuffix("/T")])
            for key, unit in self._units.items()
        }
        for curve in ("loop", "backfield"):
            self(_trial(curve, field, moment, unit), {}, ())  # compile before a frame waits

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature]:
        del refs, before
        try:
            field, moment = wave(frame, self.field), wave(frame, self.moment)
        except ValueError as error:
            return self._nothing(str(error))
        factor = field_in_tesla(field.unit)
        if factor is None:
            said = f"in {field.unit!r}" if field.unit else "in no unit"
            return self._nothing(f"the field is {said}, expected T, Oe or A/m: tell the reader its field_unit")
        if field.values.size != moment.values.size:
            return self._nothing(f"the field has {field.values.size} points, the moment {moment.values.size}")
        b = field.values if factor == 1.0 else factor * field.values
        if b.size == 0:
            return self._nothing("the curve has no points")
        if np.abs(b).max() > MOST_T:
            return self._nothing(f"the field reaches {np.abs(b).max():.3g} T, more than any magnet: its unit is wrong, "
                                 "tell the reader its field_unit")  # fmt: skip
        curve = frame.labels.get("curve", "")
        if curve not in ("loop", "backfield"):
            curve = kind_of(b, moment.values) if np.isfinite(b).all() and np.isfinite(moment.values).all() else "loop"
        found = self._backfield(b, moment.values) if curve == "backfield" else self._loop(frame, b, moment)
        return {self._keys[key]: value for key, value in found.items()}

    def _loop(self, frame: Frame, b: np.ndarray, moment: Wave) -> dict[str, Feature]:
        """All keys of a loop."""
        loop = hysteresis(b, moment.values)
        scale = moment_factor(moment.unit, self.unit, self._mass_of(frame))
        why = "" if scale is not None else self._no_scale(moment.unit)
        found: dict[str, Feature] = {
            key: self._told(key, getattr(loop, key), scale if key in IN_MOMENTS else 1.0, why) for key in LOOP
        }
        problems = "; ".join(loop.problems)
        quality = loop.quality_ferro if not problems else Value(None, why=problems)
        found["drift"] = self._told("drift", loop.closure, 1.0, "")
        found["bcr"] = NO_BCR
        found["quality"] = self._told("quality", quality, 1.0, "")
        found["curve_ok"] = BAD if problems else GOOD
        return found

    def _backfield(self, b: np.ndarray, moment: np.ndarray) -> dict[str, Feature]:
        """All keys of a backfield curve."""
        curve = backfield(b, moment)
        why = "this is a backfield curve, no loop"
        found = {key: Feature(None, unit, why=why) for key, unit in self._units.items()}
        found["bcr"] = self._told("bcr", curve.bcr, 1.0, "")
        found["quality"] = self._told("quality", curve.quality, 1.0, "")
        found["curve_ok"] = BAD if curve.problems else GOOD
        return found

    def _told(self, key: str, value: Value, scale: float | None, why: str) -> Feature:
        """A value as a feature, in its unit."""
        unit, (number, sigma, said) = self._units[key], value
        if number is None or scale is None:
            return Feature(None, unit, why=said if number is None else why)
        return Feature(scale * number, unit, None if sigma is None else scale * sigma)

    def _mass_of(self, frame: Frame) -> float | None:
        """The sample's mass in kg: of the recipe, or of the frame."""
        told = frame.context.get("mass")
        if self.mass is not None or told is None or told.value is None or told.unit != "kg":
            return self.mass
        return float(told.value)

    def _no_scale(self, unit: str) -> str:
        """Why a moment is not given in the unit asked for."""
        if not unit:
            return f"the moment is in no unit, expected one like {self.unit}: tell the reader its moment_unit"
        more = (
            ", or the sample's mass"
            if {unit, self.unit} <= {"A m^2", "emu", "memu", "uemu", "A m^2/kg", "emu/g"}
            else ""
        )
        return f"the moment is in {unit}, not to be converted to {self.unit}: say another unit{more} in the recipe"

    def _nothing(self, why: str) -> dict[str, Feature]:
        found = {self._keys[key]: Feature(None, unit, why=why) for key, unit in self._units.items()}
        found[self._keys["curve_ok"]] = BAD
        return found


def _trial(curve: str, field: str, moment: str, unit: str) -> Frame:
    """A loop, or a backfield curve, without noise."""
    b = np.concatenate([np.linspace(1.0, -1.0, 101), np.linspace(-1.0, 1.0, 101)])
    m = np.tanh((b + np.where(np.arange(202) < 101, 0.1, -0.1)) / 0.2)
    if curve == "backfield":
        b = np.linspace(0.0, -1.0, 51)
        m = np.tanh((b + 0.3) / 0.2)
    labels = {"channels": f"{field} {moment}", "curve": curve}
    return Frame(source="trial", data=np.stack([b, m]), dims=("channel", "point"), unit=("T", unit), labels=labels,
                 time_ns=0, seq=0, n=0)  # fmt: skip
