"""Complex permeability and loss of a driven core, from one window of B and H (or voltage and current).

- `mu_real`, `mu_imag`: mu_r = mu' - j mu'' at the drive frequency; `phase`: the loss angle, deg; `quality`: mu'/mu'';
- `loss` of the first harmonic, W/m^3; `b_peak`, `h_peak`: its amplitudes; `frequency`, found in the window;
- `thd_b`, `thd_h`: distortion; `noise_b`, `noise_h`: rms of what no harmonic explains, over the peak;
- `detuning`: frequency found over frequency declared, minus 1; `periods` in the window;
- `clipped`: part of the samples at an extreme where a channel is cut off. Then nothing else is told.

Amplitudes and phases are of a least-squares fit that needs no whole number of periods: `maths.magnetic.lock_in`.
Uncertainties are those of the noise beside the drive, and what is declared of gain and phase
(`maths.magnetic.permeability`). A phase error that is not declared goes into mu'' in full: 1 deg is 1.7 % of mu'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from insitu.features.permeability_frame import Pair, look, prefix, told, without
from insitu.maths.magnetic.lock_in import LockIn
from insitu.maths.magnetic.permeability import Channels, Number, permeability
from insitu.types import ArrayFeature, Feature, Frame, Output, References

UNITS = {
    "mu_real": "", "mu_imag": "", "loss": "W/m^3", "phase": "deg", "quality": "", "b_peak": "T", "h_peak": "A/m",
    "frequency": "Hz", "detuning": "", "thd_b": "", "thd_h": "", "noise_b": "", "noise_h": "", "periods": "",
    "clipped": "",
}  # fmt: skip


class CorePermeability:
    """Extractor: permeability and loss of a waveform frame.

    `b`, `h`, `v`, `i`: names of the channels, where they are not called so and their units do not tell. `turns` of the
    winding with the current, `secondary` of the one with the voltage (default: the same), `area` and `length` of the
    core; `shunt`: the channel `i` is the voltage at it. `frequency`: near which the drive is (default: as the frame
    says, else the strongest line). `harmonics`: as many as are fitted. `gain_b`, `gain_h` (read over true),
    `phase_error`, `delay`: what is known of the channels, by which B is read too late; `gain_sigma` (relative),
    `phase_sigma`: how well. `name`: prefix of the keys.
    """

    def __init__(
        self,
        *,
        name: str = "",
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
        harmonics: int = 9,
        gain_b: float = 1.0,
        gain_h: float = 1.0,
        phase_error: Annotated[float, "deg"] = 0.0,
        delay: Annotated[float, "s"] = 0.0,
        gain_sigma: float = 0.0,
        phase_sigma: Annotated[float, "deg"] = 0.0,
    ) -> None:
        known = Channels(
            gain_b=gain_b, gain_h=gain_h, phase=math.radians(phase_error), delay=delay, gain_sigma=gain_sigma,
            phase_sigma=math.radians(phase_sigma),
        )  # fmt: skip
        self.look = look(
            b=b, h=h, v=v, i=i, shunt=shunt, turns=turns, secondary=secondary, area=area, length=length,
            frequency=frequency, harmonics=harmonics, known=known,
        )  # fmt: skip
        self._at = prefix(name)
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-6, atol=1e-9) for key, unit in UNITS.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """All declared features of one frame."""
        seen = self.look.seen(frame)
        found = without(self.outputs, seen.why)
        if seen.pair is not None:
            found[f"{self._at}clipped"] = Feature(seen.pair.clipped, "")
        if seen.pair is not None and seen.found is not None:
            numbers = self._numbers(seen.found, seen.pair)
            found |= {f"{self._at}{key}": told(number, UNITS[key]) for key, number in numbers.items()}
        return found

    def _numbers(self, found: LockIn, pair: Pair) -> dict[str, Number]:
        declared = self.look.known
        # gains and phases are corrected already; their uncertainty is still to be counted
        core = permeability(found, Channels(gain_sigma=declared.gain_sigma, phase_sigma=declared.phase_sigma))
        to_deg = 180.0 / math.pi
        noise = [Number(float(rms / abs(wave[0]))) for rms, wave in zip(found.noise, found.amplitude, strict=True)]
        off = Number(math.nan, math.nan, "no frequency is declared")
        if pair.declared is not None:
            off = Number(found.frequency / pair.declared - 1.0, found.frequency_sigma / pair.declared)
        return {
            "mu_real": core.mu_real,
            "mu_imag": core.mu_imag,
            "loss": core.loss,
            "phase": Number(core.loss_angle.value * to_deg, core.loss_angle.sigma * to_deg),
            "quality": core.quality,
            "b_peak": core.b_peak,
            "h_peak": core.h_peak,
            "frequency": Number(found.frequency, found.frequency_sigma),
            "detuning": off,
            "thd_b": core.thd_b,
            "thd_h": core.thd_h,
            "noise_b": noise[0],
            "noise_h": noise[1],
            "periods": Number(found.periods),
        }
