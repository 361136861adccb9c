"""X-ray magnetic circular dichroism at L3 and L2: difference, integrals, and moments by the sum rules.

    difference = (first - second)/(P cos angle),   total = first + second        both spectra above their pre-edge
    p = integral of the difference over L3,  q = over L3 and L2,  r = integral of (total - two steps) over L3 and L2
    m_orb  = -4/3 (q/r) n_holes,     m_spin (1 + 7 <T>/<S>) = -(6 p - 4 q)/r n_holes          in Bohr magnetons per atom

The two steps have 2/3 and 1/3 of the rise of `total` and stand at the L3 and L2 maxima as arctangents; a difference
that is left behind the edges is taken off p and q as the same two steps. Assumed, and to be said with every moment:
holes per atom, degree of circular polarisation P, angle between beam and moment, no saturation of the electron yield,
L3 and L2 well apart (good for Fe, Co, Ni; not for Mn and before), the magnetic dipole term <T> left in m_spin. The
sign follows the order of the two spectra: with the one first that makes the difference negative at L3, the moments of
Fe, Co and Ni come out positive.

Sources: B. T. Thole et al., Phys. Rev. Lett. 68 (1992) 1943; P. Carra et al., Phys. Rev. Lett. 70 (1993) 694;
C. T. Chen et al., Phys. Rev. Lett. 75 (1995) 152. Energies in eV, `(n,)`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.maths.absorption.quality import point_noise
from insitu.maths.absorption.spectrum import Estimate, NotMeasurable, checked, nothing, spread

LONG = 0.2
"""The shortest pre-edge that a line is fitted to, over the way from there to the post-edge."""
ONE_LINE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What the sum rules need and a spectrum does not hold: `n_holes` per atom, `polarisation` 0 to 1, `angle_deg`
    between beam and magnetisation, and `step_ratio`, the share of the L3 step in the total rise."""

    n_holes: float
    polarisation: float = 1.0
    angle_deg: float = 0.0
    step_ratio: float = 2.0 / 3.0

    @property
    def factor(self) -> float:
        """P cos(angle): what a full dichroism is weakened by."""
        return self.polarisation * math.cos(math.radians(self.angle_deg))


class Windows(NamedTuple):
    """Where the edges lie, eV: pre-edge, L3, L2 and post-edge, each (low, high)."""

    pre: tuple[float, float]
    l3: tuple[float, float]
    l2: tuple[float, float]
    post: tuple[float, float]


class Dichroism(NamedTuple):
    """`difference` and `total` `(n,)`; largest dichroism at L3 and L2 (`l3`, `l2`: its height; `l3_at`, `l2_at`: eV);
    `left`: mean difference behind the edges, where there is no dichroism: what drift of the beam or of the gain makes;
    integrals p, q, r in eV times the unit of mu; moments in Bohr magnetons per atom."""

    difference: np.ndarray
    total: np.ndarray
    l3: Estimate
    l3_at: Estimate
    l2: Estimate
    l2_at: Estimate
    left: float
    p: Estimate
    q: Estimate
    r: Estimate
    m_orb: Estimate
    m_spin: Estimate
    orb_to_spin: Estimate


def windows_of(energy: np.ndarray, l3: float, l2: float) -> Windows:
    """Windows from the two edge energies: pre-edge up to 5 eV below L3, the border of L3 and L2 at 60 % of the way,
    L2 as wide above its edge as L3 (at most to 12 eV above it), post-edge the rest.

    Raises `NotMeasurable` where the spectrum does not reach below L3 and above L2.
    """
    low, high = float(energy[0]), float(energy[-1])
    if not (low < l3 - 6.0 and high > l2 + 6.0 and l2 > l3 + 3.0):
        raise NotMeasurable(f"the spectrum, {low:.1f} to {high:.1f} eV, does not hold L3 {l3:.1f} and L2 {l2:.1f} eV")
    border = l3 + 0.6 * (l2 - l3)
    end = min(l2 + 12.0, 0.5 * (l2 + high) if high < l2 + 14.0 else high)
    return Windows((low, l3 - 5.0), (l3 - 5.0, border), (border, end), (end, high))


def dichroism(
    energy: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    windows: Windows,
    assumed: Assumed,
) -> Dichroism:
    """Difference, integrals and moments of a pair `first`, `second` (n,) on one grid, in the same unit.

    The mean of each spectrum over the pre-edge is taken off, and of the sum the line that both spectra have there (see
    `_line`). Nothing is scaled, so give spectra divided by I0: moments are ratios, which no scale that both
    spectra share changes. Uncertainties from the noise of the points, through pre-edge and post-edge too. Moments have
    none from what is assumed: they scale with n_holes and 1/(P cos angle).
    """
    energy, first = checked(energy, first)
    _, second = checked(energy, second)
    if not (assumed.factor > 1e-6 and assumed.n_holes > 0.0):
        raise NotMeasurable("n_holes, polarisation and cos(angle) must be above 0")
    parts = {name: _inside(energy, window, name) for name, window in windows._asdict().items()}
    pre = parts["pre"]
    noise = math.hypot(*(float(np.median(point_noise(energy, mu))) for mu in (first, second)))
    up, down = first - np.mean(first[pre]), second - np.mean(second[pre])
    difference, total = (up - down) / assumed.factor, up + down
    sigma = np.full(energy.size, noise)
    width = np.gradient(energy)
    rows = {name: np.where(parts[name], width, 0.0) for name in ("l3", "l2")}
    both = rows["l3"] + rows["l2"]
    steps = _two_steps(energy, total, parts, assumed.step_ratio)
    level, rise = _levels(parts)
    line, sum_rise = _line(energy, first, second, parts, steps, noise) or (level, rise)
    left, step = float(rise @ difference), float(sum_rise @ total)
    total = total - line.of(total)
    magnetic, white = difference - left * steps, total - step * steps

    def integral(y: np.ndarray, row: np.ndarray, level: _Level, rise: np.ndarray, factor: float) -> Estimate:
        return Estimate(float(row @ y), spread(row - level.back(row) - float(row @ steps) * rise, sigma) / factor)

    p = integral(magnetic, rows["l3"], level, rise, assumed.factor)
    q = integral(magnetic, both, level, rise, assumed.factor)
    r = integral(white, both, line, sum_rise, 1.0)
    l3, l3_at = _extreme(energy, difference, parts["l3"], noise / assumed.factor)
    l2, l2_at = _extreme(energy, difference, parts["l2"], noise / assumed.factor)
    moments = _moments(p, q, r, assumed.n_holes)
    return Dichroism(difference, total, l3, l3_at, l2, l2_at, left, p, q, r, *moments)


class _Level(NamedTuple):
    """What is taken off: `terms` (n, t), a constant or a line, and `weights` (t, n) of the points that give them."""

    terms: np.ndarray
    weights: np.ndarray

    def of(self, y: np.ndarray) -> np.ndarray:
        """The level under `y`, `(n,)`."""
        return self.terms @ (self.weights @ y)

    def back(self, row: np.ndarray) -> np.ndarray:
        """How a sum over points with the weights `row` depends on the points through the level, `(n,)`."""
        return (row @ self.terms) @ self.weights


def _levels(parts: dict[str, np.ndarray]) -> tuple[_Level, np.ndarray]:
    """The mean of the pre-edge, and weights `(n,)` of the points to the rise of the mean behind the edges."""
    pre, post = (parts[name] / np.count_nonzero(parts[name]) for name in ("pre", "post"))
    return _Level(np.ones((pre.size, 1)), pre[None, :]), post - pre


def _line(
    energy: np.ndarray, first: np.ndarray, second: np.ndarray, parts: dict[str, np.ndarray], steps: np.ndarray,
    noise: float,
) -> tuple[_Level, np.ndarray] | None:  # fmt: skip
    """As `_levels`, for a straight line under the sum, `a + b E + c steps` fitted to pre-edge and post-edge together:
    the pre-edge alone would take the tail of the steps for a slope. None where no line is to be taken off.

    A line where the pre-edge has 6 points and is at least `LONG` of the way to the post-edge; where both spectra slope
    alike, within 4 sigma or a quarter (what one of them has is drift, of which nobody knows how it goes on); and where
    the pre-edge alone has that slope, too, within 4 sigma or `ONE_LINE` of the rise behind.
    """
    x = energy[parts["pre"]]
    used = parts["pre"] | parts["post"]
    if x.size < 6 or x[-1] - x[0] < LONG * (energy[parts["post"]][0] - x[-1]):
        return None
    off = (energy - np.mean(x)) / (energy[-1] - energy[0])
    terms = np.stack([np.ones_like(off), off, steps], axis=1)
    weights = np.zeros((3, energy.size))
    weights[:, used] = np.linalg.pinv(terms[used])
    slopes = [float(weights[1] @ mu) for mu in (first, second)]
    unsure = 4.0 * noise * math.sqrt(float(weights[1] @ weights[1]))
    if abs(slopes[0] - slopes[1]) > max(unsure, 0.125 * abs(slopes[0] + slopes[1])):
        return None
    total = first + second
    rise, before = float(weights[2] @ total), off[parts["pre"]]
    alone = before / float(before @ before)
    differs = float(alone @ (total - rise * steps)[parts["pre"]]) - slopes[0] - slopes[1]
    unsure = 4.0 * noise * math.sqrt(float(alone @ alone))
    if abs(differs) * float(np.mean(off[parts["post"]])) > max(unsure, ONE_LINE * abs(rise)):
        return None
    return _Level(terms[:, :2], weights[:2]), weights[2]


def _inside(energy: np.ndarray, window: tuple[float, float], name: str) -> np.ndarray:
    part = (energy >= window[0]) & (energy < window[1])
    if np.count_nonzero(part) < 3:
        raise NotMeasurable(f"fewer than 3 points in the {name} window, {window[0]:.1f} to {window[1]:.1f} eV")
    return part


def _two_steps(energy: np.ndarray, total: np.ndarray, parts: dict[str, np.ndarray], ratio: float) -> np.ndarray:
    """The rise of the continuum from 0 to 1: arctangents of half width 1 eV at the maxima of L3 and L2."""
    at = [float(energy[parts[name]][int(np.argmax(total[parts[name]]))]) for name in ("l3", "l2")]
    ramps = [0.5 + np.arctan(energy - place) / math.pi for place in at]
    return ratio * ramps[0] + (1.0 - ratio) * ramps[1]


def _extreme(energy: np.ndarray, y: np.ndarray, part: np.ndarray, noise: float) -> tuple[Estimate, Estimate]:
    """The largest excursion of one window: its height, and where the parabola through three points has its vertex."""
    at = np.flatnonzero(part)
    top = int(at[np.argmax(np.abs(y[at]))])
    if not abs(y[top]) > 4.0 * noise:
        why = nothing("the dichroism is within 4 sigma of the noise")
        return why, why
    if top in (at[0], at[-1]):
        return Estimate(float(y[top]), noise), nothing("the largest dichroism lies at the border of its window")
    x0, x1, x2 = (float(v) for v in energy[top - 1 : top + 2])
    y0, y1, y2 = (float(v) for v in y[top - 1 : top + 2])
    rises, falls = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (falls - rises) / (x2 - x0)
    tilt = (rises * (x2 - x1) + falls * (x1 - x0)) / (x2 - x0)
    off = -0.5 * tilt / bend
    sigma = noise / (math.sqrt(2.0) * abs(bend) * 0.5 * (x2 - x0))
    return Estimate(float(y1), noise), Estimate(x1 + off, min(sigma, 0.5 * (x2 - x0)))


def _moments(p: Estimate, q: Estimate, r: Estimate, n_holes: float) -> tuple[Estimate, Estimate, Estimate]:
    """Orbital and spin moment and their ratio; uncertainties of p and q taken as independent, which they are not
    quite: those of the spin moment are a little too large."""
    if not r.value > 4.0 * r.sigma:
        why = nothing("the white lines do not stand above the two steps")
        return why, why, why
    share = r.sigma / r.value
    m_orb = -4.0 / 3.0 * q.value / r.value * n_holes
    m_spin = -(6.0 * p.value - 4.0 * q.value) / r.value * n_holes
    orb = Estimate(m_orb, math.hypot(4.0 / 3.0 * q.sigma / r.value * n_holes, m_orb * share))
    spin = Estimate(m_spin, math.hypot(math.hypot(6.0 * p.sigma, 4.0 * q.sigma) / r.value * n_holes, m_spin * share))
    below = 9.0 * p.value - 6.0 * q.value
    if not abs(m_spin) > 4.0 * spin.sigma:
        return orb, spin, nothing("the spin moment is within 4 sigma of zero")
    ratio = 2.0 * q.value / below
    return orb, spin, Estimate(ratio, abs(ratio) * math.hypot(q.sigma / max(abs(q.value), 1e-300), spin.sigma / m_spin))
