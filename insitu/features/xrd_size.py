"""Crystallite size and microstrain of a 1-D pattern, from the widths of its strongest lines that stand alone.

The instrument's width is given as Caglioti's U, V, W in deg^2 (`caglioti`), as one FWHM (`instrument`), or measured on
a standard that was stored as a reference (`standard`). Formulas and sources: `maths.size_strain`.

`size` and `strain` are of a Williamson-Hall line, `size_scherrer` of all lines without strain, lengths in angstrom;
`strain` is dimensionless (1e-3 is 0.1 %). `lines` is how many lines were used. The uncertainties are those of the fit;
the shape factor and anisotropic broadening are not in them.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError
from insitu.features.beam import BeamOf, Points, usable_points
from insitu.maths.diffraction.observed import Observed, companion, observe, tangent_squared
from insitu.maths.diffraction.phase_fit import Beam
from insitu.maths.diffraction.size_strain import Broadening, broadening
from insitu.maths.peaks.fit_batch import CHI2, ETA, ETA_SIGMA, FWHM, FWHM_SIGMA, X0, Doublet, fit_windows
from insitu.maths.peaks.fit_kernel import CONVERGED
from insitu.types import KEY, Detector, Feature, Frame, Output, References

APART = 5.0
"""A line stands alone where its neighbours are so many FWHM away."""
HALF = 8.0
"""Half-width of a window in FWHM, where no neighbour is nearer: Lorentzian tails are long, and a straight background
takes what is cut off."""


class Widths:
    """Lines measured: position, FWHM, eta, and their uncertainties, each `(n,)`."""

    __slots__ = ("eta", "eta_sigma", "fwhm", "fwhm_sigma", "two_theta")

    def __init__(self, table: np.ndarray) -> None:
        self.two_theta, self.fwhm, self.fwhm_sigma, self.eta, self.eta_sigma = table.T


class SizeStrain:
    """Extractor: size and microstrain.

    One of `instrument` (FWHM in deg), `caglioti` (U, V, W in deg^2) and `standard` (name of a reference: the pattern of
    a sample without broadening, same axis). `instrument_eta`: the Lorentzian part of the instrument's lines, for the
    first two. `max_lines`: the strongest so many lines that stand alone.
    """

    def __init__(
        self,
        *,
        name: str = "crystallite",
        instrument: Annotated[float, "deg"] | None = None,
        caglioti: tuple[float, float, float] | None = None,
        standard: str | None = None,
        instrument_eta: float = 0.0,
        max_lines: int = 20,
        min_significance: float = 10.0,
        low: Annotated[float, "deg"] = 0.0,
        wavelength: Annotated[float, "angstrom"] | None = None,
        wavelength2: Annotated[float, "angstrom"] | None = None,
        ratio: float = 0.5,
        saturation: float | None = None,
        detector: Detector | None = None,
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        if sum(given is not None for given in (instrument, caglioti, standard)) != 1:
            raise ConfigError(
                "the instrument's width is needed once", where="instrument", expected="instrument, caglioti or standard"
            )
        if instrument is not None and not 0.0 <= instrument < 10.0:
            raise ConfigError(f"a width of {instrument:g} deg is none", where="instrument", expected="0 to 10 deg")
        if caglioti is not None and (why := _no_law(caglioti)):
            raise ConfigError(why, where="caglioti", expected="U, V, W in deg^2 with a width above 0 from 5 to 150 deg")
        if not 0.0 <= instrument_eta <= 1.0:
            raise ConfigError(f"eta of {instrument_eta:g} is none", where="instrument_eta", expected="0 to 1")
        if max_lines < 4:
            raise ConfigError(f"{max_lines} lines are too few", where="max_lines", expected="4 or more")
        self.law = caglioti if caglioti is not None else None if instrument is None else (0.0, 0.0, instrument**2)
        self.standard, self.eta, self.name = standard, instrument_eta, name
        self.most, self.least, self.low, self.saturation = max_lines, min_significance, low, saturation
        self.beam = BeamOf(wavelength, wavelength2, ratio, None, detector)
        self.outputs = {
            f"{name}_size": Output(unit="angstrom", rtol=1e-4),
            f"{name}_strain": Output(unit="", rtol=1e-4, atol=1e-9),
            f"{name}_size_scherrer": Output(unit="angstrom", rtol=1e-4),
            f"{name}_lines": Output(unit="", rtol=0.0),
        }
        fit_windows(np.linspace(0.0, 1.0, 40), np.ones(40), None, [0], [40], poisson=True)  # compiled before frame 0

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        try:
            points, beam = usable_points(frame, self.saturation), self.beam(frame)
            widths = self._widths(points, beam)
            own, own_eta = self._instrument(widths.two_theta, frame, refs, beam)
            found = broadening(
                widths.two_theta, widths.fwhm, widths.fwhm_sigma, widths.eta, widths.eta_sigma,
                wavelength=beam.wavelength, instrument=own, instrument_eta=own_eta,
            )  # fmt: skip
            if found.why:
                raise ValueError(found.why)
        except ValueError as e:
            return {key: Feature(None, output.unit, why=str(e)) for key, output in self.outputs.items()}
        return self._told(found, widths.fwhm.size)

    def _told(self, found: Broadening, lines: int) -> dict[str, Feature]:
        n = self.name
        size = (
            Feature(None, "angstrom", why=found.size_why)
            if found.size_why
            else Feature(found.size[0], "angstrom", sigma=found.size[1])
        )
        return {
            f"{n}_size": size,
            f"{n}_strain": Feature(found.strain[0], "", sigma=found.strain[1]),
            f"{n}_size_scherrer": Feature(found.scherrer[0], "angstrom", sigma=found.scherrer[1]),
            f"{n}_lines": Feature(lines, ""),
        }

    def _widths(self, points: Points, beam: Beam) -> Widths:
        """Widths of the lines that stand alone; ValueError with a sentence where there are fewer than 4."""
        above = points.x >= self.low
        x, y = points.x[above], points.y[above]
        sigma = None if points.sigma is None else points.sigma[above]
        if x.size < 50:
            raise ValueError(f"only {x.size} points lie above low = {self.low:g} deg")
        poisson = points.poisson and sigma is None
        seen = observe(x, y, sigma, poisson=poisson, min_significance=self.least)
        if isinstance(seen, str):
            raise ValueError(seen)
        chosen = alone(seen, beam)
        chosen = np.sort(chosen[np.argsort(-seen.area[chosen], kind="stable")[: self.most]])
        doublet = Doublet(beam.wavelength2 / beam.wavelength, beam.ratio) if beam.ratio > 0.0 else None
        at = seen.position[chosen]
        gaps = np.diff(seen.position, prepend=-np.inf, append=np.inf)
        room = 0.5 * np.minimum(gaps[:-1], gaps[1:])[chosen]
        own = seen.width.fwhm(at)
        reach = np.clip(room, 0.5 * APART * own, HALF * own)
        after = reach + (companion(at, beam.wavelength, beam.wavelength2) if doublet else 0.0)
        spans = np.stack([np.searchsorted(x, at - reach), np.searchsorted(x, at + after)], axis=1)
        fitted = fit_windows(
            x, y, sigma, spans[:, 0].tolist(), spans[:, 1].tolist(), poisson=poisson, min_significance=self.least,
            doublet=doublet,
        )  # fmt: skip
        good = (fitted.status == CONVERGED) & (fitted.values[:, CHI2] < 1e6)
        if np.count_nonzero(good) < 4:
            raise ValueError(f"only {np.count_nonzero(good)} lines that stand alone could be measured, 4 are needed")
        return Widths(fitted.values[good][:, [X0, FWHM, FWHM_SIGMA, ETA, ETA_SIGMA]])

    def _instrument(
        self, two_theta: np.ndarray, frame: Frame, refs: References, beam: Beam
    ) -> tuple[np.ndarray, np.ndarray]:
        """FWHM and eta of the instrument at angles (n,)."""
        if self.law is not None:
            u, v, w = self.law
            tangent = np.sqrt(tangent_squared(two_theta))
            square = u * tangent**2 + v * tangent + w
            if (square < 0.0).any():
                raise ValueError("U, V and W give no width at all angles of the lines")
            return np.sqrt(square), np.full(two_theta.size, self.eta)
        reference = refs.get(self.standard or "")
        if reference is None:
            raise ValueError(f"there is no reference {self.standard!r} yet")
        if reference.array.shape != frame.data.shape:
            raise ValueError(
                f"the reference {self.standard!r} has {reference.array.size} points, the frame {frame.data.size}"
            )
        x = np.asarray(frame.axes["two_theta"].values, dtype=np.float64)
        usable = np.isfinite(reference.array) & (x > 0.0)
        points = Points(x[usable], np.array(reference.array[usable], dtype=np.float64), None, frame.unit == "counts")
        try:
            known = self._widths(points, beam)
        except ValueError as e:
            raise ValueError(f"in the reference {self.standard!r}: {e}") from e
        tangent = np.sqrt(tangent_squared(known.two_theta))
        law = np.polyfit(tangent, known.fwhm**2, 2 if known.fwhm.size >= 6 else 1)
        square = np.polyval(law, np.sqrt(tangent_squared(two_theta)))
        bounded = np.clip(square, np.min(known.fwhm) ** 2, np.max(known.fwhm) ** 2)
        return np.sqrt(bounded), np.interp(two_theta, known.two_theta, known.eta)


def alone(seen: Observed, beam: Beam) -> np.ndarray:
    """Peaks whose neighbours are far away, or much weaker. K-alpha2 companions are no peaks of their own."""
    at, width = seen.position, seen.width.fwhm(seen.position)
    keep = np.ones(at.size, dtype=bool)
    second = np.zeros(at.size, dtype=bool)
    if beam.ratio > 0.0:
        places = at + companion(at, beam.wavelength, beam.wavelength2)
        for k in range(at.size):
            second |= (np.abs(at - places[k]) < 0.7 * width) & (seen.area < 0.8 * seen.area[k]) & (at > at[k])
    for k in range(at.size):
        distance = np.abs(at - at[k]) / width[k]
        near = (distance > 0.0) & (distance < APART) & (seen.area > 0.03 * seen.area[k]) & ~second
        keep[k] = not near.any()
    # what is much wider than the law of the others is several lines under one top
    single = seen.fwhm < 1.35 * width if beam.ratio == 0.0 else np.ones(at.size, dtype=bool)
    return np.flatnonzero(keep & ~second & single)


def _no_law(caglioti: tuple[float, float, float]) -> str:
    """Empty, or why U, V, W are no width."""
    u, v, w = caglioti
    tangent = np.tan(np.radians(np.linspace(5.0, 150.0, 50)) / 2.0)
    return "" if (u * tangent**2 + v * tangent + w > 0.0).all() else f"U, V, W = {u:g}, {v:g}, {w:g} give no width"
