"""Is the machine in a steady state? No trend of the level and none of the scatter, for every channel.

    cN_steady   1 or 0                       cN_drift   how far the level moved, in the channel's unit
    cN_drift_t, cN_growth_t                  Student's t of the trends of level and of scatter
    steady      1 where every channel is     unsteady   how many are not

Tests and their rate of error: `insitu.maths.line.stability`. `error` is the chance that a steady frame is called
unsteady, over all channels together. `before`: so many frames before this one are looked at together with it, where
one frame is too short, or shorter than what the machine does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from insitu.errors import ConfigError
from insitu.features.channel_choice import Choice, finite
from insitu.maths.line.stability import FEWEST, Stability, stability
from insitu.maths.waveform import Wave, wave
from insitu.types import Feature, Frame, Output, References

KEPT = ("steady", "drift", "drift_t", "growth_t")


class SteadyState(Choice):
    """Extractor: steadiness of each channel and of all (see the head of this file).

    `smallest`: {channel: a drift that does not matter, in its unit}, by the beginning of the keys (`c1`, `ts1`).
    """

    def __init__(
        self,
        *,
        channels: list[str] | None = None,
        n_channels: int = 16,
        error: float = 0.001,
        before: int = 0,
        smallest: dict[str, float] | None = None,
        unit: str = "",
        name: str = "",
    ) -> None:
        super().__init__(name, channels, n_channels)
        if not 1e-12 < error < 0.5:
            raise ConfigError(f"an error of {error:g}", where="error", expected="a chance, 1e-12 to 0.5")
        if not 0 <= before <= 1000:
            raise ConfigError(f"{before} frames before", where="before", expected="0 to 1000")
        self.error, self.before, self.unit = error, before, unit
        own = {p.removeprefix(f"{name}_") if name else p: p for p in self.prefixes}
        unknown = next((k for k in smallest or {} if k not in own), None)
        if unknown is not None:
            raise ConfigError(
                f"there is no channel {unknown!r}", where="smallest", expected=f"some of {', '.join(own)[:200]}"
            )
        self._smallest = {own[k]: float(v) for k, v in (smallest or {}).items()}
        self._all = (f"{name}_steady", f"{name}_unsteady") if name else ("steady", "unsteady")
        units = {"drift": unit}
        self.outputs = {
            f"{p}_{k}": Output(unit=units.get(k, ""), rtol=1e-6, atol=1e-9) for p in self.prefixes for k in KEPT
        } | {key: Output(unit="") for key in self._all}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """The steadiness at one frame."""
        found = {p: w if isinstance(w, str) else self._tested(w, before) for p, w in self.waves(frame)}
        tested = {p: s for p, s in found.items() if not isinstance(s, str)}
        features: dict[str, Feature] = {}
        # each channel has its share of the error, whichever of them are there
        limit = self.error / max(len(tested), 1)
        unsteady = 0
        for prefix, result in found.items():
            if isinstance(result, str):
                features |= {
                    f"{prefix}_{k}": Feature(None, self.unit if k == "drift" else "", why=result) for k in KEPT
                }
                continue
            matters = abs(result.drift) >= self._smallest.get(prefix, 0.0)
            steady = 2.0 * result.chance > limit or (not matters and abs(result.growth_t) <= result.limit)
            unsteady += not steady
            features |= {
                f"{prefix}_steady": Feature(int(steady), ""),
                f"{prefix}_drift": Feature(result.drift, self.unit),
                f"{prefix}_drift_t": Feature(result.drift_t, ""),
                f"{prefix}_growth_t": Feature(result.growth_t, ""),
            }
        why = None if tested else next((s for s in found.values() if isinstance(s, str)), "there is no channel")
        values = (int(unsteady == 0), unsteady) if tested else (None, None)
        return features | {key: Feature(v, "", why=why) for key, v in zip(self._all, values, strict=True)}

    def _tested(self, now: Wave, before: Sequence[Frame]) -> Stability | str:
        parts = [finite(now)]
        for earlier in reversed(before):
            try:
                parts.append(finite(wave(earlier, now.name)))
            except (ValueError, IndexError):
                break  # another setting of the instrument: what was before does not belong to it
        values = np.concatenate(parts[::-1])
        found = stability(values, error=self.error)
        if values.size < FEWEST:
            return f"{values.size} samples, {FEWEST} are needed"
        return found or "the numbers are too large for their squares"
