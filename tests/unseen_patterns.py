"""Patterns as others measure them, which the phase network has not learnt from: what it and the fit say together.

Drawn here apart from `insitu.training.xrd_patterns`: one condition at a time, far outside of what is usual. Used by a
test (a few) and by `tests/prove.py`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.features.xrd_phases import Phases
from insitu.inference.onnx import Onnx
from insitu.inference.phases_agree import PhasesAgree
from insitu.maths.diffraction.phase_kernel import add_lines
from insitu.maths.diffraction.powder import lorentz_polarisation
from insitu.training import trials
from insitu.training.xrd_patterns import AXES, Known, frame_of, known
from insitu.types import Frame, Verdict
from tests.strangers import ALIKE, STRANGERS

BUNDLE = Path(__file__).resolve().parent.parent / "pipelines" / "models" / "xrd_phases"


class Measured(NamedTuple):
    """How a pattern is measured (wavelengths in angstrom, angles and widths in deg, counts), and what the sample is
    like: lattice strain, texture (March's r), size of the crystals in angstrom, microstrain, doubt about intensities,
    amounts of the phases in it."""

    wavelength: float = 1.54059
    second: float = 1.54443
    low: float = 20.0
    high: float = 100.0
    step: float = 0.02
    fwhm: float = 0.1
    peak: float = 1e4
    background: float = 200.0
    zero: float = 0.0
    hump: float = 0.0
    saturation: float = math.inf
    scale: float = 1.0
    taken_off: bool = False
    strain: float = 0.0
    texture: float = 1.0
    size: float = 1e9
    micro: float = 0.0
    doubt: float = 0.0
    amounts: tuple[float, ...] = (1.0,)


CONDITIONS: dict[str, Measured] = {
    "usual": Measured(),
    "molybdenum": Measured(0.70932, 0.71361, 8.0, 50.0, 0.01, 0.06),
    "cobalt": Measured(1.789, 1.79284, 25.0, 115.0),
    "0.2 angstrom": Measured(0.2, 0.0, 1.0, 16.0, 0.003, 0.015),
    "0.4 angstrom": Measured(0.41, 0.0, 2.0, 30.0, 0.005, 0.01, background=50.0),
    "0.8 angstrom": Measured(0.8, 0.0, 5.0, 60.0, 0.005, 0.02),
    "fine steps": Measured(step=0.005),
    "coarse steps": Measured(step=0.1, fwhm=0.2),
    "begins at 45 deg": Measured(low=45.0, high=120.0),
    "ends at 60 deg": Measured(low=15.0, high=60.0),
    "amorphous hump": Measured(hump=1.0),
    "fluorescence": Measured(background=5e4, peak=5e3),
    "zero off by 0.5 deg": Measured(zero=0.5),
    "zero off by -0.5 deg": Measured(zero=-0.5),
    "hot by 0.5 %": Measured(strain=0.005),
    "strained by 2 %": Measured(strain=0.02),
    "some texture": Measured(texture=0.7),
    "strong texture": Measured(texture=0.5),
    "crystals of 5 nm": Measured(size=50.0),
    "crystals of 10 nm": Measured(size=100.0),
    "6 nm, hump, zero": Measured(size=60.0, hump=0.5, zero=0.1),
    "microstrain": Measured(micro=0.01),
    "saturated": Measured(saturation=0.5),
    "10 counts": Measured(peak=10.0, background=2.0),
    "100 counts": Measured(peak=100.0, background=10.0),
    "a million counts": Measured(peak=1e6, background=1e4),
    "intensities doubtful": Measured(doubt=0.3),
    "scaled to 1": Measured(scale=1e-4),
    "background taken off": Measured(taken_off=True),
    "half and half": Measured(amounts=(1.0, 1.0)),
    "ten to one": Measured(amounts=(1.0, 0.1)),
    "three phases": Measured(amounts=(1.0, 1.0, 1.0)),
}


@cache
def candidates() -> list[Known]:
    return known()


@cache
def strangers(alike: bool) -> list[Known]:
    return known(ALIKE if alike else STRANGERS)


@cache
def extractors() -> tuple[Onnx, Phases, PhasesAgree]:
    """As in the recipe `xrd_network`."""
    return Onnx(bundle=BUNDLE), Phases(library=True, strain=0.01), PhasesAgree()


def lines(one: Known, how: Measured, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two theta and areas of a phase."""
    assert one.phase.basis is not None
    stretched = 1.0 + random.choice([-1.0, 1.0]) * how.strain
    inverse = np.maximum(one.terms @ (one.phase.basis @ (one.coefficients * stretched**-2)), 1e-9)
    sine = 0.5 * how.wavelength * np.sqrt(inverse)
    rows = np.flatnonzero(sine < 0.999)
    at = np.degrees(2.0 * np.arcsin(sine[rows]))
    inside = (at > how.low - 1.0) & (at < how.high + 1.0)
    at, rows = at[inside], rows[inside]
    area = one.phase.strengths(how.wavelength)[rows] * lorentz_polarisation(at, 1.0 if how.second else 0.0)
    if how.texture != 1.0:
        cosine = one.cosines[int(random.integers(len(AXES)))][rows].astype(np.float64)
        area = area * np.mean((how.texture**2 * cosine + (1.0 - cosine) / how.texture) ** -1.5, axis=1)
    return at, area * np.exp(random.normal(0.0, how.doubt, area.size))


def curve(one: Known, x: np.ndarray, how: Measured, random: np.random.Generator) -> np.ndarray:
    """The pattern of one phase, its sum 1."""
    out = np.zeros(x.size)
    at, area = lines(one, how, random)
    theta = np.radians(at) / 2.0
    own = np.degrees(0.9 * how.wavelength / how.size) / np.cos(theta) + 4.0 * np.degrees(how.micro) * np.tan(theta)
    width = np.maximum(np.hypot(how.fwhm, own), 1.2 * how.step)
    add_lines(x, at + how.zero, area, width, 0.5, out)
    if how.second:
        sine = np.minimum(np.sin(theta) * how.second / how.wavelength, 0.9999)
        add_lines(x, np.degrees(2.0 * np.arcsin(sine)) + how.zero, 0.5 * area, width, 0.5, out)
    return out / max(float(out.sum()), 1e-300)


def pattern(phases: Sequence[Known], how: Measured, random: np.random.Generator) -> Frame:
    """A pattern of phases, in the amounts of `how`."""
    x = np.arange(how.low, how.high, how.step)
    total = np.sum([w * curve(one, x, how, random) for one, w in zip(phases, how.amounts, strict=True)], axis=0)
    q = 4.0 * math.pi / how.wavelength * np.sin(np.radians(x) / 2.0)
    ground = how.background + how.hump * how.peak * np.exp(-0.5 * ((q - 1.7) / 0.4) ** 2)
    counts = random.poisson(total * (how.peak / float(total.max())) + ground).astype(np.float64)
    counts = np.minimum(counts, how.saturation * how.peak)
    counts -= np.percentile(counts, 20.0) if how.taken_off else 0.0
    return frame_of(x, counts * how.scale, how.wavelength, how.second)


def said(frame: Frame) -> tuple[Verdict, set[str]]:
    """What the two say together, and which phases the verdict names for certain."""
    network, fit, judge = extractors()
    measurement = trials.measurement(frame, [], [network, fit])
    verdict = judge(measurement)
    assert verdict is not None
    shares = {n: measurement.features[f"phase_{n}_share"].value for n in (one.phase.name for one in candidates())}
    return verdict, {n for n, share in shares.items() if share and f"perhaps {n} " not in verdict.reason}


def tried(how: Measured, seed: int, some: Sequence[Known] | None = None) -> tuple[str, bool, bool]:
    """One pattern, of candidates or of one of `some`: the label, whether a wrong phase is named in a `normal` verdict,
    and whether the first of the ranking is right."""
    random = np.random.default_rng((seed, 20261122))
    pool = candidates() if some is None else some
    chosen = [pool[int(i)] for i in random.choice(len(pool), len(how.amounts), replace=False)]
    verdict, named = said(pattern(chosen, how, random))
    there = {one.phase.name for one in chosen} if some is None else set()
    wrong = verdict.label == "normal" and bool(named - there)
    return verdict.label, wrong, next(iter(verdict.scores), "") in there


def share(seed: int, each: int, conditions: Sequence[str] = tuple(CONDITIONS)) -> dict[str, int]:
    """`each` patterns of candidates in every condition, and as many of strangers: counts. AssertionError where more
    than one in a hundred of the first, or one in twenty of the second, has a wrong phase in a `normal` verdict."""
    count: Counter[str] = Counter()
    for place, name in enumerate(conditions):
        for k in range(each):
            at = 100_000 * seed + 1_000 * place + k
            for kind, some in (("candidate", None), ("stranger", strangers(False)), ("alike", strangers(True))):
                how = CONDITIONS[name]
                how = how if some is None else how._replace(amounts=(1.0,), strain=0.0)
                label, wrong, right = tried(how, at, some)
                count[f"{kind}s"] += 1
                count[f"{kind}_{label}"] += 1
                count[f"{kind}_wrong"] += wrong
                count["candidate_first_right"] += right
    found: dict[str, Any] = dict(count)
    assert count["candidate_wrong"] <= max(1, 0.01 * count["candidates"]), f"seed {seed}: {found}"
    assert count["stranger_wrong"] <= max(1, 0.05 * count["strangers"]), f"seed {seed}: {found}"
    return found
