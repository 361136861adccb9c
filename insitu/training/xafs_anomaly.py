"""How far an absorption spectrum is from what is normal: an anomaly score with a declared false-alarm rate.

    python -m insitu.training.xafs_anomaly --out pipelines/models/xafs_anomaly [--key FILE] [--quick]
    python -m insitu.training.xafs_anomaly --session --out pipelines/models/xafs_session_anomaly

Two of them, both on the features of a measurement, each a distance in units of the usual scatter (Mahalanobis). The
first is for any spectrum: noise, the largest glitch and the white line, learnt from measured spectra of several
beamlines and from the simulator; its threshold is set on measured groups (a compound, a beamline, a series) that it was
not learnt from. `--session`: one beamline in one session, in transmission with a foil behind the sample; the edge step
and the foil's offset as well, learnt from the simulator, and in its terms: a jump of the monochromator or a sample that
moved cannot be told from one spectrum of an unknown sample.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import InsituError
from insitu.features.xafs_edge import EdgeFeatures
from insitu.features.xafs_foil import Foil
from insitu.features.xafs_quality import Quality
from insitu.maths.absorption.model_samples import REACTIONS
from insitu.models.manifest import Judgement
from insitu.models.preparing import preparation
from insitu.prepare.absorption import Absorption
from insitu.readers.simulated_xas import XasBeamline
from insitu.training import trials, whitening
from insitu.training.metrics import Figure, threshold_for, wilson
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
RATE = {False: 0.01, True: 1e-4}
LEARN, TUNE, CLEAN, FAULTY = 400, 800, 10_000, 40
"""Simulated spectra for each reaction."""
QUICK = (40, 40, 20, 4)
FAULTS = {
    False: ("beam_loss", "glitch", "saturated"),
    True: ("beam_loss", "glitch", "energy_jump", "sample_moved", "saturated"),
}
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
        self._steps = [Absorption()]
        self._extractors = [EdgeFeatures(), Quality(), *([Foil()] if session else [])]

    def __call__(self, frame: Frame) -> np.ndarray | None:
        """float32 `(keys,)`, or None."""
        prepared = frame.dims == ("energy",)
        return self._prepare(trials.measurement(frame, [] if prepared else self._steps, self._extractors)).input


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


def learnt(
    chosen: Options, measure: Measure, session: bool
) -> tuple[whitening.Features, float, np.ndarray, list, list]:
    """The distance, its threshold, what it was learnt from, the bodies of data, metrics on measured spectra."""
    learn, tune = (QUICK if chosen.quick else (LEARN, TUNE))[:2]
    keys = KEYS[session]
    floor = np.array([FLOOR[k] for k in keys])
    drawn = [trials.inputs(simulated(r, chosen.seed + 1, learn), measure)[0] for r in sorted(REACTIONS)]
    normal = np.concatenate(drawn)
    settings = {"keys": keys, "reactions": sorted(REACTIONS), "learn": learn, "seed": chosen.seed}
    bodies = [data("simulated absorption beamline", settings_digest(settings), "simulated", len(normal))]
    if session:
        made = whitening.features(normal, floor)
        tuned = [trials.inputs(simulated(r, chosen.seed + 2, tune), measure)[0] for r in sorted(REACTIONS)]
        return made, threshold_for(made(np.concatenate(tuned)), RATE[True]), normal, bodies, []
    rows, groups, files = measured(chosen.data, measure)
    held = held_out(rows, groups, normal, floor)
    kept = np.concatenate([rows[even(groups)], normal[:: max(1, len(normal) // 40)]])
    made, level = whitening.features(kept, floor), threshold_for(held, RATE[False])
    bodies.insert(0, data("IXAS library and files of other beamlines", files_digest(files), "real", len(rows)))
    alarms = Figure(*wilson(int(np.sum(held > level)), len(held)))
    note = f"groups with a frame above, of {len(rows)} spectra; the threshold comes from these groups"
    metrics = [alarms.metric("false_alarms", data="real", split=SPLIT[False], note=note)]
    return made, level, kept, bodies, metrics + glitches(chosen.data, measure, made, level)


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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--session", action="store_true")
    own, rest = parser.parse_known_args(arguments)
    chosen, session = options(rest, __doc__ or ""), bool(own.session)
    measure = Measure(session)
    made, level, known, bodies, metrics = learnt(chosen, measure, session)
    print(f"threshold {level:.3f}", flush=True)
    clean, faulty = (QUICK if chosen.quick else (LEARN, TUNE, CLEAN, FAULTY))[2:]
    good, bad = [], []
    for reaction in sorted(REACTIONS):
        good.append(trials.trial(reaction, simulated(reaction, chosen.seed + 100, clean), measure, made))
        print(
            f"{reaction}: {good[-1].alarms(level)} alarms of {clean}, largest {np.nanmax(good[-1].scores):.3f}",
            flush=True,
        )
    for fault in FAULTS[session]:
        some = (f for r in sorted(REACTIONS) for f in simulated(r, chosen.seed + 3, faulty, fault))
        bad.append(trials.trial(fault, some, measure, made))
        print(f"{fault}: {bad[-1].found(level)}", flush=True)
    about = {"data": "simulated", "split": SPLIT[True]}
    metrics += [dict(trials.false_alarms(good, level, **about)), *map(dict, trials.table(bad, level, **about))]
    publish(
        chosen,
        name="xafs_session_anomaly" if session else "xafs_anomaly",
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
        model=made.graph(),
        preparation=("features", measure.params),
        golden=known[:: max(1, len(known) // 16)][:16].astype(np.float32),
        output_names=("score",),
        trained_on=bodies,
        split=SPLIT[session],
        metrics=metrics,
        ranges=ranges_of(known, share=1.0),
        decision=Judgement(threshold=round(level, 4), false_alarms=RATE[session]),
        batch_exact=False,
    )


if __name__ == "__main__":
    main()
