"""Peaks of a 1-D diffraction pattern: position, height, width (FWHM) and area, each with its standard uncertainty.

Three ways to say which peaks:
- `windows`: one peak per window, numbered as given: `peak1_position`, `peak1_height`, `peak1_width`, `peak1_area`, ...
- automatic: the `max_peaks` most prominent of all that stand out, numbered by position, and `n_peaks`, how many were
  found. The numbering is per pattern: when a peak vanishes or the ranking changes, peak2 can become peak1 in the next
  frame. Good to look at; to watch one peak through a run give its window or a reference;
- automatic in a `reference` pattern (a declared reference, or a frame with role "reference"): its peaks give the
  windows for every frame, so peak2 stays peak2; `n_peaks` is how many the reference has.

A peak is measured by one pseudo-Voigt on a straight background (`maths.fit_batch`) or by moments (`maths.moments`).
Windows that overlap without one holding the other, and neighbours that stand on each other's feet, are fitted together.
Where the radiation is a K-alpha doublet each peak is one, and its numbers are those of K-alpha1.
Uncertainties: from the frame's sigma; else Poisson, where the unit is counts; else from the residuals.
What cannot be measured is a feature without value that says why.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.features.xrd_pattern import (
    AXIS_UNITS,
    Pattern,
    Window,
    at_least,
    chosen,
    points_of,
    radiation,
    usable_points,
)
from insitu.maths.noise import search_sigma
from insitu.maths.pattern import unusable
from insitu.maths.peaks import find_peaks as finding
from insitu.maths.peaks import fit_peak as fitting
from insitu.maths.peaks.find_peaks import Around
from insitu.maths.peaks.fit_batch import Batch, Doublet, fit_windows
from insitu.maths.peaks.fit_kernel import NOT_CONVERGED, SINGULAR
from insitu.maths.peaks.fit_peak import PeakEstimate
from insitu.maths.peaks.moments import peak_moments
from insitu.types import KEY, Detector, Feature, Frame, Output, References

QUANTITIES = ("position", "height", "width", "area")


class Peaks:
    """Extractor: peaks in windows, or the strongest peaks found.

    `windows` in deg, `windows_q` in 1/angstrom (after `to_q`), `windows_d` in angstrom (after `to_d`): one of them, or
    none for automatic peaks over `axis`. `min_significance`: least area over its standard uncertainty; in automatic
    search also least prominence over the point's uncertainty. `min_prominence`: least prominence in the unit of the
    data. `saturation`: level from which a raw point is saturated, else the largest number of an integer type (a
    prepare step that changes the data is to be given it instead: it marks the points). `unit`: what the data are in.

    `doublet`: K-alpha1 with K-alpha2; left out, where `wavelengths` (angstrom) or the detector's calibration
    (`wavelength` and `wavelength2`) name two. `ratio`: intensity of K-alpha2 over K-alpha1, fitted with `fit_ratio`.
    `overlap`: peaks whose windows overlap fitted together, or each apart. `eta`, `chi2`: also give `peak1_eta`, the
    Lorentzian part, and `peak1_chi2`, the reduced chi-squared of the fit.
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
        overlap: Literal["together", "apart"] = "together",
        doublet: bool | None = None,
        wavelengths: tuple[Annotated[float, "angstrom"], Annotated[float, "angstrom"]] | None = None,
        ratio: float = 0.5,
        fit_ratio: bool = False,
        eta: bool = False,
        chi2: bool = False,
        min_significance: float = 5.0,
        min_prominence: float = 0.0,
        saturation: float | None = None,
        unit: str = "counts",
        detector: Detector | None = None,
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        given = {"two_theta": ("windows", windows), "q": ("windows_q", windows_q), "d": ("windows_d", windows_d)}
        self.axis, self.windows = chosen(given, axis)
        self.axis_unit = AXIS_UNITS[self.axis]
        self.name, self.unit, self.reference = name, unit, reference
        self.saturation, self.min_prominence = saturation, float(min_prominence)
        self.min_significance = at_least("min_significance", min_significance, 1.0)
        self.method, self.together = method, overlap == "together"
        if method == "moment" and (doublet or fit_ratio or eta or chi2):
            key = "doublet" if doublet else "fit_ratio" if fit_ratio else "eta" if eta else "chi2"
            raise ConfigError(f"moments have no {key}", where=key, expected='method = "fit" beside it')
        wanted = False if method == "moment" else doublet
        self.radiation = radiation(wanted, wavelengths, ratio, fit_ratio, self.axis, detector)
        self.also = (*(("eta",) if eta else ()), *(("chi2",) if chi2 else ()))
        self.count = int(at_least("max_peaks", max_peaks, 1)) if self.windows is None else len(self.windows)
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
            pattern = usable_points(frame, self.axis, self.unit, self.saturation)
        except ValueError as e:
            return self._without(str(e))
        lines = self.radiation.lines(frame)
        if isinstance(lines, str):
            return self._without(lines)
        if self.windows is not None:
            return self._in_windows(pattern, overlapping(self.windows), lines)
        if self.reference is None:
            return self._automatic(pattern, pattern, lines)
        reference = self._reference(pattern, frame, refs, self.reference)
        if isinstance(reference, str):
            return self._without(reference)
        return self._automatic(pattern, reference, lines)

    def _declare(self) -> dict[str, Output]:
        """Keys and units. A fit repeats to rounding errors; 1e-6 leaves room for another processor's exp()."""
        area = f"{self.unit} {self.axis_unit}" if "/" not in self.axis_unit else f"{self.unit}/angstrom"
        units = dict(zip(QUANTITIES, (self.axis_unit, self.unit, self.axis_unit, area), strict=True))
        units |= dict.fromkeys(self.also, "")
        outputs = {
            f"{self.name}{k}_{what}": Output(unit=unit, rtol=1e-6, atol=1e-6 if what == "eta" else 0.0)
            for k in range(1, self.count + 1)
            for what, unit in units.items()
        }
        return outputs if self.windows is not None else {**outputs, f"n_{self.name}s": Output(unit="", rtol=0.0)}

    def _in_windows(self, pattern: Pattern, windows: Sequence[Around], lines: Doublet | None) -> dict[str, Feature]:
        """The features of the peaks that are asked for, numbered in the order of their windows."""
        points = [points_of(pattern, (w.low, w.high), self.axis_unit) for w in windows]
        if self.method == "moment":
            estimates = [at if isinstance(at, str) else self._moments(pattern, *at) for at in points]
        else:
            estimates = self._fits(pattern, windows, points, lines)
        asked = [(w, found) for w, found in zip(windows, estimates, strict=True) if w.asked]
        features: dict[str, Feature] = {}
        for k, (window, found) in enumerate(asked, 1):
            peak = fitting.no_estimate(found) if isinstance(found, str) else found
            features.update(self._named(k, peak, (window.low, window.high)))
        return features

    def _moments(self, pattern: Pattern, first: int, last: int) -> PeakEstimate:
        """The peak in `first:last` by its moments."""
        sigma = None if pattern.sigma is None else pattern.sigma[first:last]
        x, y = pattern.x[first:last], pattern.y[first:last]
        return peak_moments(x, y, sigma, poisson=pattern.poisson, min_significance=self.min_significance)

    def _fits(
        self,
        pattern: Pattern,
        windows: Sequence[Around],
        points: Sequence[tuple[int, int] | str],
        lines: Doublet | None,
    ) -> list[PeakEstimate | str]:
        """The fitted peak of each window, or why there is none. A peak whose neighbour cannot be used is fitted apart,
        and so are automatic neighbours whose common fit fails: their windows end half way between them."""
        estimates: list[PeakEstimate | str] = [at if isinstance(at, str) else "" for at in points]
        lost = {w.group for w, at in zip(windows, points, strict=True) if isinstance(at, str)}
        ready = [(k, *at) for k, at in enumerate(points) if not isinstance(at, str)]
        alone = [(k, i, j) for k, i, j in ready if not self.together or windows[k].group in lost]
        joined = sorted(set(ready) - set(alone), key=lambda one: (windows[one[0]].group, one[1]))
        batch, found = self._batch(pattern, joined, [windows[k].group for k, _, _ in joined], lines)
        for (k, i, j), status, together, estimate in zip(joined, batch.status, batch.together, found, strict=True):
            estimates[k] = estimate
            if self.windows is None and together > 1 and status in (NOT_CONVERGED, SINGULAR):
                alone.append((k, i, j))
        _, found = self._batch(pattern, alone, range(len(alone)), lines)
        for (k, _, _), estimate in zip(alone, found, strict=True):
            estimates[k] = estimate
        return estimates

    def _batch(
        self, pattern: Pattern, which: Sequence[tuple[int, int, int]], group: Sequence[int], lines: Doublet | None
    ) -> tuple[Batch, list[PeakEstimate]]:
        """Windows (number, first point, one after the last) fitted in one call."""
        batch = fit_windows(
            pattern.x,
            pattern.y,
            pattern.sigma,
            [first for _, first, _ in which],
            [last for _, _, last in which],
            group=group,
            poisson=pattern.poisson,
            min_significance=self.min_significance,
            doublet=lines,
        )
        return batch, fitting.estimates(batch, self.min_significance)

    def _named(self, k: int, peak: PeakEstimate, window: Window) -> dict[str, Feature]:
        """The features of peak `k`."""
        keys = [f"{self.name}{k}_{what}" for what in (*QUANTITIES, *self.also)]
        if peak.why:
            why = f"{peak.why} in {window[0]:g} to {window[1]:g} {self.axis_unit}"
            return {key: Feature(None, self.outputs[key].unit, why=why) for key in keys}
        also = {"eta": (peak.eta, peak.eta_sigma), "chi2": (peak.chi2_reduced, None)}
        values = (peak.position, peak.height, peak.fwhm, peak.area, *(also[what] for what in self.also))
        return {
            key: Feature(value, self.outputs[key].unit, sigma=sigma)
            for key, (value, sigma) in zip(keys, values, strict=True)
        }

    def _automatic(self, pattern: Pattern, where: Pattern, lines: Doublet | None) -> dict[str, Feature]:
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
        windows = finding.groups_around(pattern.x, found, self.count)
        return self._numbered(self._in_windows(pattern, windows, lines), found.top.size)

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

    def _reference(self, pattern: Pattern, frame: Frame, refs: References, name: str) -> Pattern | str:
        """The reference on the points of this frame, or why there is none."""
        reference = refs.get(name)
        if reference is None:
            return f"there is no reference {name!r} yet"
        if reference.array.shape != frame.data.shape:
            return f"the reference {name!r} has {reference.array.size} points, the frame {frame.data.size}"
        y = reference.array if frame.mask is None else reference.array[~np.asarray(frame.mask, dtype=bool)]
        return pattern._replace(y=y, sigma=None, full=None)


def overlapping(windows: Sequence[Window]) -> list[Around]:
    """The windows as given, with the groups they form: chains of windows that overlap. A window inside another is a
    second look at the same points, not a neighbour, and stays by itself.

    >>> [w.group for w in overlapping([(28.0, 28.6), (31.0, 31.5), (28.4, 28.9), (28.1, 28.3)])]
    [0, 1, 0, 3]
    """
    groups = list(range(len(windows)))
    order = sorted(groups, key=lambda k: (windows[k][0], -windows[k][1]))
    last: int | None = None
    for k in order:
        if last is not None and windows[k][1] <= windows[last][1]:
            continue
        if last is not None and windows[k][0] < windows[last][1]:
            groups[k] = groups[last]
        last = k
    return [Around(low, high, group, True) for (low, high), group in zip(windows, groups, strict=True)]
