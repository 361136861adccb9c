"""A student that is taught by the shipped phase network, and the gate that decides on it: the experiment `students`.

Patterns are simulated as for its own training, with seeds of their own; those that the student is tried
on it never saw. Right is what the teacher says.
"""

from pathlib import Path

import numpy as np

from insitu.catalog import shipped_folder
from insitu.models import quantise as q
from insitu.models.bundle import read_bundle
from insitu.models.preparing import preparation

TEACHER, WIDTH, ROUNDS = "xrd_phases_fp32", 32, 40
TAUGHT, TRIED = 3000, 300
MOST_LOSS = 5.0


def taught(
    seed: int, folder: Path, *, count: tuple[int, int] = (TAUGHT, TRIED), rounds: int = ROUNDS
) -> dict[str, int]:
    """Teach, quantise what was taught, write the bundle that was taken. Counts: points of the student times 100, how
    many times as fast times 100, its size in parts of 1,000."""
    from insitu.training.distil import distil

    teacher = read_bundle(shipped_folder("pipelines") / "models" / TEACHER)
    learnt, tried = (patterns(n, (seed, k)) for k, n in enumerate(count))
    trial = q.Trial(inputs=tried, origin="simulated patterns")
    keys = {"width": WIDTH, "rounds": rounds, "seed": seed}
    outcome = distil(teacher, learnt, trial, most_loss=MOST_LOSS, **keys)
    student = outcome.candidates[1]
    row = student.row
    assert row["score"] > 80.0, row
    assert row["size"] < 1.0, row
    assert (outcome.taken is student) == (row["gain"] >= 1.2 and row["loss"] <= MOST_LOSS), row
    new = q.write(
        folder / "student", teacher, q.successor(teacher, outcome.taken, outcome), outcome.taken.model, key=None
    )
    assert new.manifest.parent == teacher.digest
    assert new.model == outcome.taken.model
    return {
        "students": 1,
        "taken": int(outcome.taken is student),
        "points_x_100": round(100 * row["score"]),
        "times_as_fast_x_100": round(100 * row["gain"]),
        "size_of_1000": round(1000 * row["size"]),
    }


def patterns(count: int, seed: tuple[int, int]) -> np.ndarray:
    """Prepared inputs `(count, 2, points)` of patterns as the network was trained on, with other seeds."""
    from insitu.training.xrd_patterns import drawn, known, strangers
    from insitu.training.xrd_phases import PARAMS

    prepare, random = preparation("pattern", PARAMS), np.random.default_rng((911, *seed))
    candidates, others = known(), strangers(9, 911)
    found: list[np.ndarray] = []
    while len(found) < count:
        made = prepare(drawn(candidates, others, random).frame)
        if made.input is not None:
            found.append(made.input)
    return np.stack(found)
