"""What every channel of a machine did in one frame: level, scatter, extremes, movement, and what is missing.

    cN_mean, cN_std, cN_min, cN_max    of the samples, in the channel's unit
    cN_slope                           how far the channel moved through the frame, along a straight line; same unit
    cN_rough                           scatter from sample to sample; same unit
    cN_missing                         part of the samples that holds no number, 0 to 1
    n_channels, missing                channels of the frame; part of all samples that holds no number

Formulas: `insitu.maths.line.statistics`. Units are known only when the first frame is there: without `unit` the
numbers are in the channel's own unit, which the stored frames tell, and are declared without one.
"""

import math
from collections.abc import Sequence

import numpy as np

from insitu.features.channel_choice import Choice, gone_of
from insitu.maths.line.statistics import summary
from insitu.maths.waveform import names
from insitu.types import Feature, Frame, Output, References

KEPT = ("mean", "std", "min", "max", "slope", "rough", "missing")
_FIELDS = {"min": "minimum", "max": "maximum"}
_FEWEST = {"mean": 1, "min": 1, "max": 1, "std": 2, "slope": 2, "rough": 2}


class Channels:
    """Extractor: numbers of each channel (see the head of this file).

    `channels`: by name; without it the first `n_channels`, as c1, c2, ... `unit`: what all of them are in; a channel
    in another unit is refused then.
    """

    def __init__(
        self, *, channels: list[str] | None = None, n_channels: int = 16, unit: str = "", name: str = ""
    ) -> None:
        self._choice, self.unit = Choice(name, channels, n_channels), unit
        self._prefix = f"{name}_" if name else ""
        each = {f"{p}_{k}": Output(unit="" if k == "missing" else unit) for p in self._choice.prefixes for k in KEPT}
        self.outputs = {**each, f"{self._prefix}n_channels": Output(unit=""), f"{self._prefix}missing": Output(unit="")}
        summary(np.zeros(2))  # compile before a frame waits

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """The numbers of one frame."""
        features: dict[str, Feature] = {}
        for prefix, found in self._choice.waves(frame):
            if not isinstance(found, str) and self.unit and found.unit not in ("", self.unit):
                found = f'the channel is in {found.unit!r}, the recipe says unit = "{self.unit}"'
            if isinstance(found, str):
                features |= {
                    f"{prefix}_{k}": Feature(None, self.outputs[f"{prefix}_{k}"].unit, why=found) for k in KEPT
                }
                continue
            gone, samples = gone_of(frame, found.name)
            numbers = summary(found.values)
            there = samples - gone
            features[f"{prefix}_missing"] = Feature(gone / samples if samples else 1.0, "")
            for key, fewest in _FEWEST.items():
                value = getattr(numbers, _FIELDS.get(key, key))
                why = f"{there} of {samples} samples hold a number, {fewest} are needed"
                if there >= fewest:
                    why = "the numbers are too large for their squares"
                known = math.isfinite(value)
                features[f"{prefix}_{key}"] = Feature(value if known else None, self.unit, why=None if known else why)
        return {**features, **self._whole(frame)}

    def _whole(self, frame: Frame) -> dict[str, Feature]:
        """How many channels there are, and what is missing in all of them together."""
        count, part = f"{self._prefix}n_channels", f"{self._prefix}missing"
        if frame.data.ndim not in (1, 2):
            why = f"this is no waveform: its dimensions are {', '.join(frame.dims)}"
            return {count: Feature(None, "", why=why), part: Feature(None, "", why=why)}
        totals = [gone_of(frame, name, row) for row, name in enumerate(names(frame))]
        samples = sum(n for _, n in totals)
        gone = sum(g for g, _ in totals)
        return {count: Feature(len(totals), ""), part: Feature(gone / samples if samples else 1.0, "")}
