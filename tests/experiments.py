"""The long fault tests as experiments: each is a function of a seed and an empty folder that raises where something
is not as promised, and otherwise gives counts for the report. `tests/prove.py` runs them with many seeds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.config import load
from insitu.readers.simulated import Diffractometer
from insitu.replay import verify
from insitu.run import run
from insitu.types import Action
from tests import clean_networks, kills, mutations, students, switches, unseen_patterns
from tests.bluesky import halting, killing
from tests.faults.simulated import FRAME_KINDS, RECIPE, check_answer, clean, demo, steps, transport
from tests.settings import detector, setup

Counts = dict[str, int]
CLEAN_FRAMES = 30_000
FLIPS = 25
ACTIONS = 1_000
SWITCHES = 10
SESSION_KILLS = 40


class Experiment(NamedTuple):
    """What is shown, by what, with how many seeds (`--quick`: how few), and its part of the time with `--minutes`.
    `needs`: a module without which it is left out, and said to be."""

    shows: str
    once: Callable[[int, Path], Counts]
    seeds: int
    quick: int
    part: float
    needs: str = ""


def killed_runs(seed: int, folder: Path) -> Counts:
    """A run killed at a random moment: every acknowledged frame is there with its digest, and no other row."""
    return {"kills": 1, **kills.check(kills.kill_once(folder, seed))}


def killed_recoveries(seed: int, folder: Path) -> Counts:
    """A killed run whose recovery is killed three times over before one may finish."""
    acknowledged, path = kills.killed(folder, 10_000 + seed)
    hit = kills.kill_recovery(path, seed)
    found = {"seed": seed, "acknowledged": acknowledged, **kills.recovered(path)}
    return {"runs": 1, "recoveries_killed": hit, **kills.check(found)}


def faults(seed: int, folder: Path) -> Counts:
    """Every fault of the simulated frame is answered; every fault of the transport is counted."""
    counts = {"halted": 0, "paused": 0, "latest_frame": 0}
    for kind in FRAME_KINDS:
        found = check_answer(kind, seed)
        counts["halted" if found.action is Action.HALT else "paused"] += 1
        counts["latest_frame"] = max(counts["latest_frame"], found.late)
    summary, expected = transport(seed, folder)
    assert summary.frames == expected, f"counted {summary.frames}, expected {expected}"
    report = verify(Path(summary.path))
    assert report.identical, report.findings
    return counts | {"counted_runs": 1}


def clean_frames(seed: int, folder: Path) -> Counts:
    """No action and no anomaly in 30,000 clean frames."""
    counts = clean(CLEAN_FRAMES, seed)
    assert counts == {"frames": CLEAN_FRAMES, "actions": 0, "anomaly": 0, "unknown": 0}, counts
    return counts


def clean_ramps(seed: int, folder: Path) -> Counts:
    """No action in the ramp of the demo, through the transition of the sample; whether the transition was seen."""
    records = list(steps(demo().pipeline(), Diffractometer(seed=seed), range(400)))
    acted = [r.measurement.n for r in records if r.decision.action is not Action.CONTINUE]
    assert not acted, f"an action at n = {acted[0]}"
    seen = any(v.label == "change" for r in records for v in r.verdicts.values())
    return {"frames": len(records), "actions": 0, "transition_seen": int(seen)}


def flipped_bits(seed: int, folder: Path) -> Counts:
    """One flipped bit at a time anywhere in a sealed run: found, and its file named."""
    found = {
        "bench": detector(frames=40, seed=seed, faults=["missing@10-12", "duplicate@20"]),
        "other": {"format": 1, "source": "odd", "reader": {"use": "tests.run.broken:SometimesInvalid"}},
    }
    windows = [["31.0 deg", "32.0 deg"]]
    recipe = {"features": [{"use": "xrd.peaks", "windows": windows, "source": "det"}]}
    path = Path(run(setup(recipe, detectors=found), data_root=folder).path)
    assert verify(path).identical
    copy = folder / "copy"
    shutil.copytree(path, copy)
    names = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file() and p.stat().st_size)
    sizes = np.array([(path / name).stat().st_size for name in names])
    rng = np.random.default_rng((seed, 2))
    for k in range(FLIPS):  # every other one by file, so that small files have their turn, the rest by byte
        name = names[int(rng.integers(len(names)) if k % 2 else rng.choice(len(names), p=sizes / sizes.sum()))]
        data = bytearray((copy / name).read_bytes())
        at, bit = int(rng.integers(len(data))), int(rng.integers(8))
        data[at] ^= 1 << bit
        (copy / name).write_bytes(data)
        report = verify(copy)
        assert not report.identical, f"bit {bit} of byte {at} of {name} was flipped, and nothing was found"
        assert report.findings[0].where.split(":")[0] == name, f"{name}: {report.findings[0]}"
        data[at] ^= 1 << bit
        (copy / name).write_bytes(data)
    assert verify(copy).identical
    return {"flips": FLIPS, "found_and_named": FLIPS, "files": len(names)}


def mutated_bundles(seed: int, folder: Path) -> Counts:
    """A hundred mutated bundles of networks: refused in little memory. Ten more with noise in the network that a
    trusted key signed: refused, or the golden outputs come out."""
    return mutations.mutated(seed, folder, {"tampered": 60, "hostile": 40, "noisy": 10})


def halted_sessions(seed: int, folder: Path) -> Counts:
    """Every fault of a bench, taken by a stock RunEngine: suspended or aborted within three frames."""
    counts = {"faults": 0, "latest_frame": 0}
    for kind in halting.FAULTS:
        found = halting.faulty(kind, seed, folder / kind.replace(" ", "_"))
        counts["faults"] += 1
        counts["latest_frame"] = max(counts["latest_frame"], found["latest_frame"])
    found = halting.stalled(seed, folder / "stalled")
    counts["faults"] += 1
    counts["latest_frame"] = max(counts["latest_frame"], found["latest_frame"])
    return counts


def clean_runs(seed: int, folder: Path) -> Counts:
    """A run in mode `act` of 30,000 clean frames of the demo recipe: nothing is done, every one is stored."""
    reader = {
        "seed": seed, "frames": CLEAN_FRAMES, "temperature_start": "320 K", "temperature_stop": "380 K",
        "temperature_step": f"{60.0 / CLEAN_FRAMES} K", "rate": "5 kHz", "exposure": "10 us", "faults": [],
    }  # fmt: skip
    sets = [f"detector.reader.{key}={json.dumps(value)}" for key, value in reader.items()]
    summary = run(load(RECIPE, sets=["detector.live=false", *sets]), data_root=folder, mode="act")
    assert summary.ended == "complete", summary.reason
    assert summary.decisions == {"CONTINUE": CLEAN_FRAMES}, summary.decisions
    assert summary.frames["stored"] == CLEAN_FRAMES, summary.frames
    return {"frames": CLEAN_FRAMES, "actions": 0}


def clean_sessions(seed: int, folder: Path) -> Counts:
    """Nothing is done in 30,000 clean frames of a stock RunEngine."""
    return halting.clean(seed, folder, CLEAN_FRAMES)


def acted_sessions(seed: int, folder: Path) -> Counts:
    """A thousand pauses, resumes, aborts and finishes at random moments."""
    return halting.random_actions(seed, folder, ACTIONS)


def killed_sessions(seed: int, folder: Path) -> Counts:
    """Forty SIGKILLs of a session's process in one long plan."""
    return killing.killed(seed, folder, SESSION_KILLS)


def switched_models(seed: int, folder: Path) -> Counts:
    """A registry that is killed while models are added, activated, promoted and rolled back."""
    return switches.times(seed, folder, SWITCHES)


def taught_students(seed: int, folder: Path) -> Counts:
    """A student of the shipped phase network, and the gate's word on it."""
    return students.taught(seed, folder)


def peaceful_networks(seed: int, folder: Path) -> Counts:
    """A thousand clean frames of every simulator through the network or recipe that finds its faults."""
    return clean_networks.share(seed, CLEAN_FRAMES // 30)


def unseen(seed: int, folder: Path) -> Counts:
    """The phase network and the fit on patterns of other instruments and samples, and of what they do not know."""
    return unseen_patterns.share(seed, 2)


EXPERIMENTS: dict[str, Experiment] = {
    "kills": Experiment(
        "after SIGKILL at a random moment every acknowledged frame is there with its digest, and no ghost row",
        *(killed_runs, 200, 6, 0.6),
    ),
    "recoveries": Experiment("recovery may itself be killed and repeated", *(killed_recoveries, 40, 2, 0.15)),
    "faults": Experiment(
        "every simulated fault is halted, paused or counted as the demo recipe says", *(faults, 100, 10, 0.05)
    ),
    "clean": Experiment("no false halt in clean frames within one phase", *(clean_frames, 10, 1, 0.1)),
    "ramps": Experiment("no false halt in clean ramps through the transition", *(clean_ramps, 100, 10, 0.05)),
    "flips": Experiment("one flipped bit anywhere in a sealed run is found and named", *(flipped_bits, 20, 2, 0.05)),
    "bundles": Experiment(
        "a mutated bundle of a network is refused without a crash, memory bounded", *(mutated_bundles, 20, 1, 0.05)
    ),
    "halts": Experiment(
        "a fault while a RunEngine scans suspends or aborts the plan within three frames",
        *(halted_sessions, 20, 1, 0.05),
    ),
    "runs": Experiment("no false halt in clean frames of a run", *(clean_runs, 1, 0, 0.05)),
    "scans": Experiment("no false halt in clean frames of a RunEngine", *(clean_sessions, 1, 0, 0.05)),
    "actions": Experiment(
        "pauses, resumes, aborts and finishes at random moments hang, lose and break nothing and are explained",
        *(acted_sessions, 3, 1, 0.05),
    ),
    "sessions": Experiment(
        "SIGKILL of a session's process leaves the scan as it is, and every acknowledged frame",
        *(killed_sessions, 2, 0, 0.05),
    ),
    "switches": Experiment(
        "after SIGKILL while models are switched the one in force is verified and runs", *(switched_models, 20, 1, 0.05)
    ),
    "students": Experiment(
        "a network that is taught by the phase network says what it says, and is taken only if the gate lets it",
        *(taught_students, 2, 0, 0.1, "torch"),
    ),
    "patterns": Experiment(
        "patterns that are unlike those of the training get no wrong phase from the phase network and the fit",
        *(unseen, 5, 0, 0.1, "gemmi"),
    ),
    "networks": Experiment(
        "clean frames of every simulator are normal to the network or recipe that finds its faults",
        *(peaceful_networks, 30, 0, 0.1),
    ),
}
"""By name, which is also the option that says with how many seeds (`--kills 40`)."""
