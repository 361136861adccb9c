"""What the peak extractors have in common: the usable points of a frame, windows, and the lines of the radiation."""

import math
from typing import NamedTuple

import numpy as np

from insitu import units
from insitu.errors import ConfigError, UnitError
from insitu.maths.noise import saturated
from insitu.maths.pattern import pattern_axis, unusable
from insitu.maths.peaks.fit_batch import Doublet
from insitu.types import Detector, Frame

AXIS_UNITS = {"two_theta": "deg", "q": "1/angstrom", "d": "angstrom"}
MOST_ALPHA = 1.2
"""Largest ratio of two wavelengths that are a doublet: K-alpha of any element stays far below, K-beta does not."""

Window = tuple[float, float]


class Pattern(NamedTuple):
    """The points of a frame that may be used, all `(n,)`; `sigma` None where only the residuals can tell."""

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None
    full: np.ndarray | None
    poisson: bool


class Radiation(NamedTuple):
    """How a second line is looked for: never, always, or where the detector's calibration names it; its wavelengths in
    angstrom where known, and the ratio of the lines' intensities."""

    wanted: bool
    wavelengths: tuple[float, float] | None
    ratio: float
    fit_ratio: bool
    axis: str

    def lines(self, frame: Frame) -> Doublet | str | None:
        """The doublet of this frame, None for single lines, or a sentence: it is wanted, but not known."""
        if not self.wanted:
            return None
        found = self.wavelengths
        if found is None:
            values = [frame.context[k].value for k in ("wavelength", "wavelength2") if k in frame.context]
            if len(values) < 2 or values[0] is None or values[1] is None:
                return "the second wavelength of the doublet is not known: give it as wavelengths, or in [calibration]"
            found = float(values[0]), float(values[1])
        if why := _no_doublet(found):
            return why
        alpha = found[1] / found[0]
        return Doublet(1.0 / alpha if self.axis == "d" else alpha, self.ratio, self.fit_ratio, self.axis == "two_theta")


def radiation(
    doublet: bool | None,
    wavelengths: tuple[float, float] | None,
    ratio: float,
    fit_ratio: bool,
    axis: str,
    detector: Detector | None,
) -> Radiation:
    """The setting from a recipe's keys; ConfigError where they do not make sense.

    `doublet` None: where `wavelengths` or the detector's calibration (`wavelength`, `wavelength2`) name a second line.
    """
    if not 0.0 < ratio <= 1.0:
        raise ConfigError(f"ratio is {ratio:g}", where="ratio", expected="more than 0, at most 1")
    found = wavelengths
    if found is None and detector is not None and "wavelength2" in detector.calibration:
        found = _calibrated(detector, "wavelength"), _calibrated(detector, "wavelength2")
    if doublet is False:
        return Radiation(False, None, ratio, False, axis)
    if found is not None and (why := _no_doublet(found)):
        raise ConfigError(
            why, where="wavelengths" if wavelengths else "calibration.wavelength2", expected="K-alpha1, then K-alpha2"
        )
    return Radiation(doublet is True or found is not None, found, ratio, fit_ratio, axis)


def _calibrated(detector: Detector, key: str) -> float:
    """One wavelength of the detector's calibration in angstrom."""
    known = detector.calibration.get(key)
    try:
        if known is not None and known.value is not None:
            return units.convert(float(known.value), known.unit, "angstrom")
    except UnitError as e:
        raise ConfigError(e.what, where=f"calibration.{key}", expected="a length such as 1.5406 angstrom") from e
    raise ConfigError(
        f"wavelength2 stands without {key}" if known is None else f"{key} has no value",
        where=f"calibration.{key}",
        expected='both of a doublet, such as wavelength = "1.5406 angstrom" and wavelength2 = "1.5444 angstrom"',
    )


def _no_doublet(found: tuple[float, float]) -> str:
    """Empty, or why two wavelengths cannot be one doublet."""
    first, second = found
    if not (math.isfinite(first) and math.isfinite(second) and first > 0.0 and second > 0.0):
        return f"the wavelengths {first:g} and {second:g} angstrom are not both above 0"
    if first == second or max(first / second, second / first) > MOST_ALPHA:
        return f"the wavelengths {first:g} and {second:g} angstrom are no doublet"
    return ""


def usable_points(frame: Frame, axis: str, unit: str, saturation: float | None) -> Pattern:
    """The usable points; ValueError with a sentence for people where the frame is not what the recipe says."""
    x = pattern_axis(frame, axis, AXIS_UNITS[axis])
    if frame.unit != unit:
        raise ValueError(f'the data are in {frame.unit!r}, the recipe says unit = "{unit}"')
    sigma = None if frame.sigma is None else np.asarray(frame.sigma, dtype=np.float64)
    full = saturated(frame, saturation)
    if frame.mask is None:
        return Pattern(x, frame.data, sigma, full, unit == "counts")
    seen = ~np.asarray(frame.mask, dtype=bool)
    return Pattern(
        x[seen],
        frame.data[seen],
        None if sigma is None else sigma[seen],
        None if full is None else full[seen],
        unit == "counts",
    )


def points_of(pattern: Pattern, window: Window, unit: str) -> tuple[int, int] | str:
    """First point in a window and the one after its last, or why they cannot be measured; `unit` of the axis."""
    x, (low, high) = pattern.x, window
    if x.size < 2:
        return f"only {x.size} points are not masked"
    step = (x[-1] - x[0]) / (x.size - 1)
    if low < x[0] - step or high > x[-1] + step:
        return f"no full data (the pattern covers {x[0]:g} to {x[-1]:g} {unit})"
    first, last = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    if why := unusable(pattern.y[first:last]):
        return why
    if pattern.full is not None and (full := int(np.count_nonzero(pattern.full[first:last]))):
        return f"saturated: {full} of {last - first} points"
    if pattern.sigma is not None and np.isnan(pattern.sigma[first:last]).any():
        return "a standard uncertainty is not a number"
    return first, last


def chosen(given: dict[str, tuple[str, list[Window] | None]], axis: str) -> tuple[str, list[Window] | None]:
    """Axis and windows from the keywords for the three axes; ConfigError where they do not make sense."""
    named = {of: pair for of, pair in given.items() if pair[1] is not None}
    if not named:
        return axis, None
    if len(named) > 1:
        keys = [key for key, _ in named.values()]
        raise ConfigError(f"{' and '.join(keys)} are both given", where=keys[-1], expected="windows over one axis")
    (of, (key, windows)) = next(iter(named.items()))
    if not windows:
        raise ConfigError("no window is given", where=key, expected="at least one, or no such key for automatic peaks")
    return of, [checked_window(window, key, AXIS_UNITS[of]) for window in windows]


def checked_window(window: Window, key: str, unit: str) -> Window:
    """The window, if it has a lower and a higher end."""
    low, high = window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"the window from {low:g} to {high:g} {unit} is empty",
            where=key,
            expected="the lower end first, the higher one second",
        )
    return float(low), float(high)


def at_least(key: str, value: float, least: float) -> float:
    """The number, if it is high enough."""
    if not (math.isfinite(value) and value >= least):
        raise ConfigError(f"{key} = {value:g} is too small", where=key, expected=f"{least:g} or more")
    return float(value)
