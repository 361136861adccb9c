"""How far an absorption spectrum is from what is normal: anomaly scores with a declared false-alarm rate.

    python -m insitu.training.xafs_anomaly --out pipelines/models/xafs_anomaly [--key FILE] [--quick]

Two bundles, both on the features of a measurement, each a distance in units of the usual scatter (Mahalanobis).
`xafs_anomaly` is for any spectrum: noise, the largest glitch and the white line, learnt from measured spectra of
several beamlines and from the simulator; its threshold is set on measured groups (a compound, a beamline, a series)
that it was not learnt from. `xafs_session_anomaly`, beside it: one beamline in one session, in transmission with a foil
behind the sample; the edge step and the foil's offset as well, learnt from the simulator and in its terms: a jump of
the monochromator or a sample that moved cannot be told from one spectrum of an unknown sample.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import InsituError
from insitu.features.xafs_edge import EdgeFeatures
from insitu.features.xafs_foil import Foil
from insitu.features.xafs_quality import Quality
from insitu.maths.absorption.model_samples import REACTIONS
from insitu.models.manifest import Judgement, TrainingData
from insitu.models.preparing import preparation
from insitu.prepare.absorption import Absorption
from insitu.readers.simulated_xas import XasBeamline
from insitu.training import trials, whitening
from insitu.training.metrics import threshold_for, wilson
from insitu.training.options import Options, options
from insitu.training.publish import data, files_digest, publish, ranges_of, settings_digest
from insitu.training.splits import leave_one_out
from insitu.training.xas_library import compound_of, spectra
from insitu.types import Frame

KEYS = {False: ("noise", "glitch_size", "white_line_height"),
        True: ("noise", "glitch_size", "white_line_height", "edge_step", "foil_offset")}  # fmt: skip
LOG = ("noise", "edge_step")
FLOOR = {"noise": 0.3, "glitch_size": 0.01, "white_line_height": 0.05, "edge_step": 0.02, "foil_offset": 0.2}
"""Scatter that is normal at least: of logarithms, edge steps, eV."""
RATE = {False: 0.01, True: 2e-6}
LEARN, TUNE, CLEAN, FAULTY = 400, 800, 10_000, 40
"""Simulated spectra for each reaction."""
QUICK = (40, 40, 20, 4)
FAULTS = ("beam_loss", "glitch", "energy_jump", "sample_moved", "saturated")
OTHERS = ("xdi_spec_samples", "columns_misc", "beamline_formats", "repeat_scans", "series_lno_ni_k_operando")
"""Measured spectra beside the library; each file is a group, but a series is one, and repeats are one."""
TOGETHER = ("repeat_scans", "series_lno_ni_k_operando")
SPLIT = {False: "by compound, beamline or series", True: "other seeds and settings"}


class Measure:
    """Frames to the network's input, as a pipeline does it: `absorption`, the extractors, the preparation."""

    def __init__(self, session: bool) -> None:
        keys = KEYS[session]
        self.params = {"keys": list(keys), "log": [k for k in keys if k in LOG]}
        self._prepare = preparation("features", self.params)
        self.steps = [Absorption()]
        self.extractors = [EdgeFeatures(), Quality(), *([Foil()] if session else [])]

    def __call__(self, frame: Frame) -> np.ndarray | None:
        """float32 `(keys,)`, or None."""
        prepared = frame.dims == ("energy",)
        return self._prepare(trials.measurement(frame, [] if prepared else self.steps, self.extractors)).input


def simulators(reaction: str, seed: int, count: int, fault: str = "") -> Iterator[tuple[XasBeamline, int]]:
    """Beamlines with settings drawn with the seed, each for up to 20 spectra."""
    for i in range(0, count, 20):
        random = np.random.default_rng((seed, sorted(REACTIONS).index(reaction), i))
        reader = XasBeamline(
            seed=int(random.integers(1, 2**31)),
            sample=reaction,  # pyright: ignore[reportArgumentType]
            reaction_start=float(random.uniform(-60.0, 10.0)),
            photons=float(np.exp(random.uniform(np.log(3e5), np.log(3e6)))),
            beam_noise=float(random.uniform(5e-4, 1.5e-3)),
            points=int(random.integers(1200, 2000)),
            edge_step=float(random.uniform(0.9, 1.1)),
            faults=(f"{fault}@0",) if fault else (),
        )
        yield reader, min(20, count - i)


def simulated(reaction: str, seed: int, count: int, fault: str = "") -> Iterator[Frame]:
    """Spectra of one reaction."""
    for reader, n in simulators(reaction, seed, count, fault):
        yield from trials.frames(reader, 0, n)


def measured(folder: Path, measure: Measure) -> tuple[np.ndarray, list[str], list[Path]]:
    """Inputs of the measured spectra `(k, keys)`, the group of each, and the files. Files without an edge are left
    out: they are no spectra."""
    rows, groups, files = [], [], []
    library = [(f, (compound_of(f) or (f.stem,))[0]) for f in sorted((folder / "xafs" / "xaslib").glob("*/*"))]
    for name in OTHERS:
        some = sorted(f for f in (folder / "xafs" / name).iterdir() if f.is_file())
        library += [(f, name if name in TOGETHER else f.stem) for f in some]
    for file, group in library:
        try:
            found = [measure(frame) for frame in spectra(file)]
        except (InsituError, ValueError):
            continue  # no spectrum: the folders hold other files too
        good = [x for x in found if x is not None]
        rows += good
        groups += [group] * len(good)
        files += [file] if good else []
    return np.array(rows), groups, files


def even(groups: Sequence[str], most: int = 4) -> np.ndarray:
    """Rows of which no group has more than a few, so that a long series does not decide what is normal."""
    seen: dict[str, int] = {}
    keep = []
    for i, group in enumerate(groups):
        seen[group] = seen.get(group, 0) + 1
        if seen[group] <= most:
            keep.append(i)
    return np.array(keep)


def held_out(rows: np.ndarray, groups: list[str], normal: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """The largest score of every group, learnt from the others and from `normal` (simulated) rows."""
    out = []
    for _, train, test in leave_one_out(groups):
        kept = train[even([groups[i] for i in train])]
        made = whitening.features(np.concatenate([rows[kept], normal[:: max(1, len(normal) // 40)]]), floor)
        out.append(float(made(rows[test]).max()))
    return np.array(out)


class Learnt(NamedTuple):
    """A distance, its threshold, what it was learnt from, the bodies of data, and metrics on measured spectra."""

    made: whitening.Features
    level: float
    known: np.ndarray
    bodies: list[TrainingData]
    metrics: list[dict[str, Any]]


def learnt(chosen: Options, normal: np.ndarray, tuned: np.ndarray, session: bool) -> Learnt:
    """Learn from simulated rows `normal`, and for any spectrum from the measured ones."""
    keys = KEYS[session]
    floor = np.array([FLOOR[k] for k in keys])
    normal, tuned = normal[:, : len(keys)], tuned[:, : len(keys)]
    settings = {"keys": keys, "reactions": sorted(REACTIONS), "n": len(normal), "seed": chosen.seed}
    bodies = [data("simulated absorption beamline", settings_digest(settings), "simulated", len(normal))]
    if session:
        made = whitening.features(normal, floor)
        return Learnt(made, threshold_for(made(tuned), RATE[True]), normal, bodies, [])
    measure = Measure(session=False)
    rows, groups, files = measured(chosen.data, measure)
    held = held_out(rows, groups, normal, floor)
    kept = np.concatenate([rows[even(groups)], normal[:: max(1, len(normal) // 40)]])
    made, level = whitening.features(kept, floor), threshold_for(held, RATE[False])
    bodies.insert(0, data("IXAS library and files of other beamlines", files_digest(files), "real", len(rows)))
    alarms = wilson(int(np.sum(held > level)), len(held))
    note = f"groups with a frame above, of {len(rows)} spectra; the threshold comes from these groups"
    metrics = [alarms.metric("false_alarms", data="real", split=SPLIT[False], note=note)]
    return Learnt(made, level, kept, bodies, metrics + glitches(chosen.data, measure, made, level))


def glitches(folder: Path, measure: Measure, made: whitening.Features, level: float) -> list[dict[str, Any]]:
    """The file with a monochromator's glitch, and the normal ones of the same beamline; none was learnt from."""
    files = sorted((folder / "xafs" / "glitch_dnd").glob("dnd_*.dat"))
    scores = {f.stem: trials.trial(f.stem, spectra(f), measure, made) for f in files}
    for name, found in scores.items():
        print(f"{name}: {found.scores.round(3).tolist()}")
    bad = [t for n, t in scores.items() if "glitch" in n]
    good = [t for n, t in scores.items() if "glitch" not in n]
    if not bad:
        return []
    out = [bad[0].found(level).metric("found_glitch", data="real", split="not learnt from", note="dnd_glitchfile.dat")]
    calm = sum(t.alarms(level) for t in good)
    figure = wilson(calm, sum(t.scores.size for t in good))
    return [*out, figure.metric("false_alarms_same_beamline", data="real", split="not learnt from")]


def rows_of(some: Iterable[Frame], measure: Measure) -> np.ndarray:
    """Inputs `(k, keys)`; NaN where a frame has none."""
    nothing = np.full(len(measure.params["keys"]), np.nan)
    return np.array([nothing if (x := measure(frame)) is None else x for frame in some])


def main(arguments: Sequence[str] | None = None) -> None:
    chosen, measure = options(arguments, __doc__ or ""), Measure(session=True)
    learn, tune, clean, faulty = QUICK if chosen.quick else (LEARN, TUNE, CLEAN, FAULTY)
    reactions = sorted(REACTIONS)
    normal, tuned = (
        np.concatenate([rows_of(simulated(r, chosen.seed + i, n), measure) for r in reactions])
        for i, n in ((1, learn), (2, tune))
    )
    both = {session: learnt(chosen, normal, tuned, session) for session in (True, False)}
    print({name: round(one.level, 3) for name, one in both.items()}, flush=True)
    bad = {
        fault: np.concatenate([rows_of(simulated(r, chosen.seed + 3, faulty, fault), measure) for r in reactions])
        for fault in FAULTS
    }
    good = {}
    for reaction in reactions:
        good[reaction] = rows_of(simulated(reaction, chosen.seed + 100, clean), measure)
        print(f"{reaction}: {clean} clean spectra", flush=True)
    for session, one in both.items():
        width, about = len(KEYS[session]), {"data": "simulated", "split": SPLIT[True]}
        calm = [trials.Trial(name, one.made(x[:, :width])) for name, x in good.items()]
        found = [trials.Trial(name, one.made(x[:, :width])) for name, x in bad.items()]
        metrics = [*one.metrics, dict(trials.false_alarms(calm, one.level, **about))]
        metrics += map(dict, trials.table(found, one.level, **about))
        for metric in metrics:
            print(metric)
        told(chosen, one, metrics, session)


def told(chosen: Options, one: Learnt, metrics: Sequence[dict[str, Any]], session: bool) -> None:
    """Write one of the two bundles."""
    name = "xafs_session_anomaly" if session else "xafs_anomaly"
    where = chosen.out.with_name(name) if session else chosen.out
    publish(
        Options(**{**vars(chosen), "out": where}),
        name=name,
        script="insitu.training.xafs_anomaly",
        task="anomaly",
        modality="xafs",
        description=(
            "How far a transmission spectrum with its foil is from those of a session of the simulated beamline (edge "
            "step 0.9 to 1.1, energies right): in the simulator's terms. Learn your own session's."
            if session
            else "How far noise, glitches and white line of a spectrum are from those of good ones, of any element."
        ),
        labels=[],
        model=one.made.graph(),
        preparation=("features", Measure(session).params),
        golden=one.known[:: max(1, len(one.known) // 16)][:16].astype(np.float32),
        output_names=("score",),
        trained_on=one.bodies,
        split=SPLIT[session],
        metrics=metrics,
        ranges=ranges_of(one.known, share=1.0),
        decision=Judgement(threshold=round(one.level, 4), false_alarms=RATE[session]),
        batch_exact=False,
    )


if __name__ == "__main__":
    main()
