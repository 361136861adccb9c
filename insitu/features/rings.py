"""Rings of an area detector over azimuth: are they where they must be, round, whole, and evenly strong?

Each image is cut into sectors of azimuth, each ring followed from one to the next (`insitu.maths.diffraction.sectors`).

    n_rings          rings that stand out, at most `rings`
    ring_wander      how far the rings move with azimuth (amplitude of cos psi, at small angles, deg): 0 where the beam
                     centre is right. A flipped image, a moved detector or a wrong poni shows here, for any sample
    ring_centre_x/y  by how much the beam hits the detector beside the poni's centre, along columns and rows (mm)
    ring_misfit      root mean square, over the circle, of ring minus known ring (deg); the median over the rings of the
                     calibrant that have a ring of the image as their nearest, and are its nearest. Where the detector
                     sees too little of a ring for the rest, over the sectors in which it does
    ring_offset      the same for the rings' mean positions, with sign (deg)
    ring_strain      half the difference of the principal lattice strains in the plane of the detector (cos 2 psi law),
                     all rings together, and ring_strain_azimuth, the direction of the larger one (deg, modulo 180)
    ringN_position   mean over azimuth (deg)                      ringN_strain  strain of this ring alone
    ringN_completeness   sectors in which the ring is there (3 sigma and a tenth of the mean) / sectors that see it
    ringN_spottiness     scatter of neighbouring sectors beyond counting statistics / mean: 0 for a smooth ring
    ringN_texture        mean square over squared mean of the sectors: 1 without preferred orientation

Uncertainties are those of least squares over sectors, widened where sectors scatter by more. A wrong tilt of the
detector looks like strain. Rings are numbered by angle.
"""

import math
from collections.abc import Sequence

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.diffraction import sectors as law
from insitu.maths.diffraction.azimuthal import Cut
from insitu.maths.diffraction.calibrants import rings_of
from insitu.maths.diffraction.geometry import read_setting
from insitu.maths.diffraction.raw_image import RawImage
from insitu.maths.waves import FEWEST, rms_from
from insitu.maths.weighted import WeightedMean
from insitu.types import KEY, Detector, Feature, Frame, Output, References

WHOLE = {"wander": "deg", "centre_x": "mm", "centre_y": "mm", "misfit": "deg", "offset": "deg"} | {
    "strain": "",
    "strain_azimuth": "deg",
}
EACH = {"position": "deg", "completeness": "", "spottiness": "", "texture": "", "strain": ""}
CANDIDATES = 12
"""So many rings are compared with the known ones, whatever is kept."""
PRESENT = 0.1
"""A ring is there in a sector from this share of its mean amplitude on."""


class Rings:
    """Extractor of raw images: see the head of `insitu.features.rings`. `name` begins the keys.

    `sectors`: parts of the circle. `bins`: points per sector, about one per pixel of radius. `rings`: kept at most.
    Known rings are the detector's (`[geometry]` calibrant); without any, misfit and offset have no value.
    """

    raw = True

    def __init__(
        self,
        *,
        name: str = "ring",
        sectors: int = 36,
        bins: int = 800,
        rings: int = 6,
        detector: Detector | None = None,
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        for key, value, low, high in (("sectors", sectors, 12, 720), ("bins", bins, 64, 8192), ("rings", rings, 1, 50)):
            if not low <= value <= high:
                raise ConfigError(f"{key} = {value} cannot be used", where=key, expected=f"{low} to {high}")
        setting = read_setting(detector, "xrd.rings")
        self.name, self.sectors, self.rings = name, sectors, rings
        self._image = RawImage(setting, Cut(bins=bins, split="no", sectors=sectors), detector)
        law.warm()
        self._distance_mm = 1e3 * setting.distance
        self._known: np.ndarray | None = None
        if setting.geometry.calibrant:
            if setting.wavelength is None:
                raise ConfigError("known rings need a wavelength", where="geometry.calibrant")
            self._known = rings_of(setting.geometry.calibrant, setting.wavelength)
        self.outputs = {f"n_{name}s": Output(unit="")}
        self.outputs |= {f"{name}_{key}": Output(unit=unit, rtol=1e-6, atol=1e-9) for key, unit in WHOLE.items()}
        for i in range(1, rings + 1):
            each = {f"{name}{i}_{key}": Output(unit=unit, rtol=1e-6, atol=1e-9) for key, unit in EACH.items()}
            self.outputs |= each

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one image."""
        try:
            most = self.rings if self._known is None else max(self.rings, CANDIDATES)
            found = law.find_rings(self._image.cake(frame, refs), most)
        except ValueError as why:
            return {key: Feature(None, output.unit, why=str(why)) for key, output in self.outputs.items()}
        kept = sorted(sorted(found, key=lambda r: -r.height)[: self.rings], key=lambda r: r.centre)
        fitted = [ring for ring in kept if not ring.fit.why]
        features = {f"n_{self.name}s": Feature(len(kept), "")}
        features |= {f"{self.name}_{key}": value for key, value in self._whole(kept, fitted, found).items()}
        for i in range(1, self.rings + 1):
            each = self._each(kept[i - 1]) if i <= len(kept) else _none(EACH, f"fewer than {i} rings stand out")
            features |= {f"{self.name}{i}_{key}": value for key, value in each.items()}
        return {key: features[key] for key in self.outputs}

    def _whole(self, kept: list[law.Ring], fitted: list[law.Ring], found: list[law.Ring]) -> dict[str, Feature]:
        """What all rings together say."""
        known = self._against_known([ring for ring in found if ring.found.any()])
        if not fitted:
            return _none(WHOLE, kept[0].fit.why if kept else "no ring stands out") | (known if kept else {})
        out = known
        u, v = _centre(fitted)
        wander = math.hypot(u[0], v[0])
        out["wander"] = Feature(wander, "deg", sigma=_of_length(u, v))
        for key, (value, sigma) in (("centre_x", u), ("centre_y", v)):
            mm = math.radians(1.0) * self._distance_mm
            out[key] = Feature(value * mm, "mm", sigma=sigma * mm)
        a, b = _strain(fitted, wander)
        size = math.hypot(a[0], b[0])
        out["strain"] = Feature(size, "", sigma=_of_length(a, b))
        turn = math.degrees(0.5 * math.atan2(b[0], a[0])) % 180.0
        out["strain_azimuth"] = (
            Feature(turn, "deg", sigma=min(math.degrees(0.5 * _of_length(a, b) / size), 52.0))
            if size > 0.0
            else Feature(None, "deg", why="no strain")
        )
        return out

    def _against_known(self, found: list[law.Ring]) -> dict[str, Feature]:
        """Misfit and offset from the known rings."""
        units = {"misfit": "deg", "offset": "deg"}
        if self._known is None:
            return _none(units, "no known rings: set calibrant under [geometry] of the detector")
        levels = [_level(ring) for ring in found]
        pairs = law.nearest(np.array([value for value, _ in levels]), self._known)
        if not pairs:
            return _none(units, "no ring can be compared with a known one")
        off = np.array([levels[i][0] - self._known[j] for i, j in pairs])
        rms = np.array([_rms(found[i], self._known[j]) for i, j in pairs])
        sigma = float(np.median([levels[i][1] for i, _ in pairs]))
        return {
            "misfit": Feature(float(np.median(rms)), "deg", sigma=sigma),
            "offset": Feature(float(np.median(off)), "deg", sigma=sigma),
        }

    def _each(self, ring: law.Ring) -> dict[str, Feature]:
        """What one ring says."""
        out = _none({"position": "deg", "strain": ""}, ring.fit.why) if ring.fit.why else {}
        if not ring.fit.why:
            out["position"] = Feature(float(ring.fit.value[0]), "deg", sigma=math.sqrt(ring.fit.covariance[0, 0]))
            a, b = _strain([ring], math.hypot(*ring.fit.value[1:3]))
            out["strain"] = Feature(math.hypot(a[0], b[0]), "", sigma=_of_length(a, b))
        seen = int(np.count_nonzero(ring.seen))
        there = ring.seen & (ring.amplitude > np.maximum(3.0 * ring.sigma, PRESENT))
        few = f"the detector sees the ring in {seen} sectors, {FEWEST} are needed"
        out["completeness"] = Feature(int(np.count_nonzero(there)) / seen, "") if seen else Feature(None, "", why=few)
        for key, found in (("spottiness", law.spottiness(ring)), ("texture", law.texture_index(ring))):
            out[key] = Feature(None, "", why=few) if found is None else Feature(found[0], "", sigma=found[1])
        return out


def _none(units: dict[str, str], why: str) -> dict[str, Feature]:
    return {key: Feature(None, unit, why=why) for key, unit in units.items()}


def _level(ring: law.Ring) -> tuple[float, float]:
    """Mean position and its sigma: over the circle, or over the sectors where the detector sees too few of them."""
    if not ring.fit.why:
        return float(ring.fit.value[0]), math.sqrt(ring.fit.covariance[0, 0])
    weight = ring.position_sigma[ring.found] ** -2.0
    return float(np.average(ring.position[ring.found], weights=weight)), float(weight.sum() ** -0.5)


def _rms(ring: law.Ring, known: float) -> float:
    """Root mean square distance of a ring from a known one, over the circle or the sectors seen."""
    if not ring.fit.why:
        return rms_from(ring.fit, known)
    weight = ring.position_sigma[ring.found] ** -2.0
    return math.sqrt(float(np.average((ring.position[ring.found] - known) ** 2, weights=weight)))


def _centre(fitted: list[law.Ring]) -> tuple[tuple[float, float], tuple[float, float]]:
    """cos psi and sin psi parts of all rings, brought to small angles, deg: (value, sigma) each."""
    scale = np.array([math.cos(math.radians(ring.fit.value[0])) ** 2 for ring in fitted])
    parts = np.array([ring.fit.value[1:3] for ring in fitted]) / scale[:, None]
    sigma = np.sqrt([np.diagonal(ring.fit.covariance)[1:3] for ring in fitted]) / scale[:, None]
    return _pooled(parts[:, 0], sigma[:, 0]), _pooled(parts[:, 1], sigma[:, 1])


def _strain(fitted: list[law.Ring], wander: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """cos 2 psi and sin 2 psi parts of the lattice strain: (value, sigma) each.

    A centre that is off by `wander` (deg) brings a cos 2 psi of second order, wander^2 / (4 tan two_theta): it is
    added to the uncertainty.
    """
    two_theta = np.radians([ring.fit.value[0] for ring in fitted])
    slope = -2.0 * np.tan(0.5 * two_theta)
    parts = np.radians([ring.fit.value[3:5] for ring in fitted]) / slope[:, None]
    sigma = np.radians(np.sqrt([np.diagonal(ring.fit.covariance)[3:5] for ring in fitted])) / np.abs(slope)[:, None]
    second = math.radians(wander) ** 2 / (4.0 * np.tan(two_theta)) / np.abs(slope)
    sigma = np.hypot(sigma, second[:, None])
    return _pooled(parts[:, 0], sigma[:, 0]), _pooled(parts[:, 1], sigma[:, 1])


def _pooled(values: np.ndarray, sigmas: np.ndarray) -> tuple[float, float]:
    """Weighted mean and its sigma; of one value, that value's."""
    if values.size == 1:
        return float(values[0]), float(sigmas[0])
    mean = WeightedMean()
    for value, sigma in zip(values.tolist(), sigmas.tolist(), strict=True):
        mean.add(value, sigma)
    return mean.value, mean.sigma


def _of_length(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Sigma of the length of a vector from (value, sigma) of its parts; the larger sigma where it is short."""
    size = math.hypot(a[0], b[0])
    widest = max(a[1], b[1])
    return widest if size <= widest else math.hypot(a[0] * a[1], b[0] * b[1]) / size
