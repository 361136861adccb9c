"""Faults of the simulated diffractometer against the shipped demo recipe: what comes of each, and what must come.

Used by the tests (20 seeds, 30,000 clean frames) and by `tests/prove.py` (as many as asked).
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.config import Setup, load
from insitu.pipeline import Pipeline
from insitu.readers.faults import KINDS
from insitu.readers.simulated import Diffractometer
from insitu.run import run
from insitu.run.shared import frame_of
from insitu.run.summary import Summary
from insitu.types import Action, Record

RECIPE = "xrd_heating_demo"
HASTE = ("detector.reader.rate=2 kHz", "detector.reader.exposure=0.5 ms")
"""No pauses; the counts do not depend on it."""
LIMIT = 25
"""A fault that lasts has to be answered within so many frames: `blind` wants 10, and dark counts may look like a peak
once in a while."""


class Answer(NamedTuple):
    """The first thing that was decided: frames after the fault began, action, rule; action CONTINUE where nothing."""

    late: int
    action: Action
    rule: str


EXPECTED: dict[str, set[tuple[Action, str]]] = {
    "beam_loss": {(Action.PAUSE, "no_beam")},
    "shutter": {(Action.HALT, "blind")},
    "saturation": {(Action.PAUSE, "no_beam")},
    "slipped": {(Action.HALT, "phase_lost")},
    "zero_shift": {(Action.PAUSE, "moved")},
    "dead": {(Action.HALT, "blind")},
    "lost_phase": {(Action.HALT, "phase_lost")},
}
"""What the demo recipe promises in its comments, by kind of fault."""
FRAME_KINDS = tuple(kind for kind in KINDS if not KINDS[kind].transport)
TRANSPORT_KINDS = tuple(kind for kind in KINDS if KINDS[kind].transport)


@cache
def demo() -> Setup:
    """The demo recipe; every call of its `pipeline()` gives one without memory."""
    return load(RECIPE, purpose="check")


def steps(pipeline: Pipeline, reader: Diffractometer, frames: range) -> Iterator[Record]:
    """Records of simulated frames, as the run would judge them."""
    for i in frames:
        yield pipeline.step(frame_of(reader.arrival(i), i, i))


def answer(kind: str, seed: int) -> Answer:
    """The first decision on one fault that begins at a seeded frame of a seeded heating ramp and lasts."""
    rng = np.random.default_rng((seed, FRAME_KINDS.index(kind)))
    first = int(rng.integers(2, 12))
    reader = Diffractometer(
        seed=seed, faults=(f"{kind}@{first}",), temperature_start=float(rng.uniform(320, 440)), temperature_step=0.4
    )
    for i, record in enumerate(steps(demo().pipeline(), reader, range(first + LIMIT))):
        if record.decision.action is not Action.CONTINUE:
            return Answer(i - first, record.decision.action, record.decision.rule)
    return Answer(LIMIT, Action.CONTINUE, "")


def check_answer(kind: str, seed: int) -> Answer:
    """`answer`, which must be one that the recipe promises, and not come before the fault."""
    found = answer(kind, seed)
    assert (found.action, found.rule) in EXPECTED[kind], f"{kind}, seed {seed}: {found}"
    assert 0 <= found.late < LIMIT, f"{kind}, seed {seed}: decided {-found.late} frames before there was a fault"
    return found


def clean(frames: int, seed: int) -> dict[str, int]:
    """Labels and actions over clean frames of one heating ramp within one phase (320 to 380 K)."""
    reader = Diffractometer(seed=seed, temperature_start=320.0, temperature_step=60.0 / frames, temperature_stop=380.0)
    counts = {"frames": 0, "actions": 0, "anomaly": 0, "unknown": 0}
    for record in steps(demo().pipeline(), reader, range(frames)):
        counts["frames"] += 1
        counts["actions"] += record.decision.action is not Action.CONTINUE
        for verdict in record.verdicts.values():
            if verdict.label in counts:
                counts[verdict.label] += 1
    return counts


def transport(seed: int, root: Path) -> tuple[Summary, dict[str, int]]:
    """One run with all faults of the transport, at seeded places; its summary, and the counts it must come to."""
    rng = np.random.default_rng(seed)
    kinds = [str(kind) for kind in rng.permutation(TRANSPORT_KINDS)]
    faults, expected = [], {"lost": 0, "duplicates": 0, "late": 0}
    for slot, kind in enumerate(kinds):
        at = 16 * (slot + 1) + int(rng.integers(3))
        if kind == "missing":
            more = int(rng.integers(4))
            faults.append(f"missing@{at}-{at + more}")
            expected["lost"] += 1 + more
        elif kind == "duplicate":
            times = int(rng.integers(1, 4))
            faults.append(f"duplicate@{at}={times}")
            expected["duplicates"] += times
        elif kind == "reorder":
            by = int(rng.integers(1, 13))  # up to 8 late it still gets its row
            faults.append(f"reorder@{at}={by}")
            expected["late"] += by > 8
            expected["lost"] += by > 8
        else:
            faults.append(f"reset@{at}")
    total = 16 * (len(kinds) + 1)
    setup = hasty(f"detector.reader.faults={faults}", f"detector.reader.frames={total}", seed=seed)
    summary = run(setup, data_root=root, mode="act")
    expected |= {"expected": total, "stored": total - expected["lost"], "invalid": 0, "dropped": 0}
    expected["received"] = total - expected["lost"] + expected["duplicates"] + expected["late"]
    return summary, expected


def hasty(*sets: str, seed: int = 0) -> Setup:
    """The demo recipe without its pauses and its planted fault, changed by `sets`."""
    return load(RECIPE, sets=[*HASTE, "detector.reader.faults=[]", f"detector.reader.seed={seed}", *sets])
