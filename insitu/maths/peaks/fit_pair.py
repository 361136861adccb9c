"""One peak or two? Both fitted to one window, and how much the data speak for two.

One: a symmetric pseudo-Voigt, or one with a width of its own on either side, because a real line is often lopsided
and that alone must not look like a split. Two: pseudo-Voigts that share width and eta, as two reflections of one sample
at nearly the same angle do, or that share eta only, if they still are a pair (widths within a factor of 2, areas within
`LEAST_SHARE`). Split, positions, width and share are always those of the pair that shares width and eta: with widths of
their own they depend on the shape's tails. All have a straight background and the same weights.

With chi^2_m, k_m numbers in the model m, n points, and s^2 the least reduced chi^2 of two peaks, at least 1 where the
uncertainties are known (what no model describes counts as noise):

    BIC_m = chi^2_m / s^2 + k_m ln n,    evidence = (min BIC_one - min BIC_two)/2 - ln 20

is the natural logarithm of the odds for two peaks, if one window in twenty held a pair beforehand: above 0 two are
more likely than one, at 3 twenty times so; below 0 the second peak is not needed.

Sources: G. Schwarz, Ann. Stat. 6 (1978) 461 (BIC); R. E. Kass, A. E. Raftery, J. Am. Stat. Assoc. 90 (1995) 773 (its
use as odds; 20 to 1 is their "strong"); inflation by the misfit as in K. P. Burnham, D. R. Anderson, Model Selection
and Multimodel Inference (2002), 2.5.
"""

import math
from typing import NamedTuple

import numpy as np

from insitu.maths.peaks.fit_batch import REWEIGHTED, Doublet, part
from insitu.maths.peaks.fit_kernel import CONVERGED, SINGULAR, curve
from insitu.maths.peaks.fit_models import (
    ONE,
    TWO,
    Fitted,
    Window,
    begin,
    bounds,
    fit_model,
    lines,
    lopsided,
    model_covariance,
    pair_of_one_shape,
    pair_of_two_widths,
)
from insitu.maths.peaks.fit_peak import NO_SIGMA, WHY
from insitu.maths.peaks.fit_start import KNOWN, POISSON, RESIDUALS, line_chi2, window_variance

FEWEST_POINTS = 14
"""Up to ten numbers are fitted to two peaks; a few points more leave something to judge by."""
PRIOR = math.log(20.0)
"""Odds against a pair beforehand."""
NOT_NUMBERS = "the fit gave no finite numbers"


class PairEstimate(NamedTuple):
    """What was found. `evidence`: log odds for two peaks.

    `split`, `low` and `high` (positions), `fwhm` (of either), `share` (area of the first over both) and `one_fwhm` (of
    the one symmetric peak), each with its standard uncertainty, in units of x; `chi2_one` (symmetric) and `chi2_two`
    (one shape) are reduced. `unresolved` says why the pair's numbers must not be used, empty where they may; `why` says
    why there is not even evidence. `one_fwhm` is (0, 0) where the one peak could not be fitted.
    """

    evidence: float
    split: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    fwhm: tuple[float, float]
    share: tuple[float, float]
    one_fwhm: tuple[float, float]
    chi2_one: float
    chi2_two: float
    unresolved: str
    why: str


NONE = (0.0, 0.0)
NOTHING = PairEstimate(0.0, NONE, NONE, NONE, NONE, NONE, NONE, 0.0, 0.0, "", "")


def no_pair(why: str) -> PairEstimate:
    """Nothing could be fitted, and why."""
    return NOTHING._replace(unresolved=why, why=why)


def fit_pair(
    x: np.ndarray,
    y: np.ndarray,
    sigma: np.ndarray | None = None,
    *,
    poisson: bool = False,
    min_significance: float = 5.0,
    min_share: float = 0.1,
    doublet: Doublet | None = None,
) -> PairEstimate:
    """One peak or two in a window: `x` increasing, `y`, and `sigma` where known, all `(n,)` and finite.

    `sigma` wins over `poisson`. `min_share`: the least part of the area of both that the smaller peak of a resolved
    pair has.

    >>> from insitu.maths.peaks.profiles import pseudo_voigt
    >>> x = np.linspace(11.06, 11.16, 51)
    >>> clean = pseudo_voigt(x, 11.103, 0.01, 0.5, 15.0) + pseudo_voigt(x, 11.112, 0.01, 0.5, 12.0) + 20.0
    >>> pair = fit_pair(x, np.random.default_rng(4).poisson(clean), poisson=True)
    >>> pair.evidence > 3.0, round(pair.split[0], 3)
    (True, 0.009)
    """
    n = x.size
    if n < FEWEST_POINTS:
        return no_pair(f"only {n} points (a pair needs {FEWEST_POINTS})")
    x, y = part(x, 0, n), part(y, 0, n)
    kind = KNOWN if sigma is not None else POISSON if poisson else RESIDUALS
    variance = np.empty(n)
    if not window_variance(y, y if sigma is None else part(sigma, 0, n), kind, variance):
        return no_pair(NO_SIGMA)
    used = int(np.count_nonzero(variance < np.inf))
    if used < FEWEST_POINTS:
        return no_pair(f"only {used} points with a finite uncertainty (a pair needs {FEWEST_POINTS})")
    window = Window(x, y, 1.0 / variance, doublet or Doublet(1.0, 0.0))
    first = begin(window, variance, 0.6 * min_significance)
    if first is None:
        return no_pair(f"no peak above {min_significance:g} sigma")
    one = fit_model(window, first, ONE)
    two = pair_of_one_shape(window, one.p)
    for _ in range(REWEIGHTED if kind == POISSON else 0):
        expected = curve(x, two.p, TWO, *lines(window, two.p))
        window = window._replace(weight=1.0 / np.maximum(expected, 1.0))
        two = fit_model(window, two.p, TWO)
    one = fit_model(window, one.p, ONE)
    models = _Models(one, lopsided(window, one.p), two, pair_of_two_widths(window, two.p))
    return _judge(window, used, kind, models, min_significance, min_share)


def warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    x = np.linspace(0.0, 1.0, 40)
    y = 1e4 * np.exp(-(((x - 0.4) / 0.1) ** 2)) + 1e4 * np.exp(-(((x - 0.6) / 0.1) ** 2)) + 10.0
    fit_pair(x, y, poisson=True)


class _Models(NamedTuple):
    """The four models of a window; `own` None where it is no pair."""

    one: Fitted
    sided: Fitted
    two: Fitted
    own: Fitted | None

    def bic(self, noise: float, extra: int, points: int) -> tuple[float, float]:
        """BIC of one and of two peaks; `extra` numbers are common to all models."""
        known = [(self.one, 6), (self.sided, 7), (self.two, 8), *([] if self.own is None else [(self.own, 9)])]
        found = [model.chi2 / noise + (numbers + extra) * math.log(points) for model, numbers in known]
        return min(found[:2]), min(found[2:])


def _judge(window: Window, used: int, kind: int, models: _Models, least: float, min_share: float) -> PairEstimate:
    """Evidence, and the numbers of the pair or why they must not be used."""
    one, two = models.one, models.two
    extra, floor = (1 if window.doublet.fit_ratio else 0), (0.0 if kind == RESIDUALS else 1.0)
    chi2_one, chi2_two = one.chi2 / (used - 6 - extra), two.chi2 / (used - 8 - extra)
    other = math.inf if models.own is None else models.own.chi2 / (used - 9 - extra)
    noise = max(min(chi2_two, other), floor, 1e-300)
    gain = float(line_chi2(window.x, window.y, window.weight)) - min(one.chi2, two.chi2)
    if not gain / (noise if kind == RESIDUALS else 1.0) >= least**2:
        return no_pair(f"no peak above {least:g} sigma")
    bic_one, bic_two = models.bic(noise, extra, used)
    evidence = 0.5 * (bic_one - bic_two) - PRIOR
    if not math.isfinite(evidence):
        return no_pair(NOT_NUMBERS)
    found = NOTHING._replace(
        evidence=evidence,
        one_fwhm=_one_fwhm(window, one, max(chi2_one, floor)),
        chi2_one=chi2_one,
        chi2_two=chi2_two,
    )
    if evidence <= 0.0:
        return found._replace(unresolved=f"one peak describes the points as well (log odds for two {evidence:.1f})")
    return _resolved(window, two, found, max(chi2_two, floor), min_share)


def _one_fwhm(window: Window, one: Fitted, scale: float) -> tuple[float, float]:
    """FWHM of the one peak, where it is one."""
    cov = model_covariance(window, one, ONE) if one.status == CONVERGED and one.p[3] > 0.0 else None
    low, high = bounds(window, ONE, one.p.size)
    if cov is None or not (np.all(low[:2] < one.p[:2]) and np.all(one.p[:2] < high[:2])):
        return 0.0, 0.0
    sigma = math.sqrt(max(cov[1, 1] * scale, 0.0))
    return (float(one.p[1]), sigma) if math.isfinite(sigma) else (0.0, 0.0)


def _resolved(window: Window, two: Fitted, found: PairEstimate, scale: float, min_share: float) -> PairEstimate:
    """The pair's numbers with uncertainties, or why they must not be used."""
    p = two.p
    if two.status != CONVERGED:
        return found._replace(unresolved=f"{WHY[two.status]}, with two peaks")
    cov = model_covariance(window, two, TWO) if p[4] > 0.0 and p[5] > 0.0 else None
    if cov is None:
        return found._replace(unresolved=f"{WHY[SINGULAR]}, with two peaks")
    low, high = bounds(window, TWO, p.size)
    if not (np.all(low[:3] < p[:3]) and np.all(p[:3] < high[:3])):
        return found._replace(unresolved="the fit of two peaks ran to the edge of what is possible")
    a, b = (0, 1) if p[0] <= p[1] else (1, 0)
    total = p[4] + p[5]
    share = float(p[4 + a] / total)
    if min(share, 1.0 - share) < min_share:
        return found._replace(
            unresolved=f"the smaller peak has only {100.0 * min(share, 1.0 - share):.2g} % of the area"
        )

    def measured(value: float, gradient: dict[int, float]) -> tuple[float, float]:
        """A value and its uncertainty, `gradient` its slope by place in the pair's numbers."""
        g = np.zeros(p.size)
        for place, slope in gradient.items():
            g[place] = slope
        return float(value), math.sqrt(max(float(np.sum(g[:, None] * cov * g[None, :])) * scale, 0.0))

    numbers = {
        "split": measured(p[b] - p[a], {a: -1.0, b: 1.0}),
        "low": measured(p[a], {a: 1.0}),
        "high": measured(p[b], {b: 1.0}),
        "fwhm": measured(p[2], {2: 1.0}),
        "share": measured(share, {4 + a: (1.0 - share) / total, 4 + b: -share / total}),
    }
    if not all(map(math.isfinite, (number for pair in numbers.values() for number in pair))):
        return found._replace(unresolved=NOT_NUMBERS)
    return found._replace(**numbers)
