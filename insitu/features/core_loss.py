"""Loss of a core in one window: measured as the area of its loop, and predicted from the shape of B alone (iGSE).

- `loss_measured`: f times the closed integral of H dB, W/m^3, all fitted harmonics together;
- `loss_predicted`: by the improved generalised Steinmetz equation with `k_i` (or `k`), `alpha`, `beta` of the material;
- `loss_ratio`: measured over predicted. Its change tells of temperature, bias, a gap, a core that is not what it was;
- `b_swing`: B from peak to peak, T; `loss_frequency`.

B of any shape: minor loops are split, a voltage is integrated over the mean period (`maths.magnetic.core_loss`). The
prediction needs no channel of H.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.permeability_frame import Flux, look, prefix, told, without
from insitu.maths.magnetic.core_loss import igse, igse_factor, integrated, mean_cycle
from insitu.maths.magnetic.permeability import Channels, Number, permeability
from insitu.types import ArrayFeature, Feature, Frame, Output, References

UNITS = {"loss_measured": "W/m^3", "loss_predicted": "W/m^3", "loss_ratio": "", "b_swing": "T", "loss_frequency": "Hz"}
NEGLIGIBLE = 1e-4
"""Turning back by less than this part of the swing is no minor loop."""


class CoreLoss:
    """Extractor: measured and predicted loss of a waveform frame.

    `k_i`, or `k` of P = k f^alpha B^beta (Hz, T, W/m^3), `alpha`, `beta`: of the material; without them nothing is
    predicted. `harmonics`: as many as the loop is made of. The other keys: as `permeability`.
    """

    def __init__(
        self,
        *,
        name: str = "",
        k_i: float | None = None,
        k: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        b: str = "",
        h: str = "",
        v: str = "",
        i: str = "",
        shunt: Annotated[float, "ohm"] | None = None,
        turns: float = 1.0,
        secondary: float | None = None,
        area: Annotated[float, "m^2"] | None = None,
        length: Annotated[float, "m"] | None = None,
        frequency: Annotated[float, "Hz"] | None = None,
        harmonics: int = 25,
        gain_b: float = 1.0,
        gain_h: float = 1.0,
        phase_error: Annotated[float, "deg"] = 0.0,
        delay: Annotated[float, "s"] = 0.0,
    ) -> None:
        self.material = _material(k_i, k, alpha, beta)
        known = Channels(gain_b=gain_b, gain_h=gain_h, phase=math.radians(phase_error), delay=delay)
        self.look = look(
            b=b, h=h, v=v, i=i, shunt=shunt, turns=turns, secondary=secondary, area=area, length=length,
            frequency=frequency, harmonics=harmonics, known=known,
        )  # fmt: skip
        self._at = prefix(name)
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-6, atol=1e-9) for key, unit in UNITS.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """All declared features of one frame."""
        flux, why = self.look.alone(frame)
        if flux is None:
            return without(self.outputs, why)
        measured = self._measured(frame)
        swing, predicted = self._predicted(flux)
        ratio = Number(math.nan, math.nan, predicted.why or measured.why)
        if predicted.value > 0.0 and math.isfinite(measured.value):
            ratio = Number(measured.value / predicted.value, measured.sigma / predicted.value)
        numbers = {
            "loss_measured": measured,
            "loss_predicted": predicted,
            "loss_ratio": ratio,
            "b_swing": swing,
            "loss_frequency": Number(flux.frequency),
        }
        return {f"{self._at}{key}": told(number, UNITS[key]) for key, number in numbers.items()}

    def _measured(self, frame: Frame) -> Number:
        """The area of the loop, where H is there as well."""
        seen = self.look.seen(frame)
        if seen.found is None:
            return Number(math.nan, math.nan, seen.why)
        core = permeability(seen.found)
        more = core.loss_harmonics
        if not math.isfinite(more.value):
            return core.loss
        return Number(core.loss.value + more.value, math.hypot(core.loss.sigma, more.sigma))

    def _predicted(self, flux: Flux) -> tuple[Number, Number]:
        """The swing of B and the loss that the material's numbers predict."""
        cycle = mean_cycle(flux.values, flux.frequency / flux.rate, slopes=flux.kind == "b")
        if flux.kind == "v":
            cycle = integrated(cycle, flux.frequency)
        swing = float(np.ptp(cycle.value))
        of_b = Number(swing, cycle.noise * math.sqrt(2.0))
        if self.material is None:
            return of_b, Number(math.nan, math.nan, "k_i (or k), alpha and beta of the material are not given")
        ignore = max(NEGLIGIBLE * swing, 6.0 * cycle.noise)
        try:
            loss = igse(
                cycle.phase / flux.frequency, cycle.value, *self.material, period=1.0 / flux.frequency, ignore=ignore
            )
        except (ValueError, ArithmeticError) as e:
            return of_b, Number(math.nan, math.nan, str(e))
        return of_b, Number(loss)


def _material(
    k_i: float | None, k: float | None, alpha: float | None, beta: float | None
) -> tuple[float, float, float] | None:
    """(k_i, alpha, beta) as the recipe gives them; None where it gives none."""
    if k_i is None and k is None and alpha is None and beta is None:
        return None
    if (k_i is None) == (k is None) or alpha is None or beta is None:
        raise ConfigError(
            "the material is given in part", where="k_i", expected="k_i (or k), alpha and beta",
            remedy="Give all three, or none.",
        )  # fmt: skip
    for key, number, low, high in (("alpha", alpha, 0.5, 3.0), ("beta", beta, 1.0, 5.0)):
        if not low <= number <= high:
            raise ConfigError(f"{key} is {number}", where=key, expected=f"{low:g} to {high:g}")
    factor = k_i if k_i is not None else igse_factor(float(k or 0.0), alpha, beta)
    if not factor > 0.0:
        raise ConfigError("the factor is not above 0", where="k_i" if k_i is not None else "k", expected="more than 0")
    return factor, alpha, beta
