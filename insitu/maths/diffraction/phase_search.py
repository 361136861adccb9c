"""Which of many candidate phases a pattern holds: d-I matching, then a non-negative fit, one phase after the other.

1. The area that a line would have is measured everywhere on what no phase explains yet (a matched filter). Every
   candidate's lattice is scaled within `strain` to where its strongest lines, with their relative intensities, are
   best there: this gives its evidence and coverage (`phase_kernel.judge`).
2. The best few are put into a fit of the whole pattern beside the phases already found; the one that lowers its
   chi^2 most is taken if evidence, coverage and gain are high enough, and everything is fitted together (`phase_fit`).
3. Again, until none is.
4. What does not hold up in the fit of all together is taken out again (`phase_hold`).

A candidate whose pattern is that of a phase found (cosine above ALIKE) cannot be told from it and is not tried again.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.observed import LineWidth, Observed
from insitu.maths.diffraction.phase_fit import Fit, Part, pattern, start
from insitu.maths.diffraction.phase_hold import holding, near
from insitu.maths.diffraction.phase_join import joined
from insitu.maths.diffraction.phase_kernel import scan
from insitu.maths.diffraction.phase_trace import Candidates, Trace, judged_part, trace_of

TRIED = 4
"""Candidates of a round that are fitted to the whole pattern."""
ALIKE = 0.97
CHANCE = 1.7
"""So many times what chance grants must evidence times coverage be."""
RIVAL = 0.7
"""A candidate that helps nearly as much as the one taken, with a pattern this much alike, and that is not found later,
is one that cannot be told from it."""
EQUAL = 0.95
"""Of candidates that help so nearly alike, a structure is taken before a table: it has an absolute scale."""
BESIDE = 0.3
"""A candidate with better evidence in lines and so much of the gain may only lie beside them: both are fitted."""
WORSE = 1.5
"""A fit whose chi^2 is so many times higher tells that its candidate is not the other."""
WIDER = 2.5
"""Lines of a fit that are so many times wider or narrower than the peaks seen belong to no phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a candidate counts as found: least evidence (sigma), coverage (part of its expected lines that is there),
    gain of the fit (sigma), lines; how far a lattice may be off (relative), and how many phases at most."""

    evidence: float = 5.0
    coverage: float = 0.6
    gain: float = 6.0
    lines: int = 3
    strain: float = 0.005
    most: int = 6
    refused: int = 3


class Found(NamedTuple):
    """`order` of phases found (indices of candidates), the last `fit` (its parts in that order), `score` (c,) of every
    candidate, `alike` {candidate: the found phase it cannot be told from}, `sigma` (c,) of the scale of those that
    were not found (0 for those that were), `unexplained`: the part of the peaks' area that no phase explains."""

    order: tuple[int, ...]
    fit: Fit
    score: np.ndarray
    alike: dict[int, int]
    sigma: np.ndarray
    unexplained: float


def search(seen: Observed, candidates: Candidates, limits: Limits) -> Found:
    """Find phases in a pattern."""
    beam, total = candidates.beam, len(candidates.phases)
    fit = nothing_found(seen)
    order: list[int] = []
    alike: dict[int, int] = {}
    refused: list[int] = []
    rivals: dict[int, int] = {}
    score = np.zeros(total)
    trace = trace_of(seen, fit, beam)
    while True:
        strains = strains_of(seen, fit.width, limits.strain)
        shifts = np.array([0.0]) if order else shifts_of(seen)
        ranked = scan(
            trace.centre, trace.area, trace.variance, candidates.d, candidates.strength, candidates.first,
            beam.wavelength, strains, shifts + fit.zero, candidates.doubt, trace.joined,
        )  # fmt: skip
        if len(order) >= limits.most or len(refused) >= limits.refused:
            break
        chosen = _next(seen, candidates, limits, fit, (*order, *alike, *refused), ranked, trace)
        if chosen is None:
            break
        k, new, others = chosen
        judged = judged_part(seen, new, len(order), candidates, k)
        middle = np.median(seen.position)
        wide = float(new.width.fwhm(middle) / seen.width.fwhm(middle))
        lies = new.parts[-1].scale > 0.0 and near(new.parts[-1], limits.strain)
        if not (lies and _enough(judged, limits) and 1.0 / WIDER < wide < WIDER):
            refused.append(k)
            continue
        fit = new
        order.append(k)
        for other, same in others:
            rivals.setdefault(other, k)
            if same > ALIKE:
                alike[other] = k
        trace = trace_of(seen, fit, beam)

    def worth(of: Fit, place: int, k: int) -> float:
        judged = judged_part(seen, of, place, candidates, k)
        return float(judged[0]) if _enough(judged, limits) else 0.0

    fit, order = holding(seen, fit, order, beam, limits.strain, worth)
    fit = fit if order else nothing_found(seen)
    for i, k in enumerate(order):
        judged = judged_part(seen, fit, i, candidates, k)
        score[k] = judged[1] * min(1.0, judged[0] / limits.evidence)
    _score_rest(score, ranked, candidates, trace, limits, order)
    alike = {other: k for other, k in (rivals | alike).items() if other not in order and k in order}
    return Found(tuple(order), fit, score, alike, _sigmas(candidates, trace, fit, order), unexplained(seen, fit))


def _enough(judged: np.ndarray, limits: Limits) -> bool:
    """Whether a phase counts as found."""
    return bool(judged[0] >= limits.evidence and judged[1] >= limits.coverage and judged[3] >= limits.lines)


def _score_rest(
    score: np.ndarray, ranked: np.ndarray, candidates: Candidates, trace: Trace, limits: Limits, order: list[int]
) -> None:
    """Fill the scores of what was not found: coverage of what is left, less where it is what chance grants."""
    for k in range(score.size):
        if k in order:
            continue
        value = float(ranked[k, 0] * ranked[k, 1])
        score[k] = ranked[k, 1] * min(1.0, ranked[k, 0] / limits.evidence)
        if score[k] > 0.2:
            score[k] *= min(1.0, value / (CHANCE * max(by_chance(candidates, k, trace, limits, 0.0), 1e-9))) ** 2


def strains_of(seen: Observed, width: LineWidth, limit: float) -> np.ndarray:
    """Strains to try, from -limit to limit, half a FWHM apart in the middle of the peaks; the smallest first."""
    middle = 0.5 * math.radians(float(np.mean(seen.position)))
    grain = 0.5 * math.radians(float(np.median(width.fwhm(seen.position)))) / (2.0 * math.tan(middle))
    steps = int(np.clip(math.ceil(limit / max(grain, 1e-9)), 1, 60))
    values = np.linspace(0.0, limit, steps + 1)
    return np.concatenate([values[:1], np.stack([values[1:], -values[1:]], axis=1).ravel()])


def shifts_of(seen: Observed) -> np.ndarray:
    """Zero shifts to try for the first phase: up to a FWHM."""
    w = float(np.median(seen.width.fwhm(seen.position)))
    return np.array([0.0, -0.5, 0.5, -1.0, 1.0]) * w


def nothing_found(seen: Observed) -> Fit:
    """The fit of no phase: everything above the background is left."""
    none = np.zeros((0, seen.x.size))
    weight = 1.0 / seen.sigma**2
    chi2 = float(np.mean(weight * (seen.y - seen.background) ** 2))
    return Fit((), 0.0, seen.width, none, seen.background, seen.background, np.zeros((0, 0)), chi2, weight)


def _next(
    seen: Observed,
    candidates: Candidates,
    limits: Limits,
    fit: Fit,
    closed: tuple[int, ...],
    ranked: np.ndarray,
    trace: Trace,
) -> tuple[int, Fit, list[tuple[int, float]]] | None:
    """The candidate that helps the fit most, the fit with it, and those that are like it; None where none is found."""
    beam = candidates.beam
    worth = ranked[:, 0] * ranked[:, 1] * np.exp(-0.5 * (ranked[:, 3] / limits.strain) ** 2)
    worth[list(closed)] = 0.0
    worth[
        ~(
            (ranked[:, 0] >= limits.evidence)
            & (ranked[:, 1] >= limits.coverage)
            & (ranked[:, 5] >= min(2, limits.lines))
        )
    ] = 0.0
    tried: list[tuple[float, int, Part, np.ndarray]] = []
    net = seen.y - fit.model if fit.parts else seen.y - seen.background
    for k in np.argsort(-worth, kind="stable")[: TRIED if fit.parts else 2 * TRIED]:
        if not worth[k] > 0.0:
            break
        value = float(ranked[k, 0] * ranked[k, 1])
        if value < CHANCE * by_chance(candidates, int(k), trace, limits, float(ranked[k, 4])):
            continue
        part = start(candidates.phases[k], candidates.full[k], float(ranked[k, 3]))
        column = pattern(part, seen.x, fit.width, float(ranked[k, 4]), beam)
        tried.append((_gain(column, net, fit, seen), int(k), part, column))
    tried.sort(key=lambda t: -t[0])
    if not tried or tried[0][0] < limits.gain:
        return None
    equal = [t for t in tried if t[0] > EQUAL * tried[0][0] and t[2].phase.density is not None]
    first = (equal or tried)[0]
    rivals = [t for t in tried if worth[t[1]] > worth[first[1]] and t[0] > BESIDE * first[0]]
    fits = [
        (t[1], joined(seen, fit, t[2], beam, zero=float(ranked[t[1], 4]), strain=limits.strain))
        for t in (first, *rivals[:1])
    ]
    k, new = min(fits, key=lambda f: f[1].chi2)
    mine = new.phases[-1]
    best = tried[0][0]
    told = {other for other, its in fits if its.chi2 > WORSE * new.chi2}
    near = [(t[1], _cosine(mine, t[3])) for t in tried if t[1] not in {k, *told} and t[0] > RIVAL * best]
    others = [(other, same) for other, same in near if same > RIVAL]
    return k, new, others


def by_chance(candidates: Candidates, k: int, trace: Trace, limits: Limits, shift: float) -> float:
    """The highest evidence times coverage of a candidate whose lattice is scaled so far that nothing can be right: what
    the many lines of a pattern grant to any set of lines."""
    a, b = candidates.first[k], candidates.first[k + 1]
    wrong = limits.strain * np.linspace(2.2, 8.0, 30)
    out = scan(
        trace.centre, trace.area, trace.variance, candidates.d[a:b], candidates.strength[a:b],
        np.array([0, b - a]), candidates.beam.wavelength, np.concatenate([wrong, -wrong]), np.array([shift]),
        candidates.doubt[k : k + 1], trace.joined,
    )  # fmt: skip
    return float(out[0, 0] * out[0, 1])


def _gain(column: np.ndarray, net: np.ndarray, fit: Fit, seen: Observed) -> float:
    """By how many sigma a column (n,) improves the fit: of what it has beyond the phases already there."""
    weight = 1.0 / (seen.sigma**2 + (0.05 * np.maximum(seen.y - seen.background, 0.0)) ** 2)
    own = column
    if fit.parts:
        known = fit.phases[[i for i, p in enumerate(fit.parts) if p.scale > 0.0]]
        weighted = known * weight
        own = column - np.linalg.lstsq(weighted @ known.T, weighted @ column, rcond=None)[0] @ known
    size = float(np.sum(weight * own * own))
    if not size > 0.0:
        return 0.0
    scatter = max(1.0, float(np.mean(weight * net * net)))
    return float(np.sum(weight * own * net)) / math.sqrt(size * scatter)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """How alike two patterns are."""
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0.0 else 0.0


def _sigmas(candidates: Candidates, trace: Trace, fit: Fit, order: list[int]) -> np.ndarray:
    """Standard uncertainty of the scale of phases that were not found: what their strongest lines leave unseen."""
    out = np.zeros(len(candidates.phases))
    for k in range(out.size):
        if k in order:
            continue
        lines = candidates.strong[k]
        at = np.clip(np.searchsorted(trace.centre, lines.two_theta), 0, trace.centre.size - 1)
        inside = (lines.two_theta >= trace.centre[0]) & (lines.two_theta <= trace.centre[-1])
        information = float(np.sum(lines.area[inside] ** 2 / trace.variance[at[inside]]))
        out[k] = 1.0 / math.sqrt(information) if information > 0.0 else math.inf
    return out


def unexplained(seen: Observed, fit: Fit) -> float:
    """Part of the area of the peaks found, 0 to 1, that the phases do not explain; by peak, so that one phase too
    strong does not make up for one that is missing."""
    phases = fit.phases.sum(axis=0)
    net = np.maximum(seen.y - (fit.background if fit.parts else seen.background), 0.0)
    left = np.searchsorted(seen.x, seen.position - seen.fwhm)
    right = np.searchsorted(seen.x, seen.position + seen.fwhm)
    sum_net, sum_phases = np.concatenate([[0.0], np.cumsum(net)]), np.concatenate([[0.0], np.cumsum(phases)])
    has, explained = sum_net[right] - sum_net[left], sum_phases[right] - sum_phases[left]
    total = float(np.sum(has))
    return float(np.sum(np.maximum(has - explained, 0.0))) / total if total > 0.0 else 1.0
