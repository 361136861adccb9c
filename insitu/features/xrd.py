"""Peaks of a 1-D diffraction pattern: position, height, width (FWHM) and area, each with its standard uncertainty.

Three ways to say which peaks:
- `windows`: one peak per window, numbered as given: `peak1_position`, `peak1_height`, `peak1_width`, `peak1_area`, ...
- automatic: the `max_peaks` most prominent of all that stand out, numbered by position, and `n_peaks`, how many were
  found. The numbering is per pattern: when a peak vanishes or the ranking changes, peak2 can become peak1 in the next
  frame. Good to look at; to watch one peak through a run give its window or a reference;
- automatic in a `reference` pattern (a declared reference, or a frame with role "reference"): its peaks give the
  windows for every frame, so peak2 stays peak2; `n_peaks` is how many the reference has.

A peak is measured by one pseudo-Voigt on a straight background (`maths.fit_peak`) or by moments (`maths.moments`).
Uncertainties: from the frame's sigma; else Poisson, where the unit is counts; else from the residuals.
What cannot be measured is a feature without value that says why.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths import find_peaks as finding
from insitu.maths import fit_peak as fitting
from insitu.maths.fit_peak import PeakEstimate
from insitu.maths.moments import peak_moments
from insitu.maths.noise import saturated, search_sigma
from insitu.maths.pattern import pattern_axis, unusable
from insitu.types import KEY, Feature, Frame, Output, References

AXIS_UNITS = {"two_theta": "deg", "q": "1/angstrom", "d": "angstrom"}
QUANTITIES = ("position", "height", "width", "area")

Window = tuple[float, float]


class _Pattern(NamedTuple):
    """The points of a frame that may be used, all `(n,)`; `sigma` None where only the residuals can tell."""

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None
    full: np.ndarray | None
    poisson: bool


class Peaks:
    """Extractor: peaks in windows, or the strongest peaks found.

    `windows` in deg, `windows_q` in 1/angstrom (after `to_q`), `windows_d` in angstrom (after `to_d`): one of them, or
    none for automatic peaks over `axis`. `min_significance`: least area over its standard uncertainty; in automatic
    search also least prominence over the point's uncertainty. `min_prominence`: least prominence in the unit of the
    data. `saturation`: level from which a raw point is saturated, else the largest number of an integer type (a
    prepare step that changes the data is to be given it instead: it marks the points). `unit`: what the data are in.
    """

    def __init__(
        self,
        *,
        name: str = "peak",
        windows: list[tuple[Annotated[float, "deg"], Annotated[float, "deg"]]] | None = None,
        windows_q: list[tuple[Annotated[float, "1/angstrom"], Annotated[float, "1/angstrom"]]] | None = None,
        windows_d: list[tuple[Annotated[float, "angstrom"], Annotated[float, "angstrom"]]] | None = None,
        axis: Literal["two_theta", "q", "d"] = "two_theta",
        max_peaks: int = 5,
        reference: str | None = None,
        method: Literal["fit", "moment"] = "fit",
        min_significance: float = 5.0,
        min_prominence: float = 0.0,
        saturation: float | None = None,
        unit: str = "counts",
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        given = {"two_theta": ("windows", windows), "q": ("windows_q", windows_q), "d": ("windows_d", windows_d)}
        self.axis, self.windows = _chosen(given, axis)
        self.axis_unit = AXIS_UNITS[self.axis]
        self.name, self.unit, self.reference = name, unit, reference
        self.saturation, self.min_prominence = saturation, float(min_prominence)
        self.min_significance = _at_least("min_significance", min_significance, 1.0)
        self.measure = {"fit": fitting.fit_peak, "moment": peak_moments}[method]
        self.count = int(_at_least("max_peaks", max_peaks, 1)) if self.windows is None else len(self.windows)
        if reference is not None and (self.windows is not None or self.axis == "d"):
            raise ConfigError(
                "a reference serves automatic peaks over two_theta or q",
                where="reference",
                expected="no windows beside it, and no axis d (references are stored as measured)",
            )
        self.outputs = self._declare()
        fitting.warm()
        finding.warm()

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            pattern = self._pattern(frame)
        except ValueError as e:
            return self._without(str(e))
        if self.windows is not None:
            return self._in_windows(pattern, self.windows)
        if self.reference is None:
            return self._automatic(pattern, pattern)
        reference = self._reference(pattern, frame, refs, self.reference)
        if isinstance(reference, str):
            return self._without(reference)
        return self._automatic(pattern, reference)

    def _declare(self) -> dict[str, Output]:
        """Keys and units. A fit repeats to rounding errors; 1e-6 leaves room for another processor's exp()."""
        area = f"{self.unit} {self.axis_unit}" if "/" not in self.axis_unit else f"{self.unit}/angstrom"
        units = (self.axis_unit, self.unit, self.axis_unit, area)
        outputs = {
            f"{self.name}{k}_{what}": Output(unit=unit, rtol=1e-6)
            for k in range(1, self.count + 1)
            for what, unit in zip(QUANTITIES, units, strict=True)
        }
        return outputs if self.windows is not None else {**outputs, f"n_{self.name}s": Output(unit="", rtol=0.0)}

    def _pattern(self, frame: Frame) -> _Pattern:
        """The usable points; ValueError with a sentence for people where the frame is not what the recipe says."""
        x = pattern_axis(frame, self.axis, self.axis_unit)
        if frame.unit != self.unit:
            raise ValueError(f'the data are in {frame.unit!r}, the recipe says unit = "{self.unit}"')
        sigma = None if frame.sigma is None else np.asarray(frame.sigma, dtype=np.float64)
        full = saturated(frame, self.saturation)
        if frame.mask is None:
            return _Pattern(x, frame.data, sigma, full, self.unit == "counts")
        seen = ~np.asarray(frame.mask, dtype=bool)
        return _Pattern(
            x[seen],
            frame.data[seen],
            None if sigma is None else sigma[seen],
            None if full is None else full[seen],
            self.unit == "counts",
        )

    def _in_windows(self, pattern: _Pattern, windows: Sequence[Window]) -> dict[str, Feature]:
        """Four features for each window."""
        features: dict[str, Feature] = {}
        for k, window in enumerate(windows, 1):
            features.update(self._named(k, self._estimate(pattern, window), window))
        return features

    def _estimate(self, pattern: _Pattern, window: Window) -> PeakEstimate:
        """The peak in one window, or why there is none."""
        x, (low, high) = pattern.x, window
        if x.size < 2:
            return fitting.no_estimate(f"only {x.size} points are not masked")
        step = (x[-1] - x[0]) / (x.size - 1)
        if low < x[0] - step or high > x[-1] + step:
            return fitting.no_estimate(f"no full data (the pattern covers {x[0]:g} to {x[-1]:g} {self.axis_unit})")
        first, last = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
        y = np.array(pattern.y[first:last], dtype=np.float64)
        if why := unusable(y):
            return fitting.no_estimate(why)
        if pattern.full is not None and (full := int(np.count_nonzero(pattern.full[first:last]))):
            return fitting.no_estimate(f"saturated: {full} of {y.size} points")
        sigma = None if pattern.sigma is None else pattern.sigma[first:last]
        if sigma is not None and np.isnan(sigma).any():
            return fitting.no_estimate("a standard uncertainty is not a number")
        return self.measure(x[first:last], y, sigma, poisson=pattern.poisson, min_significance=self.min_significance)

    def _named(self, k: int, peak: PeakEstimate, window: Window) -> dict[str, Feature]:
        """The four features of peak `k`."""
        keys = [f"{self.name}{k}_{what}" for what in QUANTITIES]
        if peak.why:
            why = f"{peak.why} in {window[0]:g} to {window[1]:g} {self.axis_unit}"
            return {key: Feature(None, self.outputs[key].unit, why=why) for key in keys}
        values = (peak.position, peak.height, peak.fwhm, peak.area)
        return {
            key: Feature(value, self.outputs[key].unit, sigma=sigma)
            for key, (value, sigma) in zip(keys, values, strict=True)
        }

    def _automatic(self, pattern: _Pattern, where: _Pattern) -> dict[str, Feature]:
        """The peaks of this pattern, in windows around the most prominent peaks of `where`, and how many that has."""
        y = np.array(where.y, dtype=np.float64)
        if y.size < fitting.FEWEST_POINTS:
            return self._without(f"only {y.size} points are not masked")
        if why := unusable(y):
            return self._without(why)
        found = finding.find_peaks(
            y,
            search_sigma(y, where.sigma, where.poisson),
            min_significance=self.min_significance,
            min_prominence=self.min_prominence,
        )
        windows = finding.windows_around(pattern.x, found, self.count)
        return self._numbered(self._in_windows(pattern, windows), found.top.size)

    def _without(self, why: str) -> dict[str, Feature]:
        """No numbers at all, and why."""
        return {key: Feature(None, output.unit, why=why) for key, output in self.outputs.items()}

    def _numbered(self, features: dict[str, Feature], total: int) -> dict[str, Feature]:
        """Measured features, those of peaks that were not found, and how many were found."""
        for key, output in self.outputs.items():
            if key not in features:
                count = key.removeprefix(self.name).partition("_")[0]
                features[key] = Feature(None, output.unit, why=f"fewer than {count} peaks found ({total})")
        features[f"n_{self.name}s"] = Feature(total, "")
        return {key: features[key] for key in self.outputs}

    def _reference(self, pattern: _Pattern, frame: Frame, refs: References, name: str) -> _Pattern | str:
        """The reference on the points of this frame, or why there is none."""
        reference = refs.get(name)
        if reference is None:
            return f"there is no reference {name!r} yet"
        if reference.array.shape != frame.data.shape:
            return f"the reference {name!r} has {reference.array.size} points, the frame {frame.data.size}"
        y = reference.array if frame.mask is None else reference.array[~np.asarray(frame.mask, dtype=bool)]
        return pattern._replace(y=y, sigma=None, full=None)


def _chosen(given: dict[str, tuple[str, list[Window] | None]], axis: str) -> tuple[str, list[Window] | None]:
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
    for low, high in windows:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(
                f"the window from {low:g} to {high:g} {AXIS_UNITS[of]} is empty",
                where=key,
                expected="the lower end first, the higher one second",
            )
    return of, [(float(low), float(high)) for low, high in windows]


def _at_least(key: str, value: float, least: float) -> float:
    """The number, if it is high enough."""
    if not (math.isfinite(value) and value >= least):
        raise ConfigError(f"{key} = {value:g} is too small", where=key, expected=f"{least:g} or more")
    return float(value)
