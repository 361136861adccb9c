"""A pair of peaks that merge or split: how far they are apart, and how much the data speak for two instead of one.

- `pair_evidence`: natural logarithm of the odds for two peaks (`maths.fit_pair`): above 0 for two, below for one; 3 is
  twenty to one. It counts a lopsided peak as one.
- `pair_split`: distance of the two, where the evidence is for two; `pair_position1`, `pair_position2`: where they are.
- `pair_width`: FWHM of the one pseudo-Voigt through both, which every pattern has.

The two are pseudo-Voigts that share width and eta, on a straight background; K-alpha doublets where the radiation is
one. Uncertainties: from the frame's sigma; else Poisson, where the unit is counts; else from the residuals; times
sqrt(reduced chi^2) where that is above 1.
"""

from collections.abc import Sequence
from typing import Annotated

from insitu.errors import ConfigError
from insitu.features.xrd_pattern import (
    AXIS_UNITS,
    Pattern,
    at_least,
    checked_window,
    points_of,
    radiation,
    usable_points,
)
from insitu.maths.peaks import fit_pair as pairs
from insitu.maths.peaks.fit_batch import Doublet
from insitu.maths.peaks.fit_pair import PairEstimate
from insitu.types import KEY, Detector, Feature, Frame, Output, References

LENGTHS = ("split", "position1", "position2", "width")


class Pair:
    """Extractor: one peak or two in a window.

    `window` in deg. `min_significance`: least significance of any peak at all. `min_evidence`: from which log odds on
    split and positions are given. `min_share`: least part of the area of both that the smaller peak has.
    `doublet`, `wavelengths`, `ratio`, `fit_ratio`, `saturation` and `unit` as in `xrd.peaks`.
    """

    def __init__(
        self,
        *,
        window: tuple[Annotated[float, "deg"], Annotated[float, "deg"]],
        name: str = "pair",
        min_evidence: float = 0.0,
        min_share: float = 0.1,
        min_significance: float = 5.0,
        doublet: bool | None = None,
        wavelengths: tuple[Annotated[float, "angstrom"], Annotated[float, "angstrom"]] | None = None,
        ratio: float = 0.5,
        fit_ratio: bool = False,
        saturation: float | None = None,
        unit: str = "counts",
        detector: Detector | None = None,
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self.name, self.unit, self.saturation = name, unit, saturation
        self.window = checked_window(window, "window", AXIS_UNITS["two_theta"])
        self.min_evidence = at_least("min_evidence", min_evidence, 0.0)
        self.min_share = at_least("min_share", min_share, 0.0)
        if self.min_share > 0.5:
            raise ConfigError(f"min_share = {min_share:g} is too large", where="min_share", expected="at most 0.5")
        self.min_significance = at_least("min_significance", min_significance, 1.0)
        self.radiation = radiation(doublet, wavelengths, ratio, fit_ratio, "two_theta", detector)
        # where the two peaks are nearly one, their distance hangs on the last digits: 1e-5 of it, 1e-6 deg
        self.outputs = {f"{name}_{what}": Output(unit="deg", rtol=1e-5, atol=1e-6) for what in LENGTHS}
        self.outputs[f"{name}_evidence"] = Output(unit="", rtol=1e-5, atol=1e-4)
        pairs.warm()

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            pattern = usable_points(frame, "two_theta", self.unit, self.saturation)
        except ValueError as e:
            return self._features(pairs.no_pair(str(e)))
        lines = self.radiation.lines(frame)
        if isinstance(lines, str):
            return self._features(pairs.no_pair(lines))
        low, high = self.window
        estimate = self._estimate(pattern, lines)
        if estimate.why:
            return self._features(pairs.no_pair(f"{estimate.why} in {low:g} to {high:g} deg"))
        return self._features(estimate)

    def _estimate(self, pattern: Pattern, lines: Doublet | None) -> PairEstimate:
        """The pair in the window, or why nothing can be said."""
        at = points_of(pattern, self.window, "deg")
        if isinstance(at, str):
            return pairs.no_pair(at)
        points = slice(*at)
        found = pairs.fit_pair(
            pattern.x[points],
            pattern.y[points],
            None if pattern.sigma is None else pattern.sigma[points],
            poisson=pattern.poisson,
            min_significance=self.min_significance,
            min_share=self.min_share,
            doublet=lines,
        )
        if not found.unresolved and found.evidence < self.min_evidence:
            return found._replace(
                unresolved=f"log odds for two peaks {found.evidence:.1f}, below {self.min_evidence:g}"
            )
        return found

    def _features(self, pair: PairEstimate) -> dict[str, Feature]:
        """Numbers, or why there are none."""
        lengths = dict(zip(LENGTHS, (pair.split, pair.low, pair.high, pair.one_fwhm), strict=True))
        width = "" if pair.one_fwhm[0] > 0.0 else "one peak could not be fitted"
        features = {}
        for what, (value, sigma) in lengths.items():
            why = pair.why or (width if what == "width" else pair.unresolved)
            features[f"{self.name}_{what}"] = Feature(None, "deg", why=why) if why else Feature(value, "deg", sigma)
        evidence = Feature(None, "", why=pair.why) if pair.why else Feature(pair.evidence, "")
        return {**features, f"{self.name}_evidence": evidence}
