"""Numbers of a whole pattern (or image) that need no peak: how much there is, and can it be trusted.

    total               sum of all points, and sqrt(sum sigma^2)
    maximum             the largest point
    background          median of the points left after clipping at 3 scatters (maths.noise.background_level)
    noise               scatter per point, from second differences (maths.noise.noise_level)
    snr                 (maximum - background) / noise
    saturated_fraction  points at or above the saturation level / all points

Masked points are left out. Units: those of the data; snr and saturated_fraction are plain numbers. Saturated points
make `total` and `maximum` lower bounds: those then carry no uncertainty, and the fraction says so.
"""

import math
from collections.abc import Sequence

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.noise import background_level, noise_level, point_sigma, saturated
from insitu.maths.pattern import seen_points
from insitu.types import KEY, Feature, Frame, Output, References

FEWEST_POINTS = 8
NOTHING = np.zeros(0, dtype=bool)


class Totals:
    """Extractor: total, maximum, background, noise, snr and saturated_fraction, with `name_` before them if given.

    `saturation`: level from which a raw point is saturated, else the largest number of an integer type (a prepare step
    that changes the data is to be given it instead: it marks the points). `unit`: what the data are in.
    """

    def __init__(self, *, name: str = "", saturation: float | None = None, unit: str = "counts") -> None:
        if name and not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self.prefix, self.saturation, self.unit = f"{name}_" if name else "", saturation, unit
        units = {
            "total": unit,
            "maximum": unit,
            "background": unit,
            "noise": unit,
            "snr": "",
            "saturated_fraction": "",
        }
        self.outputs = {self.prefix + key: Output(unit=u) for key, u in units.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        seen, why = self._seen(frame)
        if why:
            return {key: Feature(None, output.unit, why=why) for key, output in self.outputs.items()}
        data = np.asarray(frame.data, dtype=np.float64)
        y = data.ravel() if frame.mask is None else data[seen]
        sigma = point_sigma(frame)
        full = saturated(frame, self.saturation)
        if sigma is not None and full is not None:
            sigma = np.where(full, np.inf, sigma)
        features = self._levels(y)
        features["total"] = Feature(float(y.sum()), self.unit, sigma=_total_sigma(sigma, seen))
        features["saturated_fraction"] = (
            Feature(None, "", why="no saturation level given: set saturation for this entry")
            if full is None
            else Feature(float(np.count_nonzero(full[seen])) / y.size, "")
        )
        features["maximum"] = Feature(float(y.max()), self.unit, sigma=_top_sigma(sigma, seen, int(y.argmax())))
        return {key: features[key.removeprefix(self.prefix)] for key in self.outputs}

    def _seen(self, frame: Frame) -> tuple[np.ndarray, str]:
        """The points that count, and why nothing can be said of this frame (or nothing)."""
        if frame.unit != self.unit:
            return NOTHING, f'the data are in {frame.unit!r}, the recipe says unit = "{self.unit}"'
        try:
            seen = seen_points(frame)
        except ValueError as e:
            return NOTHING, str(e)
        points = int(np.count_nonzero(seen))
        return seen, "" if points >= FEWEST_POINTS else f"only {points} points that are not masked"

    def _levels(self, y: np.ndarray) -> dict[str, Feature]:
        """Background, noise and signal-to-noise of the points `(n,)`."""
        background, noise = background_level(y), noise_level(y)
        snr = (
            Feature((float(y.max()) - background.value) / noise, "")
            if noise > 0.0
            else Feature(None, "", why="the points show no noise (constant, or mostly equal): no ratio can be formed")
        )
        return {
            "background": Feature(background.value, self.unit, sigma=background.sigma),
            "noise": Feature(noise, self.unit),
            "snr": snr,
        }


def _total_sigma(sigma: np.ndarray | None, seen: np.ndarray) -> float | None:
    """Standard uncertainty of the sum over the points seen; None where it is not known."""
    if sigma is None:
        return None
    total = math.sqrt(float(np.sum(sigma[seen] ** 2)))
    return total if math.isfinite(total) else None


def _top_sigma(sigma: np.ndarray | None, seen: np.ndarray, top: int) -> float | None:
    """Standard uncertainty of the largest point; None where it is not known."""
    if sigma is None:
        return None
    value = float(sigma[seen][top])
    return value if math.isfinite(value) else None
