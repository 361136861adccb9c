"""Barkhausen noise: how strong, where in the field, how its jumps are distributed, and its spectrum, of one window.

    rms, kurtosis      of the noise in the band (excess kurtosis: 0 for normal noise); noise: RMS of its quietest tenth
    hum                standard deviation of means over 1 ms, before the band-pass: mains, drift
    clipped_fraction   samples that the converter cut off / all
    envelope_peak      height of the RMS envelope; without a field, of the moving RMS over `window`, at `peak_time`
    peak_field         where the envelope is largest: half the distance between up and down sweeps, which are also told
                       apart: peak_field_up, peak_field_down; fwhm, skew: of the envelope over the field
    n_half_cycles      whole sweeps of the field in the window
    n_pulses           runs above the threshold; pulse_rate; size_exponent, duration_exponent of their distributions
    psd_slope          exponent of the power spectral density; band1_power...: mean square in each band; before the
                       band-pass, both

Formulas and sources: `insitu.maths.magnetic.barkhausen`, `.barkhausen_psd` and `.power_law`. Uncertainties are those of
a mean over the half cycles of the window, from their scatter; exponents have that of the likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.barkhausen_channels import choose, factor
from insitu.features.barkhausen_plan import Plan, Plans, stretched
from insitu.features.barkhausen_trial import trial
from insitu.maths.magnetic.barkhausen import Number, clipped_samples, field_peak, find_sweeps, quiet_of
from insitu.maths.magnetic.barkhausen_kernel import filtered, find_pulses, moments, moving_rms, scan, slow_part
from insitu.maths.magnetic.barkhausen_psd import band_power
from insitu.maths.magnetic.power_law import LEAST, fit_power_law
from insitu.maths.waveform import Wave, wave
from insitu.types import KEY, ArrayFeature, Axis, Detector, Feature, Frame, Output, References

Hz = Annotated[float, "Hz"]
FEWEST = 64
REMEDY = "set its unit in the detector file (channel_units)"
HUM_S = 1e-3
THRESHOLD = 5.0
"""Over the quiet level, where no threshold is given."""
BANDS = ((1e3, 1e4), (1e4, 1e5), (1e5, 5e5))


class Barkhausen:
    """Extractor: the numbers of the head of this file, with `name_` before the keys.

    `channel`, `field`: names of the channels (default: found by name and unit). `unit`, `field_unit`: of the results
    (a field in T is given in A/m as B/mu0). `low`, `high`: band of the noise (Butterworth, second order, forwards
    only). `window`: of the moving RMS. `threshold` of pulses (default: 5 times the quiet level), `dead`: a gap below it
    that does not end a pulse. `size_range`, `duration_range`: cut-offs of the power laws in `unit` s and s (default:
    the lower one is looked for, none above). `segment`: samples of a segment of the spectrum; `slope`: where it is
    fitted (default: 0.02 to 0.1 of the sample rate); `bands`. `bins`: of the field. `arrays`: keep the envelope
    (`envelope`: up and down sweeps by bin, at `envelope_field`) and the spectrum (`psd`) as well.
    """

    def __init__(
        self,
        *,
        name: str = "mbn",
        channel: str = "",
        field: str = "",
        unit: str = "V",
        field_unit: str = "A/m",
        low: Hz | None = None,
        high: Hz | None = None,
        window: Annotated[float, "s"] = 1e-3,
        threshold: Feature | None = None,
        dead: Annotated[float, "s"] = 5e-6,
        size_range: tuple[float, float] | None = None,
        duration_range: tuple[Annotated[float, "s"], Annotated[float, "s"]] | None = None,
        segment: int = 4096,
        slope: tuple[Hz, Hz] | None = None,
        bands: list[tuple[Hz, Hz]] | None = None,
        bins: int = 200,
        arrays: bool = False,
        detector: Detector | None = None,
    ) -> None:
        from insitu.units import check_unit, convert

        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        for where, ends in (
            ("low", (low or 0.0, high or math.inf)), ("slope", slope), ("size_range", size_range),
            ("duration_range", duration_range), *(("bands", band) for band in bands or ()),
        ):  # fmt: skip
            if ends is not None and not 0.0 <= ends[0] < ends[1]:
                raise ConfigError(f"{ends[0]:g} to {ends[1]:g} is no range", where=where, expected="0 or more, rising")
        for where, value, least in (("bins", bins, 16), ("segment", segment, 16), ("dead", dead, 0.0)):
            if not value >= least:
                raise ConfigError(f"{where} = {value:g} is of no use", where=where, expected=f"{least:g} or more")
        if not window > 0.0:
            raise ConfigError("a window has a length", where="window", expected="more than 0")
        self.name, self.channel, self.field = name, channel, field
        self.unit, self.field_unit = check_unit(unit), check_unit(field_unit)
        self.band, self.window, self.dead, self.bins = (low, high), window, dead, bins
        self.size_range, self.duration_range, self.arrays = size_range, duration_range, arrays
        self.bands = tuple(bands) if bands is not None else BANDS
        self.threshold = None
        if threshold is not None:
            if threshold.value is None or not threshold.value > 0:
                raise ConfigError("a threshold is above 0", where="threshold", expected=f'text such as "20 {unit}"')
            self.threshold = convert(float(threshold.value), threshold.unit, unit)
        self._saturation = detector.saturation if detector else None
        square = f"{unit}^2" if KEY.fullmatch(unit.lower()) else f"({unit})^2" if unit else ""
        self._units: dict[str, str] = dict.fromkeys(("rms", "noise", "hum", "envelope_peak"), unit)
        self._units |= {"kurtosis": "", "clipped_fraction": "", "peak_time": "s"}
        self._units |= dict.fromkeys(("peak_field", "peak_field_up", "peak_field_down", "fwhm"), field_unit)
        self._units |= {"skew": "", "n_half_cycles": "", "n_pulses": "", "pulse_rate": "Hz"}
        self._units |= {"size_exponent": "", "duration_exponent": "", "psd_slope": ""}
        self._units |= {f"band{k + 1}_power": square for k in range(len(self.bands))}
        self._of_volts = {"rms", "noise", "hum", "envelope_peak", *(k for k in self._units if k.startswith("band"))}
        self._kept = {"envelope": unit, "envelope_field": field_unit, "psd": f"{square}/Hz" if square else "1/Hz"}
        self.outputs = {f"{name}_{key}": Output(unit=u, rtol=1e-6, atol=1e-12) for key, u in self._units.items()}
        if arrays:
            self.outputs |= {f"{name}_{k}": Output(unit=u, rtol=1e-6, array=True) for k, u in self._kept.items()}
        self._plans = Plans(segment, slope, (low, high))
        first = trial(self.band, unit, field_unit, (channel, field), self._saturation)
        self(first, {}, ())  # compile before a frame waits

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature | ArrayFeature]:
        """The numbers of one frame."""
        found: dict[str, Feature | ArrayFeature] = {}
        try:
            why = self._measure(frame, found)
        except ValueError as error:
            why = str(error)
        units = self._units | (self._kept if self.arrays else {})
        for key, unit in units.items():
            found.setdefault(key, Feature(None, unit, why=why or "not measured"))
        return {f"{self.name}_{key}": found[key] for key in units}

    def _measure(self, frame: Frame, found: dict[str, Feature | ArrayFeature]) -> str:
        """Fill `found`; gives why what is missing then is not there."""
        noise_name, field_name = choose(frame, self.channel, self.field)
        noise = wave(frame, noise_name)
        x, scale = noise.values, factor(noise.unit, self.unit)
        if x.size < FEWEST:
            return f"only {x.size} samples: {FEWEST} are the least"
        low, high, total = scan(x)
        if not math.isfinite(total):
            return f"{np.count_nonzero(~np.isfinite(x))} of {x.size} samples are no numbers"
        clipped = self._clipped(frame, x, low, high)
        found["clipped_fraction"] = Feature(clipped / x.size, "")
        if high == low:
            return f"no signal: every sample is {low:g} {noise.unit}".rstrip()
        if clipped:
            return f"clipped: {clipped} of {x.size} samples are cut off at the end of the range"
        if scale not in (None, 1.0):
            x = x * scale
        self._waveform(frame, noise, x, field_name, found)
        if scale is None:
            said = repr(noise.unit) if noise.unit else "no known unit"
            why = f"channel {noise.name} is in {said}, not in {self.unit}: {REMEDY}, or unit for this entry"
            found.update({key: Feature(None, self._units[key], why=why) for key in self._of_volts})
        return "the sample rate is not known: files that do not tell need it in the detector file"

    def _clipped(self, frame: Frame, x: np.ndarray, low: float, high: float) -> int:
        """How many samples are cut off: by the converter's limits, where they are known, and by how they crowd."""
        full = math.inf if self._saturation is None else self._saturation
        bottom, kind = -full, frame.data.dtype
        if kind.kind in "iu":
            bottom, full = max(bottom, float(np.iinfo(kind).min)), min(full, float(np.iinfo(kind).max))
            bottom = bottom if kind.kind == "i" else -math.inf
        known = 0 if bottom < low and high < full else int(np.count_nonzero((x <= bottom) | (x >= full)))
        return known or (clipped_samples(x, low, high) if high > low else 0)

    def _waveform(
        self, frame: Frame, noise: Wave, x: np.ndarray, field_name: str, found: dict[str, Feature | ArrayFeature]
    ) -> None:
        """What can be told of a waveform that is neither dead nor clipped."""
        rate = noise.rate
        if rate is None:
            if self.band == (None, None):
                self._strength(x, found)
            return
        plan = self._plans(x.size, rate)
        power = plan.welch(x)
        found["hum"] = Feature(slow_part(x, max(1, round(HUM_S * rate))), self.unit)
        found.update(self._spectrum(plan, power))
        if plan.why:
            rest = [key for key in self._units if key not in found]
            found.update({key: Feature(None, self._units[key], why=plan.why) for key in rest})
            return
        if plan.sos is not None and plan.start is not None:
            x = filtered(x, plan.sos, plan.start)
        self._strength(x, found)
        window = min(max(1, round(self.window * rate)), x.size)
        rms = np.empty(x.size)
        moving_rms(x, window, rms)
        quiet, top = quiet_of(rms, window), int(np.argmax(rms))
        found["noise"] = Feature(quiet, self.unit)
        found["envelope_peak"] = Feature(float(rms[top]), self.unit)
        found["peak_time"] = Feature(top / rate, "s")
        self._pulses(x, rate, quiet, found)
        why = self._against_field(frame, noise, x, field_name, quiet, found)
        for key in ("peak_field", "peak_field_up", "peak_field_down", "fwhm", "skew", "n_half_cycles"):
            found.setdefault(key, Feature(None, self._units[key], why=why or "not measured"))
        if self.arrays:
            self._keep(x, plan, power, found)

    def _strength(self, x: np.ndarray, found: dict[str, Feature | ArrayFeature]) -> None:
        square, second, fourth = moments(x, float(x.mean()))
        found["rms"] = Feature(math.sqrt(square), self.unit)
        flat = not second > 1e-24 * square
        found["kurtosis"] = Feature(None, "", why="no signal") if flat else Feature(fourth / second**2 - 3.0, "")

    def _spectrum(self, plan: Plan, power: np.ndarray) -> dict[str, Feature]:
        slope = plan.slope(power) if plan.slope.enough else None
        why = "the range of the slope holds fewer than 4 points of the spectrum, or one without power"
        found = {"psd_slope": Feature(None, "", why=why) if slope is None else Feature(slope.value, "", slope.sigma)}
        frequency = plan.welch.frequency
        for k, (low, high) in enumerate(self.bands):
            key, step = f"band{k + 1}_power", frequency[1]
            if high <= step or low >= frequency[-1]:
                why = f"the spectrum goes from {step:g} to {frequency[-1]:g} Hz"
                found[key] = Feature(None, self._units[key], why=why)
            else:
                found[key] = Feature(band_power(frequency, power, max(low, 0.5 * step), high), self._units[key])
        return found

    def _pulses(self, x: np.ndarray, rate: float, quiet: float, found: dict[str, Feature | ArrayFeature]) -> None:
        threshold = THRESHOLD * quiet if self.threshold is None else self.threshold
        areas, lengths = find_pulses(x, threshold, max(1, round(self.dead * rate)))
        found["n_pulses"] = Feature(int(areas.size), "")
        found["pulse_rate"] = Feature(areas.size * rate / x.size, "Hz")
        ends = self.duration_range and (max(1.0, self.duration_range[0] * rate), self.duration_range[1] * rate)
        for key, values, span in (
            ("size_exponent", areas / rate, self.size_range), ("duration_exponent", lengths, ends),
        ):  # fmt: skip
            low, high = span or (None, None)
            law = fit_power_law(values, low=low, high=high, discrete=key == "duration_exponent")
            why = f"{areas.size} pulses: {LEAST} between the cut-offs are needed"
            found[key] = Feature(None, "", why=why) if law is None else Feature(law.exponent, "", law.sigma)

    def _against_field(
        self,
        frame: Frame,
        noise: Wave,
        x: np.ndarray,
        field_name: str,
        quiet: float,
        found: dict[str, Feature | ArrayFeature],
    ) -> str:
        """What the field tells, if there is one; else why not."""
        if not field_name:
            return "no channel of the field was measured"
        field = wave(frame, field_name)
        scale = factor(field.unit, self.field_unit)
        if scale is None:
            said = f"channel {field.name} is in {field.unit!r}, not in {self.field_unit}"
            return f"{said}: {REMEDY}, or field_unit for this entry"
        h = stretched(field, noise, x.size)
        if h is None:
            return f"channel {field.name} has {field.values.size} samples, the noise {x.size}: its rate is not known"
        sweeps = find_sweeps(h * scale if scale != 1.0 else h)
        if isinstance(sweeps, str):
            return sweeps
        peak = field_peak(x, h * scale if scale != 1.0 else h, sweeps, quiet, self.bins)
        told: Mapping[str, Number] = {
            "peak_field": peak.field, "peak_field_up": peak.up, "peak_field_down": peak.down, "fwhm": peak.fwhm,
            "skew": peak.skew, "envelope_peak": peak.height,
        }  # fmt: skip
        for key, number in told.items():
            unit = self._units[key]
            known = number.value is not None
            found[key] = Feature(number.value, unit, number.sigma) if known else Feature(None, unit, why=number.why)
        found["n_half_cycles"] = Feature(peak.half_cycles, "")
        rms = found["rms"]
        assert isinstance(rms, Feature)
        found["rms"] = Feature(rms.value, rms.unit, peak.rms_sigma)
        if self.arrays:
            found["envelope"] = ArrayFeature(values=peak.envelope, dims=("direction", "bin"), unit=self.unit)
            found["envelope_field"] = ArrayFeature(values=peak.at, dims=("bin",), unit=self.field_unit)
        return ""

    def _keep(self, x: np.ndarray, plan: Plan, power: np.ndarray, found: dict[str, Feature | ArrayFeature]) -> None:
        """The arrays; without a field, the RMS of as many parts of the window as there are bins."""
        axes = {"frequency": Axis(plan.welch.frequency, "Hz")}
        found["psd"] = ArrayFeature(values=power, dims=("frequency",), unit=self._kept["psd"], axes=axes)
        if "envelope" not in found:
            none = np.full(self.bins, np.nan)
            parts = [math.sqrt(float(part @ part) / max(part.size, 1)) for part in np.array_split(x, self.bins)]
            rows = np.stack([np.array(parts), none])
            found["envelope"] = ArrayFeature(values=rows, dims=("direction", "bin"), unit=self.unit)
            found["envelope_field"] = ArrayFeature(values=none, dims=("bin",), unit=self.field_unit)
