"""Vibration of every channel in one frame: rms, crest, kurtosis, energy by band, envelope.

    cN_rms, cN_peak                in the channel's unit (declared by `unit`)
    cN_crest, cN_kurtosis, cN_shape
    cN_band1 ... cN_bandK          part of the power in each band of frequencies
    cN_centre                      mean frequency
    cN_envelope_frequency          where the spectrum of the envelope has its strongest line
    cN_envelope_height             and how strong it is, over the mean square

Formulas and sources: `insitu.maths.line.vibration`. With `frequency = "per_sample"` frequencies are in cycles per
sample (0 to 0.5), which needs no sampling rate; with "Hz" a frame without `sample_rate` has none of these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.features.channel_choice import Choice, gone_of
from insitu.maths.line.vibration import BANDS, FEWEST, Vibration, vibration
from insitu.maths.waveform import Wave
from insitu.types import Feature, Frame, Output, References

PLAIN = ("rms", "peak", "crest", "kurtosis", "shape", "centre", "envelope_frequency", "envelope_height")
_IN_UNIT = ("rms", "peak")
_FREQUENCIES = ("centre", "envelope_frequency")


class VibrationFeatures:
    """Extractor: vibration of each channel (see the head of this file).

    `bands`: [[low, high], ...] and `carrier` [low, high] (whose envelope is taken), both in the unit that `frequency`
    says; four octaves and the upper seven eighths without them, which are per sample.
    """

    def __init__(
        self,
        *,
        channels: list[str] | None = None,
        n_channels: int = 16,
        unit: str = "",
        frequency: Literal["per_sample", "Hz"] = "per_sample",
        bands: list[tuple[float, float]] | None = None,
        carrier: tuple[float, float] | None = None,
        name: str = "",
    ) -> None:
        if frequency == "Hz" and (bands is None or carrier is None):
            raise ConfigError(
                "bands and carrier are needed in Hz", where="bands", expected="bands = [[10, 100], ...], carrier = [..]"
            )
        self.bands = tuple((float(a), float(b)) for a, b in (bands or BANDS))
        self.carrier = carrier or (0.0625, 0.5)
        for where, pairs in (("bands", self.bands), ("carrier", (self.carrier,))):
            for low, high in pairs:
                if not 0.0 <= low < high or (frequency == "per_sample" and high > 0.5):
                    expected = "0 to 0.5 cycles per sample" if frequency == "per_sample" else "low below high"
                    raise ConfigError(f"{low:g} to {high:g} is no band", where=where, expected=expected)
        self._choice, self.unit, self.hertz = Choice(name, channels, n_channels), unit, frequency == "Hz"
        self._keys = (*PLAIN, *(f"band{k + 1}" for k in range(len(self.bands))))
        self._units = {key: unit if key in _IN_UNIT else "" for key in self._keys}
        if self.hertz:
            self._units |= dict.fromkeys(_FREQUENCIES, "Hz")
        self.outputs = {
            f"{p}_{key}": Output(unit=self._units[key], rtol=1e-6, atol=1e-9)
            for p in self._choice.prefixes
            for key in self._keys
        }
        vibration(np.sin(np.arange(64.0)))  # compile before a frame waits

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """The vibration of one frame."""
        features: dict[str, Feature] = {}
        for prefix, wave in self._choice.waves(frame):
            found = wave if isinstance(wave, str) else self._measured(frame, wave)
            for key in self._keys:
                if isinstance(found, str):
                    features[f"{prefix}_{key}"] = Feature(None, self._units[key], why=found)
                else:
                    value = found.bands[int(key[4:]) - 1] if key.startswith("band") else getattr(found, key)
                    features[f"{prefix}_{key}"] = Feature(value, self._units[key])
        return features

    def _measured(self, frame: Frame, wave: Wave) -> Vibration | str:
        """The numbers of one channel, or why there are none."""
        if self.unit and wave.unit not in ("", self.unit):
            return f'the channel is in {wave.unit!r}, the recipe says unit = "{self.unit}"'
        if self.hertz and wave.rate is None:
            return "the sampling rate is not known"
        values = wave.values
        gone, samples = gone_of(frame, wave.name)
        if gone:
            return f"{gone} of {samples} samples hold no number: the others do not follow each other"
        if values.size < FEWEST:
            return f"{values.size} samples, {FEWEST} are needed"
        rate = wave.rate if self.hertz else None
        if rate is not None and max(self.carrier[1], *(b for _, b in self.bands)) > 0.5 * rate * (1.0 + 1e-9):
            return f"a band ends above half the sampling rate of {rate:g} Hz"
        found = vibration(values, rate, bands=self.bands, carrier=self.carrier)
        return "the channel does not move, or its numbers are too large" if found is None else found
