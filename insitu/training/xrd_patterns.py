"""Simulated powder patterns of the candidates with what real ones suffer from, for training and for trials.

A pattern: up to four candidates (or something that is none, or nothing), each with its lattice strained as its symmetry
lets it, texture (W. A. Dollase, J. Appl. Cryst. 19 (1986) 267, averaged over equivalent planes), doubt about all lines,
size and strain broadening; zero shift and displacement of the sample; Cu K-alpha doublets, tubes and synchrotrons over
different ranges; backgrounds of several shapes with an amorphous hump; counting noise from poor to very good.

SIMULATED, NOT MEASURED. Everything is drawn from the generator that is handed in.
"""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.features.candidates import read_candidates
from insitu.maths.diffraction.cell import terms
from insitu.maths.diffraction.library import LIBRARY, Entry, cell_of, cif
from insitu.maths.diffraction.phase_kernel import add_lines
from insitu.maths.diffraction.powder import lorentz_polarisation
from insitu.maths.diffraction.reference_pattern import ReferencePhase
from insitu.types import Axis, Feature, Frame

TUBES = ((1.54059, 1.54443), (1.54059, 0.0), (0.70932, 0.71361), (1.78900, 1.79284))
"""K-alpha1 and K-alpha2 in angstrom (0: monochromated): copper, copper, molybdenum, cobalt."""
AXES = ((0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1))
"""Directions along which grains like to be aligned."""
VISIBLE = 4.0
"""A phase whose strongest line reaches less, in standard deviations of its noise, is not asked for."""
LEAST_PART = 0.02
"""Nor one with less of the lines' intensity."""


class Known(NamedTuple):
    """A candidate made ready: the phase, coefficients of its metric in `phase.basis`, and for each direction of `AXES`
    the cosines squared between it and all planes of a line, `(lines, planes)`."""

    phase: ReferencePhase
    coefficients: np.ndarray
    terms: np.ndarray
    cosines: tuple[np.ndarray, ...]


class Drawn(NamedTuple):
    """A simulated pattern: the frame, which candidates it holds `(c,)`, and which can be judged `(c,)`: one that
    drowns in the noise is neither there nor not."""

    frame: Frame
    truth: np.ndarray
    judged: np.ndarray
    kind: str


def known(structures: dict[str, Entry] | None = None) -> list[Known]:
    """The candidates (or other structures), in order of their names."""
    wanted = LIBRARY if structures is None else structures
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in wanted.items():
            (Path(folder) / f"{name}.cif").write_text(cif(name, entry), encoding="utf-8")
        phases = read_candidates(Path(folder))
    return [_ready(phase, wanted[phase.name][0]) for phase in phases]


def strangers(count: int, seed: int) -> list[Known]:
    """Structures that are no candidates: two of three have the atoms of a candidate in a cell whose edges are changed
    by 3 to 15 % each, one has a few atoms anywhere in a large cell of low symmetry, with many lines."""
    random = np.random.default_rng((seed, 77))
    names, out = sorted(LIBRARY), {}
    for i in range(count):
        if i % 3 == 2:
            out[f"stranger_{i}"] = _anything(random)
            continue
        group, edges, sites = entry = LIBRARY[names[int(random.integers(len(names)))]]
        a, b, c, *angles = cell_of(entry)
        change = 1.0 + random.choice([-1.0, 1.0], 3) * random.uniform(0.03, 0.15, 3)
        change[1] = change[0] if a == b else change[1]
        change[2] = change[0] if a == b == c else change[2]
        cell = (a * change[0],) if len(edges) == 1 else (a * change[0], b * change[1], c * change[2], *angles)
        out[f"stranger_{i}"] = (group, cell, sites)
    return known(out)


def _anything(random: np.random.Generator) -> Entry:
    """Four to seven atoms anywhere in a cell that no symmetry but a centre, or a glide plane, restricts."""
    edges = tuple(float(e) for e in random.uniform(4.5, 13.0, 3))
    elements = random.choice(["Ca", "Si", "Al", "Fe", "Ba", "Na", "P", "S", "Cl", "Zn", "Mo", "La"], 3)
    atoms = [*elements, *["O"] * int(random.integers(1, 5))]
    sites = [(str(e), float(random.random()), float(random.random()), float(random.random())) for e in atoms]
    beta = float(random.uniform(90.0, 115.0)) if random.random() < 0.5 else 90.0
    group = "P 1 21/c 1" if beta > 90.0 else str(random.choice(["P n m a", "P b c a"]))
    return group, (*edges, 90.0, beta, 90.0), sites


def _ready(phase: ReferencePhase, group: str) -> Known:
    import gemmi

    assert phase.g is not None
    assert phase.basis is not None
    rotations = {tuple(map(tuple, op.rot)) for op in gemmi.SpaceGroup(group).operations().sym_ops}
    turns = np.array(sorted(rotations), dtype=np.float64) / gemmi.Op.DEN
    planes = np.einsum("nh,mhk->nmk", phase.hkl, turns)
    g = phase.g
    metric = np.array([[g[0], g[5] / 2, g[4] / 2], [g[5] / 2, g[1], g[3] / 2], [g[4] / 2, g[3] / 2, g[2]]])
    cosines = []
    for axis in AXES:
        along = metric @ np.array(axis, dtype=np.float64)
        size = np.einsum("nmk,kl,nml->nm", planes, metric, planes) * (np.array(axis) @ along)
        cosines.append(np.clip((planes @ along) ** 2 / size, 0.0, 1.0).astype(np.float32))
    start = np.linalg.lstsq(phase.basis, g, rcond=None)[0]
    return Known(phase, start, terms(phase.hkl), tuple(cosines))


class Beamline(NamedTuple):
    """What measures: wavelengths in angstrom, ratio of the second, polarisation K, two theta (n,), FWHM at the middle
    and its growth with tan(theta) in deg, Lorentzian part."""

    wavelength: float
    second: float
    polarisation: float
    two_theta: np.ndarray
    fwhm: float
    growth: float
    eta: float


def beamline(random: np.random.Generator) -> Beamline:
    """A tube or a synchrotron, over some range of Q."""
    if random.random() < 0.55:
        first, second = TUBES[int(random.choice(4, p=[0.6, 0.25, 0.1, 0.05]))]
        polarisation, fwhm = (
            float(random.uniform(0.5, 1.0)),
            float(np.exp(random.uniform(math.log(0.04), math.log(0.25)))),
        )
    else:
        first, second = float(random.uniform(0.2, 1.1)), 0.0
        polarisation, fwhm = 0.0, float(np.exp(random.uniform(math.log(0.005), math.log(0.15)))) * first / 0.5
    low, high = random.uniform(0.5, 1.6), random.uniform(3.8, 8.0)
    top = min(high * first / (4.0 * math.pi), math.sin(math.radians(75.0)))
    ends = np.degrees(2.0 * np.arcsin([low * first / (4.0 * math.pi), top]))
    step = float(np.clip(fwhm / random.uniform(2.0, 6.0), (ends[1] - ends[0]) / 8000, (ends[1] - ends[0]) / 1200))
    fwhm = max(fwhm, 1.5 * step)
    two_theta = np.arange(ends[0], ends[1], step)
    return Beamline(
        first, second, polarisation, two_theta, fwhm, fwhm * random.uniform(0.0, 1.5), random.uniform(0.1, 0.9)
    )


def lines_of(one: Known, beam: Beamline, random: np.random.Generator, strain: float) -> tuple[np.ndarray, np.ndarray]:
    """Two theta in deg and areas of a candidate with a strained lattice, texture and doubt; strongest 150 lines."""
    whole = float(np.clip(random.normal(0.0, 0.4 * strain), -strain, strain))
    each = random.normal(0.0, 0.15 * strain, one.coefficients.size)
    assert one.phase.basis is not None
    g = one.phase.basis @ (one.coefficients * (1.0 - 2.0 * (whole + each)))
    inverse = one.terms @ g
    good = inverse > 0.0
    sine = 0.5 * beam.wavelength * np.sqrt(np.where(good, inverse, 1.0))
    at = np.degrees(2.0 * np.arcsin(np.minimum(sine, 0.9999)))
    inside = good & (sine < 0.999) & (at > beam.two_theta[0] - 1.0) & (at < beam.two_theta[-1] + 1.0)
    rows = np.flatnonzero(inside)
    area = one.phase.strengths(_tabled(beam.wavelength))[rows] * lorentz_polarisation(at[rows], beam.polarisation)
    if rows.size > 150:
        strongest = np.sort(np.argsort(-area, kind="stable")[:150])
        rows, area = rows[strongest], area[strongest]
    if rows.size and random.random() < 0.5:
        r = float(np.exp(random.normal(0.0, 0.25)))
        cosine = one.cosines[int(random.integers(len(AXES)))][rows].astype(np.float64)
        area = area * np.mean((r * r * cosine + (1.0 - cosine) / r) ** -1.5, axis=1)
    area = area * np.exp(random.normal(0.0, random.choice([0.03, 0.1, 0.25]), rows.size))
    return at[rows], area


def _tabled(wavelength: float) -> float:
    """Strengths change little with the wavelength: a few of them are worked out, and kept."""
    return min((0.4, 0.7093, 1.0, 1.5406, 1.789), key=lambda w: abs(w - wavelength))


def drawn(
    candidates: Sequence[Known], others: Sequence[Known], random: np.random.Generator, strain: float = 0.01
) -> Drawn:
    """One pattern: empty, of a stranger alone, or of one to four candidates, perhaps with a stranger beside them."""
    beam = beamline(random)
    x = beam.two_theta
    kind = str(random.choice(["empty", "stranger", "candidates"], p=[0.06, 0.14, 0.80]))
    chosen: list[int] = []
    parts: list[np.ndarray] = []
    if kind == "candidates":
        count = int(random.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.18, 0.12]))
        chosen = [int(i) for i in random.choice(len(candidates), count, replace=False)]
        parts = [curve(candidates[i], beam, random, strain) for i in chosen]
    if kind == "stranger" or (kind == "candidates" and random.random() < 0.15):
        parts.append(curve(others[int(random.integers(len(others)))], beam, random, strain))
    share = np.exp(random.normal(0.0, 1.0, len(parts)))
    if kind == "candidates" and len(parts) > len(chosen):
        share[-1] *= 0.3
    sums = np.array([float(p.sum()) for p in parts])
    parts = [p * (w / s) if s > 0.0 else p for p, w, s in zip(parts, share, sums, strict=True)]
    total = np.sum(parts, axis=0) if parts else np.zeros(x.size)
    peak = float(np.exp(random.uniform(math.log(100.0), math.log(3e5))))
    scale = peak / float(total.max()) if total.max() > 0.0 else 0.0
    level = peak * float(np.exp(random.uniform(math.log(0.003), math.log(0.7))))
    expected = total * scale + ground(x, beam, random, level)
    counts = random.poisson(expected).astype(np.float64)
    if random.random() < 0.3:
        counts *= float(random.uniform(1e-3, 10.0))
    truth, judged = np.zeros(len(candidates)), np.ones(len(candidates))
    for i, part in zip(chosen, parts, strict=False):
        height = part * scale / np.sqrt(expected + 1.0)
        seen = height.max() > VISIBLE and part.sum() > LEAST_PART * total.sum() > 0.0
        truth[i], judged[i] = (1.0, 1.0) if seen else (0.0, 0.0)
    if kind == "candidates" and not truth.any():
        judged[:] = 0.0
    return Drawn(frame_of(x, counts, beam.wavelength, beam.second), truth, judged, kind)


def curve(one: Known, beam: Beamline, random: np.random.Generator, strain: float) -> np.ndarray:
    """The pattern `(n,)` of one phase, on a scale of its own."""
    x, out = beam.two_theta, np.zeros(beam.two_theta.size)
    at, area = lines_of(one, beam, random, strain)
    shift = random.normal(0.0, 0.02) * (0.2 + 0.8 * beam.wavelength / 1.54)
    height = random.normal(0.0, 0.03) * (0.1 if beam.second == 0.0 else 1.0)
    size = np.degrees(beam.wavelength / float(np.exp(random.uniform(math.log(80.0), math.log(20000.0)))))
    micro = math.degrees(float(abs(random.normal(0.0, 0.0015))))
    theta = np.radians(at) / 2.0
    own = size / np.cos(theta) + 4.0 * micro * np.tan(theta)
    width = np.maximum(np.hypot(beam.fwhm + beam.growth * np.tan(theta), own), 1.2 * (x[1] - x[0]))
    moved = at + shift + height * np.cos(theta)
    add_lines(x, moved, area, width, beam.eta, out)
    if beam.second:
        sine = np.sin(theta) * beam.second / beam.wavelength
        good = sine < 0.999
        twice = np.degrees(2.0 * np.arcsin(sine[good])) + (moved - at)[good]
        add_lines(x, twice, 0.5 * area[good], width[good], beam.eta, out)
    return out


def ground(x: np.ndarray, beam: Beamline, random: np.random.Generator, level: float) -> np.ndarray:
    """A background of some shape, `level` high on average, perhaps with one or two amorphous humps."""
    t = (x - x[0]) / (x[-1] - x[0])
    shape = (
        0.3 + random.uniform(0.0, 2.0) * np.exp(-t / random.uniform(0.03, 0.4)) + random.uniform(0.0, 0.5) * (1.0 - t)
    )
    shape += random.uniform(0.0, 0.3) * np.cos(math.pi * random.uniform(0.5, 2.5) * t + random.uniform(0.0, 6.3)) ** 2
    for _ in range(int(random.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):
        q, wide = random.uniform(1.0, 3.2), random.uniform(0.25, 0.9)
        here = 4.0 * math.pi / beam.wavelength * np.sin(np.radians(x) / 2.0)
        shape += random.uniform(0.2, 3.0) * np.exp(-0.5 * ((here - q) / wide) ** 2)
    return level * shape / float(shape.mean())


def frame_of(x: np.ndarray, y: np.ndarray, wavelength: float, second: float = 0.0) -> Frame:
    """A pattern as a frame."""
    context = {"wavelength": Feature(wavelength, "angstrom")}
    if second:
        context["wavelength2"] = Feature(second, "angstrom")
    return Frame(
        source="det", data=np.ascontiguousarray(y), dims=("two_theta",), unit="counts", time_ns=0, seq=0, n=0,
        axes={"two_theta": Axis(np.ascontiguousarray(x, dtype=np.float64), "deg")}, context=context,
        labels={"simulated": "true"},
    )  # fmt: skip
